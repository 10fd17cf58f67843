"""The one door to rows that need not fit in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dsae.data._arrow import ArrowReader
from dsae.data._check import Rows
from dsae.data._csv import CsvReader
from dsae.data._folder import FolderReader
from dsae.data._h5ad import open_h5ad
from dsae.data._market import open_market
from dsae.data._npy import NpyReader, open_npz
from dsae.data._reader import Reader
from dsae.data._stdin import read_stdin
from dsae.data._stream import StreamSource

_READERS: dict[str, Callable[[Path, str | None], Reader]] = {
    "npy": lambda path, _: NpyReader(path),
    "npz": lambda path, _: open_npz(path),
    "csv": CsvReader,
    "parquet": lambda path, ids: ArrowReader(path, "parquet", ids),
    "arrow": lambda path, ids: ArrowReader(path, "arrow", ids),
    "feather": lambda path, ids: ArrowReader(path, "feather", ids),
    "mtx": lambda path, _: open_market(path),
    "h5ad": lambda path, _: open_h5ad(path),
}
_WITH_IDS = ("csv", "parquet", "arrow", "feather")


def open_rows(path: str | Path, id_column: str | None = None) -> StreamSource:
    """Rows of a file or of a folder of files, read in pieces while a model takes them.

    `DeepSparseAutoencoder` takes what comes out for rows: ``DeepSparseAutoencoder().fit(open_rows("folder/"))``, and so
    does `dsae.metrics.evaluate`; all others take its ``read()``, or its ``chunks()`` one after another. Memory does not
    grow with the number of rows, except where a format has no rows to read in pieces.

    Parameters
    ----------
    path : str or Path
        ``.npy``; ``.npz`` (its only array, ``X``, or ``file.npz:name``; scipy's CSR comes into memory); ``.csv``,
        whose first line is a header if any of its fields is no number; ``.parquet``, ``.arrow`` and ``.feather`` (pip
        install "dsae[arrow]"); ``.mtx`` (into memory); ``.h5ad`` (pip install "dsae[anndata]"; CSC comes into memory).
        A folder of files of one kind and the same columns, in the order of their names. ``-`` is standard input, which
        comes into memory.
    id_column : str, optional
        Of tables, the column that names the rows; by default the index that pandas wrote, or the only column that
        holds text. All others are features; so ids in a ``.csv`` that are numbers must be named here, unless theirs is
        the first column and the only one without a name.

    Returns
    -------
    StreamSource

    Raises
    ------
    ValueError
        If the file is of another kind, was cut short, or holds anything but numbers.
    OSError
        If it is missing or cannot be read, and later, while rows are taken, if it has changed.
    ImportError
        If the package for its kind is missing.

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
    try:
        return StreamSource(open_reader(path, id_column))
    except FileNotFoundError:
        raise FileNotFoundError(f"[read] {path} does not exist; check the path.") from None
    except OSError as error:
        if str(error).startswith("[read]"):
            raise
        raise OSError(f"[read] {path} cannot be read: {error.strerror or error}.") from None


def read_rows(path: str | Path) -> tuple[Rows, list[str] | None]:
    """All rows of a file or folder in memory, and the names of its columns where it has them.

    Parameters
    ----------
    path : str or Path
        As `open_rows` takes it, and with the same errors.

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
    source = open_rows(path)
    return source.read(), source.column_names


def open_reader(path: str | Path, id_column: str | None = None) -> Reader:
    """The reader of a file or folder; see `open_rows`."""
    if str(path) == "-":
        return read_stdin(id_column)
    base, _, key = str(path).partition(".npz:")
    if key and id_column is None:
        return open_npz(f"{base}.npz", key)
    path = Path(f"{base}.npz" if key else path)
    if path.is_dir():
        return FolderReader(path, lambda file: _open_file(file, id_column))
    return _open_file(path, id_column)


def has_columns(path: str | Path) -> bool:
    """Whether ``path``, or what lies in it, is of a kind whose columns have names that `open_rows` may be given."""
    path = Path(path)
    files = path.iterdir() if path.is_dir() else (path,)
    return str(path) == "-" or any(file.suffix.lower().removeprefix(".") in _WITH_IDS for file in files)


def _open_file(path: Path, id_column: str | None) -> Reader:
    kind = path.suffix.lower().removeprefix(".")
    if kind not in _READERS:
        raise ValueError(
            f"[read] {path} must end in {', '.join(f'.{known}' for known in _READERS)}, or be a folder of such files; "
            f"got {path.suffix or 'no ending'!r}."
        )
    if path.exists() and not path.is_file():
        raise ValueError(f"[read] {path} must be a file; it is a folder, a pipe or a device.")
    if id_column is not None and kind not in _WITH_IDS:
        raise ValueError(f"[read] {path} has no columns to name; leave id_column={id_column!r} out.")
    return _READERS[kind](path, id_column)
