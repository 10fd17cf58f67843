"""Adam for sparse layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dsae import ops
from dsae.config import whole_number
from dsae.nn import SparseLinear, restored
from dsae.topology import Topology


class Matrices(NamedTuple):
    """A layer's values, their gradient and their moments in another order than the layer's.

    Parameters
    ----------
    values, grad, mean, square : Tensor
        Dense matrices ``[out_features, in_features]``, with zeros where there is no edge (of the gradient anything), or
        the numbers of the edges, ``[nnz]``.
    mask : Tensor of uint8, optional
        Whether there is an edge; None where the layer is full, and of numbers of edges.
    rates : tuple of ndarray, optional
        Of edges, what `dsae.ops.rates_by_input` gives.
    """

    values: Tensor
    grad: Tensor
    mean: Tensor
    square: Tensor
    mask: Tensor | None
    rates: tuple[np.ndarray, np.ndarray] | None = None


class SparseAdam(torch.optim.Optimizer):
    """Adam whose steps grow as units lose inputs.

    A unit with a tenth of the inputs needs ten times the step to change as much: Adam's rate goes with ``1 / fan-in``
    (Yang et al. 2022, table 8), and with the active fan-in where weights are sparse (Dey et al. 2024, "Sparse maximal
    update parameterization"). Here it is that of each row, so units that a growing method favours do not overshoot.

    Parameters
    ----------
    layers : mapping of str to SparseLinear
        Whose values have such rates; a full layer of up to 1024 inputs has the rate itself.
    others : iterable of Parameter
        Biases, thresholds: at the rate itself. Values of ``layers`` among them are skipped.
    lr, betas, eps
        As in `torch.optim.Adam`.
    """

    def __init__(
        self,
        layers: Mapping[str, SparseLinear],
        others: Iterable[nn.Parameter] = (),
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        self.layers = dict(layers)
        values = {id(layer.values) for layer in self.layers.values()}
        groups: list[dict[str, Any]] = [
            {"params": [layer.values], "layer": name} for name, layer in self.layers.items()
        ]
        rest = [p for p in others if id(p) not in values]
        super().__init__([*groups, *([{"params": rest}] if rest else [])], {"lr": lr, "layer": None})
        self.betas, self.eps = betas, eps

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As torch's, but without its compiler, which would be imported here in seconds."""
        inspect.unwrap(torch.optim.Optimizer.add_param_group)(self, param_group)

    def forget(self) -> None:
        """Drop all gradients: `zero_grad` without the compiler."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def set_rate(self, rate: float) -> None:
        """The learning rate from now on."""
        for group in self.param_groups:
            group["lr"] = rate

    def rates(self) -> dict[str, float]:
        """Mean learning rate of each layer's values."""
        named = {group["layer"]: group["lr"] for group in self.param_groups if group["layer"] is not None}
        return {name: rate * self._per_edge(self.layers[name].topology) for name, rate in named.items()}

    @staticmethod
    def _per_edge(topology: Topology) -> float:
        return ops.reference(topology) * topology.shape[0] / max(topology.nnz, 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from an earlier `state_dict`; parameters are as many and as long as they were then.

        Raises
        ------
        ValueError
            If they are not, or it is not the state of an Adam.
        """
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        layers = [group["layer"] for group in self.param_groups]
        if [group["layer"] for group in state_dict["param_groups"]] != layers:
            raise ValueError(f"Adam's groups must be those of the layers {layers}")
        moments = {}
        for key, saved in state_dict["state"].items():  # as JSON has it, the numbers of parameters are texts
            i, like = int(key), parameters[int(key)].detach()
            moments[i] = {"step": whole_number("Adam's step", saved["step"], 2**63)}
            for name, what in (("exp_avg", "Adam's mean"), ("exp_avg_sq", "Adam's mean square")):
                moments[i][name] = restored(saved[name], like, f"{what} of parameter {i}")
            if moments[i]["step"] < 1 or not (moments[i]["exp_avg_sq"] >= 0).all():
                raise ValueError(f"Adam's moments of parameter {i} must be those of at least one step")
        super().load_state_dict({"state": moments, "param_groups": state_dict["param_groups"]})

    @torch.no_grad()
    def step(  # type: ignore[override]
        self,
        closure: Callable[[], float] | None = None,
        *,
        fused: Mapping[str, ops.Fused] | None = None,
        dense: Mapping[str, Matrices] | None = None,
    ) -> None:
        """Move every parameter that has a gradient, all in one pass.

        Parameters
        ----------
        closure : callable, optional
            Not called.
        fused : mapping of str to Fused, optional
            What else is done to the values of the layers that it names.
        dense : mapping of str to Matrices, optional
            What moves in place of a layer's values and their moments.
        """
        also: dict[str | None, ops.Fused] = {**fused} if fused else {}
        matrices: dict[str | None, Matrices] = {**dense} if dense else {}
        moved = []
        for group in self.param_groups:
            name = group["layer"]
            topology = None if name is None else self.layers[name].topology
            for parameter in group["params"]:
                held = matrices.get(name)
                if held is None and parameter.grad is None:
                    continue
                mask = rates = None
                if held is None:
                    tensors = parameter, parameter.grad, *self.moments(parameter)
                else:
                    *tensors, mask, rates = held
                state = self.state[parameter]
                state["step"] += 1
                settings = group["lr"], state["step"], topology, also.get(name, ops.Fused()), mask, rates
                moved.append(ops.AdamParameter(*tensors, *settings))  # pyright: ignore
        ops.adam_step(moved, self.betas, self.eps)

    def moments(self, parameter: nn.Parameter) -> tuple[Tensor, Tensor]:
        """Running means of a parameter's gradient and of its square, zero before the first step."""
        state = self.state[parameter]
        if not state:
            state |= {"step": 0, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
        return state["exp_avg"], state["exp_avg_sq"]
