"""Open files of rows that need not fit in memory."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import warnings
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dsae.config import ENDINGS, FORMATS, MISSING, Format, format_of, one_of
from dsae.data._arrays import is_tenx, open_tenx
from dsae.data._batch import Rows
from dsae.data._errors import ChangedError, explained
from dsae.data._folder import FolderReader
from dsae.data._modalities import stream_of
from dsae.data._names import check_names
from dsae.data._packages import check_package, resolved
from dsae.data._place import Place, Remote, fetched, place_of
from dsae.data._reader import Reader, ReadOptions
from dsae.data._selected import selected
from dsae.data._stream import StreamSource

_STDIN = "standard input"
_READ_AFAR = ("parquet", "arrow", "feather")  # in pieces, where they are
_OPENED_AT_ONCE = 16  # files of a store
_WITH_KEY = "|".join(re.escape(ending) for kind in FORMATS.values() if "key" in kind.takes for ending in kind.endings)
_ALWAYS_TAKEN = ("n_features", "whole", "texts")
# Beside the files of a Hugging Face data set, and of those of `dsae prepare`.
_NO_ROWS = ("dataset_info.json", "state.json", "encoders.json", "problems.log")


def open_rows(
    path: str | Path,
    id_column: str | None = None,
    *,
    label_column: str | None = None,
    columns: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    delimiter: str | None = None,
    decimal: str = ".",
    encoding: str = "utf-8",
    layer: str | None = None,
    obsm: str | None = None,
    raw: bool = False,
    n_features: int | None = None,
    missing: str = "error",
    feature_names: Sequence[str] | None = None,
) -> StreamSource:
    """Rows of a file or of a folder of files, read in pieces while a model takes them.

    `DeepSparseAutoencoder` takes what comes out for rows: ``DeepSparseAutoencoder().fit(open_rows("folder/"))``, and so
    does `dsae.metrics.evaluate`; all others take its ``read()``, or its ``chunks()`` one after another. Memory does not
    grow with the number of rows, except where a format has no rows to read in pieces.

    Parameters
    ----------
    path : str or Path
        A file whose name ends as one of `dsae.config.FORMATS`, or a folder of files of one format with the same
        columns, in the order of their names. A URI of a store such as ``s3://bucket/rows`` is one, too: Parquet and
        Arrow are read there in pieces, other files are copied to this machine first. ``file.npz:name`` names one of
        several arrays, likewise in ``.h5``, ``.safetensors`` and ``.pt``. A folder of 10x Genomics (``matrix.mtx.gz``
        and so on) gives cells. ``-`` is standard input.
    id_column : str, optional
        Of tables and AnnData, the column that names the rows; by default the index that pandas wrote, the names of
        observations, or the only column of text if no two of its first values are equal.
    label_column : str, optional
        Column of labels, which travel with the rows and are no feature.
    columns : sequence of str, optional
        The features, in this order; by default all columns but ids and labels.
    exclude : sequence of str, optional
        Columns that are not read.
    delimiter : str, optional
        Between the fields of a text file; by default it is recognised.
    decimal : str
        Decimal point of a text file.
    encoding : str
        Of a text file.
    layer, obsm : str, optional
        Of AnnData, what to read instead of X.
    raw : bool
        Whether to read ``raw.X`` of AnnData.
    n_features : int, optional
        Width of a row, for svmlight, whose files do not say it.
    missing : {"error", "mask"}
        Whether NaN and empty cells (``NA``, ``null`` and the like) are refused, or are values that are not known, and
        NaN in the rows. A model asks for what it takes itself; this is for other uses.
    feature_names : sequence of str, optional
        Names of the features, such as a vocabulary, which ``.npz`` and ``.mtx`` have no place for. A file that has
        other names of its own is refused. See `read_names`.

    Returns
    -------
    StreamSource

    Raises
    ------
    ValueError
        If the format is unknown or does not know an option, if the file is damaged or holds anything but numbers, or if
        there are more or fewer ``feature_names`` than features, or the file has other names.
    OSError
        If it is missing or cannot be read, and later, while rows are taken, if it has changed.
    ImportError
        If the package for its format is missing.

    Warns
    -----
    UserWarning
        If a column of different whole numbers in ascending order, which may be row ids, is taken for a feature, or one
        of different texts whose name does not say so for row ids.

    Examples
    --------
    >>> import tempfile
    >>> from dsae.data import write_rows
    >>> path = tempfile.mkdtemp() + "/x.npy"
    >>> write_rows(path, np.eye(3, dtype=np.float32))
    >>> source = open_rows(path)
    >>> source.shape, [len(batch) for batch in source.batches(2)]
    ((3, 3), [2, 1])
    """
    options = ReadOptions(
        id_column=id_column,
        label_column=label_column,
        columns=None if columns is None else tuple(columns),
        exclude=tuple(exclude),
        delimiter=delimiter,
        decimal=decimal,
        encoding=encoding,
        layer=layer,
        obsm=obsm,
        raw=raw,
        n_features=n_features,
    )
    one_of("[read] missing", missing, MISSING)
    reader = open_reader(path, options)
    if feature_names is not None:
        if reader.column_names not in (None, [*feature_names]):
            raise ValueError(
                f"[read] {reader.name} names its features itself ({', '.join(reader.column_names[:3])}, ...), and "
                "later files are compared with these names; leave feature_names (--feature-names) out, or rename the "
                "columns of the file."
            )
        reader.column_names = check_names(feature_names, reader.n_features, f"feature_names of {reader.name}")
    return stream_of(reader, missing)


def read_rows(path: str | Path, id_column: str | None = None, **options: Any) -> tuple[Rows, list[str] | None]:
    """All rows of a file or folder in memory, and the names of its columns where it has them.

    Parameters
    ----------
    path : str or Path
        As `open_rows` takes it, and with the same errors.
    id_column, **options
        Those of `open_rows`.

    Returns
    -------
    rows : ndarray or csr_matrix of float32, shape (n_samples, n_features)
    column_names : list of str or None

    Examples
    --------
    >>> import tempfile
    >>> from dsae.data import write_rows
    >>> folder = tempfile.mkdtemp()
    >>> write_rows(f"{folder}/x.csv", np.eye(2, dtype=np.float32), ["left", "right"])
    >>> rows, names = read_rows(f"{folder}/x.csv")
    >>> rows.tolist(), names
    ([[1.0, 0.0], [0.0, 1.0]], ['left', 'right'])
    """
    source = open_rows(path, id_column, **options)
    return source.read(), source.column_names


def options_for(path: str | Path, options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options of `open_rows` that have a meaning for the format of ``path``.

    Parameters
    ----------
    path : str or Path
    options : dict

    Returns
    -------
    dict
    """
    if str(path) == "-":
        return options
    place = place_of(path)
    inside = (format_of(file) for file in sorted(place.iterdir())) if place.is_dir() else ()
    kind = format_of(place) or next(filter(None, inside), None)
    return {name: value for name, value in options.items() if kind is None or name in (*kind.takes, "feature_names")}


