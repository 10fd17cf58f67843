"""What commands do with models of several modalities."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsae.cli._options import OneOf
from dsae.cli._output import columns, progress, show, telling, text, watched
from dsae.config import plain

if TYPE_CHECKING:
    from dsae.data import JointSource
    from dsae.runtime import JointRuntime


def _pairs(number: bool) -> Any:
    def convert(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, Any] | None:
        if value is None:
            return None
        pairs = [part.partition("=") for part in value.split(",")]
        try:
            return {name.strip(): float(given) if number else given.strip() for name, _, given in pairs}
        except ValueError:
            raise click.BadParameter(f"must be NAME=NUMBER between commas; got {value!r}.", ctx, param) from None

    return convert


_OPTIONS = (
    click.option(
        "--modality-dropout",
        type=click.FloatRange(0, 1),
        help="Of several modalities, share of the rows that a step encodes from a part of them.  [default: 0.9]",
    ),
    click.option(
        "--modality-losses", metavar="NAME=LOSS,...", callback=_pairs(False), help="Losses of single modalities."
    ),
    click.option(
        "--modality-weights", metavar="NAME=NUMBER,...", callback=_pairs(True), help="How much each loss counts."
    ),
)
on_error_option = click.option(
    "--on-error",
    type=OneOf(("raise", "missing", "skip")),
    help="Of pictures, sounds and texts that cannot be read: an error, the cell is missing, or the row is left out.  "
    "[default: raise]",
)
_ONE_CLASS = "dsae: coherence is left out; it needs labels of two classes or more"
_VALUES_AT_ONCE = 1 << 24  # of a modality, 64 MB
NAMES = ("modality_dropout", "modality_losses", "modality_weights")


def several_options(command: Any) -> Any:
    """Add the options of models of several modalities to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def refuse_several(several: Mapping[str, Any]) -> None:
    """Refuse options of several modalities where there is one."""
    for name, value in several.items():
        if value is not None:
            raise ValueError(f"--{name.replace('_', '-')} is for rows of several modalities, as dsae prepare writes.")


def refuse_on_error(on_error: str | None) -> None:
    """Refuse ``--on-error`` where rows of one table are read."""
    if on_error is not None:
        raise ValueError("--on-error is for the files of models of several modalities; leave it out.")


def estimator_of(parameters: Mapping[str, Any], several: Mapping[str, Any]) -> Any:
    """A `MultimodalAutoencoder` with the parameters that a command was given.

    Raises
    ------
    ValueError
        If one of them is for models of one modality alone.
    """
    from dsae.estimators import MultimodalAutoencoder

    known = MultimodalAutoencoder().get_params(deep=False)
    given = dict(parameters)
    for name in given:
        if name not in known:
            raise ValueError(f"--{name.replace('_', '-')} is for models of one modality; leave it out.")
    own = {"modality_dropout": several["modality_dropout"], "weights": several["modality_weights"]}
    given |= {name: value for name, value in own.items() if value is not None}
    if several["modality_losses"] is not None:
        given["loss"] = several["modality_losses"]
    return MultimodalAutoencoder(**given)


