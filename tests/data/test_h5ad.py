"""AnnData files: rows and names of every layout are read as h5py reads them, and damaged ones are refused."""

import contextlib
import itertools
import re
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from dsae.data import open_rows
from dsae.data._h5chunks import REFERENCE, read
from dsae.data._h5raw import attribute_values, references, texts

h5py = pytest.importorskip("h5py")

IDS, NAMES = [f"cell {i}" for i in range(7)], ["a", "é" * 40, ""]
MATRIX = sp.csc_matrix(np.eye(7, 3, dtype=np.float32))
PACKED = {
    "not": {},
    "gzip": {"compression": "gzip"},
    "lzf": {"compression": "lzf"},
    "shuffled": {"compression": "gzip", "shuffle": True},
    "summed": {"fletcher32": True},
    "all": {"compression": "lzf", "shuffle": True, "fletcher32": True},
}
LAYOUTS = {"contiguous": {}} | {  # HDF5 sums no texts
    f"packed {how}": {"chunks": (2,)} | options for how, options in PACKED.items() if "fletcher32" not in options
}
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
FILES = {
    "old": {},
    "new": {"libver": "latest"},
    "old behind other bytes": {"userblock_size": 512},
    "new behind other bytes": {"libver": "latest", "userblock_size": 1024},
}
TEXT = "é" * 20
TYPES = {"variable": h5py.string_dtype(), "fixed": h5py.string_dtype(length=40), "named": "named"}
ATTEMPT = """
import sys, pathlib, hostile
paths = [pathlib.Path(path) for path in sys.argv[1:]]
hostile.read(paths[0])
print([hostile.attempt(path) for path in paths])
"""


def write(path, layout, options=()):
    with h5py.File(path, "w", **dict(options)) as file:
        file["X"] = np.arange(21, dtype=np.float32).reshape(7, 3)
        for frame, names in (("obs", IDS), ("var", NAMES)):
            file.create_group(frame).attrs["_index"] = "names"
            file[frame].create_dataset("names", data=names, dtype=h5py.string_dtype(), **layout)


def write_columns(path, matrix, ids=IDS, names=NAMES):
    """CSC, which comes into memory."""
    with h5py.File(path, "w") as file:
        X = file.create_group("X")
        X.attrs.update({"encoding-type": "csc_matrix", "shape": matrix.shape})
        for part in ("data", "indices", "indptr"):
            X[part] = getattr(matrix, part)
        for frame, texts in (("obs", ids), ("var", names)):
            file.create_group(frame).attrs["_index"] = "names"
            file[frame].create_dataset("names", data=texts, dtype=h5py.string_dtype())


def promise(path, frame):
    """Let the first name be 4 GiB long."""
    with h5py.File(path, "r") as file:
        data = file[f"{frame}/names"].id
        at = data.get_offset() or data.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, at, 2**32 - 1)
    path.write_bytes(content)


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


@pytest.mark.parametrize("options", FILES.values(), ids=FILES)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_names_of_every_layout_are_read(tmp_path, layout, options):
    write(tmp_path / "x.h5ad", layout, options)
    source = open_rows(tmp_path / "x.h5ad")
    assert source.column_names == NAMES
    assert np.concatenate([chunk.ids for chunk in source.chunks()]).tolist() == IDS


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_what_anndata_writes_is_read_in_every_compression(tmp_path, make, compression):
    anndata, pd = pytest.importorskip("anndata"), pytest.importorskip("pandas")
    rows = np.random.default_rng(0).poisson(0.4, (900, 70)).astype(np.float32)
    frames = [
        pd.DataFrame(index=pd.Index([f"{name} {i}" for i in range(n)], dtype=object))
        for name, n in zip("ab", rows.shape, strict=True)
    ]
    anndata.AnnData(make(rows), *frames).write_h5ad(tmp_path / "x.h5ad", compression=compression)
    source = open_rows(tmp_path / "x.h5ad")
    chunks = list(source.chunks())
    np.testing.assert_array_equal(sp.vstack([sp.csr_matrix(chunk.rows) for chunk in chunks]).toarray(), rows)
    assert np.concatenate([chunk.ids for chunk in chunks]).tolist() == frames[0].index.tolist()
    assert source.column_names == frames[1].index.tolist()


