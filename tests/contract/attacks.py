"""Attacks on the files of a model: JSON, bytes, safetensors headers and tensors, each changed at random."""

import copy
import json
import os

import numpy as np

TIMES = int(os.environ.get("DSAE_FUZZ", "1"))  # `make fuzz` tries more
NASTY = [
    *(None, True, False, -1, 0, 1, 2, 255, 2**16, 2**31 - 1, 2**31, 2**40, 2**63, 2**64, 10**30, 0.5, -0.0, 1e308),
    *(float("nan"), float("inf"), float("-inf"), "", "3", "x" * 2000, "\x00", "\ud800", "__class__", [], {}, [[]]),
    *([1], [10**12], [0], [3] * 500, {"encoder.0": 0.5}, {"encoder.0": None}, "topk", "batchtopk", "softmax", "dsae"),
]


def nodes(tree, path=()):
    yield path
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in children:
        yield from nodes(value, (*path, key))


def mutated(tree, rng):
    """One node of a JSON tree replaced, removed, renamed, added to or wrapped."""
    tree = copy.deepcopy(tree)
    *parents, last = rng.choice([path for path in nodes(tree) if path])
    at = tree
    for key in parents:
        at = at[key]
    how = rng.randrange(6)
    if how < 3:
        at[last] = copy.deepcopy(rng.choice(NASTY))
    elif how == 3:
        del at[last]
    elif how == 4 and isinstance(at, dict):
        at[rng.choice(["x", "", "n_featurs", "learner", "../x", "encoder.9"])] = at.pop(last)
    else:
        at[last] = [at[last]] if rng.random() < 0.5 else {"a": at[last]}
    return tree


def bruised(content, rng):
    """Bytes cut, flipped, repeated or put in."""
    content = bytearray(content)
    at, length = rng.randrange(len(content) + 1), rng.choice((1, 2, 8, 100))
    how = rng.randrange(4)
    if how == 0:
        del content[at:]
    elif how == 1:
        for position in range(at, min(at + length, len(content))):
            content[position] ^= 1 << rng.randrange(8)
    elif how == 2:
        content[at:at] = content[at : at + length]
    else:
        content[at:at] = rng.randbytes(length)
    return bytes(content)


RAW = [
    b"",
    b"[" * 200_000,
    b'{"a":' * 100_000,
    b'{"format": "dsae", "format_version": ' + b"9" * 10_000 + b"}",
    b"\xff\xfe{}",
    b"null",
    b"\x00" * 64,
    b"{}\n" * 1000,
    b"\xff" * 64,
]


def header_of(content):
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


def with_header(content, edit, rng):
    length = int.from_bytes(content[:8], "little")
    header = edit(header_of(content), rng)
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    claimed = rng.choice([len(text)] * 12 + [0, len(text) - 1, len(text) + 1, 2**32, 2**63, 2**64 - 1])
    return claimed.to_bytes(8, "little") + text + content[8 + length :]


def lying_header(header, rng):
    """One claim about one tensor that is not true."""
    name = rng.choice(sorted(set(header) - {"__metadata__"}))
    entry = header[name]
    lies = {
        "shape": [[], [0], [-1], [2**40], [2**63], [2**32, 2**32], [1] * 40, [1.5], ["3"], None, "3", [entry["shape"]]],
        "dtype": ["F64", "F32", "I32", "I64", "U16", "U8", "BF16", "F8_E4M3", "", None, 3, ["F32"], "f32"],
        "data_offsets": [[0, 0], [0, 2**40], [-4, 0], [8, 4], [0], [0, 4, 8], None, [0.0, 4.0], ["0", "4"], [2**64, 0]],
    }
    key = rng.choice(sorted(lies))
    how = rng.randrange(8)
    if how == 0:
        del header[name]
    elif how == 1:
        header[rng.choice(["", "encoder.9.bias", "code.threshold", "a/b/c", "x" * 999])] = header.pop(name)
    elif how == 2:
        del entry[key]
    elif how == 3:
        other = rng.choice(sorted(header))
        header[name], header[other] = header[other], header[name]
    elif how == 4:
        text = json.dumps(header)
        return (text[:-1] + ", " + json.dumps(name) + ": " + json.dumps(entry) + "}").encode()
    else:
        entry[key] = rng.choice(lies[key])
    return header


EXTREMES = (-(2**31), -1, 0, 1, 2, 5, 6, 7, 255, 2**16 - 1, 2**31 - 2, 2**31 - 1)


def attacked(array, rng):
    """Some entries moved to where a loop that trusts them would leave the memory, or the wrong type or length."""
    array = array.copy()
    how = rng.randrange(6)
    if how == 0:
        return array.astype(rng.choice([np.uint8, np.int64, np.float64, np.uint16, np.int32, np.float32]))
    if how == 1:
        return array.ravel()[: rng.randrange(array.size + 1)]
    if how == 2:
        return np.resize(array, array.size + rng.choice((1, 3, 1000)))
    if not array.size:
        return array
    flat = array.reshape(-1)
    for _ in range(rng.randrange(1, 4)):
        value = rng.choice(EXTREMES)
        if array.dtype.kind == "f":
            value = rng.choice((np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, float(value)))
        with np.errstate(over="ignore"):
            flat[rng.randrange(flat.size)] = np.asarray(value).astype(array.dtype)
    return array
