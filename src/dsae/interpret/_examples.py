"""Rows that activate a latent most."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dsae.config import positive_int
from dsae.interpret._codes import checked_latents, coded, firing, runtime_of, threshold_of
from dsae.interpret._kept import Kept, by_size


class TopExamples(NamedTuple):
    """The strongest rows of some latents, strongest first.

    Attributes
    ----------
    rows : list of ndarray of int64
        For each latent, positions in the data of rows in which it fires: none for a dead one.
    codes : list of ndarray of float32
        The latent's values there.
    """

    rows: list[np.ndarray]
    codes: list[np.ndarray]


def top_examples(
    model: Any, X: Any, *, n_examples: int = 20, latents: Any = None, batch_size: int | None = None
) -> TopExamples:
    """Rows in which a latent is largest, by magnitude; ties go to the earlier row.

    A row in which a latent does not fire (`dsae.metrics.firing_threshold`) is never among them.

    Parameters
    ----------
    model : Model, Runtime, JointModel, JointRuntime or fitted estimator
    X : array-like, DataFrame, scipy sparse, a source or rows by modality, shape (n_samples, n_features)
    n_examples : int
        Of each latent; fewer where it fires in fewer rows.
    latents : sequence of int, optional
        Which; all by default.
    batch_size : int, optional
        Rows encoded at once; codes of older rows are not kept.

    Returns
    -------
    TopExamples

    Raises
    ------
    ValueError
        If ``X`` is not finite rows of the model's width, or a latent does not exist.

    Examples
    --------
    >>> from dsae.config import AutoencoderConfig
    >>> from dsae.store import Model
    >>> from dsae.topology import Layer, Topology
    >>> config = AutoencoderConfig(n_features=2, n_components=2, code_activation="relu")
    >>> eye = Layer(Topology.full((2, 2)), np.float32([1, 0, 0, 1]), np.zeros(2, "f4"))
    >>> rows, codes = top_examples(Model(config, {"encoder.0": eye, "decoder.0": eye}), [[0, 1], [0, 3], [5, 1]])
    >>> rows
    [array([2]), array([1, 0, 2])]
    """
    positive_int("n_examples", n_examples)
    runtime = runtime_of(model)
    width = runtime.config.n_components
    chosen = np.arange(width) if latents is None else checked_latents("top_examples", latents, width)
    place = np.full(width, -1, np.int64)
    place[chosen] = np.arange(chosen.size)
    kept = Kept(chosen.size, n_examples)
    threshold = threshold_of(runtime)
    for batch, codes in coded("top_examples", runtime, X, batch_size=batch_size):
        codes = firing(codes, threshold)
        at = place[codes.indices]
        some = at >= 0
        numbers = np.repeat(batch.numbers, np.diff(codes.indptr))[some]
        kept.add(at[some], by_size(codes.data[some]), numbers, codes.data[some])
    found = kept.result()
    each = [found.of(i) for i in range(chosen.size)]
    return TopExamples([rows for rows, _ in each], [values for _, values in each])
