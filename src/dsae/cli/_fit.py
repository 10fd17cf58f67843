"""The command that trains."""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsae.cli._files import file_options, other_rows
from dsae.cli._options import fit_options, settings
from dsae.cli._output import show
from dsae.config import plain

if TYPE_CHECKING:
    from dsae.data import Source, StreamSource
    from dsae.runtime import Runtime

_KEPT = ("mse", "fvu")


@click.command()
@click.argument("data")
@click.option("-o", "--output", required=True, metavar="MODEL", help="Model folder to write.")
@click.option("--test", metavar="FILE", help="Rows to evaluate the model on.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable summary.")
@file_options
@click.option(
    "--checkpoint-every",
    type=click.FloatRange(0),
    metavar="MINUTES",
    help="Keep all that the run needs to go on in MODEL.checkpoint, written anew so often.",
)
@click.option("--resume", is_flag=True, help="Go on from MODEL.checkpoint; give the same data and parameters again.")
@fit_options
def fit(
    data: str,
    output: str,
    test: str | None,
    as_json: bool,
    reading: dict[str, Any],
    checkpoint_every: float | None,
    resume: bool,
    config: str | None,
    **given: Any,
) -> None:
    """Train a deep sparse autoencoder on the rows in DATA, a file or a folder of files.

    Up to 256 MiB of float32 are read into memory; more is read anew in every epoch, piece by piece.

    Ctrl-C ends the training early; the model so far is written all the same, and the exit code is 130. With
    --checkpoint-every (or --resume, then every 10 minutes) the same command with --resume goes on from there, as it
    does after a crash, and ends with the same weights as if it had not stopped.

    MODEL is written before it is evaluated, and again with what was measured.
    """
    from dsae import store
    from dsae.data import open_rows

    parameters = settings(config, given)
    store.check_target(output)
    source = open_rows(data, **reading)
    if resume or checkpoint_every is not None:
        parameters |= _kept(output, checkpoint_every, resume)
    evaluated: dict[str, Any] = {}
    if test is not None:
        evaluated["test"] = _at_hand(other_rows(test, reading, source, "evaluate", "as many as DATA"))
    rows = _at_hand(source)
    runtime, seconds, interrupted = _fitted(rows, parameters)
    runtime.model.metrics["fit_seconds"] = plain(seconds)
    runtime.save(output)
    if "checkpoint" in parameters and not interrupted:
        shutil.rmtree(parameters["checkpoint"], ignore_errors=True)
    results = _measured(runtime, {"train": rows, **evaluated}, output)
    runtime.model.metrics.update(plain(results))
    runtime.save(output)
    model = runtime.model
    facts = {"model": output, "density": model.density, "nnz": model.nnz, "epochs": len(model.history)}
    show({**facts, "seconds": seconds, **results}, as_json)
    if interrupted:
        if "checkpoint" in parameters:
            click.echo("dsae: the same command with --resume goes on", err=True)
        raise click.Abort


def _kept(output: str, every: float | None, resume: bool) -> dict[str, Any]:
    """Parameters that make the estimator keep, or take up, checkpoints beside the model."""
    folder = Path(output).resolve()
    folder = folder.with_name(f"{folder.name}.checkpoint")
    if folder.exists() and not resume:
        raise ValueError(f"{folder} holds an unfinished run. Go on with --resume, or remove it to start anew.")
    if resume and not folder.exists():
        click.echo(f"dsae: there is no {folder} to resume; starting anew", err=True)
    return {"checkpoint": str(folder)} | ({} if every is None else {"checkpoint_every": every})


def _at_hand(source: StreamSource) -> Source:
    """The rows, in memory and found finite where they are few, with the names of their columns."""
    return source.load() if source.is_small else source


def _measured(runtime: Runtime, rows: dict[str, Any], output: str) -> dict[str, float]:
    """Errors on the rows of each name; where they cannot be had, it is said that the model is there all the same."""
    from dsae.metrics import evaluate

    try:
        return {
            f"{which}_{name}": value
            for which, some in rows.items()
            for name, value in evaluate(runtime, some, metrics=_KEPT).items()
        }
    except BaseException:
        click.echo(f"dsae: the model is in {output}; only its evaluation failed", err=True)
        raise


def _fitted(rows: Source, parameters: dict[str, Any]) -> tuple[Runtime, float, bool]:
    from dsae.estimators import DeepSparseAutoencoder

    dsa = DeepSparseAutoencoder(**parameters)
    dsa._keeps_checkpoint = True  # until the model is written
    with _heard() as heard:
        dsa.fit(rows)
    return dsa.runtime_, dsa.fit_time_, any("interrupted" in message for message in heard)


@contextlib.contextmanager
def _heard() -> Iterator[list[str]]:
    """Warnings, each shown when it comes and the same one once: a training may take hours, and fail."""
    heard: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        shown = warnings.showwarning

        def hear(message: Warning | str, *rest: Any, **more: Any) -> None:
            heard.append(str(message))
            shown(message, *rest, **more)

        warnings.showwarning = hear
        yield heard
