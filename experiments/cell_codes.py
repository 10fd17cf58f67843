"""How well codes of cells tell types: by neighbours and by clusters, and with the directions of a code balanced."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import numpy as np
import sklearn.decomposition

NEIGHBOURS, RESOLUTION = 15, 1.0
BALANCES = (0.0, 0.25, 0.5)
LEIDEN_SEEDS = range(3)  # of a choice: one draw of clusters would decide by chance


def neighbour_accuracy(codes: np.ndarray, labels: np.ndarray, others: np.ndarray, truth: np.ndarray) -> float:
    """Share of ``others`` whose nearest neighbours among ``codes`` vote for their type, in percent."""
    from sklearn.neighbors import KNeighborsClassifier

    found = KNeighborsClassifier(NEIGHBOURS).fit(codes, labels).predict(others)
    return 100 * float((found == truth).mean())


def clusters(codes: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, float]:
    """NMI and ARI, in percent, of Leiden on the graph of nearest neighbours and of k-means with the true number."""
    from sklearn.cluster import KMeans

    k_means = KMeans(len(np.unique(labels)), n_init=10, random_state=seed).fit_predict(codes)
    return {**_agreement("leiden", labels, _leiden(codes, seed)), **_agreement("kmeans", labels, k_means)}


def _leiden(codes: np.ndarray, seed: int) -> list[int]:
    import random

    import igraph
    from sklearn.neighbors import kneighbors_graph

    edges = kneighbors_graph(codes, NEIGHBOURS, include_self=False).tocoo()
    pairs = np.unique(np.sort(np.stack([edges.row, edges.col], axis=1)), axis=0)
    random.seed(seed)  # igraph draws from it
    graph = igraph.Graph(len(codes), pairs.tolist())
    return graph.community_leiden("modularity", resolution=RESOLUTION, n_iterations=-1).membership


def _agreement(name: str, labels: np.ndarray, found: Any) -> dict[str, float]:
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    nmi, ari = normalized_mutual_info_score(labels, found), adjusted_rand_score(labels, found)
    return {f"{name}_nmi": 100 * float(nmi), f"{name}_ari": 100 * float(ari)}


def balanced(codes: np.ndarray, others: np.ndarray, power: float) -> tuple[np.ndarray, np.ndarray]:
    """Codes along their principal directions, each divided by its deviation in ``codes`` to a power below 1.

    Distances are then less those of the two or three directions that vary most.
    """
    if not power:
        return codes, others
    axes = sklearn.decomposition.PCA().fit(codes)
    by = np.maximum(axes.explained_variance_, 1e-6 * axes.explained_variance_[0]) ** (power / 2)
    return axes.transform(codes) / by, axes.transform(others) / by


def qualities(codes: np.ndarray, others: np.ndarray, types: np.ndarray, other_types: np.ndarray) -> list[float]:
    """For each balance the mean of the accuracy of neighbours, and of Leiden's NMI and ARI as means of some draws."""
    found, labels = [], np.concatenate([types, other_types])
    for power in BALANCES:
        some = balanced(codes, others, power)
        draws = [_agreement("leiden", labels, _leiden(np.concatenate(some), seed)) for seed in LEIDEN_SEEDS]
        nmi, ari = (fmean(draw[f"leiden_{name}"] for draw in draws) for name in ("nmi", "ari"))
        found.append(fmean((neighbour_accuracy(some[0], types, some[1], other_types), nmi, ari)))
    return found
