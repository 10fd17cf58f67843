"""Rows of several modalities in files that `dsae prepare` has written, read while a model trains on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from dsae.data._arrow import ArrowReader, opened, sound, texts_of
from dsae.data._batch import Batch, Part, Rows
from dsae.data._errors import DamagedError, library
from dsae.data._folder import FolderReader
from dsae.data._modality_columns import Modality, modalities_of
from dsae.data._place import Place
from dsae.data._reader import Chunk, Reader, ReadOptions, check_known, rows_at_once
from dsae.data._shape import check_shape
from dsae.data._share import Gather, StreamShare
from dsae.data._stream import StreamSource

ID, LABEL = "id", "label"
"""Columns of the names and the classes of rows."""


class Several(NamedTuple):
    """Rows of several modalities, as a `Chunk` holds them, and which rows have each."""

    parts: Mapping[str, Rows]
    present: Mapping[str, np.ndarray]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and columns of all modalities."""
        shapes = [rows.shape for rows in self.parts.values()]
        return shapes[0][0], sum(width for _, width in shapes)

    def cut(self, some: slice) -> Several:
        """Some of the rows."""
        parts, present = ({name: values[some] for name, values in of.items()} for of in self)
        return Several(parts, present)


class ModalityReader(Reader):
    """Rows of one Parquet file, of which a part is a row group.

    Parameters
    ----------
    path : Path
    file : object
        An open file of `dsae.data._arrow`.
    modalities : mapping of str to Modality
    only : str, optional
        One of them, whose rows come as a plain matrix; missing ones are left out.
    """

    format = "parquet"

    def __init__(self, path: Place, file: Any, modalities: Mapping[str, Modality], only: str | None = None) -> None:
        super().__init__(path)
        self._file, self._only, self._known = file, only, dict(modalities)
        self.modalities = self._known if only is None else {only: self._known[only]}
        names = file.schema.names
        if len(set(names)) < len(names):
            raise DamagedError("columns of one name")
        self.id_name, self.label_name = (name if name in names else None for name in (ID, LABEL))
        self.n_features = sum(each.n_features for each in self.modalities.values())
        check_shape(self.name, (file.n_rows, self.n_features))
        self.fields = {name: each.shape for name, each in self.modalities.items()}
        self._dense = sum(each.n_features for each in self.modalities.values() if not each.sparse)

    @property
    def several(self) -> bool:
        """Whether rows come with names of their modalities."""
        return self._only is None

    def one(self, name: str) -> ModalityReader:
        """The rows of one modality."""
        return ModalityReader(self.path, self._file, self._known, name)

    def __len__(self) -> int:
        return self._file.n_rows if self._only is None else int(self.has(self._only).sum())

    @property
    def n_parts(self) -> int:
        """Row groups."""
        return self._file.n_parts

    @property
    def starts(self) -> Sequence[int]:
        """The first row of each row group, among the rows that come."""
        starts = self._file.starts
        return starts if self._only is None else [int(self.has(self._only)[:start].sum()) for start in starts]

    @cached_property
    def _has(self) -> dict[str, np.ndarray]:
        return {}

    def has(self, name: str) -> np.ndarray:
        """Which rows have a modality, bool ``[n_rows]``, by a pass over its column."""
        if name not in self._has:
            pieces = [
                ~np.asarray(batch.column(0).is_null().to_numpy(zero_copy_only=False), bool)
                for part in range(self.n_parts)
                for batch in self._batches(part, [name])
            ]
            self._has[name] = np.concatenate(pieces)
        return self._has[name]

    def _batches(self, part: int, columns: Sequence[str]) -> Iterator[Any]:
        yield from sound(self._file.batches(part, columns, rows_at_once(max(256, self._dense))))

    def _read(self, part: int, ids: bool) -> Iterator[Chunk]:
        start = self._file.starts[part]
        named = [name for name in (self.id_name, self.label_name) if ids and name is not None]
        for batch in self._batches(part, [*self.modalities, *named]):
            if not batch.num_rows:
                continue
            with library():
                found = {name: each.rows(batch.column(name)) for name, each in self.modalities.items()}
            values = [texts_of(batch.column(n)) if n in named else None for n in (self.id_name, self.label_name)]
            rows = {name: rows for name, (rows, _) in found.items()}
            present = {name: has for name, (_, has) in found.items()}
            yield Chunk(start, Several(rows, present), *values)
            start += batch.num_rows

    def read(self, part: int, ids: bool = True, missing: str = "error") -> Iterator[Chunk]:
        """Chunks of a part; of one modality, rows that lack it are left out."""
        n = self.starts[part]
        for chunk in super().read(part, ids, missing):
            if self._only is None:
                yield chunk
                continue
            has = chunk.rows.present[self._only]
            if has.any():
                rows = chunk.rows.parts[self._only][has]
                named = (None if values is None else values[has] for values in (chunk.ids, chunk.labels))
                yield Chunk(n, rows, *named)
                n += int(has.sum())

    def _finite(self, chunk: Chunk, missing: str) -> Rows:
        found: Any = chunk.rows
        parts = {
            name: super(ModalityReader, self)._finite(chunk._replace(rows=r), missing) for name, r in found[0].items()
        }
        return Several(parts, found.present)


