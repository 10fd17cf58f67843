"""Codes moved some way towards a neighbour: SMOTE (Chawla et al. 2002) in code space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from dsae.sampling._sampler import Sampler

N_NEIGHBOURS = 5  # as SMOTE has it
_ASKED = 1000  # codes whose distances make the novelty; its standard error is some 3 %


@dataclass(frozen=True, eq=False, repr=False)
class Neighbours(Sampler):
    """Codes of some rows, and which of them are near to which.

    What two neighbours both have at zero stays zero; a code between two of k latents has at most 2 k.

    Parameters
    ----------
    codes : ndarray or csr_matrix of float32, shape (n_rows, n_components)
    nearest : ndarray of int32, shape (n_rows, n_neighbours)
    """

    codes: Any
    nearest: np.ndarray

    kind: ClassVar[str] = "neighbours"

    @property
    def n_components(self) -> int:
        """Width of the codes."""
        return self.codes.shape[1]

    def _draw(self, n: int, rng: np.random.Generator, temperature: float) -> Any:
        at = rng.integers(len(self.nearest), size=n)
        other = self.nearest[at, rng.integers(self.nearest.shape[1], size=n)]
        way = rng.random(n, np.float32) * np.float32(temperature)
        if not sp.issparse(self.codes):
            return self.codes[at] + way[:, None] * (self.codes[other] - self.codes[at])
        made: Any = sp.diags_array(1 - way) @ self.codes[at] + sp.diags_array(way) @ self.codes[other]
        return sp.csr_matrix(made)


def nearest_of(codes: Any) -> tuple[np.ndarray, float]:
    """The nearest others of each code ``[n_rows, n_neighbours]``, and the median distance of the first of them."""
    distances, nearest = _search(codes).kneighbors(n_neighbors=min(N_NEIGHBOURS, codes.shape[0] - 1))
    return nearest.astype(np.int32), float(np.median(distances[:, 0]))


def novelty_of(sampler: Sampler, codes: Any, between: float | None, seed: int) -> float | None:
    """How far drawn codes are from the nearest of ``codes``, in units of the distance ``between`` one and the next."""
    if between is None:
        some = np.random.default_rng(seed).permutation(codes.shape[0])[:_ASKED]
        distances, _ = _search(codes).kneighbors(codes[some], n_neighbors=2)
        between = float(np.median(distances[:, 1]))  # the first is the code itself, or its equal
    distances, _ = _search(codes).kneighbors(sampler.sample(_ASKED, random_state=seed), n_neighbors=1)
    return float(np.median(distances)) / between if between > 0 else None


def _search(codes: Any) -> Any:
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(algorithm="brute").fit(codes)
