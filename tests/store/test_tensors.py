"""The format is safetensors': its own library reads what is written here, and the other way round."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from dsae.store._state import read_state, write_state
from dsae.store._tensors import TensorFile, write_tensors

RNG = np.random.default_rng(0)
TENSORS = {
    "a": RNG.normal(size=(3, 5)).astype(np.float32),
    "b/c": RNG.normal(size=7),
    "empty": np.zeros((0, 3), np.int32),
    "number": np.array(3, np.int64),
    "short": np.arange(5, dtype=np.uint16),
    "bytes": np.arange(3, dtype=np.uint8),
    "transposed": np.arange(6, dtype=np.int32).reshape(2, 3).T,
}


def read(path):
    with TensorFile(path) as file:
        return {name: file.read(name) for name in file.slots}


def same(one, other):
    assert set(one) == set(other)
    for name, array in one.items():
        assert (array.dtype, array.shape) == (other[name].dtype, other[name].shape)
        np.testing.assert_array_equal(array, other[name])


@pytest.mark.parametrize("tensors", [TENSORS, {}, {"one": TENSORS["b/c"]}])
def test_both_libraries_read_both_files(tmp_path, tensors):
    write_tensors(tmp_path / "ours", tensors)
    save_file({name: np.ascontiguousarray(a).reshape(a.shape) for name, a in tensors.items()}, tmp_path / "theirs")
    for name in ("ours", "theirs"):
        same(read(tmp_path / name), tensors)
        same(load_file(tmp_path / name), tensors)


def test_what_is_read_may_be_changed(tmp_path):
    write_tensors(tmp_path / "t", TENSORS)
    assert all(array.flags.writeable for array in read(tmp_path / "t").values())


def test_a_tree_comes_back_as_it_was(tmp_path):
    tree = {
        "a": {"b": TENSORS["a"], "c": [1, 0.1, None, {"d": "é"}], "": {"e": TENSORS["b/c"]}},
        "big": 2**127,
        "f": {},
    }
    write_state(tmp_path, "state", tree)
    back = read_state(tmp_path, "state")
    same({"b": back["a"].pop("b"), "e": back["a"][""].pop("e")}, {"b": tree["a"].pop("b"), "e": tree["a"][""].pop("e")})
    assert back == tree
