"""Rows made of known atoms, so that what a code finds can be compared with what is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import ndtri

from dsae.config import in_range, positive_int

# A parent fires without any of its children at least this often: else it would be no more than their union.
_ALONE = 0.2
_BLOCK = 1 << 22  # normal deviates at a time: 16 MiB


@dataclass(frozen=True)
class SparseFeatures:
    """Rows and what they were made of: ``X = codes @ atoms``.

    Attributes
    ----------
    X : ndarray of float32, shape (n_samples, n_features)
    codes : csr_matrix of float32, shape (n_samples, n_atoms)
        True activations, positive where an atom fires.
    atoms : ndarray of float32, shape (n_atoms, n_features)
        Unit rows, the most frequent first.
    rates : ndarray of float64, shape (n_atoms,)
        Probability with which each atom fires.
    parents : ndarray of int, shape (n_atoms,)
        The atom without which an atom never fires; -1 where there is none.
    """

    X: np.ndarray
    codes: sp.csr_matrix
    atoms: np.ndarray
    rates: np.ndarray
    parents: np.ndarray


def make_sparse_features(
    n_samples: int = 1000,
    n_features: int = 64,
    n_atoms: int = 256,
    *,
    exponent: float = 0.5,
    max_rate: float = 0.4,
    min_rate: float = 5e-4,
    n_trees: int = 2,
    branching: int = 4,
    depth: int = 3,
    correlation: float = 0.1,
    rank: int = 25,
    random_state: Any = None,
) -> SparseFeatures:
    """Sums of few atoms out of many, as SynthSAEBench makes them (Chanin & Garriga-Alonso 2026, arXiv 2602.14687).

    There may be more atoms than dimensions. Few fire often and many rarely: atom r (from 1) asks for the rate
    ``r ** -exponent``, brought linearly to ``max_rate .. min_rate``. Some stand in trees: a child fires only where its
    parent does, at most one child of a parent fires at a time, and a child is strong where its parent is. The others,
    and the roots, fire together or not as a Gaussian copula of low rank says. A firing atom has the strength
    ``max(N(m, s), 0)``, m from 5 (frequent) to 4 (rare) and s folded normal of mean and spread 0.5, one for each atom.

    Unlike there, a parent shares its rate among its children by one draw, so that ``rates`` are exact; the atoms are as
    orthogonal as they can be in the mean square (a tight frame; orthonormal where ``n_atoms <= n_features``) and
    nothing is added to the sum.

    Parameters
    ----------
    n_samples, n_features, n_atoms : int
        Rows, their width, and how many atoms there are.
    exponent : float
        Of the rates' law; 0.5 as in SynthSAEBench-16k.
    max_rate, min_rate : float
        Rates of the first and the last atom, in (0, 1). A child's is lower where siblings ask for more than 4/5 of
        what their parent has.
    n_trees, branching, depth : int
        Trees of ``1 + branching + ... + branching ** depth`` atoms; 0 trees for none.
    correlation : float
        Spread of each atom's loadings on ``rank`` common factors.
    rank : int
    random_state : int, RandomState or None

    Returns
    -------
    SparseFeatures

    Raises
    ------
    ValueError
        If a size or rate is not what it should be, or the trees need more atoms than there are.

    Examples
    --------
    >>> made = make_sparse_features(500, n_features=32, n_atoms=200, random_state=0)
    >>> made.X.shape, made.codes.shape, made.atoms.shape
    ((500, 32), (500, 200), (200, 32))
    >>> bool(np.allclose(made.X, made.codes @ made.atoms, atol=1e-4))
    True
    """
    from sklearn.utils import check_random_state  # the runtime reads this package and needs no scikit-learn

    for name, value in (("n_samples", n_samples), ("n_features", n_features), ("n_atoms", n_atoms), ("rank", rank)):
        positive_int(name, value)
    in_range("max_rate", max_rate, 0, 0.99, open_low=True)
    in_range("min_rate", min_rate, 0, max_rate, open_low=True)
    in_range("exponent", exponent, 0)
    in_range("correlation", correlation, 0)
    for name, value in (("n_trees", n_trees), ("branching", branching), ("depth", depth)):
        if isinstance(value, bool) or not hasattr(value, "__index__") or value < 0:
            raise ValueError(f"{name} must be a whole number of at least 0; got {value!r}.")
    in_tree = n_trees * sum(branching**level for level in range(depth + 1))
    if in_tree > n_atoms:
        raise ValueError(
            f"[make_sparse_features] {n_trees} trees with {branching} children in {depth} levels need {in_tree} atoms; "
            f"got n_atoms={n_atoms}. Raise n_atoms, or set n_trees=0."
        )

    rng = np.random.default_rng(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    parents = _trees(n_atoms, in_tree, n_trees, branching, rng)
    asked = _zipf(n_atoms, exponent, max_rate, min_rate)
    rates = _attainable(asked, parents)
    atoms = _frame(n_atoms, n_features, rng)
    strength = np.linspace(5, 4, n_atoms), np.abs(rng.normal(0.5, 0.5, n_atoms))
    factors = _factors(n_atoms, rank, correlation, rng)
    height = max(1, _BLOCK // n_atoms)
    blocks = [
        _block(min(height, n_samples - start), rates, parents, factors, strength, rng)
        for start in range(0, n_samples, height)
    ]
    codes = sp.csr_matrix(sp.vstack(blocks, format="csr"))
    return SparseFeatures(codes @ atoms, codes, atoms, rates, parents)


def _zipf(n: int, exponent: float, high: float, low: float) -> np.ndarray:
    law = np.arange(1, n + 1) ** -float(exponent)
    span = law[0] - law[-1]
    return low + (high - low) * (law - law[-1]) / span if span > 0 else np.full(n, high)


def _trees(n: int, in_tree: int, n_trees: int, branching: int, rng: np.random.Generator) -> np.ndarray:
    """Random atoms stand in trees, the more frequent nearer to the roots."""
    parents = np.full(n, -1)
    members = np.sort(rng.choice(n, in_tree, replace=False))
    places = np.arange(n_trees, in_tree)
    parents[members[n_trees:]] = members[(places - n_trees) // branching]
    return parents


def _attainable(asked: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Siblings share what their parent has; parents come before their children."""
    rates = asked.copy()
    wanted = np.bincount(parents[parents >= 0], asked[parents >= 0], minlength=asked.size)
    for atom in np.flatnonzero(parents >= 0):
        parent = parents[atom]
        rates[atom] *= min(1.0, (1 - _ALONE) * rates[parent] / wanted[parent])
    return rates


