"""Chunks of HDF5 are unpacked as h5py unpacks them, and damaged ones are refused."""

import contextlib
import itertools
import re
import struct
import zlib

import numpy as np
import pytest
from tests.data.h5files import LAYOUTS, PACKED, attempts, write

from dsae.data import open_rows
from dsae.data._h5chunks import read

h5py = pytest.importorskip("h5py")

CHUNKS = [((23,), (5,)), ((23,), (40,)), ((23, 7), (4, 3)), ((23, 7), (30, 2)), ((23, 7), (1, 7)), ((23, 7), (23, 7))]
ELEMENTS = {
    "float32": "f4",
    "big-endian": ">f8",
    "half": "f2",
    "int64": "i8",
    "uint16": "u2",
    "bool": bool,
    "enum": h5py.enum_dtype({"a": 0, "b": 1}),
    "text": "S5",
    "long text": "S21",
    "utf-8": h5py.string_dtype(length=3),
}


@pytest.mark.parametrize("options", PACKED.values(), ids=PACKED)
@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("dtype", ELEMENTS.values(), ids=ELEMENTS)
def test_spans_of_rows_are_those_that_h5py_reads(tmp_path, dtype, libver, options):
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "x.h5", "w", libver=libver) as file:
        for shape, chunks in CHUNKS:
            numbers = rng.integers(0, 2 if dtype is bool else 100, shape).astype("S3").astype(dtype)
            layout = {"chunks": chunks, "maxshape": (None,) * len(shape)} | options
            file.create_dataset(f"whole {shape} {chunks}", data=numbers, dtype=dtype, **layout)
            part = file.create_dataset(f"part {shape} {chunks}", shape, dtype, fillvalue=numbers.flat[0], **layout)
            part[6:9] = numbers[6:9]
    with h5py.File(tmp_path / "x.h5") as file:
        spans = [(0, 23), (5, 5), *np.sort(rng.integers(0, 24, (3, 2))).tolist()]
        for data, (start, stop) in itertools.product(file.values(), spans):
            found = read(data, start, stop)
            assert found.dtype == data.dtype
            np.testing.assert_array_equal(found, data[start:stop])


def custom(name):
    """Types that numpy has otherwise."""
    t = h5py.h5t
    kind = {"17 bits": t.STD_I32LE, "other floats": t.IEEE_F32LE}.get(name, t.C_S1).copy()
    if name == "17 bits":
        kind.set_precision(17)
    elif name == "other floats":
        kind.set_fields(31, 20, 11, 0, 20)
    else:
        kind.set_size(6)
        kind.set_strpad(t.STR_NULLTERM if name == "ended" else t.STR_SPACEPAD)
    return kind


@pytest.mark.parametrize("name", ["17 bits", "other floats", "ended", "padded"])
def test_types_that_numpy_has_otherwise_are_converted(tmp_path, name):
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((4,))
    plan.set_deflate(4)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        space = h5py.h5s.create_simple((7,))
        data = h5py.Dataset(h5py.h5d.create(file.id, b"x", custom(name), space, plan))
        data[:] = (
            np.array([b"a", b"bc", b"", b"d\0e", b"f ", b"xxxxx", b" "]) if data.dtype.kind == "S" else np.arange(7)
        )
        np.testing.assert_array_equal(read(data, 1, 6), data[1:6])
        assert read(data, 1, 6).dtype == data.dtype


@pytest.mark.parametrize(
    ("kind", "name"), [(4, "szip"), (5, "nbit"), (6, "scaleoffset"), (32015, "filter 32015 of HDF5")]
)
@pytest.mark.parametrize("where", ["X", "obs/names", "var/names"])
@pytest.mark.parametrize("plugins", [False, True])
def test_filters_that_are_not_undone_are_refused_but_for_plugins(tmp_path, monkeypatch, plugins, where, kind, name):
    write(tmp_path / "x.h5ad", {})
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    with h5py.File(tmp_path / "x.h5ad", "a") as file:
        data = file[where]
        plan.set_chunk(data.shape)
        plan.set_filter(kind, h5py.h5z.FLAG_OPTIONAL, (4, 4) if kind == 4 else ())
        del file[where]
        h5py.h5d.create(file.id, where.encode(), data.id.get_type(), data.id.get_space(), plan)
    message = rf"\[read\] .*x\.h5ad must be compressed by gzip or lzf, or not at all; /{where} is by {name}\. Write it"
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda kind: plugins)
    allowed = plugins and (where, kind) == ("X", 32015)
    with contextlib.nullcontext() if allowed else pytest.raises(ValueError, match=message):
        open_rows(tmp_path / "x.h5ad")


def zeros(n_bytes, options):
    """A packed chunk of them; lzf has a run of up to 32 behind its length."""
    content = bytes(n_bytes)
    if options.get("compression") == "gzip":
        content = zlib.compress(content)
    elif "compression" in options:
        content = b"".join(bytes([min(32, n_bytes - at) - 1]) + content[at : at + 32] for at in range(0, n_bytes, 32))
    return content + fletcher32(content) * options.get("fletcher32", False)


def fletcher32(content):
    first = second = 0
    for at in range(0, len(content), 2):
        first = (first + int.from_bytes(content[at : at + 2].ljust(2, b"\0"), "big")) % 65535
        second = (second + first) % 65535
    return struct.pack("<HH", first, second)