def test_a_matrix_by_columns_has_the_names_of_its_rows(tmp_path, monkeypatch):
    monkeypatch.setattr("dsae.data._scan.rows_at_once", lambda width: 3)
    write_columns(tmp_path / "x.h5ad", MATRIX)
    source = open_rows(tmp_path / "x.h5ad")
    assert (source.id_name, source.column_names) == ("names", NAMES)
    assert [chunk.ids.tolist() for chunk in source.chunks()] == [IDS[:3], IDS[3:6], IDS[6:]]


@pytest.mark.parametrize(
    ("frames", "message"),
    [({"ids": IDS[1:]}, r"\(6,\) names for 7 rows"), ({"names": [*NAMES, "d"]}, r"\(4,\) names for 3 columns")],
)
def test_names_that_do_not_fit_a_matrix_by_columns_are_refused(tmp_path, frames, message):
    write_columns(tmp_path / "x.h5ad", MATRIX, **frames)
    with pytest.raises(ValueError, match=rf"\[read\] .*x\.h5ad must be a whole \.h5ad file; .*{message}"):
        open_rows(tmp_path / "x.h5ad")


def test_long_names_of_a_matrix_by_columns_are_refused(tmp_path):
    write_columns(tmp_path / "x.h5ad", MATRIX)
    promise(tmp_path / "x.h5ad", "obs")
    with pytest.raises(ValueError, match=r"/obs/names promises texts of 4"):
        open_rows(tmp_path / "x.h5ad")


@pytest.mark.parametrize("frame", ["obs", "var"])
@pytest.mark.parametrize("layout", ["contiguous", "packed not"])
def test_names_longer_than_the_file_are_refused_before_memory_is_asked_for(tmp_path, layout, frame):
    path = tmp_path / "x.h5ad"
    write(path, LAYOUTS[layout])
    promise(path, frame)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=rf"\[read\] .*x\.h5ad must be a whole .*/{frame}/names promises texts of 4"):
        list(open_rows(path).chunks())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


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
    command = [sys.executable, "-c", ATTEMPT, *paths]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    assert done.stdout == f"{[None] * len(paths)}\n", done.stdout + done.stderr


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
    command = [sys.executable, "-c", ATTEMPT, tmp_path / "sound.h5ad", tmp_path / "x.h5ad"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, timeout=60)
    assert done.stdout == "[None, None]\n", done.stdout + done.stderr


