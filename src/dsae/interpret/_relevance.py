"""What a latent writes and reads, and which part of it is its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import in_range
from dsae.interpret._atoms import atoms
from dsae.interpret._codes import Csr, runtime_of
from dsae.interpret._gradients import encoder_chain, gradients
from dsae.interpret._several import shares_of, side_by_side, spans_of
from dsae.runtime import JointRuntime


def responses(model: Any, *, latents: Any = None, mean: np.ndarray | None = None, rms: np.ndarray | None = None) -> Csr:
    """Atoms per unit of each latent: what it writes.

    Of a decoder of one layer its columns, before the activation of the output. Of a deeper one the response around the
    mean code, ``(decode(mean + rms_i e_i) - decode(mean)) / rms_i``, see `atoms`. Of several modalities the features
    stand one after another.

    Parameters
    ----------
    model : Model, Runtime, JointModel, JointRuntime or fitted estimator
    latents : sequence of int, optional
        Which; all by default.
    mean : array-like, shape (n_components,), optional
        Mean code; zero by default.
    rms : array-like, shape (n_components,), optional
        How far each latent moves; 1 by default and where it is 0.

    Returns
    -------
    csr_matrix or ndarray of float32, shape (n_latents, n_outputs)
        CSR for a decoder of one layer.
    """
    runtime = runtime_of(model)
    if isinstance(runtime, JointRuntime):
        return side_by_side([responses(of, latents=latents, mean=mean, rms=rms) for of in runtime.modalities.values()])
    if len(runtime.config.decoder_widths) == 2:
        columns = sp.csr_matrix(runtime.layers["decoder.0"].to_csr().T)
        return columns if latents is None else sp.csr_matrix(columns[np.asarray(latents, np.intp)])
    step = np.ones(runtime.config.n_components) if rms is None else np.asarray(rms, np.float64)
    step = np.where(step > 0, step, 1.0)
    chosen = np.arange(step.size) if latents is None else np.asarray(latents, np.intp).ravel()
    moved = atoms(runtime, latents=chosen, base=mean, step=step)
    return (moved / step[chosen, None]).astype(np.float32)


def encoder_directions(model: Any, latents: Any = None, *, mean: np.ndarray | None = None) -> Csr:
    """What each latent reads: the derivative of its value, before its activation, by what enters the model.

    Of an encoder of one layer its weights. Of a deeper one the derivative at the mean row. Of several modalities what
    it is in rows that have all.

    Parameters
    ----------
    model : Model, Runtime, JointModel, JointRuntime or fitted estimator
    latents : sequence of int, optional
        Which; all by default.
    mean : array-like, shape (n_features,), optional
        Mean of the rows as they enter; zero by default.

    Returns
    -------
    csr_matrix or ndarray of float32, shape (n_latents, n_features)
        CSR for an encoder of one layer.
    """
    runtime = runtime_of(model)
    if isinstance(runtime, JointRuntime):
        return _by_shares(runtime, latents, mean)
    if len(runtime.config.encoder_widths) == 2:
        weights = runtime.layers["encoder.0"].to_csr()
        return weights if latents is None else sp.csr_matrix(weights[np.asarray(latents, np.intp)])
    chosen = np.arange(runtime.config.n_components) if latents is None else np.asarray(latents, np.intp).ravel()
    at = np.zeros(runtime.config.n_features) if mean is None else np.asarray(mean, np.float64)
    return gradients(encoder_chain(runtime), at[None, :], chosen).astype(np.float32)


def _by_shares(runtime: JointRuntime, latents: Any, mean: np.ndarray | None) -> Csr:
    pieces, spans = [], spans_of(runtime)
    for name, share in shares_of(runtime).items():
        at = None if mean is None else np.asarray(mean)[spans[name]]
        found = encoder_directions(runtime.modalities[name], latents, mean=at)
        share = share if latents is None else share[np.asarray(latents, np.intp)]
        pieces.append((sp.diags(share) @ found if sp.issparse(found) else share[:, None] * found).astype(np.float32))
    return side_by_side(pieces)


def norms_of(atoms: Csr) -> np.ndarray:
    """Euclidean norms of atoms, float64 ``[n_latents]``: with them `Summary.energy` tells how much each adds."""
    if sp.issparse(atoms):
        squares = np.square(atoms.data, dtype=np.float64)
        at = np.repeat(np.arange(atoms.shape[0]), np.diff(atoms.indptr))
        return np.sqrt(np.bincount(at, squares, atoms.shape[0]))
    return np.sqrt(np.square(atoms, dtype=np.float64).sum(axis=1))


def relevance(effects: Any, variance: np.ndarray | None, weight: float = 0.5, *, reads: bool = False) -> Csr:
    """Signed effects of latents on features, large ones or distinctive ones.

    ``effect / variance ** (1 - weight)``: 1 gives the effects themselves, which are largest in features that are large
    everywhere; 0.5 gives them in standard deviations of the features; 0 favours what is rare. The variance of counts is
    near their mean, so 0 is then the lift, and ``weight`` about the relevance of LDAvis (Sievert & Shirley 2014).

    Parameters
    ----------
    effects : csr_matrix or ndarray, shape (n_latents, n_features)
        As `responses` or `encoder_directions` gives them.
    variance : ndarray, shape (n_features,), optional
        Of the features. A constant feature is not relevant to anything; None counts as ones.
    weight : float
        In [0, 1].
    reads : bool
        Whether these are encoder weights, which are large for features that vary little: then
        ``effect * variance ** weight``, what the feature usually does.

    Returns
    -------
    csr_matrix or ndarray, of the shape of ``effects``

    Raises
    ------
    ValueError
        If ``weight`` is outside [0, 1].

    Examples
    --------
    >>> relevance(np.array([[3.0, 2.0]]), np.array([9.0, 1.0]), weight=0.5)
    array([[1., 2.]])
    """
    in_range("[relevance] weight", weight, 0, 1)
    if variance is None:
        return effects
    variance = np.asarray(variance, np.float64)
    varies = variance > 0
    power = weight if reads else weight - 1
    scale = np.where(varies, np.where(varies, variance, 1) ** power, 0)
    if sp.issparse(effects):
        return sp.csr_matrix((effects.data * scale[effects.indices], effects.indices, effects.indptr), effects.shape)
    return np.asarray(effects) * scale


def largest(values: Csr, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest of a row by magnitude; ties go to the lower place.

    Parameters
    ----------
    values : ndarray, shape (n_features,), or csr_matrix, shape (1, n_features)
    n : int

    Returns
    -------
    places : ndarray of int64
    values : ndarray
        None of them zero, so there may be fewer than ``n``.
    """
    if sp.issparse(values):
        row = sp.csr_matrix(values).sorted_indices()
        places, found = row.indices.astype(np.int64), row.data
    else:
        found = np.asarray(values).ravel()
        places = np.arange(found.size)
    order = np.argsort(-np.abs(found), kind="stable")[:n]
    order = order[found[order] != 0]
    return places[order], found[order]