def fit_several(
    source: Any,
    others: Mapping[str, Any],
    output: str,
    parameters: dict[str, Any],
    several: Mapping[str, Any],
    as_json: bool,
    sampler: str | None = None,
    rank: int = 0,
) -> None:
    """Train on prepared rows, write the model, evaluate it, and write it again with the results and a sampler."""
    checkpoints = None
    if "checkpoint" in parameters:
        from dsae.train import Checkpoints  # kept until the model is written

        checkpoints = Checkpoints(parameters["checkpoint"], parameters.pop("checkpoint_every", 10.0))
        parameters["checkpoint"] = checkpoints
    mm = estimator_of(parameters, several)
    mm.fit(source, validation=others.get("validation"))
    if rank:  # rank 0 writes
        return
    mm.save(output)  # evaluation may fail, or be interrupted
    if checkpoints is not None and not mm.interrupted_:
        checkpoints.remove()
    if sampler is not None and not mm.interrupted_:
        with progress("sampler") as told:
            mm.fit_sampler(source, sampler, progress=told)
        click.echo(f"dsae: {mm.sampler_!r}", err=True)
    found = {}
    try:
        for which, rows in {"train": source, **others}.items():
            found[f"{which}_score"] = mm.score(watched("evaluate", mm.runtime_.source("score", rows)))
    except BaseException:
        click.echo(f"dsae: the model is in {output}; only its evaluation failed", err=True)
        raise
    mm.runtime_.model.metrics.update(plain(found))
    mm.save(output)
    facts = {"model": output, "density": mm.density_, "nnz": mm.nnz_, "epochs": mm.n_iter_}
    losses = {f"loss_{name}": value for name, value in mm.history_[-1]["losses"].items()}
    show({**facts, "seconds": mm.fit_time_, **losses, **found}, as_json)
    if mm.interrupted_:
        if checkpoints is not None:
            click.echo("dsae: continue with the same command and --resume", err=True)
        raise click.Abort


def rows_for(
    runtime: JointRuntime, verb: str, path: str, reading: Mapping[str, Any], on_error: str | None = None
) -> JointSource:
    """Rows that `dsae prepare` has written, or pictures, sounds and texts that the model has encoders for.

    Raises
    ------
    ValueError
        If ``path`` is neither, or a file cannot be read.
    """
    from dsae.features import is_raw

    if runtime.model.encoders and is_raw(path):
        return runtime.source(verb, _raw(runtime, verb, path, reading, on_error or "raise"))
    if on_error is not None:
        raise ValueError(f"--on-error is for pictures, sounds and texts; {path} holds rows. Leave it out.")
    return runtime.source(verb, _opened(path, reading))


