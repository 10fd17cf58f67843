"""A mixture of Gaussians on whitened codes (Ghosh et al. 2020, ex-post density estimation)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dsae.sampling._sampler import Sampler

_LEAST_SPREAD = 1e-6  # of the largest variance: dead latents and copies of others would make covariances singular
_ITERATIONS = 60  # the likelihood has settled to what shows in samples; scikit-learn warns that it has not entirely
_AT_ONCE = 10  # iterations between two reports: each end of a fit costs an expectation
_RIDGE = 1e-4  # added to whitened variances, which are 1 on average
_FIRST_RIDGE = 1e-2  # before the first iteration, when a Gaussian may have fewer rows than directions

Progress = Callable[[int, int], object]


@dataclass(frozen=True, eq=False, repr=False)
class Mixture(Sampler):
    """Gaussians in the directions in which codes vary.

    Parameters
    ----------
    center : ndarray of float32, shape (n_components,)
        The mean code; a latent that never changes keeps its value.
    axes : ndarray of float32, shape (n_directions, n_components)
        From whitened directions to codes.
    weights : ndarray of float64, shape (n_gaussians,)
    means : ndarray of float32, shape (n_gaussians, n_directions)
    factors : ndarray of float32, shape (n_gaussians, n_directions, n_directions)
        Lower Cholesky factors of the covariances.
    """

    center: np.ndarray
    axes: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    factors: np.ndarray

    kind: ClassVar[str] = "mixture"

    @property
    def n_components(self) -> int:
        """Width of the codes."""
        return self.center.size

    def _draw(self, n: int, rng: np.random.Generator, temperature: float) -> np.ndarray:
        which = rng.choice(self.weights.size, n, p=self.weights / self.weights.sum())
        whitened = rng.standard_normal((n, self.means.shape[1]), np.float32) * np.float32(temperature)
        for i in np.unique(which):
            at = which == i
            whitened[at] = self.means[i] + whitened[at] @ self.factors[i].T
        return self.center + whitened @ self.axes


def mixture_arrays(
    codes: np.ndarray, n_gaussians: int, seed: int, progress: Progress | None = None
) -> dict[str, np.ndarray]:
    """The arrays of a `Mixture` of ``codes [n_rows, n_components]``, by expectation maximisation."""
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning

    pca: Any = PCA(svd_solver="covariance_eigh")
    with np.errstate(invalid="ignore"):  # shares of a variance of 0, where codes are all the same
        pca.fit(codes)
    spread = pca.explained_variance_
    seen = spread > _LEAST_SPREAD * max(spread[0], np.finfo(np.float32).tiny)
    deviations, directions = np.sqrt(spread[seen]), pca.components_[seen]
    arrays: dict[str, Any] = {"center": pca.mean_, "axes": deviations[:, None] * directions}
    if not seen.any():
        n_gaussians, weights, means, factors = 1, np.ones(1), np.zeros((1, 0)), np.zeros((1, 0, 0))
    else:
        whitened = (codes - pca.mean_) @ directions.T / deviations
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture = _fitted(whitened, deviations, n_gaussians, seed, progress)
        weights, means = mixture.weights_, mixture.means_
        factors = np.linalg.cholesky(mixture.covariances_)
    arrays |= {"means": means, "factors": factors}
    return {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()} | {"weights": weights}


def _fitted(
    whitened: np.ndarray, deviations: np.ndarray, n_gaussians: int, seed: int, progress: Progress | None
) -> Any:
    """A mixture that starts from clusters of the codes themselves.

    Whitening makes every direction as wide as those in which classes lie apart: clusters of whitened codes mix classes,
    and expectation maximisation does not part them again (docs/design/samples.md has the figures).
    """
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    clusters: Any = KMeans(n_gaussians, n_init="auto", random_state=seed).fit(whitened * deviations)
    labels, n_directions = clusters.labels_, whitened.shape[1]
    precisions = np.empty((n_gaussians, n_directions, n_directions))
    for i in range(n_gaussians):
        rows = whitened[labels == i]
        away = rows - rows.mean(axis=0) if len(rows) else rows
        precisions[i] = np.linalg.inv(away.T @ away / max(1, len(rows)) + _FIRST_RIDGE * np.eye(n_directions))
    counts = np.maximum(np.bincount(labels, minlength=n_gaussians), 1)
    mixture: Any = GaussianMixture(
        n_gaussians,
        reg_covar=_RIDGE,
        max_iter=_AT_ONCE,
        warm_start=True,  # each call continues where the last one stopped
        init_params="random_from_data",  # the cheapest of those that the three below replace
        weights_init=counts / counts.sum(),
        means_init=clusters.cluster_centers_ / deviations,
        precisions_init=precisions,
        random_state=seed,
    )
    for done in range(_AT_ONCE, _ITERATIONS + 1, _AT_ONCE):
        mixture.fit(whitened)
        if progress is not None:
            progress(_ITERATIONS if mixture.converged_ else done, _ITERATIONS)
        if mixture.converged_:
            break
    return mixture
