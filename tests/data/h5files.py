"""AnnData files as tests write them."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

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
FILES = {
    "old": {},
    "new": {"libver": "latest"},
    "old behind other bytes": {"userblock_size": 512},
    "new behind other bytes": {"libver": "latest", "userblock_size": 1024},
}
ATTEMPT = """
import resource, sys, pathlib, hostile
paths = [pathlib.Path(path) for path in sys.argv[1:]]
hostile.read(paths[0])
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
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


def attempts(*paths):
    """What is wrong, for each file, with how another process reads it; of these, the first is sound."""
    command = [sys.executable, "-c", ATTEMPT, *paths]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, timeout=60)
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout)