def at_once(runtime: JointRuntime) -> int:
    """Rows of a batch: fewer where a modality is wide."""
    return max(1, min(4096, _VALUES_AT_ONCE // max(of.n_features for of in runtime.config.modalities.values())))


def _raw(runtime: JointRuntime, verb: str, path: str, reading: Mapping[str, Any], on_error: str) -> JointSource:
    from dsae.features import read_raw

    taken = {"id_column", "label_column", "exclude"}
    others = sorted(set(reading) - taken)
    if others:
        raise ValueError(f"--{others[0].replace('_', '-')} is for rows of numbers; {path} holds files. Leave it out.")
    with progress("read") as told:
        made = read_raw(verb, path, runtime.encoders, on_error=on_error, progress=told, **reading)
    for line in (*made.problems, *made.notes):
        click.echo(f"dsae: {line}", err=True)
    if made.problems or made.n_dropped:
        counts = f"{len(made.problems)} files could not be read; {made.n_dropped} rows are left out"
        click.echo(f"dsae: {counts}", err=True)
    return made.source()


def _opened(path: str, reading: Mapping[str, Any]) -> Any:
    from dsae.data import gives_parts, open_rows

    source = open_rows(path, **reading)
    if not gives_parts(source):
        raise ValueError(
            f"{path} must hold several modalities, as dsae prepare writes them, or pictures, sounds and texts; it "
            "holds plain rows."
        )
    return source


def encode_several(
    runtime: JointRuntime,
    path: str,
    output: str,
    kind: str | None,
    reading: dict[str, Any],
    on_error: str | None = None,
) -> None:
    """Write joint codes, with the ids of the rows."""
    from dsae.data import writing

    source = rows_for(runtime, "encode", path, reading, on_error)
    names = [f"dsa{i}" for i in range(runtime.config.n_components)]
    first = next(iter(source.batches(1)))
    with writing(output, len(source), names, None if first.ids is None else "id", kind) as writer:
        for batch in watched("encode", source, output).batches(at_once(runtime)):
            writer.write(runtime.join(runtime.latents(batch.parts), batch.present or {}), batch.ids)


def evaluate_several(
    runtime: JointRuntime, path: str, as_json: bool, reading: dict[str, Any], on_error: str | None = None
) -> None:
    """Errors of every modality from every set of them; with labels, also how often what is made is of the class."""
    from dsae.metrics import fvu_table

    source = rows_for(runtime, "evaluate", path, reading, on_error)
    table = fvu_table(runtime, watched("evaluate", source))
    model = runtime.model
    facts: dict[str, Any] = {"n_samples": len(source), "density": model.density, "nnz": model.nnz, "fvu": table}
    facts |= _coherence(runtime, source)
    if as_json:
        show(facts, as_json)
        return
    show({name: value for name, value in facts.items() if not isinstance(value, dict)}, as_json)
    for title in ("fvu", "coherence"):
        if title in facts:
            click.echo(f"\n{matrix(title, facts[title])}")


def matrix(title: str, table: Mapping[str, Mapping[str, float]]) -> str:
    """What was made from what, in aligned columns."""
    made = list(next(iter(table.values())))
    lines = [[title, *(f"> {name}" for name in made)]]
    return columns(lines + [[given, *(text(row.get(to, float("nan"))) for to in made)] for given, row in table.items()])


def report_several(
    runtime: JointRuntime, path: str, output: str, reading: dict[str, Any], on_error: str | None = None
) -> None:
    """Write a page about a model and what it makes of rows."""
    from dsae.report import write_joint_report

    source = rows_for(runtime, "report", path, reading, on_error)
    judged = _coherence(runtime, source).get("coherence")
    write_joint_report(output, runtime, watched("report", source), coherence=judged)
    click.echo(f"report: {output}", err=True)


def compare_several(
    source: Any, test: Any, folder: Path, parameters: dict[str, Any], several: Mapping[str, Any], as_json: bool
) -> None:
    """Fit a model and its baselines; write the model, the figures and a report."""
    from rich.console import Console

    from dsae.comparison import compare_joint
    from dsae.report import write_joint_report

    given: dict[str, Any] = estimator_of(parameters, several).get_params(deep=False)
    if test is None:
        source, test = source.split(0.2, int(given["random_state"] or 0))
    labels, seen = _labels(test), _labels(source)
    if labels is not None and min(_n_classes(labels), _n_classes(labels if seen is None else seen)) < 2:
        click.echo(_ONE_CLASS, err=True)
        labels = seen = None
    compared = compare_joint(source, test, labels, y=seen, **given)
    runtime = compared.models["DSA"]
    runtime.save(folder / "model")
    (folder / "comparison.json").write_text(compared.to_json() + "\n", encoding="utf-8")
    page = folder / "report.html"
    write_joint_report(page, runtime, watched("report", runtime.source("compare", test)), comparison=compared)
    if as_json:
        click.echo(compared.to_json())
    else:
        Console(width=None if sys.stdout.isatty() else 110).print(compared.to_table())
    click.echo(f"report: {page}", err=True)


def _labels(source: Any) -> Any:
    """Classes of all rows, None where a row has none, or None where no row has one."""
    import numpy as np

    found = [batch.labels for batch in source.batches(4096)]
    if any(some is None for some in found):
        return None
    labels = np.concatenate([np.asarray(some, object) for some in found])
    labels[[label is None or label != label for label in labels]] = None
    return None if all(label is None for label in labels) else labels


def _n_classes(labels: Any) -> int:
    return len({label for label in labels if label is not None})


def _coherence(runtime: JointRuntime, source: Any) -> dict[str, Any]:
    """How often what is made is of the class, over the rows that have one; a line says why where it cannot be told."""
    from dsae.estimators import MultimodalAutoencoder

    labels = _labels(source)
    if labels is None:
        return {}
    n_unlabelled = sum(label is None for label in labels)
    facts: dict[str, Any] = {"n_unlabelled": n_unlabelled} if n_unlabelled else {}
    if _n_classes(labels) < 2:
        click.echo(_ONE_CLASS, err=True)
        return facts
    try:
        with progress("coherence") as told:
            facts["coherence"] = MultimodalAutoencoder.of(runtime.model).coherence(telling(told, source), labels)
    except ValueError as error:  # the errors of reconstruction are known by then
        click.echo(f"dsae: coherence is left out: {error}", err=True)
    return facts
