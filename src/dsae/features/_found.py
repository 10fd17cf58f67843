"""What the rows of a folder are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Found:
    """What a folder holds.

    Attributes
    ----------
    kinds : dict of str to str
        From the name of a modality to ``image``, ``audio``, ``text`` or ``table``.
    items : dict of str to list
        Paths, texts, slices of archives or `BadItemError` by modality, None where a row lacks it; of a ``table`` the
        numbers of its rows.
    ids : list of str
    labels : list of str, or None
    table : pyarrow.Table, optional
    notes : list of str
    """

    kinds: dict[str, str]
    items: dict[str, list[Any]]
    ids: list[str]
    labels: list[Any] | None = None
    table: Any = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Columns:
    """What the columns of a table of files are; ``texts`` are columns of text where there are such columns."""

    id_column: str | None = None
    label_column: str | None = None
    text_columns: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
