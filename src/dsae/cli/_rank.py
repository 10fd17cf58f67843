"""Commands that rank: rows by score, rows by distance, features by importance. None of them needs torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dsae.cli._encode import feature_names, load_model, stays_sparse, transform
from dsae.cli._files import file_options, source_for
from dsae.cli._options import OneOf
from dsae.cli._outliers import Scorer, scorer
from dsae.cli._output import show_table

if TYPE_CHECKING:
    import numpy as np

    from dsae.data import StreamSource
    from dsae.features import Schema

_output = click.option(
    "-o", "--output", default="-", metavar="FILE", help='File to write; by default "-", csv to stdout.'
)
_json = click.option("--json", "as_json", is_flag=True, help="Machine-readable.")


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--per-feature", is_flag=True, help="Error of every value instead; of a detector relative to the usual.")
@click.option("-n", "--lowest", type=click.IntRange(1), metavar="N", help="Show only the N most unusual rows, and why.")
@_output
@file_options
@_json
def score(
    model: str,
    data: str,
    per_feature: bool,
    lowest: int | None,
    output: str,
    reading: dict[str, Any],
    as_json: bool,
) -> None:
    """Score the rows in DATA: minus the mean squared error of each, so that low scores are unusual.

    Of an outlier detector (fit-outliers), scores are its own, and a second column says which rows are outliers.
    """
    how = scorer(model)
    source = source_for(how.wanted, "score", data, reading)
    names = list(how.wanted.names or source.column_names or [f"x{i}" for i in range(how.wanted.n_features)])
    if lowest is not None:
        if per_feature or output != "-":
            raise ValueError("[score] -n shows a table and goes with neither --per-feature nor -o; leave one out.")
        show_table(_most_unusual(how, source, names, lowest), as_json)
    elif per_feature:
        transform(source, how.errors, names, output)
    else:
        transform(source, lambda rows: how.scores(rows, 0), how.score_names, output)


def _most_unusual(how: Scorer, source: StreamSource, names: list[str], n_rows: int) -> list[dict[str, Any]]:
    """The rows with the lowest scores, and the feature with the largest error in each: one pass for each task."""
    import numpy as np

    judged = np.concatenate([how.scores(chunk.rows, int(chunk.numbers[0])) for chunk in source.chunks()])
    scores, outlying = judged[:, 0], judged[:, 1:] > 0
    found = scores.argsort(kind="stable")[:n_rows]  # of equal scores the first rows, in any chunks
    facts = {}
    for batch in source.chunks():
        few = batch[np.isin(batch.numbers, found)]
        if not few.n_rows:
            continue
        errors = np.nan_to_num(how.errors(few.rows))  # 0 where nothing is known
        found_here = zip(few.numbers.tolist(), errors.argmax(axis=1), _share_of_largest(errors), strict=True)
        for at, (i, worst, share) in enumerate(found_here):
            named = {} if few.ids is None else {"id": str(few.ids[at])}
            is_outlier = {"outlier": bool(outlying[i, 0])} if outlying.size else {}
            told = {"score": float(scores[i]), **is_outlier, "feature": names[worst], "share": share}
            facts[i] = {"row": i, **named, **told}
    return [facts[i] for i in found.tolist()]


def _id(name: str, ids: np.ndarray | None, row: int) -> dict[str, str]:
    return {} if ids is None else {name: str(ids[row])}


def _share_of_largest(errors: np.ndarray) -> list[float | None]:
    """The largest share of each row's error that one feature has; None for rows without error."""
    sums = errors.sum(axis=1)
    return [float(row.max() / total) if total else None for row, total in zip(errors, sums, strict=True)]


@click.command()
@click.argument("model")
@click.argument("data")
@click.argument("queries")
@click.option("-n", "--rows", "n_rows", default=10, show_default=True, type=click.IntRange(1), help="Per query.")
@click.option("--metric", default="cosine", show_default=True, type=OneOf(["cosine", "euclidean"]))
@file_options
@_json
def neighbours(
    model: str, data: str, queries: str, n_rows: int, metric: str, reading: dict[str, Any], as_json: bool
) -> None:
    """List the rows in DATA whose codes are nearest to that of each row in QUERIES."""
    from dsae.data import options_for
    from dsae.interpret import CodeIndex

    runtime = load_model(model)
    index = CodeIndex(source_for(runtime, "neighbours", data, reading).load(), metric=metric, model=runtime)
    asked = source_for(runtime, "neighbours", queries, options_for(queries, reading)).load()
    found = index.nearest(asked, n_rows)
    table = [
        {"query": i, **_id("query_id", asked.rows.ids, i), "row": int(row), **_id("id", index.ids, row)}
        | {"distance": float(distance)}
        for i, (rows, distances) in enumerate(zip(*found, strict=True))
        for row, distance in zip(rows, distances, strict=True)
    ]
    show_table(table, as_json)


@click.command()
@click.argument("model")
@click.argument("data", required=False)
@click.option("-n", "--n-features", type=click.IntRange(1), help="How many.  [default: 10, or all of fewer]")
@_output
@file_options
@_json
def select(
    model: str, data: str | None, n_features: int | None, output: str, reading: dict[str, Any], as_json: bool
) -> None:
    """List the most important features of MODEL, or write the rows in DATA with only these columns, in their order."""
    from dsae.interpret import feature_importances, most_important

    runtime = load_model(model)
    given = reading.pop("feature_names", None) if data is None else None
    names, importances = feature_names(runtime, given=given), feature_importances(runtime)
    if runtime.model.table is not None:
        names, importances = _of_columns(runtime.model.table, importances)
    n_features = min(10, len(names)) if n_features is None else n_features
    if n_features > len(names):
        raise ValueError(f"[select] -n must be at most {len(names)}, the features of {model}; got {n_features}.")
    chosen = most_important(importances, n_features)
    if data is None:
        if output != "-" or reading:
            raise ValueError(
                "[select] -o and options about files are for the rows in DATA; name a file of rows, or leave them out."
            )
        show_table(
            [{"column": int(j), "feature": names[j], "importance": float(importances[j])} for j in chosen], as_json
        )
        return
    kept = sorted(chosen.tolist())  # columns stay in the order of the data
    source = source_for(runtime, "select", data, reading)
    names = feature_names(runtime, source) if runtime.model.table is None else names
    if runtime.model.table is not None:
        _write_columns(source, [names[j] for j in kept], output)
        return
    sparse = stays_sparse(source, output)

    def chosen_columns(rows: Any) -> Any:
        return rows[:, kept] if sparse or not hasattr(rows, "toarray") else rows[:, kept].toarray()

    transform(source, chosen_columns, [names[j] for j in kept], output, sparse=sparse)


def _of_columns(schema: Schema, importances: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The columns of a table, and their importance: the sum over their features."""
    import numpy as np

    spans = [(column, span) for column, span in schema.spans if column.features]
    return [column.name for column, _ in spans], np.array([importances[span].sum() for _, span in spans])


def _write_columns(source: StreamSource, names: list[str], output: str) -> None:
    """Columns of a table as they are in the data, behind the row ids."""
    from dsae.data import targets, write_table

    for part, target in targets(source, output, None):
        table: Any = vars(part.reader)["table"]
        kept = [name for name in table.column_names if name in names or name == part.id_name]
        write_table(target, table.select(kept))
