"""Commands that use a trained model; none of them needs torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from dsae.cli._beside import target_of, target_option
from dsae.cli._files import file_options, source_for
from dsae.cli._options import OneOf
from dsae.cli._output import progress, show, show_table, text, watched
from dsae.cli._several import encode_several, evaluate_several, on_error_option, refuse_on_error
from dsae.cli._translate import translate_several
from dsae.config import WRITTEN

if TYPE_CHECKING:
    from dsae.data import StreamSource
    from dsae.runtime import Runtime


def _transformation(command: Any) -> Any:
    for decorate in (
        file_options,
        click.option("--format", "kind", type=OneOf(WRITTEN), help="Of what is written."),
        click.option(
            "-o",
            "--output",
            default="-",
            metavar="FILE",
            help='File to write, or a folder for files of the format of DATA; by default "-", csv to stdout.',
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
@click.option("--cluster", metavar="ADDRESS", help="Dask scheduler whose workers take a file each: tcp://host:8786.")
@click.option("--processes", type=click.IntRange(1), help="The same by so many processes of this machine.")
@on_error_option
def encode(
    model: str,
    data: str,
    output: str,
    kind: str | None,
    reading: dict[str, Any],
    k: int | None,
    sparse: bool,
    cluster: str | None,
    processes: int | None,
    on_error: str | None,
) -> None:
    """Codes of the rows in DATA, a file or a folder of files."""
    runtime = load_model(model, several=True)
    spread = {name: value for name, value in (("cluster", cluster), ("processes", processes)) if value is not None}
    if is_joint(runtime):
        if k is not None or sparse or spread:
            raise ValueError("--k, --sparse, --cluster and --processes are for models of one modality; leave them out.")
        encode_several(runtime, data, output, kind, reading, on_error)
        return
    refuse_on_error(on_error)
    if spread:
        _encode_spread(runtime, data, output, {"k": k, "format": kind, "sparse": sparse, **spread, **reading})
        return
    names = [f"dsa{i}" for i in range(runtime.config.n_components)]

    def codes(rows: Any) -> Any:
        return runtime.encode(rows, k=k, sparse_output=sparse)

    source = source_for(runtime, "encode", data, reading)
    transform(source, codes, names, output, kind, sparse, beside=not sparse)


def _encode_spread(runtime: Runtime, data: str, output: str, how: dict[str, Any]) -> None:
    """Encode files by several processes, and say how much that was."""
    from dsae.cluster import encode_files

    with progress("encode") as told:
        done = encode_files(runtime, data, output, told=told, **how)
    files = f"{len(done.files):,} file{'s' * (len(done.files) != 1)}"
    click.echo(f"dsae: {files}, {done.n_rows:,} rows in {done.seconds:.1f} s; workers: {done.n_workers}", err=True)


@_transformation
def decode(model: str, data: str, output: str, kind: str | None, reading: dict[str, Any]) -> None:
    """Rows from the codes in DATA."""
    from dsae.data import CODES, check_source, open_rows

    runtime, names = load_model(model), reading.pop("feature_names", None)  # of what is made, not of the codes
    source = open_rows(data, **reading)
    placed = {"layer", "obsm", "raw"} & set(reading)
    if source.format == "h5ad" and not placed and source.n_features != runtime.config.n_components:
        source = open_rows(data, obsm=CODES, **reading)  # written by encode into a copy of its data
    check_source("decode", source, runtime.config.n_components, what="the code's width")
    transform_back(runtime, source, runtime.decode, output, kind, names=output_names(runtime, given=names))


@_transformation
def reconstruct(model: str, data: str, output: str, kind: str | None, reading: dict[str, Any]) -> None:
    """The rows in DATA, encoded and decoded."""
    runtime = load_model(model)
    source = source_for(runtime, "reconstruct", data, reading)
    names = output_names(runtime, source)
    transform_back(runtime, source, runtime.reconstruct, output, kind, names=names)


@_transformation
def impute(model: str, data: str, output: str, kind: str | None, reading: dict[str, Any]) -> None:
    """The rows in DATA with guesses in place of empty cells and NaN; MODEL must be fitted with --missing mask.

    What is known is written as the same number.
    """
    runtime = load_model(model)
    if runtime.missing != "mask":
        raise ValueError(
            f'[impute] The model must have missing="mask"; {model} has missing={runtime.missing!r}. Fit it again with '
            "--missing mask."
        )
    source = source_for(runtime, "impute", data, reading)
    is_table = runtime.model.table is not None
    sparse = not is_table and stays_sparse(source, output, kind)
    n_rows = 0

    def whole(rows: Any) -> Any:
        nonlocal n_rows
        guessed = runtime.impute(rows, first_row=n_rows)
        n_rows += rows.shape[0]
        return guessed if sparse or not hasattr(guessed, "toarray") else guessed.toarray()

    if is_table:
        transform_back(runtime, source, whole, output, kind, keep_known=True, names=())
        return
    transform(source, whole, feature_names(runtime, source), output, kind, sparse, exact=True)


@_transformation
def denoise(model: str, data: str, output: str, kind: str | None, reading: dict[str, Any]) -> None:
    """Clean rows from the noisy ones in DATA; MODEL must be fitted with --noise or --mask."""
    runtime = load_model(model)
    source = source_for(runtime, "denoise", data, reading)
    names = output_names(runtime, source)
    transform_back(runtime, source, runtime.denoise, output, kind, names=names)


@click.command()
@click.argument("model")
@click.argument("data")
@click.option(
    "--labels",
    metavar="FILE",
    help="A label for each row, .npy or a line each: adds the error of each label, and how well codes tell labels.",
)
@click.option("--generation", is_flag=True, help="Also compare rows that MODEL makes with those in DATA.")
@click.option("--train", metavar="FILE", help="Rows that MODEL was fitted to, for the novelty of what it makes.")
@target_option
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@on_error_option
@file_options
def evaluate(
    model: str,
    data: str,
    labels: str | None,
    generation: bool,
    train: str | None,
    target: str | None,
    as_json: bool,
    on_error: str | None,
    reading: dict[str, Any],
) -> None:
    """How well MODEL reconstructs DATA, as a whole and by label where there are labels, and what it costs."""
    from dsae import metrics
    from dsae.cli._sample import generated, probed, read_labels
    from dsae.data import with_beside

    runtime = load_model(model, several=True)
    if is_joint(runtime):
        if target or labels or generation or train:
            raise ValueError(
                "--target, --labels, --generation and --train are for models of one table; this one has several "
                "modalities. Leave them out."
            )
        evaluate_several(runtime, data, as_json, reading, on_error)
        return
    refuse_on_error(on_error)
    if train is not None and not generation:
        raise ValueError("[evaluate] --train is for --generation; give both, or neither.")
    rows = source_for(runtime, "evaluate", data, reading)
    source: Any = rows if target is None else with_beside("evaluate", rows, target_of(rows, target, reading))
    given = None if labels is None else read_labels(labels)
    labelled = rows.reader.label_name is not None if given is None else given
    with progress("evaluate"):
        facts = metrics.evaluate(runtime, source, timed=True, by_label=labelled)
        if given is not None:
            facts |= probed(runtime, rows, given)
        if generation:
            facts |= generated(runtime, rows, train, reading)
    if as_json:
        show(facts, as_json)
        return
    by_label = facts.pop("by_label", None)
    show(facts, as_json)
    if by_label:
        click.echo()
        named = [(label if isinstance(label, int) else text(label), errors) for label, errors in by_label.items()]
        show_table([{"label": label, **errors} for label, errors in named], as_json)


@_transformation
@click.option("--to", required=True, metavar="NAME", help="Modality to make.")
@on_error_option
def translate(
    model: str, data: str, output: str, kind: str | None, reading: dict[str, Any], to: str, on_error: str | None
) -> None:
    """Another modality of what is in DATA: prepared rows, a picture, a sound, a text, or a folder of them.

    MODEL has several modalities. What is made are files or a table where the modality has an encoder (-o names a file,
    or a folder for several files), else rows.
    """
    runtime = load_model(model, several=True)
    if not is_joint(runtime):
        raise ValueError(f"{model} must have several modalities; it has one. Use dsae reconstruct.")
    translate_several(runtime, data, to, output, kind, reading, on_error)


def load_model(model: str, several: bool = False) -> Any:
    """`dsae.load`, imported when needed; of several modalities only where a command takes them.

    Raises
    ------
    ValueError
        If the model has several, and the command takes one.
    """
    from dsae.runtime import load

    runtime = load(model)
    if is_joint(runtime) and not several:
        first = runtime.names[0]
        raise ValueError(
            f"{model} holds a model of several modalities, for dsae encode, translate, sample, interpolate, evaluate, "
            f"report and info; other commands take one of its subfolders, such as {model}/{first}."
        )
    return runtime


def is_joint(runtime: Any) -> bool:
    """Whether a model has several modalities."""
    from dsae.runtime import JointRuntime

    return isinstance(runtime, JointRuntime)


def feature_names(
    runtime: Runtime, source: StreamSource | None = None, given: Sequence[str] | None = None
) -> list[str]:
    """Names of the model's features, of the rows' columns, or ``x0, x1`` and so on; ``given`` ones come first.

    Raises
    ------
    ValueError
        If others are given than the model has features.
    """
    n_features, model = runtime.config.n_features, runtime.model
    if given is not None and len(given) != n_features:
        raise ValueError(f"--feature-names must hold {n_features} names, one per feature; got {len(given)}.")
    own = None if source is None else source.column_names
    return list(given or model.feature_names or own or [f"x{i}" for i in range(n_features)])


def output_names(runtime: Runtime, source: StreamSource | None = None, given: Sequence[str] | None = None) -> list[str]:
    """Names of the columns of a reconstruction: `feature_names`, but of a target that has other columns."""
    config, model = runtime.config, runtime.model
    if config.n_outputs is None and model.target_names is None:
        return feature_names(runtime, source, given)
    return list(model.output_names or [f"y{i}" for i in range(config.output_width)])


def transform_back(
    runtime: Runtime,
    source: StreamSource,
    verb: Callable[[Any], Any],
    output: str,
    kind: str | None = None,
    keep_known: bool = False,
    *,
    names: Sequence[str],
) -> None:
    """Write ``verb(rows)``, which are rows of the model's features: as such, or as the table that they mean.

    A table has the columns of the one that it was made of, in their order; with ``keep_known`` also its values, and
    only those that are missing there come from ``verb``.
    """
    if runtime.model.table is None:
        transform(source, verb, names, output, kind)
        return
    import numpy as np

    from dsae.data import targets, write_table
    from dsae.features import restored

    for part, target in targets(source, output, kind):
        chunks = list(part.chunks())
        rows = np.concatenate([verb(chunk.rows) for chunk in chunks])
        beside = getattr(part.reader, "table", None)
        made = restored(runtime.model.table, rows, beside, keep_known)
        ids = [chunk.ids for chunk in chunks if chunk.ids is not None]
        if beside is None and ids:  # of codes
            made = made.add_column(0, part.id_name or "", [[*np.concatenate(ids)]])
        write_table(target, made, kind)


def transform(
    source: StreamSource,
    verb: Callable[[Any], Any],
    names: Sequence[str],
    output: str,
    kind: str | None = None,
    sparse: bool = False,
    beside: bool = False,
    exact: bool = False,
) -> None:
    """Write ``verb(rows)`` in chunks, with row ids: to one file, or to one file per file of a folder.

    With ``beside``, what is made of an ``.h5ad`` and goes to one is written into ``obsm`` of a copy. With ``exact``,
    rows come in the precision of their file.

    Raises
    ------
    ValueError
        If the output folder is where the data are.
    """
    from dsae.data import copied, targets, writing

    for part, target in targets(source, output, kind):
        like = copied(part, target, kind) if beside else None
        with writing(target, len(part), names, part.id_name, kind, sparse, like) as writer:
            for chunk in watched("rows", part, output).chunks(exact):
                writer.write(verb(chunk.rows), chunk.ids)


def stays_sparse(source: StreamSource, output: str, kind: str | None = None) -> bool:
    """Whether rows come as CSR and go to files that can hold it."""
    from dsae.data import targets

    first = next(source.reader.chunks(ids=False, missing=source.missing)).rows
    files = [kind or str(path).lower() for _, path in targets(source, output, kind)]
    return hasattr(first, "toarray") and all(file.endswith("npz") for file in files)
