"""Read thousands of damaged files of one kind: python hostile.py KIND FOLDER N_CASES; prints what should not happen."""

import faulthandler
import os
import re
import resource
import signal
import struct
import sys
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import scipy.io
import scipy.sparse as sp

from dsae.data import open_rows, writing

ROWS = np.round(np.random.default_rng(0).normal(size=(40, 5)), 2).astype(np.float32)
IDS = np.array([f"row {i}" for i in range(40)], dtype=object)
NUMBERS = [0, 1, 2, 3, 7, 41, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1]
WORDS = [b"nan", b"inf", b"-1", b"1e999", b"99999999999", b"", b",", b"\n", b'"', b"\0", b"\xff", b"0x10", b"1_0"]
MOST_BYTES = 32 << 20  # of Python's and numpy's, and by how much the process may grow; the files have a few thousand
MOST_SECONDS = 5


def seeds(kind, folder):
    """Sound files of a kind, in its variants."""
    names = [f"c{i}" for i in range(5)]
    plain = folder / f"plain.{kind}"
    with writing(plain, 40, names, "id") as writer:
        for start in (0, 25):
            writer.write(ROWS[start : start + 25], IDS[start : start + 25])
    found, matrix = [plain.read_bytes()], sp.csr_matrix(np.where(ROWS > 0, ROWS, 0))
    path = folder / f"other.{kind}"
    if kind == "npy":
        np.save(path, np.asfortranarray(ROWS.astype(">f8")))
    elif kind == "npz":
        np.savez_compressed(path, X=ROWS, y=ROWS[:, 0])
        found.append(path.read_bytes())
        sp.save_npz(path, matrix, compressed=False)
        found.append(path.read_bytes())
        sp.save_npz(path, matrix.tocsc())
    elif kind == "csv":
        np.savetxt(path, ROWS, delimiter=",", fmt="%.2f")
    elif kind == "mtx":
        scipy.io.mmwrite(path, ROWS)
    elif kind == "h5ad":
        for options in ({"compression": "gzip"}, {"compression": "lzf", "shuffle": True, "fletcher32": True}):
            packed_h5ad(path, matrix, options)
            found.append(path.read_bytes())
        packed_h5ad(path, ROWS, {"compression": "gzip", "shuffle": True, "chunks": True})
    else:
        import pyarrow as pa
        import pyarrow.feather
        import pyarrow.parquet

        table = pa.table({"a": [1.5] * 40, "b": pa.array([2, 3] * 20, pa.int16()), "id": IDS.tolist()})
        if kind == "parquet":
            pa.parquet.write_table(table, path, row_group_size=15, compression="zstd", version="1.0")
        else:
            pa.feather.write_feather(table, path, compression="lz4", chunksize=15)
    return [*found, path.read_bytes()]


def packed_h5ad(path, rows, options):
    import h5py

    with h5py.File(path, "w") as file:
        if sp.issparse(rows):
            group = file.create_group("X")
            group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": rows.shape})
            for part in ("data", "indices", "indptr"):
                group.create_dataset(part, data=getattr(rows, part), **options)
        else:
            file.create_dataset("X", data=rows, **options)
        for frame, names in (("obs", IDS.tolist()), ("var", [f"c{i}".encode() for i in range(rows.shape[1])])):
            file.create_group(frame).attrs["_index"] = "_index"
            file[frame].create_dataset("_index", data=names, compression=options["compression"])


def damaged(content, rng):
    """One to three mutations: of bytes, of lengths, of numbers in text, of pieces."""
    for _ in range(rng.integers(1, 4)):
        content = MUTATIONS[rng.integers(len(MUTATIONS))](content, rng)
    return content


def at(content, rng):
    """Beginnings and ends, where headers are, more often than the rest."""
    n = max(1, len(content))
    near = int(rng.integers(0, min(n, 400)))
    return (near, n - 1 - near, int(rng.integers(n)))[rng.integers(3)]


def cut(content, rng):
    return content[: at(content, rng)]


def flip(content, rng):
    place = at(content, rng)
    return content[:place] + bytes([rng.integers(256)]) + content[place + 1 :]


def number(content, rng):
    place, value = at(content, rng), NUMBERS[rng.integers(len(NUMBERS))]
    width = (1, 2, 4, 8)[rng.integers(4)]
    return content[:place] + struct.pack("<Q", value)[:width] + content[place + width :]


