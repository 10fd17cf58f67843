"""Some of the columns of a reader, by their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dsae.data._reader import Chunk, Reader, ReadOptions, check_known
from dsae.data._shape import check_shape


class SelectedReader(Reader):
    """Some of the columns of another reader, by their names.

    Raises
    ------
    ValueError
        If it has no column names, or not these.
    """

    def __init__(self, reader: Reader, columns: Sequence[str] | None, exclude: Sequence[str]) -> None:
        names = reader.column_names
        if names is None:
            raise ValueError(f"[read] {reader.name} has no column names; leave columns and exclude out.")
        check_known(reader.name, [*(columns or ()), *exclude], names)
        chosen = names if columns is None else columns
        at = {name: i for i, name in enumerate(names)}
        self._at = [at[name] for name in chosen if name not in exclude]
        self._reader, self.path, self.name, self.format = reader, reader.path, reader.name, reader.format
        self.n_features, self.column_names = len(self._at), [names[i] for i in self._at]
        self.id_name, self.label_name, self.in_memory = reader.id_name, reader.label_name, reader.in_memory
        check_shape(self.name, (len(reader), self.n_features))

    def _check_unchanged(self) -> None:
        self._reader._check_unchanged()

    def __len__(self) -> int:
        return len(self._reader)

    @property
    def n_parts(self) -> int:
        """As the other reader's."""
        return self._reader.n_parts

    @property
    def starts(self) -> Sequence[int]:
        """As the other reader's."""
        return self._reader.starts

    def _read(self, part: int, ids: bool) -> Iterator[Chunk]:
        for chunk in self._reader._read(part, ids):
            yield chunk._replace(rows=chunk.rows[:, self._at])


def selected(reader: Reader, options: ReadOptions) -> Reader:
    """Only the requested columns."""
    if options.columns is None and not options.exclude:
        return reader
    return SelectedReader(reader, options.columns, options.exclude)
