"""How well a code recovers the true latents and atoms of synthetic data."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linear_sum_assignment


def recovery(codes, atoms, true_codes, true_atoms) -> dict[str, float]:
    """Agreement of codes and atoms with the true ones, as in SynthSAEBench (arXiv 2602.14687, section 3.3).

    Each latent is evaluated as a detector of the true atom that is most similar to its own, by absolute cosine.

    Parameters
    ----------
    codes : array-like or scipy sparse, shape (n_samples, n_latents)
        A latent fires where it is not zero.
    atoms : array-like, shape (n_latents, n_features)
        The decoder's; see `dsae.interpret.atoms`.
    true_codes : array-like or scipy sparse, shape (n_samples, n_true)
    true_atoms : array-like, shape (n_true, n_features)

    Returns
    -------
    dict
        ``f1``, ``precision``, ``recall``: mean over latents, 0 for a latent that never fires; ``mcc``: mean absolute
        cosine of the best one-to-one matching of latents and true atoms; ``uniqueness``: distinct true atoms that
        latents are most like, for each latent.

    Raises
    ------
    ValueError
        If rows, latents or features do not correspond.

    Examples
    --------
    Two latents follow the first atom, one of them misses half of its firings:

    >>> truth, found = np.array([[1, 0], [1, 0], [0, 1]]), np.array([[1, 1], [1, 0], [0, 0]])
    >>> result = recovery(found, [[1, 0], [1, 0.1]], truth, np.eye(2))
    >>> {name: round(value, 2) for name, value in result.items()}
    {'f1': 0.83, 'precision': 1.0, 'recall': 0.75, 'mcc': 0.55, 'uniqueness': 0.5}
    """
    found, truth = _fires(codes), _fires(true_codes)
    similar = _cosines(atoms, true_atoms)
    shapes = np.array([found.shape, truth.shape])
    if shapes[0, 0] != shapes[1, 0] or similar.shape != tuple(shapes[:, 1]):
        raise ValueError(
            "[recovery] codes must be [n_samples, n_latents], atoms [n_latents, n_features], true_codes [n_samples, "
            f"n_true] and true_atoms [n_true, n_features]; got {found.shape}, {np.shape(atoms)}, {truth.shape} and "
            f"{np.shape(true_atoms)}."
        )
    match = similar.argmax(1)
    hits = _counts(found.multiply(sp.csc_matrix(truth)[:, match]))
    precision = _ratio(hits, _counts(found))
    recall = _ratio(hits, _counts(truth)[match])
    pairs = linear_sum_assignment(similar, maximize=True)  # each true atom once, as MCC has it
    return {
        "f1": float(_ratio(2 * precision * recall, precision + recall).mean()),
        "precision": float(precision.mean()),
        "recall": float(recall.mean()),
        "mcc": float(similar[pairs].mean()),
        "uniqueness": np.unique(match).size / match.size,
    }


def _fires(codes) -> sp.csr_matrix:
    matrix = sp.csr_matrix(codes)
    fires = sp.csr_matrix((matrix.data != 0, matrix.indices, matrix.indptr), shape=matrix.shape, copy=True)
    fires.eliminate_zeros()
    return fires


def _counts(fires) -> np.ndarray:
    return np.asarray(fires.astype(np.int64).sum(axis=0)).ravel()


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(whole.size), where=whole > 0)


def _cosines(a, b) -> np.ndarray:
    a, b = np.atleast_2d(np.asarray(a, np.float32)), np.atleast_2d(np.asarray(b, np.float32))
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"[recovery] atoms and true_atoms must have one width; got {a.shape[1]} and {b.shape[1]}.")
    return np.abs(_unit(a) @ _unit(b).T)


def _unit(atoms: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(atoms, axis=1, keepdims=True)
    return np.divide(atoms, norms, out=np.zeros_like(atoms), where=norms > 0)
