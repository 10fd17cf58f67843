"""Where rows are: a path of this machine, or a URI of a store that others see, too, such as ``s3://bucket/rows``."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, unquote, urlsplit

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: C:/ is a disk
_COPIED_AT_ONCE = 1 << 22  # bytes
_ENDPOINTS, _REGIONS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"), ("AWS_REGION", "AWS_DEFAULT_REGION")


class Remote:
    """A file or folder of a store, as much of a `pathlib.Path` as is asked of one.

    Arrow knows ``s3``, ``gs``, ``abfss`` and ``hdfs``; fsspec, where it is installed, all others. Credentials come from
    where these look for them: the environment, configuration files, the role of the machine.

    Parameters
    ----------
    uri : str
        What follows a ``?`` are options of Arrow's file system, such as ``endpoint_override``.

    Raises
    ------
    ValueError
        If nothing installed knows such a store.
    """

    def __init__(self, uri: str, parent: Remote | None = None, info: Any = None) -> None:
        self.uri = uri
        self._fs, self._inner = _opened(uri) if parent is None else (parent._fs, info.path)
        self._listed = info

    def __reduce__(self) -> tuple[Any, ...]:
        return Remote, (self.uri,)

    def __str__(self) -> str:
        """Without credentials and options."""
        parts = urlsplit(self.uri)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{unquote(parts.path)}"

    def __repr__(self) -> str:
        return f"Remote({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and str(self).rstrip("/") == str(other).rstrip("/")

    def __hash__(self) -> int:
        return hash(str(self).rstrip("/"))

    def __lt__(self, other: Remote) -> bool:
        return str(self) < str(other)

    @property
    def _pure(self) -> PurePosixPath:
        return PurePosixPath(str(self).partition("://")[2])

    @property
    def name(self) -> str:
        """The last part."""
        return self._pure.name

    @property
    def suffix(self) -> str:
        """The last ending of the name."""
        return self._pure.suffix

    @property
    def stem(self) -> str:
        """The name without it."""
        return self._pure.stem

    def _with_path(self, path: str) -> str:
        parts = urlsplit(self.uri)
        return parts._replace(path=quote(path)).geturl()

    @property
    def parent(self) -> Remote:
        """The folder that it is in."""
        return Remote(self._with_path(str(PurePosixPath(unquote(urlsplit(self.uri).path) or "/").parent)))

    def __truediv__(self, name: str) -> Remote:
        return Remote(self._with_path(f"{unquote(urlsplit(self.uri).path).rstrip('/')}/{name}"))

    def resolve(self) -> Remote:
        """Itself."""
        return self

    def _info(self) -> Any:
        return self._fs.get_file_info(self._inner)

    def exists(self) -> bool:
        """Whether there is such a file or folder."""
        return self._info().type.name != "NotFound"

    def is_file(self) -> bool:
        """Whether it is a file."""
        return (self._listed or self._info()).type.name == "File"

    def is_dir(self) -> bool:
        """Whether it is a folder: in an object store, whether names begin with its own."""
        return (self._listed or self._info()).type.name == "Directory"

    def stat(self) -> Any:
        """Size and time of writing, under the names that `os.stat` has for them.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        """
        info = self._info()
        if info.type.name == "NotFound":
            raise FileNotFoundError(f"[read] {self} does not exist; check the path.")
        written = 0 if info.mtime is None else info.mtime_ns
        return SimpleNamespace(st_ino=0, st_size=info.size or 0, st_mtime_ns=written)

    def iterdir(self) -> Iterator[Remote]:
        """What is in a folder.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        """
        from pyarrow.fs import FileSelector

        if not self.is_dir():
            raise FileNotFoundError(f"[read] {self} does not exist; check the path.")
        base = unquote(urlsplit(self.uri).path).rstrip("/")
        for info in self._fs.get_file_info(FileSelector(self._inner)):
            yield Remote(self._with_path(f"{base}/{info.base_name}"), self, info)

    def open(self) -> Any:
        """The file, to be read from any place.

        Raises
        ------
        OSError
            If it cannot be read.
        """
        return self._fs.open_input_file(self._inner)

    def fetch(self, path: Path) -> None:
        """Copy the file to a path of this machine."""
        with self._fs.open_input_stream(self._inner) as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target, _COPIED_AT_ONCE)

    def put(self, path: Path) -> None:
        """Replace the file by one of this machine, all at once: a store shows an object when it is whole.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        store = self._fs.type_name in ("s3", "gcs")
        if not store:
            self._fs.create_dir(self._inner.rpartition("/")[0] or "/", recursive=True)
        # other file systems show a file while it is written, and rename it
        inner = self._inner if store else f"{self._inner.rpartition('/')[0]}/.{self.name}.{os.urandom(4).hex()}.tmp"
        with open(path, "rb") as source, self._fs.open_output_stream(inner) as target:
            shutil.copyfileobj(source, target, _COPIED_AT_ONCE)
        if not store:
            self._fs.move(inner, self._inner)

    def mkdir(self, parents: bool = True, exist_ok: bool = True) -> None:
        """Nothing: an object store has no folders, and others make them for the first file."""

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file."""
        if self.exists() or not missing_ok:
            self._fs.delete_file(self._inner)


Place = Path | Remote


def is_remote(path: Any) -> bool:
    """Whether ``path`` is a URI of a store, or what was made of one."""
    return isinstance(path, Remote) or (isinstance(path, str) and _URI.match(path) is not None)


def place_of(path: Any) -> Any:
    """A path of this machine, or of a store: whatever begins as ``s3://`` does."""
    if isinstance(path, Remote):
        return path
    if is_remote(path):
        scheme, _, rest = path.partition("://")
        return Path(unquote(rest)) if scheme.lower() == "file" else Remote(path)
    return Path(path)


