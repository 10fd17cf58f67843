"""Fit a sampler to codes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import one_of, positive_int
from dsae.data import check_rows
from dsae.sampling._mixture import Mixture, Progress, mixture_arrays
from dsae.sampling._neighbours import Neighbours, nearest_of, novelty_of
from dsae.sampling._sampler import Bounds, Sampler, generator

KINDS = ("mixture", "neighbours")
MOST_ROWS = 20_000  # of codes: enough for 100 Gaussians, and of 32 numbers a file of 3 MB where they are all kept
_ROWS_PER_GAUSSIAN = 20
_MEGABYTES = 32  # of distances at once; scikit-learn would take 1,024


def fit_sampler(
    codes: Any,
    kind: str = "mixture",
    n_components: int = 100,
    *,
    bounds: Bounds = Bounds(),  # noqa: B008
    random_state: Any = None,
    progress: Progress | None = None,
) -> Sampler:
    """A sampler of codes like these.

    Parameters
    ----------
    codes : array-like or scipy sparse, shape (n_rows, n_components)
        Of more than 20,000 rows, 20,000 are drawn.
    kind : {"mixture", "neighbours"}
        ``mixture`` fits Gaussians to whitened codes, dead latents and constant directions aside (Ghosh et al. 2020).
        ``neighbours`` moves a code towards one of its 5 nearest, a random share of the way (SMOTE, Chawla et al. 2002):
        for codes that are mostly zeros, and the more faithful for any; but what it makes lies near single rows.
    n_components : int
        Gaussians of a mixture; fewer where there are less than 20 rows for each.
    bounds : Bounds
        The range of the code's values.
    random_state : int, Generator, RandomState or None
    progress : callable, optional
        Told how many rounds of a mixture's fit are done, of how many.

    Returns
    -------
    Sampler
        `Mixture` or `Neighbours`, with its `Sampler.novelty` measured.

    Raises
    ------
    ValueError
        If a parameter is invalid, or the codes are not at least two finite rows, or CSR with ``kind="mixture"``.

    Warns
    -----
    UserWarning
        If there are too few rows for the Gaussians asked for.

    Examples
    --------
    >>> codes = np.random.default_rng(0).normal(size=(500, 3))
    >>> fit_sampler(codes, n_components=2, random_state=0).sample(4, random_state=0).shape
    (4, 3)
    """
    from sklearn import config_context
    from threadpoolctl import threadpool_limits

    check_kind(kind)
    positive_int("[fit_sampler] n_components", n_components)
    rows: Any = check_rows("fit_sampler", codes, missing=None)
    if kind == "mixture" and sp.issparse(rows):
        check_kind(kind, "CSR")
    if rows.shape[0] < 2:
        raise ValueError("[fit_sampler] There must be at least 2 rows; got 1. Give those that the model was fitted to.")
    rng = generator(random_state)
    if rows.shape[0] > MOST_ROWS:
        rows = rows[np.sort(rng.choice(rows.shape[0], MOST_ROWS, replace=False))]
    seed = int(rng.integers(np.iinfo(np.int32).max))
    # BLAS sums in another order on more threads, and what is drawn from a seed should not depend on them
    with threadpool_limits(1, "blas"), config_context(working_memory=_MEGABYTES):
        return _fitted(rows, kind, n_components, bounds, seed, progress)


def _fitted(codes: Any, kind: str, n_components: int, bounds: Bounds, seed: int, progress: Progress | None) -> Sampler:
    common: dict[str, Any] = {"bounds": bounds, "n_rows": codes.shape[0], "novelty": None}
    between = None
    if kind == "neighbours":
        nearest, between = nearest_of(codes)
        arrays: dict[str, Any] = {"codes": codes, "nearest": nearest}
        sampler: Sampler = Neighbours(**common, **arrays)
    else:
        n_gaussians = _affordable(n_components, codes.shape[0])
        arrays = mixture_arrays(codes.astype(np.float64), n_gaussians, seed, progress)
        sampler = Mixture(**common, **arrays)
    return type(sampler)(**common | {"novelty": novelty_of(sampler, codes, between, seed)}, **arrays)


def _affordable(n_components: int, n_rows: int) -> int:
    n = max(1, min(n_components, n_rows // _ROWS_PER_GAUSSIAN))
    if n < n_components:
        warnings.warn(
            f"[fit_sampler] {n_components} Gaussians need {n_components * _ROWS_PER_GAUSSIAN} rows, "
            f"{_ROWS_PER_GAUSSIAN} each; got {n_rows}, so that {n} are fitted. Give more rows, or lower n_components.",
            UserWarning,
            stacklevel=4,
        )
    return n


def check_kind(kind: Any, codes: str | None = None) -> None:
    """Refuse a kind that there is not, or a mixture of codes that are no points of a space.

    Parameters
    ----------
    kind : str
    codes : str, optional
        What they are, where a mixture cannot hold them: ``"topk"``, say.
    """
    one_of("[fit_sampler] kind", kind, KINDS)
    if kind == "mixture" and codes is not None:
        raise ValueError(
            f'[fit_sampler] kind must be "neighbours" for {codes} codes, which Gaussians cannot stand for; got '
            f'{kind!r}. Give kind="neighbours".'
        )
