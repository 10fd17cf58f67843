"""Turns whatever holds rows of several modalities into a source of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import check_modality, did_you_mean, listed
from dsae.data._batch import TABLE, Batch, Part, Rows
from dsae.data._check import check_finite, names_of
from dsae.data._entrance import in_memory
from dsae.data._errors import called
from dsae.data._joint import JointSource

Encode = Callable[[str, Any], Any]
_RAW = (str, bytes)


def as_joint(
    verb: str,
    X: Any,
    names: Sequence[str] | None = None,
    *,
    encode: Encode | None = None,
    widths: Mapping[str, int] | None = None,
    training: bool = False,
    blank: bool = False,
) -> JointSource:
    """A source of rows of several modalities.

    Parameters
    ----------
    verb : str
        Named in messages.
    X : mapping of str to rows, JointSource, stream of several parts, Batch, MuData, or AnnData with obsm
        Rows by modality: arrays, frames, sparse matrices, sources, or lists with None for what is missing. A row lacks
        a modality if its key is absent, if its entry is None, or if the whole row is NaN. ``(rows, present)`` are rows
        that need no encoder, and which of them are there, bool ``[n_rows]`` or None.
    names : sequence of str, optional
        The modalities that there may be; by default those of ``X``.
    encode : callable, optional
        ``encode(name, values)`` makes rows, and which of them are there, of pictures, sounds and texts.
    widths : mapping of str to int, optional
        Columns that each modality must have.
    training : bool
        Whether a model is to be trained on them: all modalities must then be there.
    blank : bool
        Whether rows may have no modality.

    Returns
    -------
    JointSource
        With the modalities in the order of ``names``; of `open_rows`, where the rows are too many to be read at once,
        a stream with the same methods.

    Raises
    ------
    ValueError
        If a modality is unknown, lengths or widths differ, values are not finite, or no modality is present in a row.
    TypeError
        If ``X`` is none of these.
    """
    if getattr(X, "is_small", False) and gives_parts(X):
        parts, X = X.parts, X.load()
        found = JointSource(X.parts, X.present, parts=parts, ids=X.ids, labels=X.labels, numbers=X.numbers)
    elif gives_parts(X):
        found = X
    else:
        given, more = _parts_of(verb, X, names)
        _check_known(verb, given, names)
        found = _stacked(verb, given, more, encode, training)
    return _checked(verb, found, names, widths, training, blank)


def gives_parts(X: Any) -> bool:
    """Whether ``X`` gives batches of several modalities, of which it says which rows have each."""
    return all(callable(getattr(X, name, None)) for name in ("batches", "has", "of"))


def _checked(
    verb: str,
    found: JointSource,
    names: Sequence[str] | None,
    widths: Mapping[str, int] | None,
    training: bool,
    blank: bool,
) -> JointSource:
    _check_known(verb, found.parts, names)
    lacking = [name for name in names or () if name not in found.parts]
    if training and lacking:
        raise ValueError(f"[{verb}] X must have the modality {lacking[0]!r}; got {listed(found.parts)}.")
    for name, width in (widths or {}).items():
        if name in found.parts and found.parts[name].n_features != width:
            raise ValueError(
                f"[{verb}] X[{name!r}] must have {width} columns, as in training; got {found.parts[name].n_features}."
            )
    ordered = isinstance(found, JointSource)  # to others the order is no matter
    if ordered and names is not None and tuple(found.parts) != tuple(name for name in names if name in found.parts):
        found = found.only([name for name in names if name in found.parts])
    nothing = np.flatnonzero(~np.any([found.has(name) for name in found.parts], axis=0))
    if nothing.size and not blank:
        raise ValueError(
            f"[{verb}] Every row must have a modality; {nothing.size} of {len(found)} have none, the first of which is "
            f"row {nothing[0]}. Drop them."
        )
    return found


def _check_known(verb: str, given: Iterable[str], names: Sequence[str] | None) -> None:
    for name in given:
        if names is not None and name not in names:
            known = did_you_mean(name, names) or f" Known: {', '.join(names)}."
            raise ValueError(f"[{verb}] X has a modality {name!r} that the model does not know.{known}")


def _parts_of(verb: str, X: Any, names: Sequence[str] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Rows by modality, and ids and labels where there are some."""
    if isinstance(X, Batch):
        has = X.present or {}
        rows = {name: (part, has.get(name)) for name, part in X.parts.items()}
        return rows, {"ids": X.ids, "labels": X.labels, "numbers": X.numbers}
    if isinstance(X, Mapping):
        if not X:
            raise ValueError(f"[{verb}] X must have rows of a modality; got an empty dict.")
        for name in X:
            check_modality(name)
        return dict(X), {}
    if isinstance(getattr(X, "mod", None), Mapping):
        return _of_mudata(verb, X)
    if hasattr(X, "obsm") and hasattr(X, "X"):
        return _of_anndata(verb, X, names)
    raise TypeError(
        f"[{verb}] X must hold rows by modality, such as {{'image': images, 'text': texts}}; got {type(X).__name__}."
    )


