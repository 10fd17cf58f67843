"""A sampler as a tree of arrays and JSON, and back from an untrusted one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import whole_number
from dsae.sampling._mixture import Mixture
from dsae.sampling._neighbours import Neighbours
from dsae.sampling._sampler import Bounds, Sampler
from dsae.topology import is_canonical

_COMMON = ("kind", "n_rows", "novelty", "low", "high")
_MIXTURE = ("center", "axes", "weights", "means", "factors")
_SPARSE = ("values", "indices", "indptr")
_MOST_ROWS = 2**31


def state_of(sampler: Sampler) -> dict[str, Any]:
    """What `sampler_of` makes a sampler of: arrays, numbers and texts by name."""
    low, high = sampler.bounds
    state = {"kind": sampler.kind, "n_rows": sampler.n_rows, "novelty": sampler.novelty, "low": low, "high": high}
    if isinstance(sampler, Mixture):
        return state | {name: getattr(sampler, name) for name in _MIXTURE}
    assert isinstance(sampler, Neighbours)
    codes = sampler.codes
    state["nearest"] = sampler.nearest
    if sp.issparse(codes):
        return state | dict(zip(_SPARSE, (codes.data, codes.indices, codes.indptr), strict=True))
    return state | {"codes": codes}


def sampler_of(state: dict[str, Any], path: Path, n_components: int) -> Sampler:
    """The sampler that ``state``, from the file ``path``, describes.

    Raises
    ------
    ValueError
        If it describes none of codes of this width.
    """
    kind, names = state.get("kind"), set(state)
    common: dict[str, Any] = {
        "bounds": _bounds(state, path),
        "n_rows": whole_number(f"{path}: n_rows", state.get("n_rows"), _MOST_ROWS),
        "novelty": _number_or_none(path, "novelty", state.get("novelty")),
    }
    if kind == "mixture" and names == {*_COMMON, *_MIXTURE}:
        return _mixture(state, path, n_components, common)
    if kind == "neighbours" and names in ({*_COMMON, "nearest", "codes"}, {*_COMMON, "nearest", *_SPARSE}):
        return _neighbours(state, path, n_components, common)
    raise ValueError(f"{path} must hold a mixture or neighbours and nothing else; got {kind!r} with {sorted(names)}.")


def _mixture(state: dict[str, Any], path: Path, width: int, common: dict[str, Any]) -> Mixture:
    axes = _array(state, path, "axes", "float32", (None, width))
    weights = _array(state, path, "weights", "float64", (None,))
    n, d = weights.size, len(axes)
    shapes = {"center": (width,), "means": (n, d), "factors": (n, d, d)}
    arrays: dict[str, Any] = {name: _array(state, path, name, "float32", shape) for name, shape in shapes.items()}
    if n < 1 or not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
        raise ValueError(f"{path}: weights must be numbers of at least 0, and one of them above.")
    return Mixture(**common, **arrays, axes=axes, weights=weights)


def _neighbours(state: dict[str, Any], path: Path, width: int, common: dict[str, Any]) -> Neighbours:
    nearest = _array(state, path, "nearest", "int32", (None, None))
    n = len(nearest)
    if nearest.size == 0 or nearest.min() < 0 or nearest.max() >= n:
        raise ValueError(f"{path}: nearest must hold numbers of its {n} rows.")
    if "codes" in state:
        return Neighbours(**common, codes=_array(state, path, "codes", "float32", (n, width)), nearest=nearest)
    indptr = _array(state, path, "indptr", "int32", (n + 1,))
    indices = _array(state, path, "indices", "int32", (None,))
    if not is_canonical((n, width), indptr, indices):
        raise ValueError(f"{path}: indptr and indices must be those of a CSR matrix of shape {(n, width)}.")
    values = _array(state, path, "values", "float32", indices.shape)
    return Neighbours(**common, codes=sp.csr_matrix((values, indices, indptr), (n, width)), nearest=nearest)


def _array(state: dict[str, Any], path: Path, name: str, kind: str, shape: tuple[int | None, ...]) -> np.ndarray:
    array = state[name]
    fits = isinstance(array, np.ndarray) and array.dtype.name == kind and array.ndim == len(shape)
    if not fits or any(want not in (None, got) for want, got in zip(shape, array.shape, strict=True)):
        got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{path}: {name} must be {kind} of shape {shape}; got {got}.")
    return array


def _bounds(state: dict[str, Any], path: Path) -> Bounds:
    bounds = Bounds(*(_number_or_none(path, name, state.get(name)) for name in Bounds._fields))
    if None not in bounds and bounds.low > bounds.high:  # pyright: ignore
        raise ValueError(f"{path}: low must not be above high; got {bounds.low} and {bounds.high}.")
    return bounds


def _number_or_none(path: Path, name: str, value: Any) -> float | None:
    if value is not None and (type(value) not in (int, float) or not abs(value) < 1e300):
        raise ValueError(f"{path}: {name} must be a number or null; got {value!r}.")
    return value
