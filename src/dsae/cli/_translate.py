"""Writing one modality made from others: files with the names of their rows, a table, or rows of numbers."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsae.cli._output import watched
from dsae.cli._several import at_once, rows_for
from dsae.config import did_you_mean

if TYPE_CHECKING:
    import numpy as np

    from dsae.data import JointSource
    from dsae.runtime import JointRuntime

_LONGEST = 200  # characters of a file's name: 255 bytes are what file systems take, with the ending
_FILES_AT_ONCE = 64
_PLAIN = "-_.+=@, ()"  # beside letters and digits; all else means something to a file system or to a shell

Made = Iterator[tuple["np.ndarray | None", "np.ndarray"]]


def translate_several(
    runtime: JointRuntime,
    path: str,
    to: str,
    output: str,
    kind: str | None,
    reading: Mapping[str, Any],
    on_error: str | None = None,
) -> None:
    """Write a modality made from others: files or a table, where it has an encoder, else rows.

    Raises
    ------
    ValueError
        If the model has no such modality, or two rows would have one file.
    OSError
        If something cannot be written; of several files, none is.
    """
    check_to(runtime, to)
    source = rows_for(runtime, "translate", path, reading, on_error)
    if writes_files(runtime, to) and Path(path).is_dir() and Path(output).resolve() == Path(path).resolve():
        raise ValueError(f"[write] {output} is where the data are; choose another folder.")
    write_modality(runtime, to, _made(runtime, watched("translate", source, output), to), len(source), output, kind)


def check_to(runtime: JointRuntime, to: str) -> None:
    """Refuse a modality that the model does not have."""
    if to not in runtime.names:
        hint = did_you_mean(to, runtime.names) or f" Known: {', '.join(runtime.names)}."
        raise ValueError(f"--to must be a modality of the model; got {to!r}.{hint}")


def writes_files(runtime: JointRuntime, name: str) -> bool:
    """Whether a modality's encoder makes a file of each row."""
    return name in runtime.model.encoders and hasattr(runtime.encoders[name], "to_bytes")


def write_modality(runtime: JointRuntime, name: str, made: Made, n: int, output: str, kind: str | None) -> None:
    """Write ``n`` rows of a modality, given in pieces with their ids: as files, a table or rows of numbers."""
    encoder = runtime.encoders.get(name) if runtime.model.encoders else None
    if writes_files(runtime, name):
        _write_items(encoder, made, n, output)
    elif encoder is not None:
        _write_table(encoder, made, output, kind)
    else:
        _write_rows(runtime.modalities[name].model, made, n, output, kind)


def pieces(runtime: JointRuntime, to: str) -> int:
    """Rows that are made at once: few where each is then written as a sound or a picture, so that a bar moves."""
    return min(_FILES_AT_ONCE, at_once(runtime)) if writes_files(runtime, to) else at_once(runtime)


def _made(runtime: JointRuntime, source: JointSource, to: str) -> Made:
    for batch in source.batches(pieces(runtime, to)):
        codes = runtime.join(runtime.latents(batch.parts), batch.present or {})
        yield batch.ids, runtime.decode(codes, to)


def _write_rows(model: Any, made: Made, n: int, output: str, kind: str | None) -> None:
    from dsae.data import writing

    names = list(model.feature_names or [f"x{i}" for i in range(model.config.n_features)])
    first = next(made)
    with writing(output, n, names, None if first[0] is None else "id", kind) as writer:
        for ids, rows in chain([first], made):
            writer.write(rows, ids)


def _write_table(encoder: Any, made: Made, output: str, kind: str | None) -> None:
    from dsae.data import write_table

    def tables() -> Iterator[Any]:
        for ids, rows in made:
            table = encoder.to_arrow(rows)
            yield table if ids is None or "id" in table.column_names else table.add_column(0, "id", [[*ids]])

    write_table(output, tables(), kind)


def _write_items(encoder: Any, made: Made, n: int, output: str) -> None:
    items = (
        (name, encoder.to_bytes(value))
        for ids, rows in made
        for name, value in zip([None] * len(rows) if ids is None else ids, encoder.inverse_transform(rows), strict=True)
    )
    if n == 1 and not Path(output).is_dir():
        ((_, content),) = islice(items, 1)
        _write_file(output, content)
    elif output == "-":
        raise ValueError(f"-o must be a folder for {n} files.")
    else:
        _write_folder(Path(output), items, n, encoder.suffix)


def _write_file(output: str, content: bytes) -> None:
    if output == "-":
        sys.stdout.buffer.write(content)
        return
    target = Path(os.path.realpath(output))
    begun = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        begun.write_bytes(content)
        os.replace(begun, target)
    except OSError as error:
        with suppress(OSError):
            begun.unlink()
        raise OSError(f"[write] {output} cannot be written: {error.strerror}.") from None


def _write_folder(folder: Path, items: Iterator[tuple[Any, bytes]], n: int, suffix: str) -> None:
    """Write all files beside the folder first, so that a failure leaves none in it."""
    begun = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    taken: dict[str, Any] = {}
    try:
        begun.mkdir(parents=True)
        for i, (name, content) in enumerate(items):
            stem = f"{i:0{len(str(n - 1))}}" if name is None else file_name(str(name))
            other = taken.setdefault(stem.casefold(), name)  # some file systems tell no case
            if other is not name:
                raise ValueError(
                    f"[translate] Rows must have names that differ as names of files; {other!r:.100} and {name!r:.100} "
                    f"would both be {stem}{suffix}. Rename one."
                )
            (begun / f"{stem}{suffix}").write_bytes(content)
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(begun.iterdir()):
            os.replace(file, folder / file.name)
    except OSError as error:
        raise OSError(f"[write] {folder} cannot be written: {error.strerror}.") from None
    finally:
        shutil.rmtree(begun, ignore_errors=True)


def file_name(name: str) -> str:
    """The name of a row as that of a file, without an ending: one part of a path, not hidden, without odd characters.

    Examples
    --------
    >>> file_name("cats/1"), file_name("../../etc/passwd")
    ('cats_1', '_.._etc_passwd')
    """
    plain = "".join(letter if letter.isalnum() or letter in _PLAIN else "_" for letter in name)
    while len(plain.encode()) > _LONGEST:
        plain = plain[:-1]
    return plain.lstrip(".").strip() or "_"
