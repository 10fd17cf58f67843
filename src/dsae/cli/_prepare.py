"""Pictures, sounds and texts in a folder, written once as rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from dsae.cli._files import names_between_commas
from dsae.cli._options import OneOf
from dsae.cli._output import progress, show

_ON_ERROR = ("raise", "missing", "skip")
_TOLD = 10  # problems on stderr; the file has all


def _pair(what: str) -> Callable[[click.Context, click.Parameter, str | None], tuple[int, int] | None]:
    def convert(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
        if value is None:
            return None
        try:
            numbers = [int(number) for number in value.split(",")]
        except ValueError:
            numbers = []
        if not 1 <= len(numbers) <= 2:
            raise click.BadParameter(f"must be {what}; got {value!r}.")
        return numbers[0], numbers[-1]

    return convert


# The option, the parameter of the transformer and the rest of what click wants to know.
_IMAGE: dict[str, tuple[str, dict[str, Any]]] = {
    "image_size": (
        "size",
        {
            "callback": _pair("28, or height and width such as 28,40"),
            "metavar": "PIXELS",
            "help": "Height, or height,width.  [default: 28]",
        },
    ),
    "channels": ("channels", {"type": OneOf(("grey", "rgb", "rgba")), "help": "Of pictures.  [default: grey]"}),
    "aspect": (
        "aspect",
        {
            "type": OneOf(("crop", "pad", "stretch")),
            "help": "What happens to pictures of another shape.  [default: crop]",
        },
    ),
}
_AUDIO: dict[str, tuple[str, dict[str, Any]]] = {
    "audio_rate": ("rate", {"type": int, "help": "Samples per second.  [default: 8000]"}),
    "audio_seconds": ("seconds", {"type": float, "help": "Length of a sound, cut or padded.  [default: 1.0]"}),
    "audio_mels": ("n_mels", {"type": int, "help": "Bands of a spectrogram.  [default: 40]"}),
}
_TEXT: dict[str, tuple[str, dict[str, Any]]] = {
    "text_weights": (
        "weights",
        {"type": OneOf(("tfidf", "counts", "hashing")), "help": "Of words or n-grams.  [default: tfidf]"},
    ),
    "text_ngrams": (
        "ngrams",
        {
            "callback": _pair("the shortest and the longest, such as 1,3"),
            "metavar": "FROM,TO",
            "help": "Lengths of n-grams.  [default: 1,1]",
        },
    ),
    "text_analyzer": (
        "analyzer",
        {"type": OneOf(("word", "char", "char_wb")), "help": "What n-grams are made of.  [default: word]"},
    ),
    "text_features": ("max_features", {"type": int, "help": "Most columns."}),
}


def _with_encoder_options(command: Callable) -> Callable:
    for table in (_TEXT, _AUDIO, _IMAGE):
        for name, (_, how) in reversed(table.items()):
            command = click.option(f"--{name.replace('_', '-')}", **how)(command)
    return command


@click.command()
@click.argument("folder")
@click.option("-o", "--output", required=True, metavar="FOLDER", help="Folder to write; it must not exist yet.")
@_with_encoder_options
@click.option(
    "--encoders",
    metavar="FILE",
    help="encoders.json of rows prepared before, such as those of training, in place of settings.",
)
@click.option("--id-column", metavar="NAME", help="Of a table of files.  [default: id]")
@click.option("--label-column", metavar="NAME", help="Of a table of files.  [default: label]")
@click.option(
    "--text-columns", metavar="NAMES", callback=names_between_commas, help="Columns of text that look like numbers."
)
@click.option(
    "--exclude", metavar="NAMES", callback=names_between_commas, help="Columns of a table to leave out, between commas."
)
@click.option(
    "--on-error",
    type=OneOf(_ON_ERROR),
    default="raise",
    show_default=True,
    help="Of files that cannot be read: an error, the cell is missing, or the row is left out.",
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable figures on stdout.")
def prepare(
    folder: str,
    output: str,
    encoders: str | None,
    id_column: str | None,
    label_column: str | None,
    text_columns: list[str] | None,
    exclude: list[str] | None,
    on_error: str,
    as_json: bool,
    **settings: Any,
) -> None:
    """Write the pictures, sounds and texts in FOLDER as rows that models train on.

    FOLDER has metadata.csv (.jsonl, .parquet) with names of files (file_name, image_file_name, ...), or files with
    equal names (images/7.png, sound/7.wav), in a subfolder for each class perhaps, or is WebDataset's archives (.tar).
    """
    from dsae.features import prepare as prepared

    with progress("prepare") as told:
        done = prepared(
            folder,
            output,
            _encoders(encoders, settings),
            id_column=id_column,
            label_column=label_column,
            text_columns=text_columns or (),
            exclude=exclude or (),
            on_error=on_error,
            progress=told,
        )
    for problem in done.problems[:_TOLD]:
        click.echo(f"dsae: {problem}", err=True)
    if done.problems:
        click.echo(
            f"dsae: {len(done.problems)} files could not be read; problems.log in {output} lists them.", err=True
        )
    for note in done.notes:
        click.echo(f"dsae: {note}", err=True)
    facts: dict[str, Any] = {"rows": done.n_rows, "dropped": done.n_dropped, "unreadable": len(done.problems)}
    for name, encoder in done.encoders.items():
        facts[name] = (
            f"{done.present[name]:,} x {encoder.n_features:,}"
            if not as_json
            else {
                "rows": done.present[name],
                "features": encoder.n_features,
            }
        )
    show(facts, as_json)


def _encoders(path: str | None, settings: dict[str, Any]) -> dict[str, Any]:
    """Those of a file, or of the settings that were given."""
    given = {name: value for name, value in settings.items() if value is not None}
    if path is not None:
        if given:
            raise ValueError(
                f"--{next(iter(given)).replace('_', '-')} does not go with --encoders, which has all settings."
            )
        from dsae.features import encoders_from_json

        try:
            with open(path, encoding="utf-8") as file:
                return encoders_from_json(file.read())
        except UnicodeDecodeError:
            raise ValueError(
                f"[prepare] {path} must be encoders.json of rows prepared before; it is no text."
            ) from None
        except FileNotFoundError:
            raise FileNotFoundError(f"[prepare] {path} does not exist; check the path.") from None
    from dsae.features import AudioRows, ImageRows, TextRows

    made: dict[str, Any] = {}
    for kind, table, make in (("image", _IMAGE, ImageRows), ("audio", _AUDIO, AudioRows), ("text", _TEXT, TextRows)):
        chosen = {parameter: given[name] for name, (parameter, _) in table.items() if name in given}
        if chosen:
            made[kind] = make(**chosen)
    return made
