"""Rows of several modalities that are in no file: a folder for each modality, or one of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsae.cli._encode import is_joint
from dsae.cli._output import progress, watched
from dsae.cli._several import rows_for
from dsae.cli._translate import Made, check_to, pieces, write_modality, writes_files

if TYPE_CHECKING:
    import numpy as np

    from dsae.runtime import JointRuntime

_USUAL = "csv"


def check_made(runtime: Any, verb: str, to: str | None, output: str) -> None:
    """Refuse ``--to`` or ``-o`` that do not go with the model, before any work."""
    if not is_joint(runtime):
        if to is not None:
            raise ValueError(f"[{verb}] --to is for models of several modalities; leave it out.")
    elif to is not None:
        check_to(runtime, to)
    elif output == "-" or Path(output).is_file():
        raise ValueError(
            f"[{verb}] -o must name a folder for {' and '.join(runtime.names)}; got {output!r}. Name one, or give --to."
        )


def codes_between(
    runtime: JointRuntime, a: str, b: str, n: int, reading: dict[str, Any], on_error: str | None = None
) -> np.ndarray:
    """Codes ``[n_pairs * n, n_components]`` on the way from each row of a file to its partner in another."""
    from dsae.data import options_for
    from dsae.sampling import between

    sources = [
        rows_for(runtime, "interpolate", path, options, on_error)
        for path, options in ((a, reading), (b, options_for(b, reading)))
    ]
    if on_error is not None:
        _check_pairs(*(source.numbers for source in sources))
    ends = [runtime.codes(watched("encode", source)) for source in sources]
    return between(ends[0], ends[1], n).reshape(-1, ends[0].shape[1])


def _check_pairs(first: np.ndarray, second: np.ndarray) -> None:
    """Refuse rows of which some have lost their partners; `between` compares how many there are."""
    import numpy as np

    if first.size == second.size and (alone := np.setxor1d(first, second)).size:
        raise ValueError(
            "[interpolate] A and B must have the same rows left, which are paired by their places; row "
            f"{alone[0]}, counted from 0, is left of one alone. Take its files out of both."
        )


def write_made(runtime: JointRuntime, codes: Any, to: str | None, output: str, kind: str | None) -> None:
    """Write what codes are decoded into: files are numbered in their order."""
    n = codes.shape[0]
    if to is not None:
        write_modality(runtime, to, _decoded(runtime, codes, to), n, output, kind)
        return
    for name in runtime.names:
        folder = Path(output) / name
        folder.mkdir(parents=True, exist_ok=True)
        target = folder if writes_files(runtime, name) else folder / f"rows.{kind or _USUAL}"
        write_modality(runtime, name, _decoded(runtime, codes, name), n, str(target), kind)


def _decoded(runtime: JointRuntime, codes: Any, name: str) -> Made:
    n, step = codes.shape[0], pieces(runtime, name)
    with progress(f"make {name}") as told:
        for start in range(0, n, step):
            yield None, runtime.decode(codes[start : start + step], name)
            told(min(start + step, n), n)
