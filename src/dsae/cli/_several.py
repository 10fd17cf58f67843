"""What commands do with models of several modalities."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsae.cli._output import columns, show, text
from dsae.config import did_you_mean, plain

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
        help="Of several modalities, share of the rows that a step encodes from a part of them.  [default: 0.5]",
    ),
    click.option(
        "--modality-losses", metavar="NAME=LOSS,...", callback=_pairs(False), help="Losses of single modalities."
    ),
    click.option(
        "--modality-weights", metavar="NAME=NUMBER,...", callback=_pairs(True), help="How much each loss counts."
    ),
)
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
) -> None:
    """Train on prepared rows, write the model, evaluate it, and write it again with the results."""
    checkpoints = None
    if "checkpoint" in parameters:
        from dsae.train import Checkpoints  # kept until the model is written

        checkpoints = Checkpoints(parameters["checkpoint"], parameters.pop("checkpoint_every", 10.0))
        parameters["checkpoint"] = checkpoints
    mm = estimator_of(parameters, several)
    mm.fit(source, validation=others.get("validation"))
    mm.save(output)  # evaluation may fail, or be interrupted
    if checkpoints is not None and not mm.interrupted_:
        checkpoints.remove()
    found = {}
    try:
        for which, rows in {"train": source, **others}.items():
            found[f"{which}_score"] = mm.score(rows)
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


def rows_for(runtime: JointRuntime, verb: str, path: str, reading: Mapping[str, Any]) -> JointSource:
    """Rows that `dsae prepare` has written, or files of one modality that the model has an encoder for.

    Raises
    ------
    ValueError
        If ``path`` is neither.
    """
    return runtime.source(verb, dict(_items(runtime, verb, path)) or _opened(path, reading))


def _opened(path: str, reading: Mapping[str, Any]) -> Any:
    from dsae.data import gives_parts, open_rows

    source = open_rows(path, **reading)
    if not gives_parts(source):
        raise ValueError(
            f"{path} must hold several modalities, as dsae prepare writes them, or be a picture, a sound or a text; it "
            "holds plain rows."
        )
    return source


_ENDINGS = {
    "image": (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff"),
    "audio": (".wav", ".flac", ".ogg", ".mp3"),
    "text": (".txt",),
}


def _items(runtime: JointRuntime, verb: str, path: str) -> Iterator[tuple[str, list[Any]]]:
    """The modality of a file, or of a folder of such files, with what its encoder takes."""
    files = sorted(Path(path).iterdir()) if Path(path).is_dir() else [Path(path)]
    kinds = {kind for file in files for kind, endings in _ENDINGS.items() if file.suffix.lower() in endings}
    if not kinds:
        return
    if len(kinds) > 1:
        raise ValueError(f"{path} holds files of {' and '.join(sorted(kinds))}; make rows of them with dsae prepare.")
    (kind,) = kinds
    named = [name for name, encoder in runtime.encoders.items() if getattr(encoder, "kind", None) == kind]
    if len(named) != 1:
        raise ValueError(f"[{verb}] The model must have one modality of {kind}s to take {path}; it has {len(named)}.")
    chosen = [file for file in files if file.suffix.lower() in _ENDINGS[kind]]
    yield named[0], [file if kind == "text" else str(file) for file in chosen]


def stems_of(path: str, n: int) -> list[str]:
    """Names of ``n`` files that are made of those at ``path``."""
    if Path(path).is_dir():
        endings = {ending for kind in _ENDINGS.values() for ending in kind}
        files = [file.stem for file in sorted(Path(path).iterdir()) if file.suffix.lower() in endings]
        if len(files) == n:
            return files
    return [Path(path).stem] if n == 1 else [f"{i:0{len(str(n - 1))}}" for i in range(n)]


def encode_several(runtime: JointRuntime, path: str, output: str, kind: str | None, reading: dict[str, Any]) -> None:
    """Write joint codes, with the ids of the rows."""
    from dsae.data import writing

    source = rows_for(runtime, "encode", path, reading)
    names = [f"dsa{i}" for i in range(runtime.config.n_components)]
    first = next(iter(source.batches(1)))
    with writing(output, len(source), names, None if first.ids is None else "id", kind) as writer:
        for batch in source.batches(4096):
            writer.write(runtime.join(runtime.latents(batch.parts), batch.present or {}), batch.ids)


def evaluate_several(runtime: JointRuntime, path: str, as_json: bool, reading: dict[str, Any]) -> None:
    """Errors of every modality from every set of them; with labels, also how often what is made is of the class."""
    from dsae.metrics import fvu_table

    source = rows_for(runtime, "evaluate", path, reading)
    table = fvu_table(runtime, source)
    model = runtime.model
    facts: dict[str, Any] = {"n_samples": len(source), "density": model.density, "nnz": model.nnz, "fvu": table}
    labels = _labels(source)
    if labels is not None:
        from dsae.estimators import MultimodalAutoencoder

        facts["coherence"] = MultimodalAutoencoder.of(model).coherence(source, labels)
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


def translate_several(
    runtime: JointRuntime, path: str, to: str, output: str, kind: str | None, reading: dict[str, Any]
) -> None:
    """Write a modality made from others: files, where it has an encoder, else rows."""
    if to not in runtime.names:
        hint = did_you_mean(to, runtime.names) or f" Known: {', '.join(runtime.names)}."
        raise ValueError(f"--to must be a modality of the model; got {to!r}.{hint}")
    source = rows_for(runtime, "translate", path, reading)
    rows = runtime.decode(runtime.codes(source), to)
    encoder = runtime.encoders.get(to) if runtime.model.encoders else None
    if encoder is None or not hasattr(encoder, "to_bytes"):
        from dsae.data import write_rows

        names = runtime.modalities[to].model.feature_names or [f"x{i}" for i in range(rows.shape[1])]
        write_rows(output, rows, list(names), kind)
        return
    made = [encoder.to_bytes(value) for value in encoder.inverse_transform(rows)]
    if len(made) == 1 and not Path(output).is_dir() and output != "-":
        Path(output).write_bytes(made[0])
        return
    if output == "-":
        if len(made) > 1:
            raise ValueError(f"-o must be a folder for {len(made)} files.")
        sys.stdout.buffer.write(made[0])
        return
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    for stem, content in zip(stems_of(path, len(made)), made, strict=True):
        (folder / f"{stem}{encoder.suffix}").write_bytes(content)


def report_several(runtime: JointRuntime, path: str, output: str, reading: dict[str, Any]) -> None:
    """Write a page about a model and what it makes of rows."""
    from dsae.report import write_joint_report

    write_joint_report(output, runtime, rows_for(runtime, "report", path, reading))
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
    compared = compare_joint(source, test, _labels(test), **given)
    runtime = compared.models["DSA"]
    runtime.save(folder / "model")
    (folder / "comparison.json").write_text(compared.to_json() + "\n", encoding="utf-8")
    page = folder / "report.html"
    write_joint_report(page, runtime, runtime.source("compare", test), comparison=compared)
    if as_json:
        click.echo(compared.to_json())
    else:
        Console(width=None if sys.stdout.isatty() else 110).print(compared.to_table())
    click.echo(f"report: {page}", err=True)


def _labels(source: Any) -> Any:
    """Classes of all rows, where they have some."""
    import numpy as np

    found = [batch.labels for batch in source.batches(4096)]
    return None if any(some is None for some in found) else np.concatenate(found)
