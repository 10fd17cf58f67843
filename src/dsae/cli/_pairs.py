"""Tables with a line for each item of a user, as ratings usually come, as rows of users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    import pyarrow as pa

    from dsae.data import ArraySource

_OF_TEXT = ("delimiter", "decimal", "encoding")


class Pairs(NamedTuple):
    """The columns of such a table; no rating means 1 for each line."""

    user: str
    item: str
    rating: str | None = None


def pair_options(command: Any) -> Any:
    """Add the options to a command, which gets ``user_column``, ``item_column`` and ``rating_column``."""
    told = "DATA has a line for each item of a user"
    for name, text in (
        ("rating", "Column of how much users like the item, 0 or more; by default 1 for each line."),
        ("item", f"{told}: column of items."),
        ("user", f"{told}: column of users."),
    ):
        command = click.option(f"--{name}-column", metavar="NAME", help=text)(command)
    return command


def pairs_of(user: str | None, item: str | None, rating: str | None) -> Pairs | None:
    """The columns that were named; None where DATA has a row for each user.

    Raises
    ------
    ValueError
        If only some of them were.
    """
    if user is not None and item is not None:
        return Pairs(user, item, rating)
    if user is None and item is None and rating is None:
        return None
    lacking = "--user-column" if user is None else "--item-column"
    raise ValueError(
        f"{lacking} must be given, too: a table with a line for each item of a user has a column of users and one of "
        "items."
    )


def user_rows(
    path: str, pairs: Pairs, reading: dict[str, Any], items: Sequence[Any] | None = None, skip: bool = False
) -> ArraySource:
    """A row for each user, by ids of users, with a column for each item.

    Parameters
    ----------
    path : str
    pairs : Pairs
    reading : dict
        Options about the file.
    items : sequence, optional
        The columns, in their order; by default all items that occur.
    skip : bool
        Whether to leave out lines of other items.

    Raises
    ------
    ValueError
        If the table has no such columns, misses an id, or has an item that is not among ``items``.
    """
    from dsae.data import interactions, named_rows, read_tables

    for name in reading:
        if name not in _OF_TEXT:
            raise ValueError(
                f"--{name.replace('_', '-')} does not go with --user-column and --item-column; leave it out."
            )
    tables = [table for _, table in read_tables(path, **reading, texts=pairs[:2])]
    users, wanted, ratings = (None if name is None else _column(path, tables, name) for name in pairs)
    if ratings is not None and ratings.dtype.kind not in "iufb":
        raise ValueError(f"--rating-column must hold numbers; {pairs.rating!r} of {path} holds {ratings[0]!r}, say.")
    if items is not None and skip:
        users, wanted, ratings = _of_known(path, items, users, wanted, ratings)
    found = interactions(users, wanted, ratings, items=items)
    return named_rows(found.X, [str(item) for item in found.items.tolist()], ids=found.users.tolist())


def _column(path: str, tables: Sequence[pa.Table], name: str) -> Any:
    import numpy as np

    from dsae.config import did_you_mean

    for table in tables:
        if name not in table.column_names:
            hint = did_you_mean(name, table.column_names) or f" It has {', '.join(table.column_names[:20])}."
            raise ValueError(f"[read] {path} has no column {name!r}.{hint}")
    return np.concatenate([_plain(table.column(name)).to_numpy() for table in tables])


def _plain(column: Any) -> Any:
    """A column of categories as that of their values."""
    import pyarrow as pa

    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _of_known(path: str, items: Sequence[Any], users: Any, wanted: Any, ratings: Any) -> tuple[Any, Any, Any]:
    import numpy as np

    known = {str(item) for item in items}
    kept = np.array([str(item) in known for item in wanted.tolist()], bool)
    if not kept.any():
        raise ValueError(f"[read] {path} has no line with an item that the model knows, such as {items[0]!r}.")
    if not kept.all():
        click.echo(
            f"dsae: {(~kept).sum()} of {kept.size} lines of {path} have items that the model does not know", err=True
        )
    return users[kept], wanted[kept], None if ratings is None else ratings[kept]
