"""The compiled kernels refuse what does not fit."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from tests.arrays import floats, native
from tests.covering import each

import dsae
from dsae import kernels
from dsae.topology import Topology


def arguments(rng):
    """Right arguments of every kernel, by name."""
    t = Topology.from_mask(rng.random((4, 5)) < 0.5)
    w, n = {"indptr": t.indptr, "indices": t.indices}, t.nnz
    values, bias = floats(rng, n), floats(rng, 4)
    ones = Topology.from_mask(np.eye(4))
    batch = {"x_indptr": ones.indptr, "x_indices": ones.indices, "x_values": floats(rng, 4)}
    x, y, slots = floats(rng, 2, 5, 16), floats(rng, 2, 4, 16), np.arange(n, dtype=np.int32)
    # groups of 4, 4, 4 and 1 rows
    blocks, in_blocks = {**w, "block_size": 4}, floats(rng, 4 * int(t.indptr[-2]) + n - int(t.indptr[-2]))
    z = floats(rng, 2, 13, 16)
    lanes, lines = floats(rng, 2, 5, 32), [np.zeros((2, width, 32), np.uint16) for width in (5, 4)]
    return {
        "pack": {"rows": floats(rng, 20, 5), "panels": x},
        "unpack": {"panels": x, "rows": floats(rng, 20, 5)},
        "spmm": {**w, "values": values, "bias": bias, "x": x, "y": y},
        "sddmm": {**w, "dy": y, "x": x, "dw": values},
        "backward": {**w, "values": values, "dy": x, "x": y, "dx": floats(rng, 2, 4, 16), "dw": floats(rng, n)},
        "block_spmm": {**blocks, "values": in_blocks, "bias": floats(rng, 13), "x": x, "y": z},
        "block_backward": {**blocks, "values": in_blocks, "dy": z, "x": x, "dx": floats(rng, 2, 5, 16)}
        | {"dw": floats(rng, in_blocks.size)},
        "sum_samples": {"panels": x, "sums": floats(rng, 5)},
        "gather": {"values": values, "slots": slots, "out": floats(rng, n)},
        "scatter": {"values": values, "slots": slots, "out": floats(rng, n)},
        "to_dense": {**w, "values": values, "matrix": floats(rng, 4, 5)},
        "from_dense": {**w, "matrix": floats(rng, 4, 5), "values": values},
        "spmv": {**w, "values": values, "x": floats(rng, 5), "y": floats(rng, 4)},
        "sampled_outer": {**w, "left": bias, "right": floats(rng, 5), "dw": values},
        "edge_sums": {
            "rows": slots,
            "columns": slots,
            "values": values,
            "x": floats(rng, n),
            "y": floats(rng, n),
        },
        "gather_live": {
            "indptr": t.indptr,
            "values": values,
            "slots": slots,
            "x_indptr": t.indptr,
            "out": floats(rng, n),
        },
        "csr_spmm": {**w, "values": values, "bias": floats(rng, 5), **batch, "rows": floats(rng, 4, 5)},
        "csr_sddmm": {**w, "slots": slots, **batch, "dy": floats(rng, 5, 5), "dw": floats(rng, n)},
        "csr_gradient": {**w, **batch, "dy": floats(rng, 5, 5), "outer": None, "dw": floats(rng, n)},
        "transpose": {**w, "n_cols": 5},
        "validate": {**w, "n_cols": 5},
        "rewire": {**w, "keep": np.ones(n, bool), "grown_indptr": t.indptr, "grown_indices": t.indices},
        "move": {"values": values, "source": slots, "out": floats(rng, n)},
        "smallest": {"scores": values, "n": 1, "chosen": np.ones(n, bool)},
        "draw_dead": {**w, "n_cols": 5, "n": 1, "seed": 0},
        "first_dead": {**w, "order": np.arange(5, dtype=np.int32), "lengths": np.full(4, 5, np.int32)},
        "activate": {"rows": floats(rng, 2, 4), "activation": 3, "k": 0, "thresholds": bias},
        "log_sums": {**w, "values": values, "bias": bias, "x": x, "sums": floats(rng, 20)},
        "take_rows": {"rows": floats(rng, 4, 5), "chosen": np.array([3, 0]), "out": floats(rng, 2, 5)},
        "take_csr": {**w, "values": values, "chosen": np.array([3, 0])},
        "window_edges": {**w, "n_cols": 5, "height": 2},
        "turn": {"rows": floats(rng, 3, 5), "out": floats(rng, 5, 3)},
        "code_topk": {"z": floats(rng, 3, 4), "k": 2},
        "code_above": {"z": floats(rng, 3, 4), "thresholds": bias, "margin": 0.0},
        "kth_of_all": {"z": floats(rng, 3, 4), "k": 2},
        "code_dots": {**w, "values": values, "code_indptr": ones.indptr, "code_indices": ones.indices}
        | {"y": floats(rng, 4, 5), "out": floats(rng, 4)},
        "code_outer": {**w, "latent_indptr": ones.indptr, "latent_rows": ones.indices, "code_values": floats(rng, 4)}
        | {"y": floats(rng, 4, 5), "dm": floats(rng, n), "sums": floats(rng, 4)},
        "bf16_pack": {"panels": lanes, "lines": lines[0]},
        "bf16_unpack": {"lines": lines[0], "panels": lanes},
        "bf16_spmm": {**w, "values": values, "bias": bias, "x": lines[0], "y": floats(rng, 2, 4, 32)},
        "bf16_sddmm": {**w, "dy": lines[1], "x": lines[0], "dw": values},
        "bf16_backward": {**w, "values": values, "dy": lines[0], "x": lines[1]}
        | {"dx": floats(rng, 2, 4, 32), "dw": floats(rng, n)},
    }


@native
def test_every_kernel_that_takes_arrays_one_by_one_is_here():
    """Those that take several in a tuple have tests of their own."""
    tree = ast.parse(Path(dsae.__file__).with_name("_kernels.pyi").read_text("utf-8"))
    kernels_ = [f for f in tree.body if isinstance(f, ast.FunctionDef)]
    taking = {f.name for f in kernels_ if any("NDArray" in ast.unparse(a.annotation) for a in f.args.args)}
    assert taking - {"adam", "tiled_loss", "gram_loss", "gram_edges", "ridge"} == set(
        arguments(np.random.default_rng(0))
    )


@native
@each(name=arguments(np.random.default_rng(0)))
def test_wrong_arrays_are_refused(rng, name):
    """Each array in turn: another dtype, another rank, not contiguous."""
    kernel, right = getattr(kernels, name), arguments(rng)[name]
    kernel(**right)
    for key, array in right.items():
        if not isinstance(array, np.ndarray):
            continue
        wrong = [array.astype(np.complex64), array[None]]
        if array.size > 1:
            wrong.append(np.repeat(array, 2, axis=-1)[..., ::2])
        for other in wrong:
            said = key.replace("latent_rows", "latent indices").replace("_", ".")
            with pytest.raises(ValueError, match=rf"\[{name}\] Expected {said} to be a C-contiguous"):
                kernel(**{**right, key: other})


DISAGREEMENTS = [
    ("spmm", {"indptr": np.zeros(0, np.int32)}, "Expected indptr to have n_rows + 1 entries; got none."),
    ("spmm", {"indptr": np.zeros(5, np.int32)}, "Expected indptr[-1] = "),
    ("spmm", {"values": np.zeros(1, np.float32)}, "Expected values.size = "),
    ("spmm", {"bias": np.zeros(3, np.float32)}, "Expected bias.size = 4, the number of rows; got 3."),
    (
        "spmm",
        {"x": np.zeros((3, 5, 16), np.float32)},
        "Expected y.shape[0] = 3, as many panels as x; got 2.",
    ),
    (
        "spmm",
        {"x": np.zeros((2, 5, 32), np.float32)},
        "Expected y.shape[2] = 32, as many lanes as x; got 16.",
    ),
    (
        "spmm",
        {"y": np.zeros((2, 5, 16), np.float32)},
        "Expected y.shape[1] = 4, the number of rows; got 5.",
    ),
    (
        "spmm",
        {"x": np.zeros((2, 5, 8), np.float32)},
        "Expected x to be panels [n_panels, features, 16, 32 or 64]; got 8",
    ),
    ("sddmm", {"dy": np.zeros((2, 5, 16), np.float32)}, "Expected dy.shape[1] = 4"),
    ("sddmm", {"dw": np.zeros(1, np.float32)}, "Expected dw.size = "),
    ("backward", {"dw": np.zeros(1, np.float32)}, "Expected dw.size = "),
    ("backward", {"x": np.zeros((2, 5, 16), np.float32)}, "Expected x.shape[1] = 4, the number of rows; got 5."),
    ("backward", {"dx": np.zeros((2, 5, 16), np.float32)}, "Expected dx.shape[1] = 4, the number of rows; got 5."),
    ("backward", {"dy": np.zeros((3, 5, 16), np.float32)}, "Expected dy.shape[0] = 2, as many panels as x; got 3."),
    ("sum_samples", {"sums": np.zeros(1, np.float32)}, "Expected sums.size = 5, the width of the panels; got 1."),
    ("gather", {"out": np.zeros(1, np.float32)}, "Expected out.size = "),
    ("to_dense", {"values": np.zeros(1, np.float32)}, "Expected values.size = "),
    (
        "to_dense",
        {"matrix": np.zeros((5, 4), np.float32)},
        "Expected indptr.size - 1 = 5, the number of groups of rows; got 4.",
    ),
    (
        "from_dense",
        {"matrix": np.zeros((5, 4), np.float32)},
        "Expected indptr.size - 1 = 5, the number of groups of rows; got 4.",
    ),
    ("block_spmm", {"block_size": 2}, "Expected a block_size of 1, 4 or 8; got 2."),
    ("block_spmm", {"block_size": 1}, "Expected a block_size of 4 or 8; got 1."),
    ("block_spmm", {"block_size": 8}, "Expected indptr.size - 1 = 2, the number of groups of rows; got 4."),
    ("block_spmm", {"bias": np.zeros(4, np.float32)}, "Expected bias.size = 13, the number of rows; got 4."),
    ("block_spmm", {"values": np.zeros(1, np.float32)}, "Expected values.size = "),
    ("block_backward", {"dw": np.zeros(1, np.float32)}, "Expected dw.size = "),
    ("block_backward", {"values": None}, "Expected values, from which dx comes; got None."),
    ("block_backward", {"x": None}, "Expected x, from which dw comes; got None."),
    ("block_backward", {"dx": np.zeros((2, 6, 16), np.float32)}, "Expected dx.shape[1] = 5, the width of x; got 6."),
    (
        "pack",
        {"rows": np.zeros((33, 5), np.float32)},
        "Expected at most 32 rows, what the panels hold; got 33.",
    ),
    (
        "unpack",
        {"rows": np.zeros((2, 4), np.float32)},
        "Expected rows.shape[1] = 5, the width of the panels; got 4.",
    ),
    ("spmv", {"y": np.zeros(3, np.float32)}, "Expected y.size = 4, the number of rows; got 3."),
    ("sampled_outer", {"left": np.zeros(3, np.float32)}, "Expected left.size = 4, the number of rows; got 3."),
    (
        "edge_sums",
        {"rows": np.zeros(3, np.int64)},
        "Expected rows to be a C-contiguous 1-D int32 array; got 1-D int64.",
    ),
    ("gather_live", {"x_indptr": np.zeros(4, np.int32)}, "Expected x_indptr.size = 5, the size of indptr; got 4."),
    ("csr_spmm", {"x_indices": np.full(4, 4, np.int32)}, "Expected x_indices in [0, 4); got one outside."),
    (
        "csr_spmm",
        {"x_values": np.zeros(3, np.float32)},
        "Expected x_values.size = 4, the size of x_indices; got 3.",
    ),
    (
        "csr_spmm",
        {"rows": np.zeros((3, 5), np.float32)},
        "Expected rows.shape[0] = 4, the number of samples; got 3.",
    ),
    ("csr_sddmm", {"x_indices": np.full(4, 5, np.int32)}, "Expected x_indices in [0, 5); got one outside."),
    (
        "csr_sddmm",
        {"x_indptr": np.array([0, 1, 0, 4, 4], np.int32)},
        "Expected indptr to rise from 0; got another order.",
    ),
    ("transpose", {"n_cols": 1}, "Expected indices in [0, 1); got one outside."),
    ("rewire", {"keep": np.ones(1, bool)}, "Expected keep.size = "),
    ("rewire", {"grown_indptr": np.zeros(1, np.int32)}, "Expected grown_indptr.size = 5, the size of indptr"),
    (
        "rewire",
        {"grown_indices": np.zeros(1, np.int32)},
        "Expected grown_indptr[-1] = 1, the size of grown_indices",
    ),
    ("move", {"out": np.zeros(1, np.float32)}, "Expected out.size = "),
    ("smallest", {"chosen": np.zeros(1, bool)}, "Expected chosen.size = "),
    ("smallest", {"n": -1}, "Expected n in [0, "),
    ("smallest", {"n": 21}, "Expected n in [0, "),
    ("draw_dead", {"n": 21}, "Expected n in [0, "),
    ("first_dead", {"order": np.array([0, 1, 2, 3, 3], np.int32)}, "Expected order to name every column; got one"),
    ("first_dead", {"order": np.array([0, 1, 2, 3, 5], np.int32)}, "Expected order in [0, 5); got one outside."),
    ("first_dead", {"lengths": np.zeros(3, np.int32)}, "Expected lengths.size = 4, the number of rows; got 3."),
    ("first_dead", {"lengths": np.full(4, 6, np.int32)}, "Expected lengths in [0, 6); got one outside."),
    ("draw_dead", {"n_cols": 1}, "Expected sorted, distinct edges within 1 columns; got others."),
    (
        "activate",
        {"thresholds": np.zeros(3, np.float32)},
        "Expected thresholds.size = 4, the number of units; got 3.",
    ),
    (
        "activate",
        {"thresholds": None},
        "Expected an activation below 7, with its k or thresholds; got 3.",
    ),
    (
        "activate",
        {"activation": 5},
        "Expected an activation below 7, with its k or thresholds; got 5.",
    ),
    (
        "activate",
        {"activation": 7},
        "Expected an activation below 7, with its k or thresholds; got 7.",
    ),
]


@native
@each(name=dict.fromkeys(name for name, _, _ in DISAGREEMENTS))
def test_sizes_that_disagree_are_refused(rng, name):
    for kernel, change, message in DISAGREEMENTS:
        if kernel == name:
            with pytest.raises(ValueError, match=re.escape(f"[{name}] {message}")):
                getattr(kernels, name)(**{**arguments(rng)[name], **change})


ADAM = {"indptr": np.array([0, 2, 3], np.int32)} | {
    name: np.zeros(3, np.float32) for name in ("grad", "values", "mean", "square", "magnitude")
}
ADAM |= {"mask": None, "rates": None}


MISFITS = [
    *(
        ({name: np.zeros(2, np.float32)}, f"Expected {name}.size = 3, the size of values; got 2.")
        for name in ("grad", "mean", "square", "magnitude")
    ),
    ({"indptr": np.zeros(0, np.int32)}, "Expected indptr to have n_rows + 1 entries; got none."),
    ({"indptr": np.array([0, 2], np.int32)}, "Expected indptr[-1] = 3, the size of values; got 2."),
    ({"indptr": np.array([0, 4, 3], np.int32)}, "Expected indptr to rise from 0; got another order."),
    ({"mask": np.ones(2, np.uint8)}, "Expected mask.size = 3, the size of values; got 2."),
    ({"mask": np.ones(3, np.uint8)}, "Expected values of whole rows; got 3."),
    ({"mask": np.ones(3, np.uint8), "indptr": None}, "Expected indptr beside a mask; got None."),
    (
        {"rates": (np.zeros(3, np.int32), np.ones(1, np.float32))},
        "Expected either indptr or the rates of rows; got both.",
    ),
    (
        {"indptr": None, "rates": (np.zeros(2, np.int32), np.ones(1, np.float32))},
        "Expected rows.size = 3, the size of values; got 2.",
    ),
    ({"values": np.zeros((1, 3), np.float32)}, "Expected values to be a C-contiguous 1-D float32 array; got 2-D"),
]


@native
def test_adam_refuses_parameters_that_do_not_fit():
    kernels.adam([(*ADAM.values(), 0.1, 1.0, 0.01, 0.0)], 0.9, 0.999, 1e-8)
    for change, message in MISFITS:
        with pytest.raises(ValueError, match=re.escape(f"[adam] {message}")):
            kernels.adam([(*(ADAM | change).values(), 0.1, 1.0, 0.01, 0.0)], 0.9, 0.999, 1e-8)


@native
def test_ridge_refuses_what_does_not_fit():
    t, given = Topology.full((3, 3)), np.ones(9, np.float32)
    whole, out = (t.indptr, t.indices, given), (np.zeros(3, np.int32), np.zeros(6, np.int32), np.zeros(6, np.float32))
    right = {
        "columns": whole,
        "rows": whole,
        "sizes": np.array([1, 2], np.int32),
        "scales": np.ones((2, 3), np.float32),
    }
    right |= {"l2": 1.0, "unseen": 1.0, "begin": 0, "outputs": out}
    kernels.ridge(**right)
    for change, message in [
        ({"sizes": np.array([2, 2], np.int32)}, "Expected sizes to rise from at least 1; got others."),
        ({"l2": 0.0}, "Expected l2 > 0; got 0"),
        ({"unseen": -1.0}, "Expected unseen >= 0; got -1"),
        ({"scales": np.ones((1, 3), np.float32)}, "Expected scales.shape[0] = 2, the number of stages; got 1."),
        ({"scales": np.ones((2, 4), np.float32)}, "Expected scales.shape[1] = 3, the number of columns; got 4."),
        ({"begin": 1}, "Expected columns that exist; got others."),
        ({"columns": (*whole[:2], given[:8])}, "Expected columns' values.size = 9, the size of indices; got 8."),
        (
            {"outputs": (out[0], out[1][:5], out[2])},
            "Expected indices.size = 6, that of counts times sizes[-1]; got 5.",
        ),
    ]:
        with pytest.raises(ValueError, match=re.escape(f"[ridge] {message}")):
            kernels.ridge(**(right | change))
