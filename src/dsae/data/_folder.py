"""A folder of files of one kind and the same columns, one after another in the order of their names."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path

from dsae.data._reader import Chunk, Reader


class FolderReader(Reader):
    """Rows of all files in a folder; names that begin with a dot or an underscore do not count.

    Parameters
    ----------
    path : str or Path
    open_file : callable
        From a path to a reader.
    """

    def __init__(self, path: str | Path, open_file: Callable[[Path], Reader]) -> None:
        self.path = Path(path)
        paths = sorted(file for file in self.path.iterdir() if file.name[0] not in "._")
        if not paths:
            raise ValueError(f"[read] {self.name} must hold files of rows; it is empty.")
        endings = sorted({file.suffix.lower() for file in paths})
        if len(endings) > 1:
            raise ValueError(
                f"[read] {self.name} must hold files of one kind; got {', '.join(e or 'no ending' for e in endings)}. "
                "Move the others elsewhere."
            )
        self.files = [open_file(path) for path in paths]
        first = self.files[0]
        for reader in self.files[1:]:
            _check_same(first, reader)
        self.format, self.n_features = first.format, first.n_features
        self.column_names, self.id_name = first.column_names, first.id_name

    def __len__(self) -> int:
        return sum(len(reader) for reader in self.files)

    @property
    def n_parts(self) -> int:
        """Parts of all files."""
        return sum(reader.n_parts for reader in self.files)

    def read(self, part: int, ids: bool = True) -> Iterator[Chunk]:
        """Chunks of a part, its rows numbered through all files."""
        firsts = [0, *accumulate(reader.n_parts for reader in self.files)]
        at = bisect_right(firsts, part) - 1
        before = sum(len(reader) for reader in self.files[:at])
        for chunk in self.files[at].read(part - firsts[at], ids):
            yield chunk._replace(start=before + chunk.start)


def _check_same(first: Reader, other: Reader) -> None:
    ours = (first.n_features, first.column_names, first.id_name)
    theirs = (other.n_features, other.column_names, other.id_name)
    if ours == theirs:
        return
    mine, names = first.column_names or [], other.column_names or []
    pairs = zip(mine, names, strict=False)
    differing = next((f"column {i} {b!r} for {a!r}" for i, (a, b) in enumerate(pairs, 1) if a != b), "")
    got = differing or f"{other.n_features} columns, ids {other.id_name!r}"
    raise ValueError(
        f"[read] {other.name} must have the columns of {first.path.name} ({first.n_features}, ids "
        f"{first.id_name!r}); got {got}."
    )
