"""All that is known of a latent, in one record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import positive_int
from dsae.interpret._codes import checked_latents, runtime_of
from dsae.interpret._kept import Examples
from dsae.interpret._partners import Pairs
from dsae.interpret._reading import Reading
from dsae.interpret._records import Description, Effect, Example, Partner
from dsae.interpret._relevance import encoder_directions, largest, norms_of, relevance, responses
from dsae.interpret._several import feature_names, parts_of
from dsae.interpret._similar import similar

_WORDS_IN_NAME = 3


def describe(
    model: Any,
    X: Any,
    latents: Any = None,
    *,
    names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    labels: Any = None,
    ids: Any = None,
    n_features: int = 12,
    n_examples: int = 12,
    n_neighbours: int = 8,
    weight: float = 0.5,
) -> list[Description]:
    """What latents stand for: how often they fire, what they write and read, in which rows, with which others.

    ``X`` is read twice, and no array of latents times rows is made.

    Parameters
    ----------
    model : Model, Runtime, JointModel, JointRuntime or fitted estimator
    X : array-like, DataFrame, scipy sparse, a source or rows by modality, shape (n_samples, n_features)
        Whatever `dsae.data.as_source` takes, files included. Features of several modalities are numbered one after
        another.
    latents : sequence of int, optional
        Which; by default all that fire, those of the largest energy first.
    names : sequence of str, or mapping of str to sequence of str, optional
        Of the features, by modality for a model of several; by default the model's own, then those of ``X``.
    labels, ids : array-like, shape (n_samples,), optional
        Classes and names of the rows; by default those that travel with ``X``.
    n_features, n_examples, n_neighbours : int
        How many are listed of each.
    weight : float
        Between large effects, 1, and distinctive ones, 0; see `relevance`.

    Returns
    -------
    list of Description

    Raises
    ------
    ValueError
        If ``X`` is not finite rows of the model's width, there is not one name for each feature, or one label or id for
        each row, or a latent does not exist.

    Examples
    --------
    >>> print(describe(runtime, X, [7], names=words)[0])                                # doctest: +SKIP
    """
    for name, value in (("n_features", n_features), ("n_examples", n_examples), ("n_neighbours", n_neighbours)):
        positive_int(f"[describe] {name}", value)
    runtime = runtime_of(model)
    reading = Reading.of("describe", runtime, X, labels=labels, ids=ids, n_examples=n_examples)
    summary, views = reading.summary, _Views(runtime, reading, names, weight, n_features)
    norms = norms_of(views.atoms)
    energy = summary.energy(norms)
    if latents is None:
        order = np.argsort(-energy, kind="stable")
        chosen = order[summary.counts[order] > 0]
    else:
        chosen = checked_latents("describe", latents, runtime.config.n_components)
    near, (together, against) = similar(views.atoms, n_neighbours), reading.details.cofiring(n_neighbours)
    total = float(energy.sum())
    return [
        Description(
            latent,
            **views.of(latent),
            norm=float(norms[latent]),
            energy=float(energy[latent]),
            share=float(energy[latent]) / total if total > 0 else 0.0,
            alike=_partners(near.latents[latent], near.cosines[latent]),
            together=_pairs(together, latent),
            against=_pairs(against, latent),
        )
        for latent in chosen.tolist()
    ]


def name_of(latent: int, effects: list[Effect], sign: float = 1.0) -> str:
    """A name made of the most distinctive features that a latent writes where it fires.

    Parameters
    ----------
    latent : int
        For the name of one that writes nothing.
    effects : list of Effect
        The most distinctive first.
    sign : float
        That of the latent where it fires: codes without an activation may be negative.

    Returns
    -------
    str
        Features that it lowers, with a minus, only where it raises none.
    """
    raised = [effect.name for effect in effects if effect.value * sign > 0]
    lowered = [f"\N{MINUS SIGN}{effect.name}" for effect in effects if effect.value * sign < 0]
    return ", ".join((raised or lowered)[:_WORDS_IN_NAME]) or f"latent {latent}"


def _names(runtime: Any, names: Any, column_names: Any) -> tuple[list[str], list[str]]:
    """Names of what enters a model and of what comes out, numbers where there are none."""
    entering, _ = feature_names("describe", runtime, names, column_names)
    n_outputs = next(iter(parts_of(runtime).values())).config.n_outputs
    if n_outputs is None:
        return entering, entering
    return entering, runtime.model.target_names or [f"y{j}" for j in range(n_outputs)]


class _Views:
    """What is said of one latent, from what was read of all."""

    def __init__(self, runtime: Any, reading: Reading, names: Any, weight: float, n_features: int) -> None:
        summary = reading.summary
        self.reading, self.n = reading, n_features
        self.read_names, self.written_names = _names(runtime, names, reading.column_names)
        self.atoms = responses(runtime, mean=summary.mean, rms=summary.rms)
        self.own = relevance(self.atoms, reading.written_variance(runtime), weight)
        self.directions = encoder_directions(runtime, mean=reading.entering.mean)
        self.read = relevance(self.directions, reading.entering.variance, weight, reads=True)
        self.strongest, self.quantiles = summary.strongest, reading.details.quantiles
        self.rates, self.means = summary.rates, summary.mean_on  # of all latents, computed once
        self.ends = np.stack([summary.highest, summary.lowest], axis=1)

    def of(self, latent: int) -> dict[str, Any]:
        summary, details = self.reading.summary, self.reading.details
        distinctive = self._effects(self.own[latent], self.atoms[latent], self.written_names, 4 * self.n)
        fires, mean = summary.counts[latent] > 0, float(self.means[latent])
        quantiles = [self._examples(self.quantiles, details.group(latent, q)) for q in range(details.n_quantiles)]
        return {
            "name": name_of(latent, distinctive, mean if fires else 1.0),
            "count": int(summary.counts[latent]),
            "rate": float(self.rates[latent]),
            "mean": mean,
            "highest": float(max(self.ends[latent], key=abs)),
            "writes": self._effects(self.atoms[latent], self.atoms[latent], self.written_names, self.n),
            "distinctive": distinctive[: self.n],
            "reads": self._effects(self.read[latent], self.directions[latent], self.read_names, self.n),
            "examples": self._examples(self.strongest, latent),
            "quantiles": quantiles,
            "labels": [] if summary.labels is None else summary.labels.enriched(latent),
        }

    @staticmethod
    def _effects(order: Any, values: Any, names: list[str], n: int) -> list[Effect]:
        places, _ = largest(order, n)
        row = values.toarray().ravel() if sp.issparse(values) else values
        return [Effect(j, names[j], float(row[j])) for j in places.tolist()]

    def _examples(self, found: Examples, group: int) -> list[Example]:
        rows, values = found.of(group)
        known = self.reading.known_of(rows)
        each = zip(rows.tolist(), values.tolist(), *known, strict=True)
        return [Example(row, value, name, label) for row, value, name, label in each]


def _partners(latents: np.ndarray, values: np.ndarray) -> list[Partner]:
    return [Partner(int(i), float(value)) for i, value in zip(latents, values, strict=True) if i >= 0]


def _pairs(pairs: Pairs, latent: int) -> list[Partner]:
    parts = pairs.latents, pairs.association, pairs.counts, pairs.lift
    each = zip(*(part[latent].tolist() for part in parts), strict=True)
    return [Partner(other, *told) for other, *told in each if other >= 0]
