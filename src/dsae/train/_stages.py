"""Training plans: tuples of stages; *joint* and *stagewise* are two of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dsae.config import AutoencoderConfig, JointConfig, TrainConfig
from dsae.shrink import (
    L1,
    L2,
    AuxK,
    Contractive,
    DropZeros,
    Matryoshka,
    Rewire,
    Shrinker,
    TargetL0,
    TargetRate,
    open_ended_method,
    rewire_by,
)

_DEFAULT_RATE = 0.05  # as in Ng's notes (2011)
_DEAD_AFTER = 200  # times the samples in which the average latent fires once


@dataclass(frozen=True)
class Stage:
    """A number of epochs in which some layers are trained.

    Parameters
    ----------
    name : str
        Name in the history.
    epochs : int
    layers : tuple of str
        Names of the layers that are trained; the others are frozen.
    temporary_decoder : bool
        Whether the one trained layer reconstructs its own input through a temporary decoder.
    shrinkers : tuple of Shrinker
    """

    name: str
    epochs: int
    layers: tuple[str, ...]
    temporary_decoder: bool = False
    shrinkers: tuple[Shrinker, ...] = ()

    @property
    def last_rewiring(self) -> float:
        """Share of the stage after which no method changes the topology."""
        return max((s.schedule.settled for s in self.shrinkers if isinstance(s, Rewire)), default=0.0)


def joint(model: AutoencoderConfig, train: TrainConfig, final: Mapping[str, int], seed: int) -> tuple[Stage, ...]:
    """One stage that trains all layers."""
    shrinkers = (*_topology(model, train, final, seed), *_bounds(train, seed), *_code(model, train.target_rate))
    return (Stage("joint", train.max_iter, tuple(model.layer_shapes), shrinkers=shrinkers),)


def stagewise(model: AutoencoderConfig, train: TrainConfig, final: Mapping[str, int], seed: int) -> tuple[Stage, ...]:
    """Encoder layer by layer, decoder, shrinking, activations.

    The epochs are divided 2 : 1 : 5 : 2, with at least one each.

    Raises
    ------
    ValueError
        If ``max_iter`` is smaller than the number of stages.
    """
    names = tuple(model.layer_shapes)
    encoder = [name for name in names if name.startswith("encoder")]
    decoder = tuple(name for name in names if name.startswith("decoder"))
    *layer_epochs, decoder_epochs, shrink_epochs, code_epochs = _share_out(
        train.max_iter, [*[2 / len(encoder)] * len(encoder), 1, 5, 2]
    )
    rate = train.target_rate
    if rate is None and model.code.rate:
        rate = _DEFAULT_RATE
    bounds = _bounds(train, seed)
    return (
        *(
            Stage(f"train {name}", epochs, (name,), temporary_decoder=True)
            for name, epochs in zip(encoder, layer_epochs, strict=True)
        ),
        Stage("train decoder", decoder_epochs, decoder),
        Stage("shrink", shrink_epochs, names, shrinkers=(*_topology(model, train, final, seed), *bounds)),
        Stage("sparsify activations", code_epochs, names, shrinkers=(*bounds, *_code(model, rate))),
    )


def side_by_side(model: JointConfig, train: TrainConfig, final: Mapping[str, int], seed: int) -> tuple[Stage, ...]:
    """One stage that trains the networks of several modalities."""
    shrinkers = (*_topology(model, train, final, seed), *_bounds(train, seed), *_rate(train))
    return (Stage("joint", train.max_iter, tuple(model.layer_shapes), shrinkers=shrinkers),)


def open_ended(
    model: AutoencoderConfig | JointConfig, train: TrainConfig, final: Mapping[str, int], seed: int
) -> Stage:
    """A single stage without a planned end; see `dsae.shrink.open_ended_method`."""
    topology = () if train.shrink == "none" else (Rewire(open_ended_method(train.shrink), final, seed),)
    code = _rate(train) if isinstance(model, JointConfig) else _code(model, train.target_rate)
    shrinkers = (*topology, *_bounds(train, seed), *code)
    return Stage("partial", 1, tuple(model.layer_shapes), shrinkers=shrinkers)


def _topology(
    model: AutoencoderConfig | JointConfig, train: TrainConfig, final: Mapping[str, int], seed: int
) -> tuple[Shrinker, ...]:
    return (
        ()
        if train.shrink == "none"
        else rewire_by(
            train.shrink, final, {name: n_out * n_in for name, (n_out, n_in) in model.layer_shapes.items()}, seed
        )
    )


def _bounds(train: TrainConfig, seed: int) -> tuple[Shrinker, ...]:
    found: list[Shrinker] = []
    if train.l1:
        found += [L1(train.l1), DropZeros()]
    if train.l2:
        found.append(L2(train.l2))
    if train.contractive:
        found.append(Contractive(train.contractive, seed))
    if train.matryoshka:
        found.append(Matryoshka(train.matryoshka, train.loss))
    return tuple(found)


def _rate(train: TrainConfig) -> tuple[Shrinker, ...]:
    return () if train.target_rate is None else (TargetRate(train.target_rate),)


def _code(model: AutoencoderConfig, rate: float | None) -> tuple[Shrinker, ...]:
    if rate is not None:
        return (TargetRate(rate),)
    if model.k is None:
        return ()
    revive = AuxK(dead_after(model))
    return (revive,) if model.code.needs_k else (TargetL0(model.k), revive)


def dead_after(model: AutoencoderConfig) -> int:
    """Samples without firing after which a latent counts as dead (docs/design/codes.md)."""
    return round(_DEAD_AFTER * model.n_components / (model.k or 1))


def _share_out(epochs: int, weights: list[float]) -> list[int]:
    if epochs < len(weights):
        raise ValueError(
            f"schedule='stagewise' has {len(weights)} stages here and needs max_iter of at least as many epochs; "
            f"got {epochs}."
        )
    shares = [1] * len(weights)
    for _ in range(epochs - len(weights)):
        behind = [weight / share for weight, share in zip(weights, shares, strict=True)]
        shares[behind.index(max(behind))] += 1
    return shares
