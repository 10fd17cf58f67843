"""From a file of rows to codes and back, as installed: `make wheel-test` runs this where there is no source tree."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dsae
from dsae import kernels
from dsae.data import read_rows, write_rows

ROWS = np.random.default_rng(0).random((200, 10)).astype(np.float32)
WIDTHS = ["--n-components", "3", "--hidden-layer-sizes", "8", "--density", "0.5"]


def run(*arguments, program=None):
    """The command as a user calls it, or the same by this interpreter."""
    script = program or [sys.executable, "-c", "from dsae.cli import main; main()"]
    done = subprocess.run([*script, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def one_after_another(*commands):
    """In one interpreter, which has imported nothing that trains; what the last one tells."""
    script = "import json, sys; from dsae.cli import run\n"
    script += "for command in json.loads(sys.argv[1]):\n    print('\f'); assert run(command) == 0"
    given = json.dumps([[*map(str, command)] for command in commands])
    done = subprocess.run([sys.executable, "-c", script, given], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.rpartition("\f")[2]


def test_the_command_line_fits_encodes_decodes_and_tells(tmp_path):
    data, model, codes, back = (tmp_path / name for name in ("x.npy", "model", "codes.npy", "back.npy"))
    write_rows(data, ROWS)
    run("fit", data, "-o", model, *WIDTHS, "--max-iter", "3", "--random-state", "0")
    steps = [("encode", model, data, "-o", codes), ("decode", model, codes, "-o", back)]
    if importlib.util.find_spec("pyarrow"):
        write_rows(tmp_path / "x.csv", ROWS, [f"gene{i}" for i in range(10)])
        steps.append(("encode", model, tmp_path / "x.csv", "-o", tmp_path / "codes.csv"))
    found = json.loads(one_after_another(*steps, ("evaluate", model, data, "--json")))
    runtime = dsae.load(model)
    np.testing.assert_allclose(read_rows(codes)[0], runtime.encode(ROWS), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(read_rows(back)[0], runtime.reconstruct(ROWS), rtol=1e-5, atol=1e-6)
    assert found["n_samples"] == len(ROWS)
    assert found["mse"] == pytest.approx(np.square(runtime.reconstruct(ROWS) - ROWS).mean(), rel=1e-4)
    pytest.importorskip("pyarrow")
    np.testing.assert_allclose(read_rows(tmp_path / "codes.csv")[0], runtime.encode(ROWS), rtol=1e-5, atol=1e-6)


def test_a_model_is_fitted_saved_loaded_and_learns_on(tmp_path):
    settings = {"n_components": 3, "hidden_layer_sizes": (8,), "density": 0.5, "max_iter": 3, "random_state": 0}
    dsa = dsae.DeepSparseAutoencoder(**settings).fit(ROWS)
    dsa.save(tmp_path / "model")
    np.testing.assert_array_equal(dsae.load(tmp_path / "model").encode(ROWS), dsa.transform(ROWS))
    again = dsae.DeepSparseAutoencoder.load(tmp_path / "model").partial_fit(ROWS[:100]).partial_fit(ROWS[100:])
    assert len(again.history_) == 5
    assert again.density_ == dsa.density_


def test_the_command_is_where_the_interpreter_is():
    program = shutil.which("dsae", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("dsae is not installed in this environment")
    assert dsae.__version__ in run("info", program=[program])


def test_the_command_tells_which_kernels_run():
    lines = dict(line.split(maxsplit=1) for line in run("info").splitlines())
    assert lines["native"] == ("yes" if kernels.NATIVE else "no")