def write_chunk(path, where, chunks, n_bytes, options):
    """Two chunks of rows or names, of which the second is of ``n_bytes``."""
    with h5py.File(path, "w") as file:
        n = chunks[0]
        if where != "X":
            file["X"] = np.ones((2 * n, 2), np.float32)
            file.create_group("obs").attrs["_index"] = "names"
        dtype = np.float32 if where == "X" else h5py.string_dtype()
        data = file.create_dataset(where, (2 * n, *chunks[1:]), dtype, chunks=chunks, **options)
        data[:n] = 1 if where == "X" else "name"
        skipped, _ = data.id.read_direct_chunk((0, 0)[: data.ndim])
        data.id.write_direct_chunk((n, 0)[: data.ndim], zeros(n_bytes, options), skipped)


@pytest.mark.parametrize("n_bytes", [1, 4, 1000, 1596, 1600, 1604, 100_000])
@pytest.mark.parametrize(
    ("where", "chunks", "how"),
    [("X", (200, 2), how) for how in PACKED if how != "not"] + [("obs/names", (100,), how) for how in ("gzip", "lzf")],
)
def test_packed_chunks_of_other_lengths_are_refused(tmp_path, where, chunks, how, n_bytes):
    write_chunk(tmp_path / "x.h5ad", where, chunks, n_bytes, PACKED[how])
    why = (
        r"(has a chunk of \d+ bytes, not 1600|a chunk unpacks to other than 1600 bytes|into shape \(4,|only 1689 bytes)"
    )
    refused = pytest.raises(ValueError, match=rf"\[read\] .*x\.h5ad must be a whole \.h5ad file; .*{why}")
    with contextlib.nullcontext() if n_bytes == 1600 else refused:
        list(open_rows(tmp_path / "x.h5ad").chunks())


def test_the_length_of_a_chunk_that_is_not_packed_is_not_believed(tmp_path):
    paths = []
    for where, chunks in (("X", (200_000, 2)), ("obs/names", (100_000,))):
        for n_bytes in (1_600_000, 1, 1_599_999, 10_000_000):
            paths.append(tmp_path / f"{len(paths)}.h5ad")
            write_chunk(paths[-1], where, chunks, n_bytes, {})
    assert attempts(*paths) == [None] * len(paths)


def test_more_chunks_than_the_file_has_bytes_are_refused(tmp_path):
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        file.create_dataset("X", (10_000, 3), np.float32, chunks=(1, 1), compression="gzip")
    with pytest.raises(ValueError, match=r"/X promises chunks of \(1, 1\) in \d+ bytes"):
        open_rows(tmp_path / "x.h5ad")


def test_an_index_that_runs_in_a_circle_is_not_run_through(tmp_path):
    write(tmp_path / "sound.h5ad", LAYOUTS["packed gzip"])
    content = bytearray((tmp_path / "sound.h5ad").read_bytes())
    for node in re.finditer(b"TREE", content):
        struct.pack_into("<Q", content, node.start() + 16, node.start())  # its neighbour to the right
    (tmp_path / "x.h5ad").write_bytes(content)
    assert attempts(tmp_path / "sound.h5ad", tmp_path / "x.h5ad") == [None, None]


def test_an_index_that_is_damaged_is_not_one_without_chunks(tmp_path):
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        file.create_dataset("X", data=np.ones((7, 3)), chunks=(2, 3), compression="gzip")
    content = (tmp_path / "x.h5ad").read_bytes()
    (tmp_path / "x.h5ad").write_bytes(content.replace(b"TREE\1", b"TRUE\1"))
    with pytest.raises(ValueError, match=r"x\.h5ad must be a whole \.h5ad file; .*wrong B-tree signature"):
        list(open_rows(tmp_path / "x.h5ad").chunks())


def test_lzf_that_unpacks_to_88_times_as_much_is_unpacked_once(tmp_path):
    paths = [tmp_path / "sound.h5ad", tmp_path / "x.h5ad"]
    for path in paths:
        with h5py.File(path, "w") as file:
            X = file.create_dataset("X", (512, 512), np.float32, chunks=(512, 512), compression="lzf")
            X[:] = np.arange(512)
            if path.name == "x.h5ad":
                X.id.write_direct_chunk((0, 0), b"\0a" + b"\xe0\xff\0" * 340_000)  # what is one before, 264 times
    assert attempts(*paths) == [None, None]


def test_a_chunk_that_is_not_what_was_summed_is_refused(tmp_path):
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        X = file.create_dataset("X", data=np.ones((7, 3), np.uint8), chunks=(7, 3), fletcher32=True)
        _, chunk = X.id.read_direct_chunk((0, 0))
        X.id.write_direct_chunk((0, 0), b"\2" + chunk[1:])
    with pytest.raises(ValueError, match="a chunk's sums are not those that were stored"):
        list(open_rows(tmp_path / "x.h5ad").chunks())


def test_a_long_chunk_is_summed_as_hdf5_does(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        numbers = np.random.default_rng(0).integers(0, 256, 3 << 20, np.uint8)
        data = file.create_dataset("x", data=numbers[:-1], chunks=((3 << 20) - 1,), fletcher32=True)
        np.testing.assert_array_equal(read(data, 0, len(data)), numbers[:-1])