def _frame(n: int, width: int, rng: np.random.Generator) -> np.ndarray:
    u, _, vt = np.linalg.svd(rng.normal(size=(n, width)), full_matrices=False)
    atoms = u @ vt
    return (atoms / np.linalg.norm(atoms, axis=1, keepdims=True)).astype(np.float32)


def _factors(n: int, rank: int, scale: float, rng: np.random.Generator) -> np.ndarray:
    loadings = scale * rng.normal(size=(n, rank))
    norms = np.linalg.norm(loadings, axis=1, keepdims=True)
    # A factor explains at most 0.95^2 of a deviate: what is left, `own` below, stays real.
    return (loadings * np.minimum(1, 0.95 / np.maximum(norms, 1e-9))).astype(np.float32)


def _block(
    n_rows: int,
    rates: np.ndarray,
    parents: np.ndarray,
    factors: np.ndarray,
    strength: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> sp.csr_matrix:
    free = np.flatnonzero(parents < 0)
    own = np.sqrt(1 - np.square(factors[free]).sum(1)).astype(np.float32)
    deviates = rng.standard_normal((n_rows, free.size), dtype=np.float32)
    deviates *= own
    deviates += rng.standard_normal((n_rows, factors.shape[1]), dtype=np.float32) @ factors[free].T
    rows, at = np.nonzero(deviates > ndtri(1 - rates[free]).astype(np.float32))
    atoms, mean, spread = free[at], *strength
    values = rng.normal(mean[atoms], spread[atoms])
    found = [(rows, atoms, values)]
    while atoms.size:
        rows, atoms, share = _children(rows, atoms, values / mean[atoms], rates, parents, rng)
        values = share * rng.normal(mean[atoms], spread[atoms])
        found.append((rows, atoms, values))
    rows, atoms, values = (np.concatenate(part) for part in zip(*found, strict=True))
    fires = values > 0
    return sp.csr_matrix(
        (values[fires].astype(np.float32), (rows[fires], atoms[fires])), shape=(n_rows, rates.size), dtype=np.float32
    )


def _children(
    rows: np.ndarray,
    atoms: np.ndarray,
    share: np.ndarray,
    rates: np.ndarray,
    parents: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every firing parent one child or none: children divide up 0..1 by their rates, and one draw falls on one."""
    born = np.flatnonzero(parents >= 0)
    # Siblings side by side, so that sums of their shares are spans.
    born = born[np.argsort(parents[born], kind="stable")]
    edges = np.cumsum(rates[born] / rates[parents[born]])
    first = np.searchsorted(parents[born], np.arange(rates.size))
    before = np.concatenate([[0.0], edges])
    fires = share > 0
    rows, atoms, share = rows[fires], atoms[fires], share[fires]
    drawn = before[first[atoms]] + rng.random(atoms.size)
    at = np.searchsorted(edges, drawn, side="right")
    hit = at < np.searchsorted(parents[born], atoms, side="right")
    return rows[hit], born[at[hit]], share[hit]
