"""Commands around recommenders. Neither needs torch."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, TextIO

import click

from dsae.cli._encode import load_model
from dsae.cli._files import file_options, source_for
from dsae.cli._output import show

if TYPE_CHECKING:
    from dsae.data import StreamSource
    from dsae.runtime import Runtime

_FIELDS = ("row", "place", "item", "score")


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("-n", "--items", "n_items", default=20, show_default=True, type=click.IntRange(1), help="For each row.")
@click.option("--with-seen", is_flag=True, help="Recommend items that a row already has, too.")
@click.option("-o", "--output", default="-", metavar="FILE", help='A csv or tsv file; by default "-", stdout.')
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, one object a line.")
@file_options
def recommend(
    model: str, data: str, n_items: int, with_seen: bool, output: str, as_json: bool, reading: dict[str, Any]
) -> None:
    """Recommend items to each row in DATA: the features that it lacks to which MODEL gives the largest values.

    A row that has less than so many left gets fewer lines.
    """
    runtime = load_model(model)
    lines = _recommended(runtime, source_for(runtime, "recommend", data, reading), n_items, not with_seen)
    first = next(lines, None)  # fails before anything is written, if at all
    lines = lines if first is None else chain([first], lines)
    with _writing(output, as_json) as (kind, file):
        if as_json:
            for line in lines:
                print(json.dumps(dict(zip(_FIELDS, line, strict=True))), file=file)
        else:
            table = csv.writer(file, delimiter="\t" if kind == "tsv" else ",", lineterminator="\n")
            table.writerow(_FIELDS)
            table.writerows(lines)


def _recommended(
    runtime: Runtime, source: StreamSource, n_items: int, exclude_seen: bool
) -> Iterator[tuple[str | int, int, str | int, float]]:
    """A row's id or number, the place from 1, the item and its score, a chunk of rows at a time.

    Rows with fewer items left have fewer places.
    """
    # a model that knows names gives these; of others the data may have some
    called = source.column_names if runtime.model.feature_names is None else None
    for chunk in source.chunks():
        found = runtime.recommend(chunk.rows, n_items, exclude_seen=exclude_seen, fill=True)
        names = chunk.numbers.tolist() if chunk.ids is None else [str(name) for name in chunk.ids]
        for name, items, scores in zip(names, found.items.tolist(), found.scores.tolist(), strict=True):
            for place, (item, score) in enumerate(zip(items, scores, strict=True), 1):
                if math.isnan(score):
                    break
                yield name, place, item if called is None else called[item], float(f"{score:.6g}")


@contextmanager
def _writing(output: str, as_json: bool) -> Iterator[tuple[str, TextIO]]:
    """The format and the open file, which takes its name when it is whole."""
    from dsae.data import packed_target

    if output == "-":
        yield "csv", sys.stdout
        return
    if as_json and not output.endswith((".json", ".jsonl", ".ndjson")):
        raise ValueError(
            f"[write] {output}: objects are written to .json, .jsonl or .ndjson. Leave out --json for csv."
        )
    with packed_target(output, "csv" if as_json else None, ("csv", "tsv")) as (kind, file):
        text = io.TextIOWrapper(file, "utf-8", newline="")
        try:
            yield kind, text
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
@click.option("--json", "as_json", is_flag=True, help="Machine-readable summary.")
@file_options
def fit_recommender(
    data: str,
    output: str,
    n_neighbours: int,
    ridge: float,
    unseen: float,
    discount: float,
    grown: float,
    as_json: bool,
    reading: dict[str, Any],
) -> None:
    """Fit a recommender to DATA, a file or folder with a row for each user and a column for each item."""
    from dsae import store
    from dsae.data import open_rows
    from dsae.estimators import DSARecommender

    store.check_target(output)
    model = DSARecommender(n_neighbours, ridge=ridge, unseen=unseen, discount=discount, grown=grown).fit(
        open_rows(data, missing="mask", **reading).load()  # NaN is refused by fit, which has no such option
    )
    model.save(output)
    facts = {"model": output, "users": model.n_users_, "items": model.n_features_in_, "nnz": model.nnz_}
    show({**facts, "seconds": model.fit_time_}, as_json)
