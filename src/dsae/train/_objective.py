"""What a step minimises."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from dsae import ops
from dsae.nn import Autoencoder, JointTrace, SparseLinear
from dsae.shrink import AuxK, Contractive, TargetL0, TargetRate
from dsae.train._run import Run
from dsae.train._shares import fair
from dsae.train._stages import Stage

# Penalties in which every row counts the same, whatever it weighs.
_BY_ROW = (AuxK, Contractive, TargetL0, TargetRate)


def objective_of(run: Run, stage: Stage, extra: SparseLinear | None, given: ops.Given) -> tuple[Tensor, Tensor]:
    """The loss as it is reported, and with the penalties, in which every row counts the same."""
    if extra is not None:
        loss = _layer_loss(run.model, stage.layers[0], extra, given, run.config.loss)
        return loss, loss
    trace = run.model.trace(given)
    if run.activity is not None and run.model.training:
        run.activity.see(trace)
    if run.looks and run.model.training:
        run.show(trace.code)
    loss = trace.loss(run.config.loss)
    if isinstance(trace, JointTrace):
        run.part_losses = {name: found.item() for name, found in trace.losses.items()}
    penalties = {shrinker: shrinker.penalty(run.model, trace) for shrinker in stage.shrinkers}
    by_row = isinstance(given, ops.Given) and any(isinstance(shrinker, _BY_ROW) for shrinker in penalties)
    if ops.ranks().size > 1 and by_row:
        factor = fair(given)
        penalties = {s: found * factor if isinstance(s, _BY_ROW) else found for s, found in penalties.items()}
    return loss, loss + sum(penalties.values())


def _layer_loss(model: Autoencoder, name: str, decoder: SparseLinear, given: ops.Given, loss: str) -> Tensor:
    """The data's loss of the first layer; of an inner one the squared error of its input, which is no data."""
    names = model.names("encoder")
    at = names.index(name)
    if at == 0 and model.config.n_outputs is None:
        return model.trace(given, decoder).loss(loss)
    if at == 0:  # a target of other columns is not what its input can be rebuilt as
        return model.trace(replace(given, target=None, known=None), decoder).loss("mse")
    with torch.no_grad():
        z = model.steps(names[:at], model.enter(model.centred(given.x)))[-1][1]
    ((_, h),) = model.steps([name], z)
    back, z = (ops.unpack(t) if isinstance(t, ops.Panels) else t for t in (decoder(h), z))
    return ops.torch_loss("mse").mean(back, z, None if given.weight is None else given.weight[:, None])


def temporary_decoder(layer: SparseLinear, seed: int) -> SparseLinear:
    """What rebuilds a layer's input while that layer learns alone: of its edges, turned around."""
    generator = torch.Generator().manual_seed(seed)
    topology = layer.topology.transpose[0]
    return SparseLinear(layer.out_features, layer.in_features, topology=topology, generator=generator).to(layer.values)
