"""Options that select what is read from a file, and the rows read with them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from dsae.data import StreamSource
    from dsae.features import Schema
    from dsae.runtime import Runtime


def names_between_commas(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [name.strip() for name in value.split(",") if name.strip()]


_OPTIONS = (
    click.option("--id-column", metavar="NAME", help="Column that names the rows; by default the one of unique texts."),
    click.option("--label-column", metavar="NAME", help="Column of labels, which is no feature."),
    click.option(
        "--columns",
        metavar="NAMES",
        callback=names_between_commas,
        help="Features, between commas; by default all others.",
    ),
    click.option(
        "--exclude", metavar="NAMES", callback=names_between_commas, help="Columns to leave out, between commas."
    ),
    click.option("--delimiter", help="Between the fields of a text file; by default it is recognised."),
    click.option("--decimal", help="Decimal point of a text file.  [default: .]"),
    click.option("--encoding", help="Of a text file.  [default: utf-8]"),
    click.option("--layer", metavar="NAME", help="Of AnnData, instead of X."),
    click.option("--obsm", metavar="NAME", help="Of AnnData, instead of X."),
    click.option("--raw", is_flag=True, default=None, help="Of AnnData, raw.X instead of X."),
    click.option(
        "--feature-names",
        metavar="FILE",
        help="Names of the features: a line each, a column (names.csv:word), or a list in JSON.",
    ),
)
_GIVEN = tuple(
    "id_column label_column columns exclude delimiter decimal encoding layer obsm raw "  # noqa: SIM905
    "feature_names".split()
)


def file_options(command: Callable) -> Callable:
    """Add the options to a command, which gets those that were given as one dict, ``reading``."""

    @wraps(command)
    def run(**given: Any) -> Any:
        reading = {name: given.pop(name) for name in _GIVEN}
        reading = {name: value for name, value in reading.items() if value is not None}
        if reading.get("delimiter") in ("\\t", "tab"):  # shells pass no tabs
            reading["delimiter"] = "\t"
        if "feature_names" in reading:
            from dsae.data import read_names

            reading["feature_names"] = read_names(reading["feature_names"])
        return command(reading=reading, **given)

    for option in reversed(_OPTIONS):
        run = option(run)
    return run


_AS_TRAINED = "dsae prepare FOLDER -o rows --encoders encoders.json, the one beside the rows that it was trained on"

table_option = click.option(
    "--table", is_flag=True, help="DATA is a table of numbers, classes and dates, with empty cells perhaps."
)


class Wanted(NamedTuple):
    """The rows that a model takes.

    Attributes
    ----------
    n_features : int
    names : list of str, optional
        Of the columns.
    missing : {"error", "mask"}
        Whether NaN is refused.
    table : Schema, optional
        Of the table whose rows they are.
    """

    n_features: int
    names: list[str] | None
    missing: str
    table: Schema | None


def wanted_by(runtime: Runtime) -> Wanted:
    """The rows that an autoencoder or a recommender takes."""
    model = runtime.model
    return Wanted(runtime.config.n_features, model.feature_names, runtime.missing, model.table)


def source_for(model: Runtime | Wanted, verb: str, path: str, reading: dict[str, Any]) -> StreamSource:
    """Rows of a file or folder, of the width and with the names that the model was fitted with.

    Raises
    ------
    ValueError
        If the file names columns and they are not the model's, in its order.
    """
    from dsae.data import check_source, open_rows

    wanted = model if isinstance(model, Wanted) else wanted_by(model)
    if wanted.table is not None:
        from dsae.features import open_table

        return open_table(path, wanted.table, missing=wanted.missing, **reading)
    try:
        source = open_rows(path, n_features=wanted.n_features, missing=wanted.missing, **reading)
    except ValueError as error:
        raise _of_files(path, f"as for training: {_AS_TRAINED}") or error from None
    check_source(verb, source, wanted.n_features, wanted.names)
    return source


def _of_files(path: str, how: str) -> ValueError | None:
    """What to do with pictures, sounds and texts, where rows of numbers are wanted."""
    from dsae.features import is_raw

    if not is_raw(path, texts=False):  # which may be tables
        return None
    return ValueError(f"{path} holds pictures, sounds or texts; the model takes rows of numbers. Make them {how}.")


def training_rows(
    path: str, reading: dict[str, Any], table: bool, parameters: dict[str, Any]
) -> tuple[StreamSource, Schema | None]:
    """Rows to train a model on; of a mixed table also what its columns are, which goes into the model.

    Empty cells of a table are values that are not known, unless ``parameters`` say otherwise.
    """
    if not table:
        from dsae.data import open_rows

        try:
            return open_rows(path, missing=parameters.get("missing", "error"), **reading), None
        except ValueError as error:
            raise _of_files(path, "by dsae prepare FOLDER -o rows") or error from None
    if "feature_names" in reading:
        raise ValueError("--feature-names does not go with --table: a table names its own features.")
    from dsae.features import fit_table

    rows, source, has_empty = fit_table(path, **reading)
    if has_empty:
        parameters.setdefault("missing", "mask")
    for name, why in rows.left_out_.items():
        if why != "excluded":
            click.echo(f"dsae: column {name!r} is left out: {why}", err=True)
    return source.with_missing(parameters.get("missing", "error")), rows.schema_


def other_rows(
    path: str, reading: dict[str, Any], source: StreamSource, verb: str, what: str, schema: Schema | None = None
) -> StreamSource:
    """Rows of a second file with the columns of the first, read with the options that its format takes."""
    from dsae.data import check_source, open_rows, options_for

    options = options_for(path, reading)
    if schema is not None:
        from dsae.features import open_table

        # The table says which columns it takes.
        options = {name: options[name] for name in options if name not in ("columns", "exclude")}
        return open_table(path, schema, missing=source.missing, **options)
    found = open_rows(path, n_features=source.n_features, missing=source.missing, **options)
    check_source(verb, found, source.n_features, source.column_names, what)
    return found
