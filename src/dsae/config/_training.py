"""Configuration of training."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from dsae.config._checks import check_choices, choice, in_range, positive_int, rising_widths, true_or_false
from dsae.config._losses import LOSSES

SHRINK = ("random", "gradient", "saliency", "magnitude", "tempered", "set", "rigl", "granet", "none")
SCHEDULES = ("joint", "stagewise")
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
    max_iter: int = 10
    batch_size: int = 256
    learning_rate_init: float = 3e-3
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 10
    tol: float = 1e-4
    scale: bool = False
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
        for name in ("early_stopping", "scale"):
            true_or_false(name, getattr(self, name))
        in_range("learning_rate_init", self.learning_rate_init, 0, open_low=True)
        in_range("validation_fraction", self.validation_fraction, 0, 0.9, open_low=True)
        object.__setattr__(self, "matryoshka", rising_widths("matryoshka", self.matryoshka))
        self._use_plain_numbers()

    def _use_plain_numbers(self) -> None:
        """Convert numpy's numbers, which grid searches pass, to Python's, which JSON can hold."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, (bool, int, float)):
                object.__setattr__(self, field.name, type(field.default)(value))
            elif value is not None and not isinstance(value, (str, tuple)):
                object.__setattr__(self, field.name, float(value))
