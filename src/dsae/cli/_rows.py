"""Commands that choose: unusual rows, rows that are alike, features that matter. None of them needs torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dsae.cli._output import columns, plain, text
from dsae.cli._use import feature_names, load_model, rows_for

if TYPE_CHECKING:
    import numpy as np

_output = click.option(
    "-o", "--output", default="-", metavar="FILE", help='File to write; by default "-", csv to stdout.'
)
_json = click.option("--json", "as_json", is_flag=True, help="Machine-readable.")


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--per-feature", is_flag=True, help="Squared error of every value instead.")
@click.option("-n", "--lowest", type=click.IntRange(1), metavar="N", help="Show only the N most unusual rows, and why.")
@_output
@_json
def score(model: str, data: str, per_feature: bool, lowest: int | None, output: str, as_json: bool) -> None:
    """How usual the rows in DATA are: minus the mean squared error of each, so that low is unusual."""
    from dsae.data import write_rows

    runtime = load_model(model)
    rows = rows_for(runtime, "score", data)
    if lowest is not None:
        if per_feature or output != "-":
            raise ValueError("[score] -n shows a table and goes with neither --per-feature nor -o; leave one out.")
        errors = runtime.reconstruction_error(rows, per_feature=True)
        _show_table(_most_unusual(errors, feature_names(runtime), lowest), as_json)
    elif per_feature:
        write_rows(output, runtime.reconstruction_error(rows, per_feature=True), feature_names(runtime))
    else:
        write_rows(output, runtime.score_samples(rows)[:, None], ["score"])


def _most_unusual(errors: np.ndarray, names: list[str], n_rows: int) -> list[dict[str, Any]]:
    means = errors.mean(axis=1)
    found = (-means).argsort(kind="stable")[:n_rows]
    worst = errors[found].argmax(axis=1)
    return [
        {"row": int(i), "score": -float(means[i]), "feature": names[j], "share": float(errors[i, j] / errors[i].sum())}
        for i, j in zip(found, worst, strict=True)
    ]


@click.command()
@click.argument("model")
@click.argument("data")
@click.argument("queries")
@click.option("-n", "--rows", "n_rows", default=10, show_default=True, type=click.IntRange(1), help="Per query.")
@click.option("--metric", default="cosine", show_default=True, type=click.Choice(["cosine", "euclidean"]))
@_json
def neighbours(model: str, data: str, queries: str, n_rows: int, metric: str, as_json: bool) -> None:
    """The rows in DATA whose codes are nearest to those of each row in QUERIES."""
    from dsae.interpret import CodeIndex

    runtime = load_model(model)
    index = CodeIndex(rows_for(runtime, "neighbours", data), metric=metric, model=runtime)
    found = index.nearest(rows_for(runtime, "neighbours", queries), n_rows)
    table = [
        {"query": i, "row": int(row), "distance": float(distance)}
        for i, (rows, distances) in enumerate(zip(*found, strict=True))
        for row, distance in zip(rows, distances, strict=True)
    ]
    _show_table(table, as_json)


@click.command()
@click.argument("model")
@click.argument("data", required=False)
@click.option("-n", "--n-features", default=10, show_default=True, type=click.IntRange(1), help="How many.")
@_output
@_json
def select(model: str, data: str | None, n_features: int, output: str, as_json: bool) -> None:
    """The features of MODEL that matter most, or the rows in DATA with only these columns, in their order."""
    from dsae.data import write_rows
    from dsae.interpret import feature_importances, most_important

    runtime = load_model(model)
    names, importances = feature_names(runtime), feature_importances(runtime)
    if n_features > len(names):
        raise ValueError(f"[select] -n must be at most {len(names)}, the features of {model}; got {n_features}.")
    chosen = most_important(importances, n_features)
    if data is None:
        if output != "-":
            raise ValueError("[select] -o is for the rows in DATA; name a file of rows, or leave -o out.")
        _show_table(
            [{"column": int(j), "feature": names[j], "importance": float(importances[j])} for j in chosen], as_json
        )
        return
    kept = sorted(chosen.tolist())
    write_rows(output, rows_for(runtime, "select", data)[:, kept], [names[j] for j in kept])


def _show_table(table: list[dict[str, Any]], as_json: bool) -> None:
    import json

    if as_json:
        click.echo(json.dumps(plain(table), indent=2))
    else:
        cells = [[f"{v}" if isinstance(v, int) else text(v) for v in row.values()] for row in table]
        click.echo(columns([list(table[0]), *cells]))
