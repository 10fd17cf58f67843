"""Every topology method in a training loop of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from dsae.config import did_you_mean, in_range, one_of, positive_int
from dsae.nn import SparseLinear
from dsae.shrink._base import Clock
from dsae.shrink._rewire import METHODS, Method, Rewire, open_ended_method
from dsae.shrink._schedule import OpenEnded, Schedule
from dsae.shrink._swap import swap_parameter
from dsae.topology import erdos_renyi, inactive_edges, weakest_blocks

_EPOCH = 100  # steps from one update to the next, for methods that change once per epoch where its length is not given


class Pruner:
    """Brings the `SparseLinear` layers of a module to a density, by any topology method.

    Call `step` after the optimizer's step, while the gradients are still there. Weights whose edges go are dropped
    together with the optimizer's state of them; grown edges start at zero.

    Parameters
    ----------
    model : torch.nn.Module
        Holds one `SparseLinear` or more, at any depth. Layers that do not learn are left alone.
    optimizer : torch.optim.Optimizer
        Holds their parameters. Its state for a parameter is what it needs per weight and scalars, as in all of
        `torch.optim` but ``LBFGS``.
    density : float or mapping of str to float
        Active share of the weights at the end, in (0, 1]. A number is spread over all layers by Erdős-Rényi-Kernel
        (`dsae.topology.erdos_renyi`); a mapping names layers as ``model.named_modules()`` does, and the others keep
        the edges that they have. Layers of blocks come to it within one block.
    method : str or Method
        A key of `METHODS`. The gradual ones (``tempered``, ``saliency``, ``magnitude``, ``gradient``) shrink from
        the density that the layers have: build these with ``density=1``, or by `SparseLinear.from_dense`. For the
        others, weights beyond those that the method starts with are dropped here and now, the smallest first.
    n_steps : int, optional
        Steps of the whole training. Without it training is open-ended: layers have their final density from now on,
        and exchange ever fewer edges (see `OpenEnded`).
    schedule : Schedule, optional
        When, how fast and how much; by default the method's.
    steps_per_epoch : int, optional
        For ``set``, which exchanges edges once per epoch; 100 where it is not given.
    seed : int
        For edges that grow at random.

    Raises
    ------
    ValueError
        If a parameter is not what it should be, or the optimizer does not hold the layers' values.

    Notes
    -----
    `rewire` replaces ``layer.values`` by a new parameter and updates the optimizer, but nothing else that holds the old
    one (an average of the weights, a wrapper for several processes). With several forward passes per step, growth by
    gradient uses that of the last one.

    Examples
    --------
    >>> model = nn.Sequential(SparseLinear(20, 50), nn.ReLU(), SparseLinear(50, 3))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> pruner = Pruner(model, optimizer, density=0.1, method="magnitude", n_steps=100)
    >>> x, y = torch.randn(64, 20), torch.randint(3, (64,))
    >>> for _ in range(100):
    ...     optimizer.zero_grad()
    ...     nn.functional.cross_entropy(model(x), y).backward()
    ...     optimizer.step()
    ...     changed = pruner.step()
    >>> pruner.density, pruner.finished, model[0].nnz + model[2].nnz
    (0.1, True, 115)
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        density: float | Mapping[str, float],
        method: str | Method = "rigl",
        n_steps: int | None = None,
        schedule: Schedule | None = None,
        steps_per_epoch: int | None = None,
        seed: int = 0,
    ) -> None:
        for name, value in (("n_steps", n_steps), ("steps_per_epoch", steps_per_epoch)):
            if value is not None:
                positive_int(name, value)
        found = {
            name: layer
            for name, layer in model.named_modules()
            if isinstance(layer, SparseLinear) and layer.values.requires_grad
        }
        final = _final(found, density)
        self.layers = {name: found[name] for name in final}
        self.optimizer = optimizer
        self._check_optimizer()
        chosen = _method(method, n_steps, schedule)
        self._rewire = Rewire(chosen, final, seed)
        self._done, self._n_steps, self._steps_per_epoch = 0, n_steps or 0, steps_per_epoch or _EPOCH
        # Another stream than growth's, which starts from the same seed.
        self._begin(np.random.default_rng([seed, 1]))

    @property
    def density(self) -> float:
        """Active share of the weights of the layers that are pruned."""
        return sum(layer.nnz for layer in self.layers.values()) / sum(
            layer.topology.size for layer in self.layers.values()
        )

    @property
    def finished(self) -> bool:
        """Whether the density is reached and the topology will not change any more."""
        schedule = self._rewire.schedule
        if isinstance(schedule, OpenEnded):
            return False
        return schedule.static or self._done >= schedule.last(self._clock())

    def step(self) -> bool:
        """Change the topology if it is time; to be called once after every step of the optimizer.

        Returns
        -------
        bool
            Whether any layer has other edges than before.

        Raises
        ------
        ValueError
            If a layer has no gradient.
        """
        if self.finished:
            self._done += 1
            return False
        for name, layer in self.layers.items():
            if layer.values.grad is None:
                raise ValueError(
                    f"[Pruner] step comes after optimizer.step() and before zero_grad(); layer {name!r} has no "
                    "gradient."
                )
        self._done += 1
        self._rewire.observe(self.layers)
        rewirings = self._rewire.rewire(self.layers, self._clock())
        for name, rewiring in rewirings.items():
            swap_parameter(self.optimizer, self.layers[name], rewiring)
            self._rewire.moved(name, rewiring)
        return bool(rewirings)

    def state_dict(self) -> dict[str, Any]:
        """What the next steps depend on, beside the state dicts of the model and the optimizer: numbers and tensors."""
        return {"step": self._done, "method": self._rewire.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from an earlier `state_dict`.

        Load the model first, then make the optimizer and load it, then the pruner: a loaded layer may have another
        number of weights, and then has a new parameter.

        Raises
        ------
        ValueError
            If the layers are others, or the optimizer does not hold their values.
        """
        names = state["method"]["start"]
        if not set(names) <= set(self.layers):
            raise ValueError(
                f"[load_state_dict] Expected the state of layers {list(self.layers)}; got {sorted(names)}."
            )
        self._check_optimizer()
        self._done = int(state["step"])
        self._rewire.load_state_dict(state["method"], self.layers)

    def _clock(self) -> Clock:
        return Clock(self._done, self._n_steps, self._steps_per_epoch)

    def _check_optimizer(self) -> None:
        # It can only be refused: the edges of its history cannot be told apart.
        if isinstance(self.optimizer, torch.optim.LBFGS):
            raise ValueError("[Pruner] LBFGS keeps the history of all parameters in one vector; use another optimizer.")
        held = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        for name, layer in self.layers.items():
            if id(layer.values) not in held:
                raise ValueError(
                    f"[Pruner] optimizer must hold the values of layer {name!r}; it does not. Make it of "
                    "model.parameters(), after model.load_state_dict()."
                )

    def _begin(self, rng: np.random.Generator) -> None:
        """Give every layer the edges that its method starts with, as far as they are not there or too many."""
        for name, layer in self.layers.items():
            final, topology = self._rewire.final[name], layer.topology
            most = min(topology.size, self._rewire.schedule.start * final)
            if layer.nnz < final:
                rewiring = topology.rewire(
                    np.zeros(topology.n_blocks, bool), inactive_edges(topology, final - layer.nnz, rng)
                )
            elif layer.nnz > most:  # a trained layer keeps its largest weights
                magnitude = layer.values.detach().abs().float().cpu().numpy()
                rewiring = topology.rewire(weakest_blocks(topology, magnitude, layer.nnz - round(most)))
            else:
                continue
            swap_parameter(self.optimizer, layer, rewiring)


def _method(method: str | Method, n_steps: int | None, schedule: Schedule | None) -> Method:
    if isinstance(method, Method):
        chosen = method
    else:
        one_of("method", method, tuple(METHODS))
        chosen = METHODS[method] if n_steps or schedule is not None else open_ended_method(method)
    chosen = chosen if schedule is None else replace(chosen, schedule=schedule)
    if not n_steps and not (chosen.schedule.static or isinstance(chosen.schedule, OpenEnded)):
        raise ValueError(
            "[Pruner] n_steps must be the number of training steps for a schedule that ends; got None. Give it, or "
            "schedule=OpenEnded()."
        )
    return chosen


def _final(layers: Mapping[str, SparseLinear], density: float | Mapping[str, float]) -> dict[str, int]:
    """Active weights that each layer is to have."""
    if not layers:
        raise ValueError("[Pruner] model must have a SparseLinear layer that learns; it has none.")
    if not isinstance(density, Mapping):
        in_range("density", density, 0, 1, open_low=True)
        # A layer may be so small that its share rounds to no edge, and then would pass nothing on.
        counts = erdos_renyi([layer.topology.shape for layer in layers.values()], density)
        return {name: max(count, _block(layer)) for (name, layer), count in zip(layers.items(), counts, strict=True)}
    for name, share in density.items():
        if name not in layers:
            hint = did_you_mean(name, layers) or f" Known: {', '.join(layers)}."
            raise ValueError(f"[Pruner] density names {name!r}, which is no SparseLinear layer that learns.{hint}")
        in_range(f"density[{name!r}]", share, 0, 1, open_low=True)
    if not density:
        raise ValueError("[Pruner] density must name a layer; got an empty mapping.")
    return {
        name: max(round(share * layers[name].topology.size), _block(layers[name])) for name, share in density.items()
    }


def _block(layer: SparseLinear) -> int:
    """Weights of a layer's largest block, of which one stays."""
    return min(layer.block_size, layer.out_features)
