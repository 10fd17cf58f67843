"""The command that trains."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsae.cli._beside import target_of, target_option, weight_option, weights_of
from dsae.cli._files import file_options, other_rows, table_option, training_rows
from dsae.cli._options import OneOf, fit_options, settings
from dsae.cli._output import progress, show
from dsae.cli._processes import process_options, rank_of, restarted, start
from dsae.cli._sample import KINDS, check_sampler, with_sampler
from dsae.cli._several import NAMES as SEVERAL
from dsae.cli._several import fit_several, refuse_several, several_options
from dsae.config import plain

if TYPE_CHECKING:
    from dsae.data import Source, StreamSource
    from dsae.estimators import DeepSparseAutoencoder
    from dsae.runtime import Runtime

_KEPT = ("mse", "fvu")  # metrics saved with the model
INTERRUPTED = 130  # as a shell has it


@click.command()
@click.argument("data")
@click.option("-o", "--output", required=True, metavar="MODEL", help="Model folder to write.")
@click.option("--test", metavar="FILE", help="Rows to evaluate the model on.")
@click.option(
    "--validation",
    metavar="FILE",
    help="Rows to stop early on, in place of a random share of DATA: of other groups, or of a later time.",
)
@target_option
@weight_option
@click.option("--sampler", type=OneOf(KINDS), help="Also learn to make new rows, for dsae sample.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable summary.")
@table_option
@file_options
@click.option(
    "--checkpoint-every",
    type=click.FloatRange(0),
    metavar="MINUTES",
    help="Write the state of the run to MODEL.checkpoint this often.",
)
@click.option("--resume", is_flag=True, help="Continue from MODEL.checkpoint, with the same data and parameters.")
@several_options
@process_options
@fit_options
def fit(
    data: str,
    output: str,
    test: str | None,
    validation: str | None,
    target: str | None,
    sample_weight: str | None,
    sampler: str | None,
    as_json: bool,
    table: bool,
    reading: dict[str, Any],
    checkpoint_every: float | None,
    resume: bool,
    distributed: bool,
    processes: int | None,
    config: str | None,
    **given: Any,
) -> int | None:
    """Train a deep sparse autoencoder on the rows in DATA, a file or a folder of files.

    Of rows of several modalities, as dsae prepare writes them, MODEL has one code (MultimodalAutoencoder).

    Up to 256 MiB of float32 are read into memory; larger data are read again in every epoch, in chunks.

    With --table, classes and dates become numbers, columns of free text are left out, and what is made of MODEL is a
    table again.

    Ctrl-C ends the training early; the model so far is still written, and the exit code is 130. With
    --checkpoint-every (or --resume, which implies every 10 minutes), the same command with --resume continues from
    there, also after a crash, and ends with the same weights as an uninterrupted run.

    With --processes, as many of them train together; on several machines start them by torchrun with --distributed.
    With checkpoints, they start again from the newest if one is lost.

    MODEL is written before it is evaluated, and again with the results.
    """
    if processes is not None and not distributed:
        return start(processes, data, resume or checkpoint_every is not None)
    rank = rank_of(distributed)
    if rank:  # what rank 0 warns of
        warnings.simplefilter("ignore")
    from dsae import store
    from dsae.data import gives_parts, with_beside
    from dsae.runtime import Runtime

    several = {name: given.pop(name) for name in SEVERAL}
    parameters = settings(config, given)
    if target is not None:
        _check_alone(table, test, validation)
    weights = None if sample_weight is None else weights_of(sample_weight, data, reading)
    check_sampler(sampler, parameters)
    source, schema = training_rows(data, reading, table, parameters)
    joint = gives_parts(source)
    if not rank:
        # What is in the way must not cost a training. Only rank 0 looks, since that makes the folder for a moment.
        (store.check_joint_target if joint else store.check_target)(output)
    if resume or checkpoint_every is not None:
        parameters |= _kept(output, checkpoint_every, resume or restarted(), rank)
    if distributed:
        parameters |= {"distributed": True, "verbose": 0 if rank else parameters["verbose"]}
    if joint:
        if target is not None or weights is not None:
            raise ValueError("--target and --sample-weight are for rows of one table; DATA has several modalities.")
        files = {"test": test, "validation": validation}
        opened = {name: training_rows(file, reading, False, {})[0] for name, file in files.items() if file is not None}
        fit_several(source, opened, output, parameters, several, as_json, sampler, rank)
        return None
    refuse_several(several)
    # before training, so that a bad file of test rows costs no model
    others = {
        name: _at_hand(other_rows(file, reading, source, "evaluate", "as many as DATA", schema))
        for name, file in (("test", test), ("validation", validation))
        if file is not None
    }
    rows = _at_hand(source)
    aim = None if target is None else target_of(rows, target, reading)
    dsa = _fitted(rows, others.get("validation"), parameters, {"target": aim, "sample_weight": weights})
    seconds, interrupted = dsa.fit_time_, dsa.interrupted_
    if rank:
        return INTERRUPTED if interrupted else None
    runtime = Runtime(replace(dsa.runtime_.model, table=schema))
    runtime.model.metrics["fit_seconds"] = plain(seconds)
    runtime.save(output)  # evaluation may fail, or be interrupted
    if dsa.checkpoint is not None and not interrupted:  # not before the model is on disk
        dsa.checkpoint.remove()
    if sampler is not None and not interrupted:
        runtime = with_sampler(runtime, dsa, rows, sampler)
    results = _measured(runtime, {"train": with_beside("fit", rows, aim, weights), **others}, output)
    runtime.model.metrics.update(plain(results))
    runtime.save(output)
    model = runtime.model
    facts = {"model": output, "density": model.density, "nnz": model.nnz, "epochs": len(model.history)}
    show({**facts, "seconds": seconds, **results}, as_json)
    if interrupted:
        if "checkpoint" in parameters:
            click.echo("dsae: continue with the same command and --resume", err=True)
        raise click.Abort
    return None


def _check_alone(table: bool, test: str | None, validation: str | None) -> None:
    """Refuse what a target does not go with."""
    if table:
        raise ValueError("--target does not go with --table: encode the table with dsae.features.TableRows in Python.")
    for name, file in (("--test", test), ("--validation", validation)):
        if file is not None:
            raise ValueError(
                f"{name} does not go with --target: its rows would need one, too. Use dsae evaluate MODEL {file} "
                "--target FILE afterwards, or --early-stopping, which holds out rows of DATA."
            )


def _kept(output: str, every: float | None, resume: bool, rank: int) -> dict[str, Any]:
    """Parameters that make the estimator write checkpoints beside the model, or resume from them."""
    folder = Path(output).resolve()
    folder = folder.with_name(f"{folder.name}.checkpoint")
    if folder.exists() and not resume:
        raise ValueError(f"{folder} holds an unfinished run. Continue with --resume, or remove it to start again.")
    if resume and not rank and not folder.exists():
        click.echo(f"dsae: there is no {folder} to resume; starting from the beginning", err=True)
    return {"checkpoint": str(folder)} | ({} if every is None else {"checkpoint_every": every})


def _at_hand(source: StreamSource) -> Source:
    """The rows, in memory and checked if they are few, with their column names."""
    return source.load() if source.is_small else source


def _measured(runtime: Runtime, rows: dict[str, Any], output: str) -> dict[str, float]:
    """Errors on the rows of each name; if this fails, say that the model has been written all the same."""
    from dsae.metrics import evaluate

    try:
        with progress("evaluate"):
            return {
                f"{which}_{name}": value
                for which, some in rows.items()
                for name, value in evaluate(runtime, some, metrics=_KEPT).items()
            }
    except BaseException:
        click.echo(f"dsae: the model is in {output}; only its evaluation failed", err=True)
        raise


def _fitted(
    rows: Source, validation: Source | None, parameters: dict[str, Any], beside: dict[str, Any]
) -> DeepSparseAutoencoder:
    from dsae.estimators import DeepSparseAutoencoder

    if "checkpoint" in parameters:
        from dsae.train import Checkpoints  # kept until the model is written

        every = parameters.get("checkpoint_every", 10.0)
        parameters = {**parameters, "checkpoint": Checkpoints(parameters["checkpoint"], every)}
    return DeepSparseAutoencoder(**parameters).fit(rows, validation=validation, **beside)