def open_reader(path: str | Path, options: ReadOptions) -> Reader:
    """The reader of a file or folder; see `open_rows`."""
    if str(path) == "-":
        return _from_stdin(options)
    # Only behind the ending of a format that holds several arrays: other names may have colons.
    split = re.fullmatch(rf"(?P<file>.*({_WITH_KEY})):(?P<key>.+)", str(path), re.IGNORECASE | re.DOTALL)
    if split is not None:
        path, options = split["file"], replace(options, key=split["key"])
    place: Any = place_of(path)
    try:
        return (_open_folder if _is_folder(place) else _open_file)(place, options)
    except FileNotFoundError:
        raise FileNotFoundError(f"[read] {place} does not exist; check the path.") from None
    except ChangedError:
        raise
    except OSError as error:
        raise OSError(f"[read] {place} cannot be read: {error.strerror or error}.") from None


def _is_folder(path: Any) -> bool:
    return path.is_dir() and format_of(path) is not FORMATS["zarr"]


def _open_file(path: Place, options: ReadOptions) -> Reader:
    kind = format_of(path)
    if kind is None:
        raise ValueError(
            f"[read] {path} must end in {', '.join(ENDINGS)}, or be a folder of such files; got "
            f"{path.suffix or 'no ending'!r}."
        )
    # A pipe would be read to its end by the first look at it.
    if path.exists() and not (path.is_file() or (path.is_dir() and kind.name == "zarr")):
        raise ValueError(f"[read] {path} must be a file; it is a folder, a pipe or a device.")
    _check_options(path, kind, options)
    check_package(kind)
    if isinstance(path, Remote) and kind.name not in _READ_AFAR:
        copy = fetched(path)
        return _of_copy(copy, str(path), options, partial(shutil.rmtree, copy.parent, ignore_errors=True))
    if options.whole and kind.table is None:
        able = ", ".join(f".{name}" for name, format in FORMATS.items() if format.table is not None)
        raise ValueError(f"[read] {path} must be a table ({able}) to be read as one; got .{kind.name}.")
    with explained(str(path), kind.endings[0]):
        reader = resolved(kind.table if options.whole and kind.table else kind.reader)(path, options)
    reader.format = kind.name
    return reader


