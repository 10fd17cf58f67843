"""How good made rows are: near to real ones, as varied as these, and not copies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import positive_int
from dsae.data import called, check_rows

_FEATURES = 64  # of the PCA that stands for features unless others are given
_MEGABYTES = 32  # of distances at once; scikit-learn would take 1,024

Features = Callable[[Any], Any]


def generation(
    real: Any,
    made: Any,
    train: Any = None,
    features: Features | None = None,
    *,
    n_neighbors: int = 3,
    max_rows: int = 3000,
    random_state: int = 0,
) -> dict[str, float | None]:
    """Figures of made rows beside real ones, computed on features.

    They depend on the features and on the number of rows: compare only what was measured with the same.

    Parameters
    ----------
    real : array-like or scipy sparse, shape (n_real, n_features)
        Rows that the model was not trained on.
    made : array-like or scipy sparse, shape (n_made, n_features)
    train : array-like or scipy sparse, shape (n_train, n_features), optional
        Rows that it was trained on, for the novelty.
    features : callable, optional
        From rows to ``[n_rows, n]``, such as a layer of a classifier of such rows. By default the first 64 principal
        components of ``real``, fewer where there are fewer features or rows.
    n_neighbors : int
        Of the neighbourhoods of precision and recall.
    max_rows : int
        Rows of each kind for all but the Fréchet distance, which takes all; more are drawn at random. With more rows,
        neighbourhoods are smaller, and so are precision and recall.
    random_state : int
        Of that draw.

    Returns
    -------
    dict
        ``frechet``, the squared Fréchet distance of Gaussians fitted to both, 0 for equal ones (Dowson & Landau 1982;
        with features of Inception it is the FID of Heusel et al. 2017). ``precision``, the share of made rows that lie
        in the neighbourhood of a real one, and ``recall``, the reverse (Kynkäänniemi et al. 2019). ``one_nn``, how
        often the nearest row is of the same kind, leaving out one at a time: 0.5 where the kinds cannot be told apart,
        1 where they can, 0 where each made row is a copy of a real one (Lopez-Paz & Oquab 2017). ``novelty``, the
        median distance of made rows to the nearest of ``train`` over that of real rows: below 1, what is made is nearer
        to training rows than new rows are; None without ``train``, or where real rows are in it.

    Raises
    ------
    ValueError
        If there are less than ``n_neighbors + 1`` rows of a kind, or ``max_rows`` is less, rows have different
        widths or are not finite, or features are not a row of numbers for each row.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> real, made = rng.normal(size=(2, 2000, 4))
    >>> found = generation(real, made)
    >>> found["frechet"] < 0.1, 0.4 < found["one_nn"] < 0.6
    (True, True)
    """
    positive_int("[generation] n_neighbors", n_neighbors)
    positive_int("[generation] max_rows", max_rows)
    if max_rows <= n_neighbors:
        raise ValueError(f"[generation] max_rows must be more than n_neighbors, {n_neighbors}; got {max_rows}.")
    rows: list[Any] = []
    for name, X in (("real", real), ("made", made), *([] if train is None else [("train", train)])):
        with called(name):
            width = rows[0].shape[1] if rows else None
            rows.append(check_rows("generation", X, width, "as many as real", missing=None))
        if name != "train" and rows[-1].shape[0] <= n_neighbors:
            raise ValueError(f"[generation] {name} must have more than {n_neighbors} rows; got {rows[-1].shape[0]}.")
    of = _principal(rows[0], random_state) if features is None else features
    points = [_checked(of(X), X.shape[0]) for X in rows]
    rng = np.random.default_rng(random_state)
    few = [X[rng.permutation(len(X))[:max_rows]] for X in points[:2]]
    return {
        "frechet": _frechet(*points[:2]),
        "precision": _inside(few[1], few[0], n_neighbors),
        "recall": _inside(few[0], few[1], n_neighbors),
        "one_nn": _one_nn(*few),
        "novelty": None if train is None else _novelty(few[1], points[2], few[0]),
    }


def _principal(real: Any, seed: int) -> Features:
    from sklearn.decomposition import PCA

    n = min(_FEATURES, *real.shape)
    if sp.issparse(real) and n == min(real.shape):  # arpack finds all but one at most
        real = real.toarray()  # which is 64 rows or columns
    solver = "arpack" if sp.issparse(real) else "auto"
    pca = PCA(n, svd_solver=solver, random_state=seed).fit(real)
    return lambda rows: pca.transform(rows.toarray() if sp.issparse(rows) and not sp.issparse(real) else rows)


def _checked(features: Any, n_rows: int) -> np.ndarray:
    found = np.asarray(features, dtype=np.float64)
    if found.ndim != 2 or len(found) != n_rows or not np.isfinite(found).all():
        raise ValueError(
            f"[generation] features must give finite numbers, [n_rows, n], for {n_rows} rows; got shape {found.shape}"
            f"{'' if np.isfinite(found).all() else ' with NaN or infinity'}."
        )
    return found


def _frechet(real: np.ndarray, made: np.ndarray) -> float:
    """``|m - n|^2 + tr(S + T - 2 (S T)^(1/2))``, whose last trace is that of the root of a symmetric product."""
    (m, S), (n, T) = ((X.mean(axis=0), np.atleast_2d(np.cov(X.T))) for X in (real, made))
    values, axes = np.linalg.eigh(S)
    root = axes * np.sqrt(np.maximum(values, 0)) @ axes.T
    common = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ T @ root), 0)).sum()
    return max(0.0, float(np.square(m - n).sum() + np.trace(S) + np.trace(T) - 2 * common))


def _inside(points: np.ndarray, others: np.ndarray, k: int) -> float:
    """The share of ``points`` nearer to one of the ``others`` than its ``k``-th neighbour among these is."""
    from sklearn.metrics import pairwise_distances_chunked

    radius = _search(others).kneighbors(n_neighbors=k)[0][:, -1]
    radius = radius * (1 + 1e-6) + 1e-6 * np.abs(others).max()  # a distance of 0 is rounded, too
    some = {"reduce_func": lambda d, start: (d <= radius).any(axis=1), "working_memory": _MEGABYTES}
    chunks = pairwise_distances_chunked(points, others, **some)
    return float(np.concatenate(list(chunks)).mean())


def _one_nn(real: np.ndarray, made: np.ndarray) -> float:
    n = min(len(real), len(made))
    kind = np.repeat([0, 1], n)
    nearest = _search(np.concatenate([real[:n], made[:n]])).kneighbors(n_neighbors=1)[1][:, 0]
    return float((kind[nearest] == kind).mean())


def _novelty(made: np.ndarray, train: np.ndarray, real: np.ndarray) -> float | None:
    search = _search(train)
    medians = [float(np.median(search.kneighbors(X, n_neighbors=1)[0])) for X in (made, real)]
    return medians[0] / medians[1] if medians[1] > 0 else None


def _search(points: np.ndarray) -> Any:
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(algorithm="brute").fit(points)
