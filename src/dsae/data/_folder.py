"""A folder of files of one format and the same columns, one after another in the order of their names."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from dsae.data._place import Place
from dsae.data._reader import Chunk, Reader


class FolderReader(Reader):
    """Rows of all files in a folder."""

    def __init__(self, path: Place, files: Sequence[Reader]) -> None:
        self.path, self.name, self._stamp = path, str(path), None
        self.files, first = files, files[0]
        for reader in files:
            reader.align(files)
            _check_same(first, reader)
        self.format, self.n_features, self.fields = first.format, first.n_features, first.fields
        self.column_names, self.id_name, self.label_name = first.column_names, first.id_name, first.label_name
        self._parts = [0, *accumulate(reader.n_parts for reader in files)]
        self._rows = [0, *accumulate(len(reader) for reader in files)]

    def __len__(self) -> int:
        return self._rows[-1]

    @property
    def n_parts(self) -> int:
        """Parts of all files."""
        return self._parts[-1]

    @property
    def starts(self) -> Sequence[int]:
        """The first row of each part, numbered through all files."""
        return [first + start for first, file in zip(self._rows, self.files, strict=False) for start in file.starts]

    def read(self, part: int, ids: bool = True, missing: str = "error") -> Iterator[Chunk]:
        """Chunks of a part, checked by its file, its rows numbered through all files."""
        at = bisect_right(self._parts, part) - 1
        for chunk in self.files[at].read(part - self._parts[at], ids, missing):
            yield chunk._replace(start=self._rows[at] + chunk.start)

    def _read(self, part: int, ids: bool) -> Iterator[Chunk]:
        return self.read(part, ids)

    def _exact(self, part: int) -> Iterator[Any]:
        at = bisect_right(self._parts, part) - 1
        return self.files[at]._exact(part - self._parts[at])


def _check_same(first: Reader, other: Reader) -> None:
    ours = (first.n_features, first.column_names, first.id_name)
    theirs = (other.n_features, other.column_names, other.id_name)
    if ours == theirs and first.fields == other.fields:
        _check_same_forms(first, other)
        return
    if ours == theirs:
        shapes = [", ".join(map(str, reader.fields.values())) or "flat rows" for reader in (first, other)]
        what = "shape"
        if shapes[0] == shapes[1]:
            what, shapes = "fields", [", ".join(reader.fields) for reader in (first, other)]
        raise ValueError(
            f"[read] {other.name} must have the {what} of {first.path.name}, {shapes[0]}; got {shapes[1]}."
        )
    pairs = zip(first.column_names or [], other.column_names or [], strict=False)
    differing = next((f"column {i} {b!r} for {a!r}" for i, (a, b) in enumerate(pairs, 1) if a != b), "")
    got = differing or f"{other.n_features} columns, ids {other.id_name!r}"
    raise ValueError(
        f"[read] {other.name} must have the columns of {first.path.name} ({first.n_features}, ids "
        f"{first.id_name!r}); got {got}."
    )


def _check_same_forms(first: Reader, other: Reader) -> None:
    """Raise if a modality is sparse in one of two files and dense in the other."""
    theirs = getattr(other, "modalities", {})
    for name, modality in getattr(first, "modalities", {}).items():
        if name in theirs and theirs[name].sparse != modality.sparse:
            forms = ["sparse" if each.sparse else "dense" for each in (modality, theirs[name])]
            raise ValueError(
                f"[read] {other.name} must have {name!r} as {first.path.name} has it, {forms[0]}; got {forms[1]} rows."
            )