def _check_options(path: Place, kind: Format, options: ReadOptions) -> None:
    if options.columns is not None and len(set(options.columns)) < len(options.columns):
        raise ValueError(f"[read] {path}: columns must be named once each; got {', '.join(options.columns)}.")
    for name, value in options.given().items():
        if name not in kind.takes and name not in _ALWAYS_TAKEN:
            raise ValueError(f"[read] {path}: {name} has no meaning for .{kind.name}; leave {name}={value!r} out.")


def _open_folder(path: Place, options: ReadOptions) -> Reader:
    """Files of one format; names that begin with a dot or an underscore do not count."""
    files = sorted(file for file in path.iterdir() if file.name[0] not in "._" and file.name not in _NO_ROWS)
    if not files:
        raise ValueError(f"[read] {path} must hold files of rows; it is empty.")
    if isinstance(path, Path) and is_tenx(path):
        with explained(str(path), "10x"):
            reader = selected(open_tenx(path, options), options)
        reader.format = "tenx"
        return reader
    # .csv and .csv.gz are one format.
    kinds = {getattr(format_of(file), "name", file.suffix.lower() or "no ending") for file in files}
    if len(kinds) > 1:
        raise ValueError(f"[read] {path} must hold files of one kind; got {', '.join(sorted(kinds))}. Move the others.")
    readers = [_open_file(files[0], options)]
    with warnings.catch_warnings(), ThreadPoolExecutor(_OPENED_AT_ONCE) as threads:
        warnings.simplefilter("ignore", UserWarning)  # of the same columns, told once
        each = threads.map if isinstance(path, Remote) else map  # a store answers late, but many at a time
        readers += each(partial(_open_file, options=options), files[1:])
    return FolderReader(path, readers)


def _from_stdin(options: ReadOptions) -> Reader:
    """Standard input in a temporary file, which ends in what its first bytes say."""
    begin = sys.stdin.buffer.read(16)
    kind = next((k for k in FORMATS.values() if k.magic and begin.startswith(k.magic)), FORMATS["csv"])
    # A file, since rows are read several times and from any place.
    with tempfile.NamedTemporaryFile(suffix=kind.endings[0], delete=False) as file:
        file.write(begin)
        shutil.copyfileobj(sys.stdin.buffer, file)
    return _of_copy(Path(file.name), _STDIN, options, partial(os.unlink, file.name))


def _of_copy(copy: Path, name: str, options: ReadOptions, remove: Callable[[], object]) -> Reader:
    """The reader of a copy of what messages call ``name``; it is removed with the reader."""
    try:
        reader = _open_file(copy, options)
    except BaseException as error:
        remove()
        if isinstance(error, (ValueError, OSError)):
            raise type(error)(str(error).replace(str(copy), name)) from None
        raise
    weakref.finalize(reader, remove)  # as long as the reader lives: it opens the file for every part
    reader.name = name
    return reader
