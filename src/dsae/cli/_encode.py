"""Commands that use a trained model; none of them needs torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from dsae.cli._options import OneOf
from dsae.cli._output import show, targets

if TYPE_CHECKING:
    from dsae.data import Rows, StreamSource
    from dsae.runtime import Runtime


id_column = click.option("--id-column", metavar="NAME", help="Column that names the rows; by default the one of text.")


def _transformation(command: Any) -> Any:
    kinds = OneOf(["npy", "npz", "csv", "parquet", "arrow", "feather", "mtx", "h5ad"])
    for decorate in (
        id_column,
        click.option("--format", "kind", type=kinds, help="Of what is written."),
        click.option(
            "-o",
            "--output",
            default="-",
            metavar="FILE",
            help='File to write, or a folder for files of the kind of DATA; by default "-", csv to stdout.',
        ),
        click.argument("data"),
        click.argument("model"),
        click.command(),
    ):
        command = decorate(command)
    return command


@_transformation
@click.option("--k", type=int, help="Non-zeros per topk code, other than trained for.")
@click.option("--sparse", is_flag=True, help="Codes as a CSR matrix, for .npz.")
def encode(
    model: str, data: str, output: str, kind: str | None, id_column: str | None, k: int | None, sparse: bool
) -> None:
    """Codes of the rows in DATA, a file or a folder of files."""
    runtime = load_model(model)
    names = [f"dsa{i}" for i in range(runtime.config.n_components)]

    def codes(rows: Any) -> Any:
        return runtime.encode(rows, k=k, sparse_output=sparse)

    transform(source_for(runtime, "encode", data, id_column), codes, names, output, kind, sparse)


@_transformation
def decode(model: str, data: str, output: str, kind: str | None, id_column: str | None) -> None:
    """Rows from the codes in DATA."""
    from dsae.data import check_source, open_rows

    runtime, source = load_model(model), open_rows(data, id_column)
    check_source("decode", source, runtime.config.n_components, what="the code's width")
    transform(source, runtime.decode, feature_names(runtime), output, kind)


@_transformation
def reconstruct(model: str, data: str, output: str, kind: str | None, id_column: str | None) -> None:
    """The rows in DATA, encoded and decoded."""
    runtime = load_model(model)
    source = source_for(runtime, "reconstruct", data, id_column)
    transform(source, runtime.reconstruct, feature_names(runtime), output, kind)


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@id_column
def evaluate(model: str, data: str, as_json: bool, id_column: str | None) -> None:
    """How well MODEL reconstructs DATA, and what it costs."""
    from dsae import metrics

    runtime = load_model(model)
    source = source_for(runtime, "evaluate", data, id_column)
    show(metrics.evaluate(runtime, source, timed=True), as_json)


def load_model(model: str) -> Runtime:
    """`dsae.load`, imported only now."""
    from dsae.runtime import load

    return load(model)


def feature_names(runtime: Runtime) -> list[str]:
    """The model's own, or ``x0, x1`` and so on."""
    return runtime.model.feature_names or [f"x{i}" for i in range(runtime.config.n_features)]


def rows_for(runtime: Runtime, verb: str, path: str, id_column: str | None = None) -> Rows:
    """`source_for`, in memory."""
    return source_for(runtime, verb, path, id_column).read()


def source_for(runtime: Runtime, verb: str, path: str, id_column: str | None = None) -> StreamSource:
    """Rows of a file or folder, of the width and with the names that the model was fitted with.

    Raises
    ------
    ValueError
        If the file names columns and they are not the model's, in its order.
    """
    from dsae.data import check_source, open_rows

    source = open_rows(path, id_column)
    check_source(verb, source, runtime.config.n_features, runtime.model.feature_names)
    return source


def transform(
    source: StreamSource,
    verb: Callable[[Any], Any],
    names: Sequence[str],
    output: str,
    kind: str | None = None,
    sparse: bool = False,
) -> None:
    """Write what ``verb`` makes of the rows, in pieces and with their ids: to one file, or to one for each of a folder.

    Raises
    ------
    ValueError
        If the output folder is where the data are.
    """
    from dsae.data import writing

    for part, target in targets(source, output, kind):
        with writing(target, len(part), names, part.id_name, kind, sparse) as writer:
            for chunk in part.chunks():
                writer.write(verb(chunk.rows), chunk.ids)