def text(content, rng):
    """Another number where the file has one in words, or a word anywhere."""
    found = list(re.finditer(rb"\d+", content))
    word = WORDS[rng.integers(len(WORDS))] if rng.random() < 0.3 else str(NUMBERS[rng.integers(len(NUMBERS))]).encode()
    if not found or rng.random() < 0.2:
        place = at(content, rng)
        return content[:place] + word + content[place:]
    near = found[min(int(rng.exponential(8)), len(found) - 1)]
    return content[: near.start()] + word + content[near.end() :]


def move(content, rng):
    a, b = sorted((at(content, rng), at(content, rng)))
    return (content[:a] + content[b:], content[:b] + content[a:], content[a:b] + content)[rng.integers(3)]


def reference(content, rng):
    """The length of a text in HDF5, which stands before the address of the heap that has the text."""
    heap = struct.pack("<Q", max(0, content.find(b"GCOL")))
    found = [match.start() - 4 for match in re.finditer(re.escape(heap), content)]
    if heap == bytes(8) or not found:
        return flip(content, rng)
    place, length = found[rng.integers(len(found))], NUMBERS[rng.integers(len(NUMBERS))]
    return content[:place] + struct.pack("<Q", length)[:4] + content[place + 4 :]


def heap(content, rng):
    """Another number in a heap of texts in HDF5."""
    found = [match.start() for match in re.finditer(b"GCOL", content)]
    if not found:
        return flip(content, rng)
    place = found[rng.integers(len(found))] + 8 * int(rng.exponential(8))
    width, value = (1, 2, 4, 8)[rng.integers(4)], NUMBERS[rng.integers(len(NUMBERS))]
    return content[:place] + struct.pack("<Q", value)[:width] + content[place + width :]


def inflation(content, rng):
    """Fewer or more bytes where a chunk of HDF5 is inflated, whose length stays."""
    found = [
        (match.start(), *inflated(content[match.start() :])) for match in re.finditer(rb"x[\x01\x5e\x9c\xda]", content)
    ]
    found = [(place, size, inside) for place, size, inside in found if inside]
    if not found:
        return flip(content, rng)
    place, size, inside = found[rng.integers(len(found))]
    packed = zlib.compress((inside * 2)[: rng.integers(2 * len(inside))], 9)
    return content[:place] + packed.ljust(size, b"\0")[:size] + content[place + size :]


def inflated(content):
    """How long a stream is, and what is in it."""
    stream = zlib.decompressobj()
    try:
        inside = stream.decompress(content)
    except zlib.error:
        return 0, b""
    return len(content) - len(stream.unused_data), inside


def member(content, rng):
    """Inside of an archive, with sums that are right again."""
    import io

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception:
        return flip(content, rng)
    if not members:
        return content
    name = list(members)[rng.integers(len(members))]
    members[name] = (flip, number, text, cut)[rng.integers(4)](members[name], rng)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[rng.integers(2)]) as archive:
        for name, inside in members.items():
            archive.writestr(name, inside)
    return out.getvalue()


MUTATIONS = [cut, flip, flip, number, number, number, text, text, move, member, reference, heap, inflation]


def read(path):
    source = open_rows(path)
    n = sum(batch.shape[0] for batch in source.batches(16, seed=0))
    sum(chunk.rows.shape[0] for chunk in source.chunks())
    return n


def attempt(path):
    """What is wrong with how the file was taken, or None."""
    begun = time.perf_counter()
    tracemalloc.reset_peak()
    before = peak()
    try:
        wrong = None if read(path) else "no rows and no error"
    except (ValueError, OSError) as error:
        wrong = None if str(error).startswith("[read]") else f"message {error!r}"
    except BaseException as error:
        wrong = f"{type(error).__name__}: {error!s:.200}"
    if tracemalloc.get_traced_memory()[1] > MOST_BYTES:
        wrong = f"{tracemalloc.get_traced_memory()[1]} bytes at the peak"
    if peak() - before > MOST_BYTES:
        wrong = f"the process grew by {peak() - before} bytes"
    if time.perf_counter() - begun > MOST_SECONDS:
        wrong = f"{time.perf_counter() - begun:.1f} s"
    return wrong


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def main(kind, folder, n_cases):
    faulthandler.enable()
    signal.alarm(240)
    folder = Path(folder)
    sound, path = seeds(kind, folder), folder / f"x.{kind}"
    for content in sound:
        path.write_bytes(content)
        read(path)  # what is imported and set up for once
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
    tracemalloc.start()
    n_refused = 0
    for case in range(int(n_cases)):
        rng = np.random.default_rng([case, len(kind)])
        content = damaged(sound[case % len(sound)], rng)
        path.unlink()
        path.write_bytes(content)
        print(case, file=sys.stderr)
        wrong = attempt(path)
        if wrong is not None:
            n_refused += 1
            print(f"case {case}: {wrong}")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
