"""Commands that make rows which are in no file, and how good these are. None of them needs torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsae.cli._encode import is_joint, load_model, output_names
from dsae.cli._files import file_options, source_for
from dsae.cli._options import OneOf
from dsae.cli._output import progress
from dsae.cli._sample_several import check_made, codes_between, write_made
from dsae.cli._several import on_error_option, refuse_on_error
from dsae.config import ACTIVATIONS, WRITTEN

if TYPE_CHECKING:
    import numpy as np

    from dsae.data import StreamSource
    from dsae.estimators import DeepSparseAutoencoder
    from dsae.runtime import Runtime

KINDS = ("mixture", "neighbours")  # of dsae.sampling, which help must not import
_ROWS_AT_ONCE = 4096
_PROBED = 20_000  # rows: a logistic regression of 512 latents takes a minute
_COMPARED = 10_000  # rows of DATA, of what is made, and of those for the novelty

_output = click.option(
    "-o", "--output", default="-", metavar="FILE", help='File to write; by default "-", csv to stdout.'
)
_format = click.option("--format", "kind", type=OneOf(WRITTEN), help="Of what is written.")
_to = click.option("--to", metavar="NAME", help="Of several modalities, the one to make.  [default: all]")


@click.command()
@click.argument("model")
@click.option("-n", "--rows", "n_rows", default=10, show_default=True, type=int, help="How many.")
@click.option(
    "--temperature",
    default=1.0,
    show_default=True,
    type=float,
    help="In (0, 2]: below 1 safer and more alike, above 1 more varied than the data.",
)
@click.option("--random-state", type=int, help="Seed; without it, rows are others every time.")
@_to
@_output
@_format
def sample(
    model: str, n_rows: int, temperature: float, random_state: int | None, to: str | None, output: str, kind: str | None
) -> None:
    """New rows that are like those MODEL was fitted to, by the sampler that dsae fit --sampler has learned.

    Of several modalities -o names a folder, with one in it for each, or --to says which to make.
    """
    runtime = load_model(model, several=True)
    check_made(runtime, "sample", to, output)
    codes = runtime.sample_codes(n_rows, random_state=random_state, temperature=temperature)
    if is_joint(runtime):
        write_made(runtime, codes, to, output, kind)
    else:
        _write_decoded(runtime, codes, output, kind)
    click.echo(f"dsae: {runtime.model.sampler!r}", err=True)


@click.command()
@click.argument("model")
@click.argument("a")
@click.argument("b")
@click.option("-n", "--rows", "n_rows", default=8, show_default=True, type=int, help="For each pair, ends included.")
@_to
@_output
@_format
@on_error_option
@file_options
def interpolate(
    model: str,
    a: str,
    b: str,
    n_rows: int,
    to: str | None,
    output: str,
    kind: str | None,
    on_error: str | None,
    reading: dict[str, Any],
) -> None:
    """Rows on the way from each row in A to that in B at its place, straight in the code: N for each pair in turn.

    Of several modalities A and B are prepared rows, pictures, sounds, texts or folders of them; -o names a folder, with
    one in it for each modality, or --to says which to make.
    """
    from dsae.data import options_for

    runtime = load_model(model, several=True)
    check_made(runtime, "interpolate", to, output)
    if is_joint(runtime):
        write_made(runtime, codes_between(runtime, a, b, n_rows, reading, on_error), to, output, kind)
        return
    refuse_on_error(on_error)
    first = source_for(runtime, "interpolate", a, reading).load()
    second = source_for(runtime, "interpolate", b, options_for(b, reading)).load()
    rows = runtime.interpolate(first.X, second.X, n_rows)
    _write(runtime, [rows.reshape(-1, rows.shape[2])], rows.shape[0] * n_rows, output, kind)


def _write_decoded(runtime: Runtime, codes: Any, output: str, kind: str | None) -> None:
    n = codes.shape[0]
    pieces = (runtime.decode(codes[start : start + _ROWS_AT_ONCE]) for start in range(0, n, _ROWS_AT_ONCE))
    _write(runtime, pieces, n, output, kind)


def _write(runtime: Runtime, pieces: Any, n_rows: int, output: str, kind: str | None) -> None:
    """Write rows of the model's features, or the table that they mean."""
    import numpy as np

    from dsae.data import write_table, writing

    if runtime.model.table is not None:
        from dsae.features import restored

        write_table(output, restored(runtime.model.table, np.concatenate(list(pieces))), kind)
        return
    with writing(output, n_rows, output_names(runtime), None, kind) as writer:
        for rows in pieces:
            writer.write(rows, None)


