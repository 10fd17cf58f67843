"""The command that writes an explorer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from dsae.cli._compare import image_shape_option
from dsae.cli._encode import is_joint, load_model
from dsae.cli._files import file_options, source_for
from dsae.cli._options import told
from dsae.cli._output import progress
from dsae.cli._several import rows_for

_SAID = told("explorer/_explore.py", "explore")
_FILE = " A file with a line each, .npy, a list in .json, or table.csv:column."


@click.command()
@click.argument("model")
@click.argument("rows")
@click.option("-o", "--output", default="explorer", show_default=True, metavar="FOLDER", help="Folder to write.")
@click.option("--names", metavar="FILE", help=_SAID["names"] + " As --feature-names.")
@click.option("--labels", metavar="FILE", help=_SAID["labels"] + _FILE)
@click.option("--texts", metavar="FILE", help=_SAID["texts"] + _FILE)
@click.option("--ids", metavar="FILE", help=_SAID["ids"] + _FILE)
@image_shape_option
@click.option("--audio", type=click.IntRange(1), metavar="HERTZ", help=_SAID["audio"])
@click.option("--single", is_flag=True, help=_SAID["single"])
@click.option("--n-rows", type=click.IntRange(1), default=20_000, show_default=True, help=_SAID["n_rows"])
@click.option("--namer", metavar="COMMAND", help="Program that reads latents as JSON and prints their names as JSON.")
@click.option("--title", help=_SAID["title"])
@click.option("--seed", default=0, show_default=True, help=_SAID["seed"])
@file_options
def explore(
    model: str,
    rows: str,
    output: str,
    names: str | None,
    labels: str | None,
    texts: str | None,
    ids: str | None,
    image_shape: Any,
    namer: str | None,
    reading: dict[str, Any],
    **given: Any,
) -> None:
    """Write a folder in which one finds out what the latents of MODEL stand for, on the rows in ROWS.

    FOLDER/index.html opens by double click.
    """
    from dsae.data import read_names
    from dsae.explorer import encoder_beside, read_values
    from dsae.explorer import explore as run

    runtime = load_model(model, several=True)
    open_ = rows_for if is_joint(runtime) else source_for
    source: Any = open_(runtime, "explore", rows, reading)
    beside = {"labels": labels, "texts": texts, "ids": ids}
    values: dict[str, Any] = {name: None if path is None else read_values(path) for name, path in beside.items()}
    encoder = None if is_joint(runtime) or given["audio"] else encoder_beside(source)
    if getattr(source, "is_small", False):
        source = source.load()
    with _Bars() as bars:
        path = run(
            runtime,
            source,
            output,
            names=None if names is None else read_names(names),
            image_shape=image_shape or None,
            encoder=encoder,
            latent_names=None if namer is None else _namer(namer),
            expressions=_expressions(runtime, model, rows, reading, beside),
            watch=bars,
            **values,
            **given,
        )
    click.echo(f"explorer: {path / 'index.html'}", err=True)


def _expressions(
    runtime: Any, model: str, rows: str, reading: dict[str, Any], beside: dict[str, str | None]
) -> dict[str, str]:
    """Python for the model, its rows, an array of which some can be chosen, and what was given beside them."""
    loaded = f"dsae.load({model!r})"
    opened, labels = _opened(runtime, loaded, rows, reading)
    found = {"model": loaded, "rows": opened, "labels": labels}
    if not is_joint(runtime):
        found["array"] = f"{opened}.load().X"
    return found | {
        name: f"dsae.explorer.read_values({path!r})"
        for name, path in beside.items()
        if path is not None and name in ("labels", "texts")
    }


def _opened(runtime: Any, loaded: str, rows: str, reading: dict[str, Any]) -> tuple[str, str]:
    """Expressions that read the rows as the command does, and the labels that travel with them."""
    # names, which may be thousands, do not change the rows
    options = {name: value for name, value in reading.items() if name != "feature_names"}
    if is_joint(runtime):
        from dsae.features import is_raw

        if runtime.model.encoders and is_raw(rows):
            opened = f"dsae.features.read_raw('explore', {rows!r}, {loaded}.encoders{_more(options)}).source()"
            return opened, f"{opened}.labels"
        opened = f"dsae.data.open_rows({rows!r}{_more(options)})"
        return opened, f"{opened}.load().labels"
    options |= {"missing": runtime.missing} if runtime.missing != "error" else {}
    if runtime.model.table is not None:
        opened = f"dsae.features.open_table({rows!r}, {loaded}.model.table{_more(options)})"
    else:
        if ".svm" in rows or ".libsvm" in rows:  # which do not say it
            options["n_features"] = runtime.config.n_features
        opened = f"dsae.data.open_rows({rows!r}{_more(options)})"
    return opened, f"{opened}.load().rows.labels"


def _more(options: dict[str, Any]) -> str:
    return "".join(f", {name}={value!r}" for name, value in options.items())


class _Bars:
    """One bar after another; a terminal shows one at a time."""

    def __init__(self) -> None:
        self._shown: Any = None

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._shown is not None:
            self._shown.__exit__(*error)

    def __call__(self, what: str) -> Callable[[int, int], None]:
        self.__exit__(None, None, None)
        self._shown = progress(what)
        return self._shown.__enter__()


def _namer(command: str) -> Callable[[list[dict[str, Any]]], dict[int, str]]:
    """Latents to a program of the user's as JSON, one list; names from it as an object by number."""
    import json
    import shlex
    import subprocess

    def name(latents: list[dict[str, Any]]) -> dict[int, str]:
        done = subprocess.run(shlex.split(command), input=json.dumps(latents), capture_output=True, text=True)
        if done.returncode:
            raise ValueError(
                f"--namer {command} must end with 0; it ended with {done.returncode}: {done.stderr[-300:]}"
            )
        try:
            return {int(latent): str(text) for latent, text in json.loads(done.stdout).items()}
        except (ValueError, AttributeError) as error:
            raise ValueError(f"--namer {command} must print an object of names by latent in JSON; {error}.") from None

    return name