@pytest.mark.parametrize("nth", [0, 1, 2])
def test_a_heap_of_links_whose_free_pieces_run_in_a_circle_is_refused(tmp_path, nth):
    write(tmp_path / "sound.h5ad", {})
    content = bytearray((tmp_path / "sound.h5ad").read_bytes())
    heap = [match.start() for match in re.finditer(b"HEAP", content)][nth]
    free, names = struct.unpack_from("<QQ", content, heap + 16)
    struct.pack_into("<Q", content, names + free, free)
    (tmp_path / "x.h5ad").write_bytes(content)
    script = f"import resource; resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n{ATTEMPT}"
    command = [sys.executable, "-c", script, tmp_path / "sound.h5ad", tmp_path / "x.h5ad"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    assert done.stdout == "[None, None]\n", done.stdout + done.stderr
    with pytest.raises(ValueError, match=r"x\.h5ad must be a whole .*a block of 16 bytes at"):
        open_rows(tmp_path / "x.h5ad")


@pytest.mark.parametrize("label", ["a/b", "../var/names", "/var/names"])
def test_names_are_not_looked_for_elsewhere(tmp_path, label):
    write(tmp_path / "x.h5ad", {})
    with h5py.File(tmp_path / "x.h5ad", "a") as file:
        file["obs"].attrs["_index"] = label
    with pytest.raises(ValueError, match="_index of /obs leads elsewhere"):
        open_rows(tmp_path / "x.h5ad")


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
    done = subprocess.run(
        [sys.executable, "-c", ATTEMPT, *paths], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    assert done.stdout == "[None, None]\n", done.stdout + done.stderr


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


@pytest.mark.parametrize("options", FILES.values(), ids=FILES)
def test_references_that_lead_to_no_text_are_refused(tmp_path, options):
    with h5py.File(tmp_path / "x.h5", "w", **options) as file:
        file["x"] = ["abc"]
    with h5py.File(tmp_path / "x.h5") as file:
        (sound,) = references(file["x"], 0, 1)
        heap = int(sound["heap"])

        def found(**parts):
            reference = sound.copy()
            for part, value in parts.items():
                reference[part] = value
            return texts(file["x"], "x", np.array([reference] * 2))

        assert found() == [b"abc"] * 2
        assert found(length=2) == [b"ab"] * 2
        assert found(length=0) == found(heap=0) == found(heap=2**64 - 1) == [b""] * 2
        for parts, message in (
            ({"length": 4}, "x refers to a text that is not there"),
            ({"index": 9}, "x refers to a text that is not there"),
            ({"length": 2**32 - 1}, f"x promises texts of {2**33 - 2} bytes"),
            ({"heap": heap + 8}, "no heap of texts at "),
            ({"heap": 2**63}, "a block of 16 bytes at "),
        ):
            with pytest.raises(ValueError, match=message):
                found(**parts)


def test_texts_end_at_a_zero_as_hdf5_ends_them(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = ["abc", "d"]
    (tmp_path / "x.h5").write_bytes((tmp_path / "x.h5").read_bytes().replace(b"abc", b"a\0c"))
    with h5py.File(tmp_path / "x.h5") as file:
        assert texts(file["x"], "x", references(file["x"], 0, 2)) == file["x"][:].tolist() == [b"a", b"d"]


def test_a_heap_whose_objects_are_damaged_has_none(tmp_path):
    write(tmp_path / "x.h5ad", {})
    content = bytearray((tmp_path / "x.h5ad").read_bytes())
    with h5py.File(tmp_path / "x.h5ad") as file:
        heap = int(references(file["obs/names"], 0, 1)[0]["heap"])
    for size in (2**64 - 1, 2**64 - 24, 2**63, 4096, 0):
        struct.pack_into("<Q", content, heap + 24, size)
        (tmp_path / "x.h5ad").write_bytes(content)
        with pytest.raises(ValueError, match="refers to a text that is not there"):
            list(open_rows(tmp_path / "x.h5ad").chunks())


def test_an_object_that_is_longer_than_its_heap_is_none(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = ["abc"]
    with h5py.File(tmp_path / "x.h5") as file, open(tmp_path / "x.h5", "r+b") as raw:
        found = references(file["x"], 0, 1).copy()
        raw.seek(int(found[0]["heap"]) + 24)
        raw.write(struct.pack("<Q", 2**40))
        raw.flush()
        found["length"] = 4096
        with pytest.raises(ValueError, match="refers to a text that is not there"):
            texts(file["x"], "x", found)


def test_heaps_inside_of_each_other_are_not_all_read(tmp_path):
    head = b"GCOL\1\0\0\0" + struct.pack("<QH6xQ", 4000, 1, 8)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = ["x" * 32 * 1000]
    content = (tmp_path / "x.h5").read_bytes()
    (tmp_path / "x.h5").write_bytes(content.replace(b"x" * 32 * 1000, head * 1000))
    found = np.zeros(500, REFERENCE)
    found["index"], found["heap"] = 1, content.index(b"x" * 32) + 32 * np.arange(500)
    with h5py.File(tmp_path / "x.h5") as file:
        assert texts(file["x"], "x", found) == [b""] * 500
        found["length"] = 1
        assert texts(file["x"], "x", found[:3]) == [b"G"] * 3
        with pytest.raises(ValueError, match="a block of 3984 bytes"):
            texts(file["x"], "x", found)


@pytest.mark.parametrize("options", FILES.values(), ids=FILES)
@pytest.mark.parametrize("dtype", TYPES.values(), ids=TYPES)
@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("n_before", [0, 5])
def test_the_value_of_an_attribute_is_found_in_the_header(tmp_path, options, dtype, ordered, n_before):
    with h5py.File(tmp_path / "x.h5", "w", **options) as file:
        file["named"] = h5py.string_dtype()
        data = file.create_dataset("data", data=[1.0], track_order=ordered, track_times=ordered)
        for obj in (data, file.create_group("group", track_order=ordered)):
            for i in range(n_before):
                obj.attrs[f"text {i}"] = np.arange(100.0)
            obj.attrs.create("text", TEXT.encode(), dtype=file[dtype] if dtype == "named" else dtype)
    with h5py.File(tmp_path / "x.h5", "r") as file:
        assert (h5py.h5o.get_info(file["data"].id).hdr.nchunks > 1) == (n_before > 0)
        for obj in (file["data"], file["group"]):
            (value,) = attribute_values(obj, "text")
            if dtype == TYPES["fixed"]:
                assert value[:40] == TEXT.encode()
            else:
                assert texts(obj, "text", np.frombuffer(value[:16], REFERENCE)) == [TEXT.encode()]
            assert attribute_values(obj, "tex") == []


@pytest.mark.parametrize("size", [24, 2**40])
def test_a_header_that_runs_in_a_circle_or_out_of_the_file_is_refused(tmp_path, size):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("group").attrs["text"] = TEXT
    with h5py.File(tmp_path / "x.h5", "r") as file, open(tmp_path / "x.h5", "r+b") as raw:
        at = h5py.h5o.get_info(file["group"].id).addr
        raw.seek(at + 24)  # where it says where its second block is
        raw.write(struct.pack("<QQ", at + 16, size))
        raw.flush()
        with pytest.raises(ValueError, match=f"a block of {size} bytes at {at + 16}"):
            attribute_values(file["group"], "text")


@pytest.mark.parametrize("options", FILES.values(), ids=FILES)
def test_attributes_longer_than_the_file_are_refused(tmp_path, monkeypatch, options):
    with h5py.File(tmp_path / "x.h5ad", "w", **options) as file:
        file["X"] = np.ones((2, 2))
        file.create_group("var").attrs["_index"] = np.bytes_("n" * 600)
    monkeypatch.setattr("dsae.data._h5ad._size", lambda data: 599)
    with pytest.raises(ValueError, match="_index of /var promises a text of 600 bytes"):
        open_rows(tmp_path / "x.h5ad")


def test_memory_for_a_text_or_a_chunk_is_not_asked_for_on_a_promise(tmp_path):
    sound, chunk = tmp_path / "sound.h5ad", tmp_path / "chunk.h5ad"
    write_columns(sound, MATRIX)
    content, paths = sound.read_bytes(), [sound, chunk]
    with h5py.File(sound, "r") as file:
        for obj, name in (("X", "encoding-type"), ("obs", "_index"), ("var", "_index")):
            (value,) = attribute_values(file[obj], name)
            paths.append(tmp_path / f"{obj}.h5ad")
            paths[-1].write_bytes(content.replace(value[:16], struct.pack("<I", 0xF0000000) + value[4:16]))
            with pytest.raises(ValueError, match=rf"{name} of /{obj} promises texts of 4026531840 bytes"):
                open_rows(paths[-1])
    with h5py.File(chunk, "w") as file:
        X = file.create_dataset("X", (7, 3), "f4", maxshape=(None, None), chunks=(1, 2**28), compression="gzip")
        X.id.write_direct_chunk((0, 0), zlib.compress(bytes(100)))
    with pytest.raises(ValueError, match=r"/X promises chunks of \(1, 268435456\) in \d+ bytes"):
        open_rows(chunk)
    command = [sys.executable, "-c", ATTEMPT, *paths]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    assert done.stdout == f"{[None] * 5}\n", done.stdout + done.stderr


@pytest.mark.parametrize("ordered", [False, True])
def test_attributes_outside_of_the_header_are_read(tmp_path, ordered):
    write(tmp_path / "x.h5ad", {})
    with h5py.File(tmp_path / "x.h5ad", "a", libver="latest") as file:
        del file["obs"]
        obs = file.create_group("obs", track_order=ordered)
        obs["names"] = IDS
        obs.attrs.update({"_index": "names", "column-order": [f"column {i}" for i in range(5000)]})
    with h5py.File(tmp_path / "x.h5ad") as file:
        assert attribute_values(file["obs"], "_index") == []
    source = open_rows(tmp_path / "x.h5ad")
    assert np.concatenate([chunk.ids for chunk in source.chunks()]).tolist() == IDS


def test_attributes_that_objects_share_are_refused(tmp_path):
    write(tmp_path / "x.h5ad", {})
    content = bytearray((tmp_path / "x.h5ad").read_bytes())
    content[content.index(b"_index\0") - 12] |= 2
    (tmp_path / "x.h5ad").write_bytes(content)
    with h5py.File(tmp_path / "x.h5ad", "r") as file, pytest.raises(ValueError, match="objects share are not read"):
        attribute_values(file["obs"], "_index")


@pytest.mark.parametrize("text", [3, ["csc_matrix"], h5py.Empty("S1"), [1.0] * 2000])
def test_an_attribute_that_is_no_text_is_refused(tmp_path, text):
    write_columns(tmp_path / "x.h5ad", MATRIX)
    with h5py.File(tmp_path / "x.h5ad", "a") as file:
        file["X"].attrs["encoding-type"] = text
    with pytest.raises(ValueError, match="encoding-type of /X is no text"):
        open_rows(tmp_path / "x.h5ad")


def test_an_attribute_of_fixed_length_is_read(tmp_path):
    write_columns(tmp_path / "x.h5ad", MATRIX)
    with h5py.File(tmp_path / "x.h5ad", "a") as file:
        file["X"].attrs["encoding-type"] = np.bytes_("csc_matrix")
    assert len(open_rows(tmp_path / "x.h5ad")) == 7


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix"])
@pytest.mark.parametrize("shape", ["73", [7], [7, 3, 1], [[7, 3]], ["7", "3"], [7.0] * 2000])
def test_a_shape_of_other_than_two_numbers_is_refused(tmp_path, kind, shape):
    write_columns(tmp_path / "x.h5ad", MATRIX)
    with h5py.File(tmp_path / "x.h5ad", "a") as file:
        file["X"].attrs.update({"encoding-type": kind, "shape": shape})
    with pytest.raises(ValueError, match="shape of /X is no two numbers"):
        open_rows(tmp_path / "x.h5ad")


@pytest.mark.parametrize("dtype", [h5py.vlen_dtype(float), h5py.ref_dtype, [("name", h5py.string_dtype())]])
def test_names_that_are_no_texts_are_refused(tmp_path, dtype):
    write(tmp_path / "x.h5ad", {})
    with h5py.File(tmp_path / "x.h5ad", "a") as file:
        del file["obs/names"]
        file["obs"].create_dataset("names", (7,), dtype)
    with pytest.raises(ValueError, match="/obs/names is not of texts"):
        open_rows(tmp_path / "x.h5ad")


def test_addresses_of_four_bytes_are_refused(tmp_path):
    plan = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    plan.set_sizes(4, 4)
    h5py.h5f.create(str(tmp_path / "x.h5ad").encode(), h5py.h5f.ACC_TRUNC, plan).close()
    with h5py.File(tmp_path / "x.h5ad", "a") as file:
        file["X"] = np.ones((7, 3))
        file.create_group("obs").attrs["_index"] = "names"
    with pytest.raises(ValueError, match="addresses are not of 8 bytes"):
        open_rows(tmp_path / "x.h5ad")