def check_sampler(kind: str | None, parameters: dict[str, Any]) -> None:
    """Refuse a sampler that the code could not have, before it costs a training."""
    name = parameters.get("code_activation", "identity")
    if kind is not None and name in ACTIVATIONS and not ACTIVATIONS[name].independent:
        from dsae.sampling import check_kind

        check_kind(kind, name)


def with_sampler(runtime: Runtime, dsa: DeepSparseAutoencoder, rows: Any, kind: str) -> Runtime:
    """The model with a sampler fitted to the codes of ``rows``, and a line about it."""
    with progress("sampler") as told:
        sampler = dsa.fit_sampler(rows, kind, progress=told).sampler_
    assert sampler is not None
    click.echo(f"dsae: {sampler!r}", err=True)
    return runtime.with_sampler(sampler)


def read_labels(path: str) -> np.ndarray:
    """Labels of rows, from a one-dimensional array in ``.npy`` or the lines of a text.

    Raises
    ------
    ValueError
        If the file holds something else.
    """
    import numpy as np

    if not path.endswith(".npy"):
        return np.array(Path(path).read_text("utf-8").splitlines())
    try:
        labels = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"[evaluate] {path} must be a .npy file of labels; it cannot be read ({error}).") from None
    if labels.ndim != 1:
        raise ValueError(f"[evaluate] {path} must hold one label for each row; got an array of shape {labels.shape}.")
    return labels


def probed(runtime: Runtime, source: StreamSource, labels: np.ndarray) -> dict[str, Any]:
    """`dsae.metrics.probe` of the codes of rows, of 20,000 drawn at random if there are more."""
    from dsae.data import stacked
    from dsae.metrics import probe

    sparse = runtime.config.code.sparse
    codes, at = [], []
    for rows, numbers in _some(source, _PROBED):
        codes.append(runtime.encode(rows, sparse_output=sparse))
        at.extend(numbers.tolist())
    found = probe(stacked(codes), labels[at])
    names = {"linear": "linear_probe", "knn": "knn_probe"}
    return {names.get(name, name): value for name, value in found.items()}


def generated(runtime: Runtime, source: StreamSource, train: str | None, reading: dict[str, Any]) -> dict[str, Any]:
    """`dsae.metrics.generation` of as many rows as there are in ``source``, and the novelty of their codes."""
    from dsae.data import options_for, stacked
    from dsae.metrics import generation

    real = stacked([rows for rows, _ in _some(source, _COMPARED)])
    made = runtime.sample(real.shape[0], random_state=0)
    seen = None
    if train is not None:
        others = source_for(runtime, "evaluate", train, options_for(train, reading))
        seen = stacked([rows for rows, _ in _some(others, _COMPARED)])
    found = generation(real, made, seen)
    sampler = runtime.model.sampler
    return found | {"novelty_of_codes": None if sampler is None else sampler.novelty}


def _some(source: StreamSource, most: int) -> Iterator[tuple[Any, np.ndarray]]:
    """Rows and their numbers in pieces, ``most`` of them in all, drawn at random."""
    import numpy as np

    chosen = np.arange(len(source))
    if len(source) > most:
        chosen = np.sort(np.random.default_rng(0).choice(len(source), most, replace=False))
    start = 0
    for chunk in source.chunks():
        numbers = chosen[slice(*np.searchsorted(chosen, (start, start + chunk.n_rows)))]
        if numbers.size:
            yield chunk.rows[numbers - start], numbers
        start += chunk.n_rows
