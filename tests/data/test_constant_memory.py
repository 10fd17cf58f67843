"""Memory does not grow with the rows of a file: training, evaluation and use of ten times as many take as much."""

import pytest

CODE = """
import resource, sys
import numpy as np
from dsae import DeepSparseAutoencoder, load
from dsae.cli import run
from dsae.data import _shuffle, _statistics, _writers, open_rows, writing

kind, folder = sys.argv[1:]
_shuffle._POOL_BYTES = _shuffle._OPEN_BYTES = _writers._GROUP_BYTES = 1 << 21
_statistics._SAMPLE_BYTES = 1 << 20
WIDTH, PIECE = 512, 500

def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def go(n_rows):
    path = f"{folder}/{n_rows}.{kind}"
    with writing(path, n_rows, [f"x{i}" for i in range(WIDTH)]) as writer:
        for start in range(0, n_rows, PIECE):
            writer.write(np.random.default_rng(start).random((PIECE, WIDTH), dtype=np.float32))
    dsa = DeepSparseAutoencoder(4, hidden_layer_sizes=(), density=0.1, max_iter=1, batch_size=250)
    dsa.fit(open_rows(path)).save(f"{folder}/model")
    dsa.score(open_rows(path))
    assert run(["reconstruct", f"{folder}/model", path, "-o", f"{folder}/out.{kind}"]) == 0
    assert len(open_rows(f"{folder}/out.{kind}")) == n_rows
    return peak()

small, large = go(3000), go(22000)
print(large - small)
"""


@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_ten_times_the_rows_take_no_more_memory(fresh, tmp_path, kind):
    """39 MB more of data, read three times."""
    run = fresh(CODE, kind, tmp_path)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 25 << 20
