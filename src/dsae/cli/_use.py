"""Commands that use a trained model; none of them needs torch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from dsae.cli._output import show

if TYPE_CHECKING:
    from dsae.data import Rows
    from dsae.runtime import Runtime


def _transformation(command: Any) -> Any:
    for decorate in (
        click.option("--format", "kind", type=click.Choice(["npy", "npz", "csv"]), help="Of what is written."),
        click.option(
            "-o",
            "--output",
            default="-",
            metavar="FILE",
            help='File to write; by default "-", csv to stdout.',
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
def encode(model: str, data: str, output: str, kind: str | None, k: int | None, sparse: bool) -> None:
    """Codes of the rows in DATA."""
    from dsae.data import write_rows

    runtime = load_model(model)
    codes = runtime.encode(rows_for(runtime, "encode", data), k=k, sparse_output=sparse)
    write_rows(output, codes, [f"dsa{i}" for i in range(codes.shape[1])], kind)


@_transformation
def decode(model: str, data: str, output: str, kind: str | None) -> None:
    """Rows from the codes in DATA."""
    from dsae.data import read_rows, write_rows

    runtime = load_model(model)
    write_rows(output, runtime.decode(read_rows(data)[0]), feature_names(runtime), kind)


@_transformation
def reconstruct(model: str, data: str, output: str, kind: str | None) -> None:
    """The rows in DATA, encoded and decoded."""
    from dsae.data import write_rows

    runtime = load_model(model)
    write_rows(output, runtime.reconstruct(rows_for(runtime, "reconstruct", data)), feature_names(runtime), kind)


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def evaluate(model: str, data: str, as_json: bool) -> None:
    """How well MODEL reconstructs DATA, and what it costs."""
    runtime = load_model(model)
    show(measure(runtime, rows_for(runtime, "evaluate", data)), as_json)


def load_model(model: str) -> Runtime:
    """`dsae.load`, imported only now."""
    from dsae.runtime import load

    return load(model)


def feature_names(runtime: Runtime) -> list[str]:
    """The model's own, or ``x0, x1`` and so on."""
    return runtime.model.feature_names or [f"x{i}" for i in range(runtime.config.n_features)]


def rows_for(runtime: Runtime, verb: str, path: str) -> Rows:
    """Rows from a file, checked to be what the model was fitted with.

    Raises
    ------
    ValueError
        If the file names columns and they are not the model's, in its order.
    """
    from dsae.data import check_rows, read_rows

    X, names = read_rows(path)
    rows = check_rows(verb, X, runtime.config.n_features)
    known = runtime.model.feature_names
    if names is not None and known is not None:
        for i, (name, expected) in enumerate(zip(names, known, strict=True), 1):
            if name != expected:
                raise ValueError(f"[{verb}] {path} column {i} must be {expected!r}, as in training; got {name!r}.")
    return rows


def measure(runtime: Runtime, rows: Rows, batch_size: int = 1024) -> dict[str, Any]:
    """Errors of reconstruction, sparsity of weights and codes, and time, over all rows, a batch at a time."""
    from dsae import metrics
    from dsae.data import ArraySource

    config, layers = runtime.config, runtime.layers
    errors = metrics.Reconstruction(cross_entropy=runtime.model.training.get("loss") == "bce")
    activity = metrics.CodeActivity(metrics.firing_threshold(config.code_activation, config.n_components))
    seconds = 0.0
    for batch in ArraySource(rows).batches(batch_size):
        begun = time.perf_counter()
        codes = runtime.encode(batch)
        X_hat = runtime.decode(codes)
        seconds += time.perf_counter() - begun
        errors.update(batch, X_hat)
        activity.update(codes)
    fired = activity.result()
    return {
        "n_samples": fired["n_samples"],
        **errors.result(),
        "density": runtime.model.density,
        "nnz": runtime.model.nnz,
        "bytes_in_memory": metrics.bytes_in_memory(layers),
        "mean_l0": fired["mean_l0"],
        "dead_latents": fired["dead_latents"],
        "ms_per_row": 1e3 * seconds / fired["n_samples"],
    }
