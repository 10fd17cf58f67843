"""What stands between encoder and decoder where both are computed by hand: the code's activation, penalties on it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from dsae import ops
from dsae.config import ACTIVATIONS, loss_of
from dsae.nn import Autoencoder, Trace
from dsae.shrink import L1, L2, AuxK, DropZeros, Rewire, Shrinker, TargetL0, TargetRate
from dsae.train._learner import Learner
from dsae.train._run import Run
from dsae.train._shares import fair

ON_CODE = (TargetRate, TargetL0, AuxK)


class Between:
    """The code of a step, and its gradient, by autograd where a penalty or an activation asks for that.

    Whatever a code is made of is as narrow as the code, so autograd costs little here.

    Parameters
    ----------
    run : Run
    shrinkers : iterable of Shrinker
        Those of `ON_CODE` among them take part.
    """

    def __init__(self, run: Run, shrinkers: Iterable[Shrinker]) -> None:
        self._run, model = run, run.model
        self._shrinkers = [shrinker for shrinker in shrinkers if isinstance(shrinker, ON_CODE)]
        self._activation = model.code_activation
        plain = not self._shrinkers and run.activity is None
        self._by_hand = ops.HAND_WRITTEN.get(model.config.code.name) if plain else None
        self.penalty = 0.0
        self._made: tuple[Tensor, Tensor, Tensor | float] | None = None

    @property
    def asked(self) -> bool:
        """Whether there is more to do than an activation that has a derivative by hand."""
        return self._by_hand is None

    def takes(self, n_rows: int) -> bool:
        """Whether no latent can count as dead after so many rows more: reviving it needs a whole trace."""
        revivers = (shrinker for shrinker in self._shrinkers if isinstance(shrinker, AuxK))
        if ops.ranks().size > 1:  # of all ranks, and the same on each
            n_rows = self._run.config.batch_size + ops.ranks().size
        return not any(shrinker.near_death(self._run.model, n_rows) for shrinker in revivers)

    def enter(self, z: Tensor, given: ops.Given, aim: Tensor | ops.SparseRows) -> Tensor:
        """The code of pre-activations ``[n_rows, n_components]``, which may be written over; ``penalty`` is set."""
        if self._by_hand is not None:
            code, self.penalty = self._by_hand.apply(z), 0.0
            self._made = z, code, 0.0
            self._run.show(code)
            return code
        model, activity = self._run.model, self._run.activity
        with torch.enable_grad():
            code = self._activation(z.requires_grad_(), z.shape[0])
            trace = Trace(given, z, (code,), z, (), aim, model.decoder[-1], model.activations[-1])
            if activity is not None:
                activity.see(trace)
            penalty = sum(shrinker.penalty(model, trace) for shrinker in self._shrinkers)
            if self._shrinkers and ops.ranks().size > 1:
                penalty = penalty * fair(given)
        self.penalty = penalty.item() if isinstance(penalty, Tensor) else penalty
        self._made = z, code, penalty
        self._run.show(code)
        return code.detach()

    def back(self, d_code: Tensor) -> Tensor:
        """The gradient of the pre-activations, penalties included; those of thresholds go into their ``grad``."""
        assert self._made is not None
        z, code, penalty = self._made
        self._made = None
        if self._by_hand is not None:
            return self._by_hand.back(d_code, code)
        for parameter in self._activation.parameters():
            parameter.grad = None
        summed = isinstance(penalty, Tensor) and penalty.requires_grad
        torch.autograd.backward([code, penalty] if summed else [code], [d_code, None] if summed else [d_code])  # type: ignore[list-item]
        assert z.grad is not None
        return z.grad


def layers_of(model: Autoencoder) -> tuple[list[ops.StepLayer], list[ops.StepLayer]]:
    """Encoder and decoder of a model whose layers all have a bias, as towers take them.

    They leave the code's activation to `Between`, also where that is one that has no derivative in the kernels.
    """
    kinds, halves = model.config.activations, []
    for half in ("encoder", "decoder"):
        made = []
        for name in model.names(half):
            layer = model.layers[name]
            assert layer.bias is not None
            kind = ACTIVATIONS["identity" if ACTIVATIONS[kinds[name]].sparse else kinds[name]]
            made.append(ops.StepLayer(layer.topology, layer.values, layer.bias, kind, layer.lines))
        halves.append(made)
    return halves[0], halves[1]


def is_plain(run: Run, learner: Learner) -> bool:
    """Whether the whole network learns a loss of tiles, and no shrinker asks for more than a step of matrices has."""
    return (
        learner.extra is None
        and set(learner.stage.layers) == set(run.model.layers)
        and loss_of(run.config.loss).tiled
        and all(_is_covered(shrinker, run.model.config.block_size) for shrinker in learner.stage.shrinkers)
    )


def _is_covered(shrinker: Shrinker, block_size: int) -> bool:
    """Whether it asks for nothing beside Adam's pass and the code; thresholds of whole blocks are beyond that."""
    if isinstance(shrinker, L1):
        return block_size == 1
    if isinstance(shrinker, Rewire):
        return not shrinker.observes
    return isinstance(shrinker, (L2, DropZeros, *ON_CODE))
