"""Shards: what goes in comes out, to four digits and in the smallest types."""

import base64
import gzip
import json
import re

import numpy as np
import pytest
from tests.covering import each

from dsae.explorer import read_shard
from dsae.explorer._shards import call, lists, packed, rounded, unpacked


@each(
    {
        "values, kind": [
            ([0, 255], "u1"),
            ([0, 256], "u2"),
            ([0, 2**31], "u4"),
            ([-1, 5], "i4"),
            ([0.5, -2.0], "f4"),
            ([], "u1"),
        ]
    }
)
def test_arrays_come_back_in_the_smallest_type(values, kind):
    array = np.array(values, np.float64 if kind == "f4" else np.int64)
    content = {"a": {"b": [array, "text"]}, "c": np.int8([-3]), "d": None}
    data = packed(content)
    head = json.loads(data[4 : 4 + int.from_bytes(data[:4], "little")])
    assert head["a"]["b"][0]["$"] == kind
    assert head["c"]["$"] == "i1"
    assert (4 + int.from_bytes(data[:4], "little")) % 8 == 0
    assert all(entry["at"] % 8 == 0 for entry in (head["a"]["b"][0], head["c"]))
    found = unpacked(data)
    assert found["a"]["b"][0].tolist() == values
    assert (found["a"]["b"][1], found["c"].tolist(), found["d"]) == ("text", [-3], None)


def test_floats_keep_four_digits(rng):
    values = (rng.normal(0, 1, 1000) * 10.0 ** rng.integers(-30, 30, 1000)).astype(np.float32)
    assert (np.abs(rounded(values) - values) <= np.abs(values) * 2.0**-14).all()
    assert len(np.unique(rounded(values).view(np.uint32) & 0x3FF)) == 1
    odd = np.float32([np.nan, np.inf, -np.inf, 0])
    np.testing.assert_array_equal(rounded(odd), odd)


def test_a_file_is_one_call_whatever_names_it_holds():
    name = "</script><img src=x onerror=alert(1)>\u2028'\"\\"
    text = call("latents/0", {"name": [name], "value": np.arange(3)})
    found = re.fullmatch(r'D\("latents/0","([A-Za-z0-9+/=]+)"\)\n', text)
    assert unpacked(gzip.decompress(base64.b64decode(found[1])))["name"] == [name]
    assert call("latents/0", {"name": [name], "value": np.arange(3)}) == text  # the same bytes every time


def test_lists_begin_where_the_ones_before_end():
    assert lists([2, 0, 1], x=np.arange(3))["ptr"].tolist() == [0, 2, 2, 3]


def test_what_is_no_shard_is_refused(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "index.js").write_text('D("index","AAAA")\n')
    with pytest.raises(ValueError, match=r"\[read_shard\] .*index.js must be a shard"):
        read_shard(tmp_path, "index")
