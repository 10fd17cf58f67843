"""Damaged files of a format, `python -m tests.data.fuzz N [FORMAT ...]`: each is read, or refused by its name.

HDF5 trusts what a file says of its structure, so only damage as disks and transfers make it is tried on it: files
cut short.
"""

from __future__ import annotations

import multiprocessing
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from tests.data.makers import MAKERS

FORMATS = {
    "npy": ".npy",
    "npz": ".npz, several arrays",
    "sparse npz": ".npz of a CSR matrix",
    "csv": ".csv with pandas' index",
    "csv.gz": ".csv.gz",
    "txt": ".txt of numbers",
    "parquet": ".parquet",
    "lists": ".parquet with a column of embeddings (lists)",
    "arrow": ".arrow with a column of embeddings (fixed size)",
    "feather": ".feather",
    "mtx": ".mtx.gz",
    "tenx": "10x folder (genes x cells)",
    "svmlight": ".svm",
    "h5ad": ".h5ad, CSR",
    "hdf5": ".h5:dataset",
    "zarr": ".zarr",
    "safetensors": ".safetensors:tensor",
    "pt": ".pt",
}
WORDS = [b"nan", b"inf", b"-1", b"1e999", b"99999999999", b"", b",", b"\n", b'"', b"\0", b"\xff", b"0x10", b"1_0"]
NUMBERS = [0, 1, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1]
SECONDS = 300  # for one file, on a busy machine


def damaged(content: bytes, rng: np.random.Generator, structure: bool) -> bytes:
    """One to three pieces of damage; without ``structure``, only what is lost at the end."""
    if not structure:
        return content[: int(rng.integers(len(content)))]
    for _ in range(rng.integers(1, 4)):
        at = (
            int(rng.integers(max(1, len(content))))
            if rng.random() < 0.5
            else int(rng.integers(min(400, len(content)) + 1))
        )
        kind = rng.integers(5)
        if kind == 0:
            content = content[:at]
        elif kind == 1:
            content = content[:at] + bytes([rng.integers(256)]) + content[at + 1 :]
        elif kind == 2:
            number = int(NUMBERS[rng.integers(len(NUMBERS))]).to_bytes(8, "little")[: 1 << rng.integers(4)]
            content = content[:at] + number + content[at + len(number) :]
        elif kind == 3:
            content = content[:at] + WORDS[rng.integers(len(WORDS))] + content[at:]
        else:
            content = content[:at] + content[at + int(rng.integers(1, 50)) :]
    return content


def _work(format: str, folder: str, n: int, seed: int, progress: multiprocessing.Queue) -> None:
    """Damage and read ``n`` files; what should not happen goes into the queue."""
    from dsae.data import open_rows

    warnings.simplefilter("ignore")
    source, options = MAKERS[FORMATS[format]](Path(folder))
    base = Path(str(source).rpartition(":")[0] or source)
    files = sorted(file for file in (base.rglob("*") if base.is_dir() else [base]) if file.is_file())
    contents = {file: file.read_bytes() for file in files}
    for case in range(n):
        rng = np.random.default_rng([seed, case])
        file = files[rng.integers(len(files))]
        file.write_bytes(damaged(contents[file], rng, structure=format not in ("h5ad", "hdf5")))
        progress.put((case, None))
        fault = attempt(open_rows, source, options, base)
        if fault:
            progress.put((case, fault))
        file.write_bytes(contents[file])
    progress.put((n, None))


def attempt(open_rows, source, options, base) -> str | None:
    """What is wrong with how a file is read; None where it is read, or refused by its name."""
    try:
        open_rows(source, **options).read()
    except (ValueError, OSError, MemoryError) as error:
        return None if str(base) in str(error) else f"does not name the file: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def run(format: str, n: int, seed: int = 0) -> list[str]:
    """What went wrong in ``n`` damaged files of a format, read by another process."""
    context, found = multiprocessing.get_context("forkserver"), []
    context.set_forkserver_preload(["tests.data.fuzz", "dsae.data"])  # imported once, not for every format
    folder = tempfile.mkdtemp()
    progress = context.Queue()
    worker = context.Process(target=_work, args=(format, folder, n, seed, progress))
    worker.start()
    case = -1
    try:
        while case < n:
            try:
                case, fault = progress.get(timeout=SECONDS)
            except Exception:
                what = f"ended by signal {-worker.exitcode}" if worker.exitcode else f"ran longer than {SECONDS} s"
                return [*found, f"{format}, case {case}: the reader {what}"]
            if fault:
                found.append(f"{format}, case {case}: {fault}")
    finally:
        worker.kill()
        worker.join()
        shutil.rmtree(folder, ignore_errors=True)
    return found


def main(n: int, formats: list[str]) -> int:
    """Every format, or those named."""
    failed = 0
    for format in formats or FORMATS:
        found = run(format, n, seed=1)
        failed += len(found)
        print(f"{format}: {n} damaged files, {len(found)} faults", *found[:5], sep="\n  ", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
