"""Outlier detectors by command: fitted, and as `dsae score` takes them. Without torch for dense rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from dsae.cli._encode import load_model
from dsae.cli._files import Wanted, file_options, table_option, training_rows, wanted_by
from dsae.cli._options import Auto, OneOf
from dsae.cli._output import show
from dsae.config import MISSING

if TYPE_CHECKING:
    import numpy as np


@click.command("fit-outliers")
@click.argument("data")
@click.option("-o", "--output", required=True, metavar="MODEL", help="Folder to write.")
@click.option("--n-estimators", type=click.IntRange(1), help="Number of autoencoders.  [default: 20]")
@click.option("--contamination", type=Auto(click.FLOAT), help="Share of outliers in DATA, up to 0.5.  [default: auto]")
@click.option("--missing", type=OneOf(MISSING), help="Whether empty cells and NaN are refused.  [default: error]")
@click.option("--random-state", type=int, help="Seed, with which a fit repeats.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable summary.")
@table_option
@file_options
def fit_outliers(data: str, output: str, as_json: bool, table: bool, reading: dict[str, Any], **given: Any) -> None:
    """Fit an outlier detector to the rows in DATA; `dsae score MODEL ROWS` then tells how usual rows are.

    With --table, classes and dates become numbers, and empty cells are values that are not known.
    """
    from dsae import store
    from dsae.estimators import DSAOutlierDetector
    from dsae.features import TableRows

    parameters = {name: value for name, value in given.items() if value is not None}
    store.check_target(output, detector=True)
    source, schema = training_rows(data, reading, table, parameters)
    rows, begun = source.load(), time.perf_counter()
    detector = DSAOutlierDetector(**parameters).fit(rows)
    seconds = time.perf_counter() - begun
    detector.save(output, table=None if schema is None else TableRows.of(schema))
    facts = {"model": output, "rows": len(rows), "features": rows.n_features}
    show({**facts, "outliers": int((detector.predict(rows) < 0).sum()), "seconds": seconds}, as_json)


class Scorer(NamedTuple):
    """What `dsae score` needs of a model.

    Attributes
    ----------
    wanted : Wanted
        The rows that it takes.
    score_names : list of str
        Of the columns of `scores`.
    scores : callable
        From rows and the number of the first of them to ``[n_rows, n_columns]``, the score first.
    errors : callable
        From rows to the error of every value.
    """

    wanted: Wanted
    score_names: list[str]
    scores: Callable[[Any, int], np.ndarray]
    errors: Callable[[Any], np.ndarray]


def scorer(model: str) -> Scorer:
    """Of the folder of a detector, or of any other model."""
    import numpy as np

    from dsae import store

    if store.holds_detector(model):
        from dsae.estimators import DSAOutlierDetector

        detector = DSAOutlierDetector.load(model)
        schema = None if detector.table_ is None else detector.table_.schema_
        names = getattr(detector, "feature_names_in_", None) if schema is None else schema.feature_names
        wanted = Wanted(detector.n_features_in_, None if names is None else list(names), detector.missing, schema)
        vars(detector).pop("feature_names_in_", None)  # names are compared where rows are read, which come as arrays

        def judged(rows: Any, first_row: int) -> np.ndarray:
            scores = detector.score_samples(rows)
            return np.column_stack([scores, scores < detector.offset_])

        return Scorer(wanted, ["score", "outlier"], judged, detector.explain)
    runtime = load_model(model)

    def scored(rows: Any, first_row: int) -> np.ndarray:
        return runtime.score_samples(rows, first_row=first_row)[:, None]

    return Scorer(
        wanted_by(runtime), ["score"], scored, lambda rows: runtime.reconstruction_error(rows, per_feature=True)
    )
