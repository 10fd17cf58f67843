"""Texts and attributes are those that h5py reads, and damaged ones are refused."""

import re
import struct

import numpy as np
import pytest
from tests.data.h5files import FILES, IDS, attempts, write

from dsae.data import open_rows
from dsae.data._h5chunks import REFERENCE
from dsae.data._h5raw import attribute_values, references, texts

h5py = pytest.importorskip("h5py")

TEXT = "é" * 20
TYPES = {"variable": h5py.string_dtype(), "fixed": h5py.string_dtype(length=40), "named": "named"}


@pytest.mark.parametrize("nth", [0, 1, 2])
def test_a_heap_of_links_whose_free_pieces_run_in_a_circle_is_refused(tmp_path, nth):
    write(tmp_path / "sound.h5ad", {})
    content = bytearray((tmp_path / "sound.h5ad").read_bytes())
    heap = [match.start() for match in re.finditer(b"HEAP", content)][nth]
    free, names = struct.unpack_from("<QQ", content, heap + 16)
    struct.pack_into("<Q", content, names + free, free)
    (tmp_path / "x.h5ad").write_bytes(content)
    assert attempts(tmp_path / "sound.h5ad", tmp_path / "x.h5ad") == [None, None]
    with pytest.raises(ValueError, match=r"x\.h5ad must be a whole .*a block of 16 bytes at"):
        open_rows(tmp_path / "x.h5ad")


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


def test_addresses_of_four_bytes_are_refused(tmp_path):
    plan = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    plan.set_sizes(4, 4)
    h5py.h5f.create(str(tmp_path / "x.h5ad").encode(), h5py.h5f.ACC_TRUNC, plan).close()
    with h5py.File(tmp_path / "x.h5ad", "a") as file:
        file["X"] = np.ones((7, 3))
        file.create_group("obs").attrs["_index"] = "names"
    with pytest.raises(ValueError, match="addresses are not of 8 bytes"):
        open_rows(tmp_path / "x.h5ad")
