"""A folder of files of one kind and the same columns, one after another in the order of their names."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path

from dsae.data._scan import Chunk, Scan


class FolderScan(Scan):
    """Rows of all files in a folder; names that begin with a dot or an underscore do not count.

    Parameters
    ----------
    path : str or Path
    open_file : callable
        From a path to a scan.
    """

    def __init__(self, path: str | Path, open_file: Callable[[Path], Scan]) -> None:
        self.path = Path(path)
        files = sorted(file for file in self.path.iterdir() if file.name[0] not in "._")
        if not files:
            raise ValueError(f"[read] {self.name} must hold files of rows; it is empty.")
        endings = sorted({file.suffix.lower() for file in files})
        if len(endings) > 1:
            raise ValueError(
                f"[read] {self.name} must hold files of one kind; got {', '.join(e or 'no ending' for e in endings)}. "
                "Move the others elsewhere."
            )
        self.scans = [open_file(file) for file in files]
        first = self.scans[0]
        for scan in self.scans[1:]:
            _check_same(first, scan)
        self.kind, self.n_features = first.kind, first.n_features
        self.column_names, self.id_name = first.column_names, first.id_name

    def __len__(self) -> int:
        return sum(len(scan) for scan in self.scans)

    @property
    def n_parts(self) -> int:
        """Parts of all files."""
        return sum(scan.n_parts for scan in self.scans)

    def read(self, part: int, ids: bool = True) -> Iterator[Chunk]:
        """Chunks of a part, its rows numbered through all files."""
        firsts = [0, *accumulate(scan.n_parts for scan in self.scans)]
        at = bisect_right(firsts, part) - 1
        before = sum(len(scan) for scan in self.scans[:at])
        for chunk in self.scans[at].read(part - firsts[at], ids):
            yield chunk._replace(start=before + chunk.start)


def _check_same(first: Scan, other: Scan) -> None:
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
