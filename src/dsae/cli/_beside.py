"""What goes beside the rows of a file: a target, and weights of rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import numpy as np

    from dsae.data import ArraySource, Source

_OF_TEXT = ("delimiter", "decimal", "encoding")

target_option = click.option(
    "--target", metavar="FILE", help="What is to be predicted from the rows in DATA, in their order, instead of these."
)
weight_option = click.option(
    "--sample-weight",
    metavar="FILE|COLUMN",
    help="How much each row counts: a column of DATA, which is then no feature, or a file of one column.",
)


def target_of(rows: Source, path: str, reading: dict[str, Any]) -> ArraySource:
    """The rows of a file as the target of ``rows``.

    Raises
    ------
    ValueError
        If they are more or fewer, or have other ids.
    """
    found = _opened(path, reading).load()
    if len(found) != len(rows):
        raise ValueError(
            f"--target must have {len(rows)} rows, one for each row of DATA, in its order; {path} has {len(found)}."
        )
    own, other = (getattr(getattr(source, "rows", None), "ids", None) for source in (rows, found))
    if own is not None and other is not None and (own != other).any():
        i = int((own != other).argmax())
        raise ValueError(
            f"--target must have the rows of DATA in its order; row {i} is {own[i]!r} there and {other[i]!r} in {path}."
        )
    return found


def weights_of(given: str, data: str, reading: dict[str, Any]) -> np.ndarray:
    """Numbers from a file of one column, or from a column of the data, which ``reading`` then excludes.

    Raises
    ------
    ValueError
        If there is neither such a file nor such a column, or the file has several.
    """
    if Path(given).exists():
        source = _opened(given, reading)
        if source.n_features != 1:
            raise ValueError(
                f"--sample-weight must be a file of one column of numbers; {given} has {source.n_features}. Name a "
                "column of DATA, or write the weights to a file of their own."
            )
        return source.read()[:, 0]
    if data == "-":
        raise ValueError(
            f"--sample-weight {given}: standard input can only be read once. Name a file of rows, or one of weights."
        )
    weights = _opened(data, reading, columns=[given]).read()[:, 0]
    if given in (reading.get("columns") or ()):
        reading["columns"] = [name for name in reading["columns"] if name != given]
    else:
        reading["exclude"] = [*reading.get("exclude", ()), given]
    return weights


def _opened(path: str, reading: dict[str, Any], **more: Any) -> Any:
    from dsae.data import open_rows, options_for

    options = {name: reading[name] for name in _OF_TEXT if name in reading}
    return open_rows(path, **options_for(path, options), **more)
