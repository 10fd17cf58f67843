"""Configuration of training."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dsae.config._checks import check_choices, choice, in_range, positive_int, rising_widths, true_or_false
from dsae.config._losses import LOSSES

SHRINK = ("random", "gradient", "saliency", "magnitude", "tempered", "set", "rigl", "granet", "none")
SCHEDULES = ("joint", "stagewise")
INIT_TOPOLOGIES = ("random", "neighbours", "principal")
PRECISIONS = ("auto", "float32")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class TrainConfig:
    """Configuration of training; every field is a parameter of `DeepSparseAutoencoder`, described there."""

    loss: str = choice("mse", LOSSES)
    shrink: str = choice("tempered", SHRINK)
    l1: float = 0.0
    l2: float = 0.0
    contractive: float = 0.0
    target_rate: float | None = None
    matryoshka: tuple[int, ...] = ()
    schedule: str = choice("joint", SCHEDULES)
    init_topology: str = choice("random", INIT_TOPOLOGIES)
    zero_diagonal: bool = False
    max_iter: int = 10
    batch_size: int = 256
    learning_rate_init: float = 3e-3
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 10
    tol: float = 1e-4
    scale: bool = False
    noise: float = 0.0
    mask: float | tuple[float, float] = 0.0
    mask_rescale: bool = True
    emphasis: float = 1.0
    precision: str = choice("auto", PRECISIONS)

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("l1", "l2", "contractive", "tol"):
            in_range(name, getattr(self, name), 0)
        if self.target_rate is not None:
            in_range("target_rate", self.target_rate, 0, 1, open_low=True)
            if self.target_rate == 1:
                raise ValueError("target_rate must be below 1: at 1 every unit would always be on.")
        for name in ("max_iter", "batch_size", "n_iter_no_change"):
            positive_int(name, getattr(self, name))
        for name in ("early_stopping", "scale", "mask_rescale", "zero_diagonal"):
            true_or_false(name, getattr(self, name))
        if self.zero_diagonal and (self.init_topology != "neighbours" or self.shrink != "random"):
            raise ValueError(
                "zero_diagonal=True needs init_topology='neighbours' and shrink='random', which keeps the first edges; "
                f"got {self.init_topology!r} and {self.shrink!r}."
            )
        in_range("learning_rate_init", self.learning_rate_init, 0, open_low=True)
        in_range("validation_fraction", self.validation_fraction, 0, 0.9, open_low=True)
        object.__setattr__(self, "matryoshka", rising_widths("matryoshka", self.matryoshka))
        for name in ("noise", "emphasis"):
            in_range(name, getattr(self, name), 0)
        object.__setattr__(self, "mask", shares_of("mask", self.mask))
        if self.emphasis != 1 and not self.mask:
            raise ValueError(f"emphasis weighs masked values and needs mask above 0; got emphasis={self.emphasis!r}.")
        self._use_plain_numbers()

    def _use_plain_numbers(self) -> None:
        """Convert numpy's numbers, which grid searches pass, to Python's, which JSON can hold."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, (bool, int, float)) and not isinstance(value, tuple):
                object.__setattr__(self, field.name, type(field.default)(value))
            elif value is not None and not isinstance(value, (str, tuple)):
                object.__setattr__(self, field.name, float(value))


def shares_of(name: str, value: Any) -> float | tuple[float, float]:
    """A share below 1, or the two between which one is drawn for every row."""
    shares: tuple[Any, ...]
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        in_range(name, value, 0, 1, open_high=True)
        shares = (value,)
    else:
        shares = tuple(value)
        if len(shares) != 2:
            raise ValueError(f"{name} must be a share, or a pair (low, high) of them; got {value!r}.")
        for share in shares:
            in_range(f"every share in {name}", share, 0, 1, open_high=True)
    if not shares[0] <= shares[-1]:
        raise ValueError(f"{name} must be a share, or a pair (low, high) of them, the lower first; got {value!r}.")
    low, high = float(shares[0]), float(shares[-1])
    return low if low == high else (low, high)
