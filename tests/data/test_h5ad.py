"""AnnData files: rows and names of every layout are read, and what is no such file is refused."""

import resource
import struct
import zlib

import numpy as np
import pytest
import scipy.sparse as sp
from tests.data.h5files import FILES, IDS, LAYOUTS, MATRIX, NAMES, attempts, write, write_columns

from dsae.data import open_rows
from dsae.data._h5raw import attribute_values

h5py = pytest.importorskip("h5py")

h5py = pytest.importorskip("h5py")


def promise(path, frame):
    """Let the first name be 4 GiB long."""
    with h5py.File(path, "r") as file:
        data = file[f"{frame}/names"].id
        at = data.get_offset() or data.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, at, 2**32 - 1)
    path.write_bytes(content)


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
    monkeypatch.setattr("dsae.data._reader.rows_at_once", lambda width: 3)
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


@pytest.mark.parametrize("label", ["a/b", "../var/names", "/var/names"])
def test_names_are_not_looked_for_elsewhere(tmp_path, label):
    write(tmp_path / "x.h5ad", {})
    with h5py.File(tmp_path / "x.h5ad", "a") as file:
        file["obs"].attrs["_index"] = label
    with pytest.raises(ValueError, match="_index of /obs leads elsewhere"):
        open_rows(tmp_path / "x.h5ad")


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
    assert attempts(*paths) == [None] * 5


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