def fetched(path: Remote) -> Path:
    """A copy of a file in a folder of its own, under its own name; the caller removes the folder."""
    folder = Path(tempfile.mkdtemp(prefix="dsae-"))
    try:
        path.fetch(folder / path.name)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder / path.name


def _opened(uri: str) -> tuple[Any, str]:
    """The file system that a URI names, and the path in it."""
    try:
        from pyarrow import ArrowInvalid, ArrowNotImplementedError
        from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem
    except ImportError:
        raise ImportError(f'[read] {_hidden(uri)} needs pyarrow: pip install "dsae[tables]".') from None
    known: type[Exception] | tuple[type[Exception], ...] = (ArrowInvalid, ArrowNotImplementedError)
    try:
        fs, inner = FileSystem.from_uri(_with_environment(uri))
        return fs, inner.rstrip("/")
    except known:
        pass  # its message has the URI, and what is secret in it
    try:
        from fsspec.core import url_to_fs

        fs, inner = url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise ValueError(
            f"[read] {_hidden(uri)} must be in a store that pyarrow or fsspec knows; got {urlsplit(uri).scheme!r} "
            f"({error}). Install fsspec and the package for that store."
        ) from None
    return PyFileSystem(FSSpecHandler(fs)), str(inner).rstrip("/")


def _hidden(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _with_environment(uri: str) -> str:
    """An ``s3`` URI with the endpoint and the region of the environment, which Arrow would ask Amazon for."""
    parts = urlsplit(uri)
    if parts.scheme != "s3":
        return uri
    given = [part for part in parts.query.split("&") if part]
    endpoint = next(filter(None, map(os.environ.get, _ENDPOINTS)), None)
    region = next(filter(None, map(os.environ.get, _REGIONS)), None)
    if endpoint and "endpoint_override" not in parts.query:
        scheme, _, host = endpoint.rpartition("://")
        given += [f"endpoint_override={quote(host.rstrip('/'), safe=':')}", *([f"scheme={scheme}"] if scheme else [])]
    if region and "region=" not in parts.query:
        given.append(f"region={region}")
    return parts._replace(query="&".join(given)).geturl()
