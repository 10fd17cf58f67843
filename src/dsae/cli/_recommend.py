"""Commands around recommenders. Neither needs torch."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TextIO

import click

from dsae.cli._encode import load_model
from dsae.cli._files import file_options, source_for
from dsae.cli._output import show
from dsae.cli._pairs import Pairs, pair_options, pairs_of, user_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from dsae.data import ArraySource, StreamSource
    from dsae.runtime import Runtime

_FIELDS = ("user", "rank", "item", "score")
_LINES_AT_ONCE = 1 << 16  # written together: a few MB
_ROWS_AT_ONCE = 1024

_Line = tuple[str | int, int, str | int, float]


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("-n", "--items", "n_items", default=20, show_default=True, type=click.IntRange(1), help="For each user.")
@click.option("--with-seen", is_flag=True, help="Recommend items that a user already has, too.")
@pair_options
@click.option("--skip-unknown", is_flag=True, help="With --item-column, leave out items that MODEL does not know.")
@click.option(
    "-o", "--output", default="-", metavar="FILE", help='csv, tsv, parquet, arrow or feather; by default "-", stdout.'
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, one object a line.")
@file_options
def recommend(
    model: str,
    data: str,
    n_items: int,
    with_seen: bool,
    user_column: str | None,
    item_column: str | None,
    rating_column: str | None,
    skip_unknown: bool,
    output: str,
    as_json: bool,
    reading: dict[str, Any],
) -> None:
    """Recommend items to each user in DATA: the features that they lack to which MODEL gives the largest values.

    DATA has a row for each user and a column for each item or, with --user-column and --item-column, a line for each
    item of a user. What is written has a line for each user and rank: user,rank,item,score. A user who has less than so
    many items left gets fewer lines.
    """
    runtime = load_model(model)
    pairs = pairs_of(user_column, item_column, rating_column)
    if skip_unknown and pairs is None:
        raise ValueError("--skip-unknown is for DATA with a line for each item of a user: name --item-column.")
    source = _users(runtime, data, pairs, reading, skip_unknown)
    lines = _recommended(runtime, source, n_items, not with_seen)
    first = next(lines, None)  # fails before anything is written, if at all
    lines = lines if first is None else chain([first], lines)
    if as_json:
        with _writing(output) as file:
            for line in lines:
                print(json.dumps(dict(zip(_FIELDS, line, strict=True))), file=file)
        return
    from dsae.data import write_table

    write_table(output, _tables(lines))


def _users(
    runtime: Runtime, data: str, pairs: Pairs | None, reading: dict[str, Any], skip: bool
) -> StreamSource | ArraySource:
    if pairs is None:
        return source_for(runtime, "recommend", data, reading)
    items = runtime.model.feature_names or [*range(runtime.config.n_features)]
    return user_rows(data, pairs, reading, items, skip)


def _recommended(
    runtime: Runtime, source: StreamSource | ArraySource, n_items: int, exclude_seen: bool
) -> Iterator[_Line]:
    """A user's id or number, the rank from 1, the item and its score, a chunk of rows at a time.

    Users with fewer items left have fewer ranks.
    """
    # a model that knows names gives these; of others the data may have some
    called = source.column_names if runtime.model.feature_names is None else None
    for chunk in source.chunks() if hasattr(source, "chunks") else source.batches(_ROWS_AT_ONCE):  # pyright: ignore
        found = runtime.recommend(chunk.rows, n_items, exclude_seen=exclude_seen, fill=True)
        names = chunk.numbers.tolist() if chunk.ids is None else [str(name) for name in chunk.ids]
        for name, items, scores in zip(names, found.items.tolist(), found.scores.tolist(), strict=True):
            for rank, (item, score) in enumerate(zip(items, scores, strict=True), 1):
                if math.isnan(score):
                    break
                yield name, rank, item if called is None else called[item], float(f"{score:.6g}")


def _tables(lines: Iterator[_Line]) -> Iterator[pa.Table]:
    """Pieces of the table that the lines make, at least one."""
    import pyarrow as pa

    some = False
    while piece := list(islice(lines, _LINES_AT_ONCE)):
        some = True
        yield pa.table([pa.array(column) for column in zip(*piece, strict=True)], names=_FIELDS)
    if not some:
        types = (pa.string(), pa.int64(), pa.string(), pa.float64())
        yield pa.table([pa.array([], kind) for kind in types], names=_FIELDS)


@contextmanager
def _writing(output: str) -> Iterator[TextIO]:
    """The open file of objects, which takes its name when it is whole."""
    from dsae.data import packed_target

    if output == "-":
        yield sys.stdout
        return
    if not output.endswith((".json", ".jsonl", ".ndjson")):
        raise ValueError(
            f"[write] {output}: objects are written to .json, .jsonl or .ndjson. Leave out --json for tables."
        )
    with packed_target(output, "csv", ("csv",)) as (_, file):
        text = io.TextIOWrapper(file, "utf-8", newline="")
        try:
            yield text
        finally:
            text.detach()  # flushes, and leaves the file open


@click.command("fit-recommender")
@click.argument("data")
@click.option("-o", "--output", required=True, metavar="MODEL", help="Model folder to write.")
@click.option(
    "--n-neighbours", default=200, show_default=True, type=click.IntRange(1), help="Items that an item is scored from."
)
@click.option("--ridge", default=20.0, show_default=True, type=float, help="Penalty, in users that two items share.")
@click.option("--unseen", default=0.3, show_default=True, type=float, help="Weight of items that a user lacks.")
@click.option("--discount", default=0.15, show_default=True, type=float, help="Power of an item's users to divide by.")
@click.option("--grown", default=0.0, show_default=True, type=float, help="Share of the neighbours chosen second.")
@pair_options
@click.option("--json", "as_json", is_flag=True, help="Machine-readable summary.")
@file_options
def fit_recommender(
    data: str,
    output: str,
    user_column: str | None,
    item_column: str | None,
    rating_column: str | None,
    as_json: bool,
    reading: dict[str, Any],
    **settings: Any,
) -> None:
    """Fit a recommender to DATA, a file or folder with a row for each user and a column for each item.

    With --user-column and --item-column, DATA has a line for each item of a user (csv, tsv, parquet, arrow).
    """
    from dsae import store
    from dsae.data import open_rows
    from dsae.estimators import DSARecommender

    store.check_target(output)
    pairs = pairs_of(user_column, item_column, rating_column)
    # NaN is refused by fit, which has no such option
    by_user = open_rows(data, missing="mask", **reading).load() if pairs is None else user_rows(data, pairs, reading)
    model = DSARecommender(**settings).fit(by_user)
    model.save(output)
    facts = {"model": output, "users": model.n_users_, "items": model.n_features_in_, "nnz": model.nnz_}
    show({**facts, "seconds": model.fit_time_}, as_json)
