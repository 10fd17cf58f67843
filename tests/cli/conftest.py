"""A model folder, rows in a file, and the command line as a function."""

from types import SimpleNamespace

import numpy as np
import pytest

from dsae import cli, store
from dsae.data import write_rows

NAMES = ["alpha", "beta", "gamma", "delta"]


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)


@pytest.fixture
def data(rows, tmp_path):
    write_rows(tmp_path / "data.csv", rows, NAMES)
    return tmp_path / "data.csv"


@pytest.fixture
def model(make_model, tmp_path):
    model = make_model(4, 2, hidden_layer_sizes=(6,), live=0.7, model={"feature_names": NAMES})
    return store.write(tmp_path / "model", model)


@pytest.fixture
def dsae(capfdbinary):
    """Run a command: its exit code, what it wrote to stdout and, as text, to stderr."""

    def run(*args):
        capfdbinary.readouterr()
        code = cli.run([str(arg) for arg in args])
        out, err = capfdbinary.readouterr()
        return SimpleNamespace(code=code, out=out, text=out.decode(), err=err.decode())

    return run