def open_arrow(path: Place, options: ReadOptions) -> Reader:
    """The reader of a table, or of the modalities that `dsae prepare` has written; one alone is a table, too."""
    file = opened(path)
    modalities = modalities_of(file.schema)
    if not modalities:
        return ArrowReader(path, options, file)
    check_known(str(path), options.columns or (), list(modalities))
    check_known(str(path), options.exclude, file.schema.names)
    kept = {name: modalities[name] for name in options.columns or modalities if name not in options.exclude}
    if not kept:
        raise ValueError(f"[read] {path} must have a modality that is not excluded; it has {', '.join(modalities)}.")
    reader = ModalityReader(path, file, kept)
    return reader.one(next(iter(kept))) if len(kept) == 1 else reader


def stream_of(reader: Reader, missing: str) -> StreamSource:
    """The source of a reader: of several modalities, where it reads some."""
    first = reader.files[0] if reader.files else reader
    several = isinstance(first, ModalityReader) and first.several
    return (ModalityStream if several else StreamSource)(reader, missing=missing)


class ModalityStream(StreamSource):
    """Rows of several modalities, read while a model trains on them; created by `open_rows`.

    Batches have a part for each modality, and say in ``present`` which rows have it; see `StreamSource`.
    """

    @property
    def parts(self) -> Mapping[str, Part]:
        """The modalities; see `Source`."""
        return {name: each.part for name, each in self._files[0].modalities.items()}

    @property
    def _files(self) -> Sequence[Any]:
        return self.reader.files or [self.reader]

    @property
    def column_names(self) -> None:
        """None: the encoders of the modalities have the names."""
        return None

    def has(self, name: str) -> np.ndarray:
        """Which rows have a modality, bool ``[n_rows]``."""
        check_known(self.reader.name, [name], list(self.parts))
        found = np.concatenate([file.has(name) for file in self._files])
        return found if self._keep is None else found[self._keep(np.arange(len(found)))]

    def of(self, name: str) -> StreamSource:
        """The rows of one modality that are there."""
        check_known(self.reader.name, [name], list(self.parts))
        files = [file.one(name) for file in self._files]
        reader = FolderReader(self.reader.path, files) if self.reader.files else files[0]
        if self._keep is None:
            return StreamSource(reader)
        numbers = np.flatnonzero(np.concatenate([file.has(name) for file in self._files]))
        keep = self._keep
        return StreamSource(reader, lambda some: keep(numbers[some]))

    def _share(self, rank: int, world: int, gather: Gather) -> StreamShare:
        return ModalityShare(self, rank, world, gather)

    def files(self) -> list[StreamSource]:
        """The rows of each file of a folder, or of the file."""
        return [ModalityStream(reader) for reader in self.reader.files] or [self]

    def load(self) -> Any:
        """All rows in memory, as one `Batch`."""
        return Batch.stack(list(self.chunks()))

    def sample(self, n: int, rng: np.random.Generator) -> Batch:
        """Up to ``n`` random rows, in their order, by a pass."""
        chosen, start, found = np.sort(rng.choice(len(self), min(n, len(self)), replace=False)), 0, []
        for batch in self.chunks():
            here = chosen[(chosen >= start) & (chosen < start + batch.n_rows)] - start
            if here.size:
                found.append(batch[here])
            start += batch.n_rows
        return Batch.stack(found)

    @property
    def _statistics(self) -> Any:
        raise self._several("read")

    def read(self) -> Rows:
        """Refused, likewise."""
        raise self._several("read")

    def _several(self, verb: str) -> ValueError:
        names = ", ".join(self.parts)
        first = next(iter(self.parts))
        return ValueError(
            f"[{verb}] {self} holds rows of several modalities ({names}); use MultimodalAutoencoder, or take one of "
            f"them by open_rows({str(self)!r}, columns=[{first!r}])."
        )

    def _batch(self, rows: Any, numbers: np.ndarray, **more: Any) -> Batch:
        return Batch(rows.parts, numbers, rows.present, **more)


class ModalityShare(StreamShare):
    """A worker's share of rows of several modalities.

    Which rows have a modality is asked of all files by every worker; their values are read by one.
    """

    def __init__(self, whole: StreamSource, rank: int, world: int, gather: Gather) -> None:
        super().__init__(whole, rank, world, gather)
        self._each: dict[str, Any] = {}

    def of(self, name: str) -> Any:
        """The share of the rows of one modality that are there."""
        check_known(str(self), [name], list(self.parts))
        if name not in self._each:
            whole: Any = self.whole
            self._each[name] = whole.of(name).share(self._rank, self._world, self.gather)
        return self._each[name]
