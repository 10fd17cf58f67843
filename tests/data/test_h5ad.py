"""AnnData files: names of every layout are read, and those that promise more than the file holds are refused."""

import resource
import struct

import numpy as np
import pytest
import scipy.sparse as sp

from dsae.data import open_rows

h5py = pytest.importorskip("h5py")

IDS, NAMES = [f"cell {i}" for i in range(7)], ["a", "é" * 40, ""]
MATRIX = sp.csc_matrix(np.eye(7, 3, dtype=np.float32))
LAYOUTS = {
    "contiguous": {},
    "chunked": {"chunks": (2,)},
    "gzip": {"compression": "gzip"},
    "shuffled": {"compression": "gzip", "shuffle": True},
}


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
