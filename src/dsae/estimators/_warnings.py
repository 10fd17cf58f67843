"""Warnings about the data and the fitted model that a user can act on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from dsae.config import Loss, loss_of
from dsae.data import Batch, IteratorSource, Source, count_empty
from dsae.estimators._base import listed, warn
from dsae.metrics import METRICS, evaluate
from dsae.runtime import Runtime

_ROWS, _NUMBERS = 1024, 1 << 26  # a sample: enough to tell a model from the mean, at most 256 MiB densified
# Below these a constant feature or a poor reconstruction is no surprise.
_FEW_ROWS, _FEW_ROWS_TO_LEARN = 10, 200
_FEW_STEPS = 100  # a schedule needs some steps between rewirings
# Shares of the squared deviation. Features in different units often reach 0.9, one row of many does so by mistake.
_ROW_WEIGHT, _FEATURE_WEIGHT = 0.9, 0.99
# Share of the variance that the last epoch of training left, of all rows, up to which the mean need not be compared.
_WELL_LEARNED = 0.98
# Shares of units without edges above which there is a warning.
_HIDDEN_LOST, _LATENTS_LOST = 0.75, 0.25


def advise_on_data(source: Source, names: list[str] | None, scale: bool = False, weight: bool = True) -> None:
    """Warn about constant features and, with ``weight``, about a row or a feature that outweighs all others.

    Without names, columns of zeros are not reported: pixels at the border and unused words look like that and cost
    nothing. The moments come from the pass that training needs anyway.
    """
    if len(source) < _FEW_ROWS:
        return
    mean, deviation = source.moments()
    left = np.flatnonzero(deviation == 0)  # exactly: sums of one float32 value are exact in float64
    constant = [j for j in left.tolist() if names is not None or mean[j] != 0]
    if constant:
        warn(
            f"[fit] {len(constant)} of {source.n_features} features are constant "
            f"(columns {listed([_named(j, names) for j in constant])}): they carry no information. Drop them, or check "
            "how they were made."
        )
    if weight:
        _advise_on_weight(source, names, scale, deviation)


def _advise_on_weight(source: Source, names: list[str] | None, scale: bool, deviation: np.ndarray) -> None:
    variance = np.square(deviation, dtype=np.float64)
    total = variance.sum()
    if not total > 0:
        return
    feature, share = int(variance.argmax()), float(variance.max() / total)
    row = source.farthest()
    if row is not None and row.share > _ROW_WEIGHT:
        where = f", most of it in column {_named(feature, names)}" if share > 0.5 and variance.size > 1 else ""
        warn(
            f"[fit] Row {row.number} holds {row.share:.1%} of the squared deviation from the mean{where}: little else "
            "is learned. Check it, drop it, or take logarithms or ranks of such values first."
        )
    elif not scale and share > _FEATURE_WEIGHT and variance.size > 1:
        warn(
            f"[fit] Column {_named(feature, names)} holds {share:.1%} of the squared deviation from the mean: little "
            "else is learned. Set scale=True, or measure it in another unit."
        )


def advise_on_counts(source: Source, loss: Loss, what: str = "X") -> None:
    """Warn about fractions in ``what``, and about rows that a loss of shares of a total cannot use."""
    if not loss.counts:
        return
    rows = _sample(source).rows
    values = rows.data if hasattr(rows, "indptr") else rows.ravel()
    fractions = values[(values != np.rint(values)) & ~np.isnan(values)]
    if fractions.size:
        warn(
            f"[fit] loss={loss.name!r} is for counts; {what} holds fractions, such as {fractions[0]:.4g}. If they are "
            "counts that were scaled or turned into logarithms, give the counts themselves (of AnnData often "
            "layers['counts'] or raw). Anything else is taken as it is."
        )
    empty = count_empty(source) if loss.couples_outputs else 0
    if empty:
        warn(
            f"[fit] {empty} of {len(source)} rows of {what} hold no count and were left out: loss={loss.name!r} "
            "compares shares of a row's total."
        )


def _named(column: int, names: list[str] | None) -> str:
    return str(column) if names is None else repr(names[column])


def advise_on_model(source: Source, runtime: Runtime) -> None:
    """Warn about layers that have lost most of their units, and about a model no better than the mean.

    A short training on few rows is not judged.
    """
    n_epochs, batch_size = len(runtime.model.history), runtime.model.training["batch_size"]
    n_rows = len(source)
    if n_rows >= _FEW_ROWS_TO_LEARN and n_epochs * math.ceil(n_rows / batch_size) >= _FEW_STEPS:
        _advise_on_edges(runtime)
        _advise_on_error(source, runtime)


def advise_on_steps(source: Source) -> None:
    """Warn about an iterator that gave fewer rows than the steps that were planned need."""
    if isinstance(source, IteratorSource) and source.ended and source.n_given < source.n_steps:
        warn(
            f"[fit] The iterator ended after {source.n_given} of {source.n_steps} steps, before the learning rate had "
            f"fallen to zero and perhaps before the last rewiring. Give more batches, or set n_steps={source.n_given}."
        )


def _advise_on_edges(runtime: Runtime) -> None:
    lost = [
        f"{n_lost} of {n_units} {what}"
        for what, n_lost, n_units, tolerated in _without_edges(runtime)
        if n_lost > tolerated * n_units
    ]
    if lost:
        warn(
            f"[fit] At density {runtime.model.density:.3g} many units have no remaining connections: {listed(lost)}. "
            "Raise density, or make the layers narrower."
        )


def _without_edges(runtime: Runtime) -> Iterator[tuple[str, int, int, float]]:
    """For each layer of units: name, units that lack edges on either side, all units, and the share tolerated."""
    layers = list(runtime.layers.items())
    for (name, layer), (following_name, following) in pairwise(layers):
        silent = layer.topology.fan_in == 0
        unheard = np.bincount(following.topology.indices, minlength=silent.size) == 0
        is_code = following_name == "decoder.0"
        what, tolerated = ("latents", _LATENTS_LOST) if is_code else (f"units of {name}", _HIDDEN_LOST)
        yield what, int((silent | unheard).sum()), silent.size, tolerated


def _advise_on_error(source: Source, runtime: Runtime) -> None:
    loss = loss_of(runtime.loss)
    if _has_learned(runtime):
        return
    some, wanted = _sample(source), [loss.score_metric]
    beside = {"target": some.target, "sample_weight": some.weight}
    found = evaluate(runtime.reconstruct, some.rows, metrics=wanted, **beside)[loss.score_metric]
    if math.isfinite(found) and loss.score(found) < 0:
        label = METRICS[loss.score_metric].label or loss.score_metric
        what = "FVU" if loss.score_metric == "fvu" else label[0].lower() + label[1:]
        warn(
            f"[fit] The reconstruction is no better than the mean of the rows ({what} {found:.3g}). Try another "
            f"learning_rate_init (now {runtime.model.training['learning_rate_init']:g}), more epochs, more density, or "
            "scale=True if features differ in scale."
        )


def _has_learned(runtime: Runtime) -> bool:
    """Whether the loss of training tells that already: in the unit of the data, of the very network that is used."""
    left, scaled = runtime.model.history[-1].get("fvu"), runtime.model.training["scale"]
    return left is not None and left <= _WELL_LEARNED and not scaled and not runtime.config.code.sparse


def _sample(source: Source) -> Batch:
    """A sample of rows; fewer of wide ones, which are expensive to reconstruct."""
    n = min(_ROWS, max(_FEW_ROWS, _NUMBERS // source.n_features))
    return source.sample(min(n, len(source)), np.random.default_rng(0))
