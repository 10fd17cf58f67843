"""The laws hold at every instruction set, and the same bits on any number of threads."""

from pathlib import Path

import numpy as np
import pytest
from tests.arrays import floats, native

from dsae import kernels
from dsae.topology import Topology

LAWS = [
    Path(__file__).with_name(f"test_{name}.py") for name in ("bf16", "codes", "kernels", "network", "sparse_kernels")
]


@native
@pytest.mark.parametrize("level", ["baseline", "x86-64-v3", "x86-64-v4"])
def test_every_instruction_set_obeys_the_laws(level, fresh, monkeypatch):
    """The one in use does so in this process; the others as they were built, not only in C++ and sanitised."""
    monkeypatch.setenv("DSAE_ISA", level)
    run = fresh("from dsae import _kernels; print(_kernels.isa())")
    if "DSAE_ISA must be one of" in run.stderr:
        pytest.skip(f"this CPU does not run {level}")
    assert run.stdout.strip() == level
    assert level in kernels.ISAS
    if level == kernels.isa():
        return
    run = fresh(f"import pytest; raise SystemExit(int(pytest.main({['-p', 'no:cacheprovider', *map(str, LAWS)]})))")
    assert run.returncode == 0, run.stdout


@native
def test_an_unknown_instruction_set_is_refused(fresh, monkeypatch):
    monkeypatch.setenv("DSAE_ISA", "sse9")
    run = fresh("from dsae import _kernels")
    assert run.returncode != 0
    assert "ImportError: DSAE_ISA must be one of" in run.stderr
    assert "baseline on this machine; got 'sse9'" in run.stderr


@native
def test_the_bits_do_not_depend_on_the_number_of_threads(rng):
    """And torch's number of threads is ours: one OpenMP runtime is loaded."""
    torch = pytest.importorskip("torch")
    t = Topology.from_mask(rng.random((301, 203)) < 0.4)
    values, bias = floats(rng, t.nnz), floats(rng, 301)
    x, dy = floats(rng, 3, 203, 64), floats(rng, 3, 301, 64)
    results = []
    before = torch.get_num_threads()
    try:
        for n in (1, 2, 3, 7):
            torch.set_num_threads(n)
            assert kernels.threads() == n
            y, dw = np.empty_like(dy), np.empty_like(values)
            product, dots, sums = np.empty_like(dy), np.empty_like(values), np.empty(203, np.float32)
            kernels.spmm(t.indptr, t.indices, values, bias, x, y)
            kernels.sddmm(t.indptr, t.indices, dy, x, dw)
            kernels.backward(t.indptr, t.indices, values, x, dy, product, dots)
            kernels.sum_samples(x, sums)
            drawn = kernels.draw_dead(t.indptr, t.indices, 203, 30_000, 0)
            rewired = kernels.rewire(t.indptr, t.indices, values > 0, *drawn)
            moved = np.empty(rewired[2].size, np.float32)
            kernels.move(values, rewired[2], moved)
            outs = (y, dw, product, dots, sums, *drawn, *rewired, moved)
            results.append(b"".join(out.tobytes() for out in outs))
    finally:
        torch.set_num_threads(before)
    assert len(set(results)) == 1