def _of_mudata(verb: str, X: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """All observations of a MuData object; one that a modality lacks is missing there."""
    ids = np.asarray(X.obs_names, dtype=object)
    _check_unique(verb, "MuData", ids)
    place = {name: i for i, name in enumerate(ids)}
    found = {}
    for name, part in X.mod.items():
        if not len(part.obs_names):  # of a part of the rows, none of which has it
            continue
        _check_unique(verb, f"mod[{name!r}]", part.obs_names)
        at = np.array([place[of] for of in part.obs_names], np.int64)
        has = np.zeros(ids.size, bool)
        has[at] = True
        rows = in_memory("MuData", part).X
        if at.size == ids.size and (at == np.arange(ids.size)).all():
            found[str(name)] = rows
            continue
        where = np.zeros(ids.size, np.int64)
        where[at] = np.arange(at.size)
        found[str(name)] = (rows[where], has)
    return found, {"ids": ids}


def _check_unique(verb: str, what: str, names: Any) -> None:
    """Raise if an observation could be two rows."""
    seen: set[Any] = set()
    for name in names:
        if name in seen:
            raise ValueError(
                f"[{verb}] {what} must name every observation differently; {name!r:.200} is there twice. Call its "
                "obs_names_make_unique()."
            )
        seen.add(name)


def _of_anndata(verb: str, X: Any, names: Sequence[str] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """``X`` of an AnnData object and its obsm: what is not in obsm is the name of ``X``."""
    beside = {str(name): values for name, values in X.obsm.items()}
    own = [name for name in names or ("X",) if name not in beside]
    if len(own) > 1:
        raise ValueError(f"[{verb}] obsm must have all modalities but one, which is X; it lacks {listed(own)}.")
    chosen = {name: beside[name] for name in names or beside if name in beside}
    rows = dict.fromkeys(own, X) | chosen
    return rows, {"ids": np.asarray(X.obs_names, dtype=object)}


def _stacked(
    verb: str, given: Mapping[str, Any], more: Mapping[str, Any], encode: Encode | None, training: bool
) -> JointSource:
    rows, present, parts = {}, {}, {}
    for name, values in given.items():
        if values is None:
            continue
        with called(f"X[{name!r}]"):
            rows[name], has, parts[name] = _modality(verb, name, values, encode, training)
        if has is not None:
            present[name] = has
    if not rows:
        raise ValueError(f"[{verb}] X must have rows of a modality; all are None.")
    lengths = {name: X.shape[0] for name, X in rows.items()}
    if len(set(lengths.values())) > 1:
        counted = listed(f"{name} {n}" for name, n in lengths.items())
        raise ValueError(
            f"[{verb}] All modalities must have as many rows; got {counted}. Put None where a row lacks one."
        )
    return JointSource(rows, present, parts=parts, **more)


def _modality(
    verb: str, name: str, values: Any, encode: Encode | None, training: bool
) -> tuple[Rows, np.ndarray | None, Part]:
    """Rows, which of them are there, and what their columns are."""
    has = None
    if encode is not None and not _is_masked(values):
        values = _encoded(verb, encode, name, values)
    if _is_masked(values):
        values, has = values
    elif isinstance(values, (list, tuple)) or (getattr(values, "ndim", 2) == 1 and values.dtype.kind == "O"):
        values, has = _listed(verb, name, list(values))
    has = None if has is None else np.asarray(has, bool)
    if getattr(values, "is_small", False):
        values = values.load()
    source = in_memory(verb, values, training=training, missing="mask")
    if has is not None and has.shape != (len(source),):
        raise ValueError(
            f"[{verb}] X[{name!r}] must have a bool for each of {len(source)} rows; got shape {has.shape}. Give "
            "(rows, present)."
        )
    if has is not None and has.all():
        has = None
    columns = source.column_names if names_of(values) is None else [str(column) for column in names_of(values) or ()]
    part = source.parts[TABLE]
    if columns is not None and len(columns) == part.n_features and part.column_names is None:
        part = Part(part.kind, part.n_features, tuple(columns), part.fields)
    return source.X, _without_holes(verb, name, source.X, has), part


def _encoded(verb: str, encode: Encode, name: str, values: Any) -> Any:
    """What an encoder makes; what it refuses is refused by the verb that the user called."""
    try:
        return encode(name, values)
    except (ValueError, TypeError) as error:
        said = str(error)
        for own in ("[transform] ", "[fit] "):
            if type(error) in (ValueError, TypeError) and said.startswith(own):
                raise type(error)(f"[{verb}] {said.removeprefix(own)}") from None
        raise


def _is_masked(values: Any) -> bool:
    """Whether these are rows with which of them are there."""
    if not isinstance(values, tuple) or len(values) != 2:
        return False
    return values[1] is None or (isinstance(values[1], np.ndarray) and values[1].dtype == bool)


def _listed(verb: str, name: str, values: list[Any]) -> tuple[Any, np.ndarray]:
    """Rows of a list, in which None is a missing one."""
    has = np.array([value is not None for value in values], bool)
    if not has.any():
        raise ValueError(f"[{verb}] X[{name!r}] must hold a row that is not None.")
    there = [value for value in values if value is not None]
    if isinstance(there[0], _RAW):
        raise TypeError(
            f"[{verb}] X[{name!r}] must hold rows of numbers; got {type(there[0]).__name__}. Give the modality an "
            "encoder, such as dsae.features.TextRows or ImageRows."
        )
    try:
        rows: Any = sp.vstack(there, format="csr") if sp.issparse(there[0]) else np.asarray(there)
    except ValueError as error:
        raise ValueError(f"[{verb}] X[{name!r}] must hold rows of one shape; got {_shapes(there)}.") from error
    if has.all():
        return rows, has
    where = np.zeros(has.size, np.int64)
    where[has] = np.arange(len(there))
    return rows[where], has  # what stands in missing rows does not matter


def _shapes(rows: list[Any]) -> str:
    """The first two shapes that differ."""
    shapes = [str(np.shape(row)) if hasattr(row, "shape") else f"{len(row)} values" for row in rows]
    return listed(list(dict.fromkeys(shapes))[:2])


def _without_holes(verb: str, name: str, rows: Rows, has: np.ndarray | None) -> np.ndarray | None:
    """Which rows are there; refuses those of which a part is NaN."""
    if sp.issparse(rows):
        at = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))  # pyright: ignore
        holes = np.bincount(at[np.isnan(rows.data)], minlength=rows.shape[0])
    else:
        holes = np.zeros(rows.shape[0], np.int64)
        with np.errstate(over="ignore", invalid="ignore"):
            suspects = np.flatnonzero(~np.isfinite(rows.sum(axis=1)))  # NaN makes the sum NaN
        holes[suspects] = np.isnan(rows[suspects]).sum(axis=1)
    there = holes < rows.shape[1]
    there = there if has is None else there & has
    partly = np.flatnonzero((holes > 0) & there)
    if partly.size:
        raise ValueError(
            f"[{verb}] A row must have a modality or lack it as a whole; {partly.size} rows of {name!r} hold NaN "
            f"beside numbers, first in row {partly[0]}. Impute these values, as DeepSparseAutoencoder(missing='mask') "
            "does, or let the whole row be NaN."
        )
    if not there.any():
        raise ValueError(f"[{verb}] All rows of {name!r} are missing. Leave the modality out.")
    check_finite(verb, rows[there] if not there.all() and holes.any() else rows, "mask")
    return None if there.all() else there
