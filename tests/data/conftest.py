"""The same rows in a file of every kind."""

import numpy as np
import pytest
from tests.data.samples import KINDS, N_ROWS, NAMES

from dsae.data import writing


@pytest.fixture(scope="session")
def rows():
    """Numbered in the first column, so that every row can be told from the others."""
    X = np.random.default_rng(0).normal(size=(N_ROWS, len(NAMES))).astype(np.float32)
    X[X < 0.5] = 0
    X[:, 0] = np.arange(N_ROWS) + 1
    return X


@pytest.fixture(scope="session")
def ids():
    return np.array([f"cell {i}, 'a'" for i in range(N_ROWS)], dtype=object)


@pytest.fixture(scope="session")
def write(rows, ids):
    """Write the rows, or a span of them, in uneven pieces."""

    def to(path, start=0, stop=N_ROWS, names=NAMES, id_name="cell"):
        with writing(path, stop - start, names, id_name) as writer:
            for first in range(start, stop, 700):
                piece = slice(first, min(first + 700, stop))
                writer.write(rows[piece], ids[piece])
        return path

    return to


@pytest.fixture(scope="session")
def files(write, tmp_path_factory):
    """A file of every kind, and a folder of five."""
    folder = tmp_path_factory.mktemp("rows")
    found = {kind: write(folder / f"x.{kind}") for kind in KINDS}
    found["folder"] = folder / "parts"
    found["folder"].mkdir()
    for i, start in enumerate(range(0, N_ROWS, 600)):
        write(found["folder"] / f"{i}.parquet", start, start + 600)
    return found


@pytest.fixture
def small_pieces(monkeypatch):
    """Many parts, chunks and fillings of the buffer, as in large data."""
    monkeypatch.setattr("dsae.data._reader._BYTES_AT_ONCE", 1 << 14)
    monkeypatch.setattr("dsae.data._shuffle._POOL_BYTES", 1 << 16)
