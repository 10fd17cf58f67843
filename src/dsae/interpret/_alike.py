"""Latents near to a latent, by what they write and by where they fire."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dsae.config import positive_int
from dsae.interpret._codes import checked_latents, coded, runtime_of, threshold_of
from dsae.interpret._details import Details
from dsae.interpret._partners import Pairs
from dsae.interpret._relevance import responses
from dsae.interpret._similar import Similar, similar
from dsae.interpret._summary import Summary


class LatentNeighbours(NamedTuple):
    """Latents near to some latents.

    Attributes
    ----------
    latents : ndarray of int64, shape (n_latents,)
        Whose neighbours these are, in the order of the other arrays.
    cosine : Similar
        With similar atoms.
    together, against : Pairs or None
        That fire in the same rows, or avoid them; None without rows.
    """

    latents: np.ndarray
    cosine: Similar
    together: Pairs | None
    against: Pairs | None


def neighbours(model: Any, X: Any = None, *, n: int = 10, latents: Any = None) -> LatentNeighbours:
    """The latents nearest to each: by the cosine of their atoms and, with rows, by firing together.

    Parameters
    ----------
    model : Model, Runtime, JointModel, JointRuntime or fitted estimator
    X : array-like, DataFrame, scipy sparse, a source or rows by modality, shape (n_samples, n_features), optional
        Rows in which to count which latents fire together; some 100,000 of them are used. They also give the mean code
        around which a deep decoder's atoms are taken.
    n : int
        Of each kind, for each latent.
    latents : sequence of int, optional
        Whose; all by default.

    Returns
    -------
    LatentNeighbours

    Raises
    ------
    ValueError
        If ``X`` is not finite rows of the model's width, or a latent does not exist.

    Examples
    --------
    >>> neighbours(runtime, X).together.latents[7]                                      # doctest: +SKIP
    """
    positive_int("[neighbours] n", n)
    runtime = runtime_of(model)
    width = runtime.config.n_components
    chosen = np.arange(width) if latents is None else checked_latents("neighbours", latents, width)
    mean = rms = together = against = None
    if X is not None:
        summary, details = two_passes("neighbours", runtime, X)
        mean, rms = summary.mean, summary.rms
        together, against = (Pairs(*(part[chosen] for part in pairs)) for pairs in details.cofiring(n))
    near = similar(responses(runtime, mean=mean, rms=rms), n)
    cosine = Similar(near.latents[chosen], near.cosines[chosen], near.exact)
    return LatentNeighbours(chosen, cosine, together, against)


def two_passes(verb: str, model: Any, X: Any, **options: Any) -> tuple[Summary, Details]:
    """Summary and details of the codes of ``X``, which is read twice.

    Parameters
    ----------
    verb : str
        Named in messages.
    model : Model, Runtime, JointModel, JointRuntime or fitted estimator
    X : array-like, DataFrame, scipy sparse, a source or rows by modality, shape (n_samples, n_features)
    **options
        Of `Details`.
    """
    runtime = runtime_of(model)
    summary = Summary(runtime.config.n_components, threshold=threshold_of(runtime))
    for batch, codes in coded(verb, runtime, X):
        summary.update(codes, batch.numbers)
    details = Details(summary, **options)
    for batch, codes in coded(verb, runtime, X):
        details.update(codes, batch.numbers)
    return summary, details
