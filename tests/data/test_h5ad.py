"""AnnData files: names of every layout are read, and those that promise more than the file holds are refused."""

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
from dsae.data._h5raw import attribute_values, promised

h5py = pytest.importorskip("h5py")

IDS, NAMES = [f"cell {i}" for i in range(7)], ["a", "é" * 40, ""]
MATRIX = sp.csc_matrix(np.eye(7, 3, dtype=np.float32))
LAYOUTS = {
    "contiguous": {},
    "chunked": {"chunks": (2,)},
    "gzip": {"compression": "gzip"},
    "shuffled": {"compression": "gzip", "shuffle": True},
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


def write(path, layout):
    with h5py.File(path, "w") as file:
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


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_names_of_every_layout_are_read(tmp_path, layout):
    write(tmp_path / "x.h5ad", layout)
    source = open_rows(tmp_path / "x.h5ad")
    assert source.column_names == NAMES
    assert np.concatenate([chunk.ids for chunk in source.chunks()]).tolist() == IDS


def test_a_matrix_by_columns_has_the_names_of_its_rows(tmp_path, monkeypatch):
    monkeypatch.setattr("dsae.data._scan.rows_at_once", lambda width: 3)
    write_columns(tmp_path / "x.h5ad", MATRIX)
    source = open_rows(tmp_path / "x.h5ad")
    assert (source.id_name, source.column_names) == ("names", NAMES)
    assert [chunk.ids.tolist() for chunk in source.chunks()] == [IDS[:3], IDS[3:6], IDS[6:]]


@pytest.mark.parametrize(
    ("frames", "message"),
    [({"ids": IDS[1:]}, r"\(6,\) names for 7 rows"), ({"names": [*NAMES, "d"]}, "4 names for 3 columns")],
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
@pytest.mark.parametrize("layout", ["contiguous", "chunked"])
def test_names_longer_than_the_file_are_refused_before_memory_is_asked_for(tmp_path, layout, frame):
    path = tmp_path / "x.h5ad"
    write(path, LAYOUTS[layout])
    promise(path, frame)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=rf"\[read\] .*x\.h5ad must be a whole .*/{frame}/names promises texts of 4"):
        open_rows(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_names_in_an_unknown_compression_are_refused(tmp_path):
    write(tmp_path / "x.h5ad", {"compression": "lzf"})
    with pytest.raises(ValueError, match="compressed by filter 32000 of HDF5 are not read, only by gzip"):
        open_rows(tmp_path / "x.h5ad")


def values(obj, name):
    return attribute_values(obj, h5py.h5o.get_info(obj.id), name)


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
            (value,) = values(obj, "text")
            assert value[:40] == TEXT.encode() if dtype == TYPES["fixed"] else promised(value[:16]) == 40
            assert values(obj, "tex") == []


def test_a_header_that_runs_in_a_circle_or_out_of_the_file_is_left(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("group").attrs["text"] = TEXT
    with h5py.File(tmp_path / "x.h5", "r") as file, open(tmp_path / "x.h5", "r+b") as raw:
        info = h5py.h5o.get_info(file["group"].id)
        for begin, size in ((info.addr + 16, 24), (info.addr, 2**40)):
            raw.seek(info.addr + 24)  # where it says where its second block is
            raw.write(struct.pack("<QQ", begin, size))
            raw.flush()
            if size == 24:
                assert attribute_values(file["group"], info, "text") == []
        with pytest.raises(ValueError, match=f"a header of {2**40} bytes at {info.addr}"):
            attribute_values(file["group"], info, "text")


@pytest.mark.parametrize("options", FILES.values(), ids=FILES)
def test_attributes_longer_than_the_file_are_refused(tmp_path, monkeypatch, options):
    with h5py.File(tmp_path / "x.h5ad", "w", **options) as file:
        file["X"] = np.ones((2, 2))
        file.create_group("var").attrs["_index"] = "n" * 600
    monkeypatch.setattr("dsae.data._h5ad._size", lambda data: 599)
    with pytest.raises(ValueError, match="_index of /var promises texts of 600 bytes"):
        open_rows(tmp_path / "x.h5ad")


def test_memory_for_a_text_or_a_chunk_is_not_asked_for_on_a_promise(tmp_path):
    sound, chunk = tmp_path / "sound.h5ad", tmp_path / "chunk.h5ad"
    write_columns(sound, MATRIX)
    content, paths = sound.read_bytes(), [sound, chunk]
    with h5py.File(sound, "r") as file:
        for obj, name in (("X", "encoding-type"), ("obs", "_index"), ("var", "_index")):
            (value,) = values(file[obj], name)
            paths.append(tmp_path / f"{obj}.h5ad")
            paths[-1].write_bytes(content.replace(value[:16], struct.pack("<I", 0xF0000000) + value[4:16]))
            with pytest.raises(ValueError, match=rf"{name} of /{obj} promises texts of 4026531840 bytes"):
                open_rows(paths[-1])
    with h5py.File(chunk, "w") as file:
        X = file.create_dataset("X", (7, 3), "f4", maxshape=(None, None), chunks=(1, 2**28), compression="gzip")
        X.id.write_direct_chunk((0, 0), zlib.compress(bytes(100)))
    with pytest.raises(ValueError, match=r"/X promises chunks of \(1, 268435456\) in 1. bytes"):
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
        assert values(obs, "_index") == []
    source = open_rows(tmp_path / "x.h5ad")
    assert np.concatenate([chunk.ids for chunk in source.chunks()]).tolist() == IDS


def test_attributes_that_objects_share_are_refused(tmp_path):
    write(tmp_path / "x.h5ad", {})
    content = bytearray((tmp_path / "x.h5ad").read_bytes())
    content[content.index(b"_index\0") - 12] |= 2
    (tmp_path / "x.h5ad").write_bytes(content)
    with h5py.File(tmp_path / "x.h5ad", "r") as file, pytest.raises(ValueError, match="objects share are not read"):
        values(file["obs"], "_index")


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


def test_a_chunk_of_names_that_ends_early_is_refused(tmp_path):
    write(tmp_path / "x.h5ad", LAYOUTS["gzip"])
    with h5py.File(tmp_path / "x.h5ad", "a") as file:
        file["obs/names"].id.write_direct_chunk((0,), zlib.compress(bytes(16)))
    with pytest.raises(ValueError, match="/obs/names has a chunk of 16 bytes, not 112"):
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
