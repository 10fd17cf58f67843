"""Commands that write models for other libraries, and read theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dsae.cli._encode import load_model
from dsae.cli._files import file_options, source_for
from dsae.cli._options import OneOf
from dsae.cli._output import show, watched

if TYPE_CHECKING:
    import numpy as np

    from dsae.runtime import Runtime

# As in dsae.interop.FORMATS, which imports numpy: help appears at once.
_WRITTEN = ("saelens", "sparsify", "onnx", "dense")
_PARTS = ("all", "encoder", "decoder")
_READ = ("saelens", "sparsify", "dictionary_learning", "sentence_transformers")


@click.command()
@click.argument("model")
@click.option("--to", "kind", type=OneOf(_WRITTEN), required=True, help="Format of the folder.")
@click.option("-o", "--output", required=True, metavar="FOLDER", help="Folder to write.")
@click.option(
    "--metadata",
    multiple=True,
    metavar="KEY=VALUE",
    help="Of saelens, such as model_name=gpt2 or hook_name=blocks.5.hook_resid_post; as often as needed.",
)
@click.option("--rows", metavar="DATA", help="Of saelens: rows on which it is counted how often each latent fires.")
@click.option("--part", type=OneOf(_PARTS), help="Of onnx: rows to codes and back, or half of that.")
@click.option("--every-weight", is_flag=True, help="Of onnx: no sparse initializers, for runtimes without them.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable figures on stdout.")
@file_options
def export(
    model: str,
    kind: str,
    output: str,
    metadata: tuple[str, ...],
    rows: str | None,
    part: str | None,
    every_weight: bool,
    as_json: bool,
    reading: dict[str, Any],
) -> None:
    """Write MODEL as a folder of another library.

    What the format cannot say is refused by name.
    """
    from dsae import interop

    runtime = load_model(model)
    options: dict[str, Any] = {"metadata": _pairs(metadata)} if metadata else {}
    options |= {} if part is None else {"part": part}
    options |= {"sparse": False} if every_weight else {}
    if rows is not None:
        options["rates"] = _rates(runtime, rows, reading)
    elif reading:
        raise ValueError(f"--{next(iter(reading)).replace('_', '-')} says how --rows are read; name them.")
    folder = interop.save(runtime, output, kind, **options)
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    show({"format": kind, **sizes}, as_json, as_named=sizes)


@click.command("import")
@click.argument("folder")
@click.option("-o", "--output", required=True, metavar="MODEL", help="Model folder to write.")
@click.option("--from", "kind", type=OneOf(_READ), help="Format of FOLDER; by default it is recognised.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable figures on stdout.")
def import_(folder: str, output: str, kind: str | None, as_json: bool) -> None:
    """Write the model in FOLDER, which another library has saved, as a model folder of dsae."""
    from dsae import interop, store

    store.check_target(output)
    runtime = interop.load(folder, kind)
    runtime.save(output)
    facts = {
        "format": runtime.model.training["imported"]["format"],
        "features": runtime.config.n_features,
        "latents": runtime.config.n_components,
        "code": runtime.config.code_activation,
        "k": runtime.config.k,
        "density": runtime.model.density,
    }
    show(facts, as_json)


def _pairs(given: tuple[str, ...]) -> dict[str, Any]:
    """Keys and values, those that look like JSON as what they are."""
    import json

    pairs = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise ValueError(f"--metadata must be KEY=VALUE, such as model_name=gpt2; got {pair!r}.")
        try:
            pairs[key] = json.loads(value)
        except ValueError:
            pairs[key] = value
    return pairs


def _rates(runtime: Runtime, data: str, reading: dict[str, Any]) -> np.ndarray:
    """Share of the rows in which each latent fires."""
    import numpy as np

    fired, n_rows = np.zeros(runtime.config.n_components), 0
    for batch in watched("count", source_for(runtime, "export", data, reading)).batches(4096):
        fired += runtime.encode(batch.rows, sparse_output=True).getnnz(axis=0)
        n_rows += batch.n_rows
    if not n_rows:
        raise ValueError(f"[export] {data} has no rows.")
    return fired / n_rows
