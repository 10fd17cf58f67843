"""Which latents tell two groups of rows apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dsae.interpret._codes import coded, runtime_of, threshold_of
from dsae.interpret._relevance import norms_of, responses
from dsae.interpret._summary import Summary


@dataclass(frozen=True)
class Differences:
    """The latents that fire in two groups of rows, those that differ most first.

    Attributes
    ----------
    latents : ndarray of int64, shape (n,)
        Ordered by the magnitude of ``size``.
    size : ndarray of float64, shape (n,)
        Mean in A less mean in B, times the norm of the atom: how far the difference moves the reconstruction.
    mean_a, mean_b : ndarray of float64, shape (n,)
        Over all rows of a group.
    count_a, count_b : ndarray of int64, shape (n,)
        Rows in which it fires.
    n_rows : tuple of int
        Of A and B.
    """

    latents: np.ndarray
    size: np.ndarray
    mean_a: np.ndarray
    mean_b: np.ndarray
    count_a: np.ndarray
    count_b: np.ndarray
    n_rows: tuple[int, int]

    @property
    def rate_a(self) -> np.ndarray:
        """Share of the rows of A in which each latent fires, float64 ``[n]``."""
        return self.count_a / self.n_rows[0]

    @property
    def rate_b(self) -> np.ndarray:
        """Share of the rows of B in which each latent fires, float64 ``[n]``."""
        return self.count_b / self.n_rows[1]


def compare(model: Any, A: Any, B: Any, *, around: Any = None) -> Differences:
    """What differs between two rows, or two groups of rows, in terms of latents.

    Parameters
    ----------
    model : Model, Runtime, JointModel, JointRuntime or fitted estimator
    A, B : array-like, DataFrame, scipy sparse, a source or rows by modality, shape (n_samples, n_features)
        Each may be one row.
    around : array-like, DataFrame, scipy sparse, a source or rows by modality, shape (n_samples, n_features), optional
        Rows around whose mean code a deep decoder's atoms are taken; by default A and B together.

    Returns
    -------
    Differences

    Raises
    ------
    ValueError
        If ``A``, ``B`` or ``around`` is not finite rows of the model's width.

    Examples
    --------
    >>> from dsae.config import AutoencoderConfig
    >>> from dsae.store import Model
    >>> from dsae.topology import Layer, Topology
    >>> config = AutoencoderConfig(n_features=2, n_components=2, code_activation="relu")
    >>> eye = Layer(Topology.full((2, 2)), np.float32([1, 0, 0, 1]), np.zeros(2, "f4"))
    >>> found = compare(Model(config, {"encoder.0": eye, "decoder.0": eye}), [[1.0, 2.0]], [[1.0, 5.0], [0.0, 5.0]])
    >>> found.latents, found.size
    (array([1, 0]), array([-3. ,  0.5]))
    """
    runtime = runtime_of(model)
    groups = []
    for X in (A, B) if around is None else (A, B, around):
        summary = Summary(runtime.config.n_components, n_examples=0, threshold=threshold_of(runtime))
        for batch, codes in coded("compare", runtime, X):
            summary.update(codes, batch.numbers)
        groups.append(summary)
    a, b, *given = groups
    at = given or (a, b)
    n = sum(one.n_rows for one in at)
    mean = np.sum([one.sums for one in at], axis=0) / n
    rms = np.sqrt(np.sum([one.squares for one in at], axis=0) / n)
    norms = norms_of(responses(runtime, mean=mean, rms=rms))
    return differences((a.n_rows, b.n_rows), (a.sums, b.sums), (a.counts, b.counts), norms)


def differences(
    n_rows: tuple[int, int],
    sums: tuple[np.ndarray, np.ndarray],
    counts: tuple[np.ndarray, np.ndarray],
    norms: np.ndarray,
) -> Differences:
    """The same from sums over the rows of two groups, such as `LabelCounts` has them for each label.

    Parameters
    ----------
    n_rows : tuple of int
    sums : tuple of ndarray of float64, shape (n_components,)
        Of the codes.
    counts : tuple of ndarray of int64, shape (n_components,)
        Of rows in which a latent fires.
    norms : ndarray of float64, shape (n_components,)
        Of the atoms.
    """
    mean_a, mean_b = sums[0] / n_rows[0], sums[1] / n_rows[1]
    size = (mean_a - mean_b) * norms
    order = np.argsort(-np.abs(size), kind="stable")
    order = order[(counts[0] + counts[1])[order] > 0]
    means, fired = (mean_a[order], mean_b[order]), (counts[0][order], counts[1][order])
    return Differences(order, size[order], *means, *fired, n_rows)
