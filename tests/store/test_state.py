"""A tree of arrays and JSON comes back as it was; the file is one that the safetensors library reads."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save
from tests.covering import each

from dsae.store import state_from_bytes, state_to_bytes
from dsae.store._state import tensors_from_bytes, tensors_to_bytes

RNG = np.random.default_rng(0)
TENSORS = {
    "a": RNG.normal(size=(3, 5)).astype(np.float32),
    "b/c": RNG.normal(size=7),
    "empty": np.zeros((0, 3), np.int32),
    "number": np.array(3, np.int64),
    "short": np.arange(5, dtype=np.uint16),
    "bytes": np.arange(3, dtype=np.uint8),
    "transposed": np.arange(6, dtype=np.int32).reshape(2, 3).T,
    "strided": np.arange(9, dtype=np.int32)[::2],
}
PATH = Path("x.safetensors")


def same(one, other):
    assert set(one) == set(other)
    for name, array in one.items():
        assert (array.dtype, array.shape) == (other[name].dtype, other[name].shape)
        np.testing.assert_array_equal(array, other[name])


@each(tensors=[TENSORS, {}, {"one": TENSORS["b/c"]}])
def test_the_arrays_are_those_of_the_library(tensors):
    data = tensors_to_bytes(tensors)
    same(tensors_from_bytes(data, PATH), tensors)
    same(load(data), tensors)
    assert all(array.flags.writeable for array in tensors_from_bytes(data, PATH).values())


def test_other_dtypes_and_other_files_are_refused_by_name():
    with pytest.raises(ValueError, match=r"x\.safetensors: a must be one of F32, .*; got F16"):
        tensors_from_bytes(save({"a": np.zeros(3, np.float16)}), PATH)
    with pytest.raises(ValueError, match=r"x\.safetensors is truncated or corrupt \("):
        tensors_from_bytes(b"nonsense" * 9, PATH)


def tree():
    return {
        "a": {"b": TENSORS["a"], "c": [1, 0.1, None, {"d": "é"}], "": {"e": TENSORS["b/c"]}},
        "big": 2**127,
        "f": {},
    }


def test_a_tree_comes_back_as_it_was():
    one, back = tree(), state_from_bytes(state_to_bytes(tree()), PATH)
    same({"b": back["a"].pop("b"), "e": back["a"][""].pop("e")}, {"b": one["a"].pop("b"), "e": one["a"][""].pop("e")})
    assert back == one


@each(
    {
        "tensors, text, message": [
            ({"a": np.ones(2)}, None, "no valid tree in its metadata"),
            ({"a": np.ones(2)}, "{", "no valid tree in its metadata"),
            ({"a": np.ones(2)}, "[" * 10**5, "no valid tree in its metadata"),
            ({"a": np.ones(2)}, "[]", "must hold a mapping; got list"),
            ({"a/b": np.ones(2)}, "{}", "a/b has no place in the tree"),
            ({"a/b": np.ones(2)}, '{"a": [1]}', "a/b has no place in the tree"),
            ({"a": np.ones(2)}, '{"a": 1}', "a is there twice"),
            ({"a": np.array([np.nan])}, "{}", "a must be finite"),
        ]
    }
)
def test_a_tree_that_contradicts_itself_is_refused(tensors, text, message):
    data = tensors_to_bytes(tensors, None if text is None else {"tree": text})
    with pytest.raises(ValueError, match=rf"x\.safetensors:? .*{message}"):
        state_from_bytes(data, PATH)
