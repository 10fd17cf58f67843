"""The runtime computes what the formula says, whatever the density, the batch and the form of the rows."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.covering import covering, each

import dsae
from dsae.config import CODE_ACTIVATIONS, HIDDEN_ACTIVATIONS
from dsae.runtime import Runtime

CODES = {name: {"k": 3} if name in ("topk", "batchtopk") else {} for name in CODE_ACTIVATIONS}


def keep_largest(z, k):
    out = np.zeros_like(z)
    for row, kept in zip(z, out, strict=True):
        best = sorted(range(row.size), key=lambda i: -row[i])[:k]
        kept[best] = np.maximum(row[best], 0)
    return out


def activate(name, z, k, threshold):
    """Every activation as its paper writes it, on rows, in float64."""
    match name:
        case "identity":
            return z
        case "relu":
            return z * (z > 0)
        case "sigmoid":
            return 1 / (1 + np.exp(-z))
        case "softmax":
            return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        case "topk":
            return keep_largest(z, k)
        case "batchtopk" | "jumprelu":
            return z * (z > threshold)
    raise AssertionError(name)


def by_formula(model, rows, half=""):
    rows = np.asarray(rows, np.float64)
    for name, layer in model.layers.items():
        if name.startswith(half):
            z = rows @ layer.to_dense().astype(np.float64).T + layer.bias
            rows = activate(model.config.activations[name], z, model.config.k, model.threshold)
    return rows


def close(actual, expected):
    assert actual.dtype == np.float32
    assert actual.flags.c_contiguous
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=2e-5)


def some_rows(n, width=12, seed=1):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, width)) * (rng.random((n, width)) < 0.5)).astype(np.float32)


@covering(code=CODE_ACTIVATIONS, n_rows=[1, 2, 17, 65, 200], live=[0.0, 0.1, 0.5, 1.0], block_size=[1, 4, 8], by="code")
def test_equals_the_formula_for_every_code(make_model, code, live, n_rows, block_size):
    model = make_model(live=live, hidden_layer_sizes=(9, 7), code_activation=code, block_size=block_size, **CODES[code])
    runtime, rows = Runtime(model), some_rows(n_rows)
    codes = runtime.encode(rows)
    close(codes, by_formula(model, rows, "encoder"))
    close(runtime.decode(codes), by_formula(model, codes, "decoder"))
    close(runtime.reconstruct(rows), by_formula(model, rows))


@each(activation=HIDDEN_ACTIVATIONS, output=HIDDEN_ACTIVATIONS)
def test_equals_the_formula_for_every_hidden_and_output_activation(make_model, activation, output):
    model = make_model(hidden_layer_sizes=(9,), activation=activation, output_activation=output)
    rows = some_rows(40)
    close(Runtime(model).reconstruct(rows), by_formula(model, rows))
    close(Runtime(model).reconstruct(rows[:1]), by_formula(model, rows[:1]))


@each(code=CODE_ACTIVATIONS)
def test_a_row_does_not_depend_on_its_batch(make_model, code):
    runtime = Runtime(make_model(hidden_layer_sizes=(9,), code_activation=code, **CODES[code]))
    rows = some_rows(1100)
    codes = runtime.encode(rows)
    for part in (slice(0, 1), slice(3, 20), slice(1000, 1100), slice(1023, 1025)):
        close(runtime.encode(rows[part]), codes[part])
    order = np.random.default_rng(0).permutation(1100)
    close(runtime.encode(rows[order]), codes[order])


@each(n_rows=[1, 20, 1100])
def test_every_form_of_the_rows_gives_the_same(make_model, n_rows):
    runtime = Runtime(make_model(hidden_layer_sizes=(9,)))
    rows = some_rows(n_rows)
    frozen = rows.copy()
    frozen.setflags(write=False)
    long = sp.csr_matrix(rows)
    long.indices, long.indptr = long.indices.astype(np.int64), long.indptr.astype(np.int64)
    expected = runtime.encode(rows)
    forms = [frozen, rows.tolist(), np.asfortranarray(rows), rows.astype(np.float64), pd.DataFrame(rows)]
    sparse = [
        long,
        *(sp.csr_matrix(rows).asformat(kind) for kind in ("csr", "csc", "coo")),
        sp.csr_array(rows),
    ]
    for form in (*forms, *sparse):
        np.testing.assert_array_equal(runtime.encode(form), expected)


def test_reconstruct_is_decode_after_encode(make_model):
    runtime, rows = Runtime(make_model(hidden_layer_sizes=(9,))), some_rows(50)
    close(runtime.reconstruct(rows), runtime.decode(runtime.encode(rows)))


def test_rows_are_left_alone(make_model):
    rows = some_rows(20)
    before = rows.copy()
    Runtime(make_model(activation="relu", code_activation="identity")).reconstruct(rows)
    np.testing.assert_array_equal(rows, before)


@covering(live=[0.3, 1.0], n_rows=[1, 2, 65, 1000], by="live")
def test_sparse_codes_decode_as_dense_ones(make_model, live, n_rows):
    """Whether a chunk of them goes by columns or by panels; some rows are empty."""
    model = make_model(live=live, n_components=40, hidden_layer_sizes=(9,), code_activation="topk", k=2)
    for density in (0.02, 0.3):
        codes = some_rows(n_rows, 40) * (np.random.default_rng(2).random((n_rows, 40)) < density)
        codes[:: max(n_rows // 3, 2)] = 0
        expected = by_formula(model, codes, "decoder")
        close(Runtime(model).decode(codes), expected)
        for form in (sp.csr_matrix, sp.csr_array, sp.csc_matrix):
            close(Runtime(model).decode(form(codes)), expected)


@each(code=CODE_ACTIVATIONS)
def test_wide_sparse_codes_reconstruct(make_model, code):
    k = {"k": 3} if "topk" in code else {}
    model = make_model(n_components=200, code_activation=code, **k)
    if model.threshold is not None:
        model.threshold[:] = 4
    rows = some_rows(100)
    close(Runtime(model).reconstruct(rows), by_formula(model, rows))


def test_threads_may_share_a_runtime(make_model):
    runtime = Runtime(make_model(n_components=40, hidden_layer_sizes=(30,), code_activation="topk", k=2))
    batches = [some_rows(n, seed=n) for _ in range(8) for n in (1, 40, 5000, 3000)]
    expected = [Runtime(runtime.model).reconstruct(batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        for got, wanted in zip(pool.map(runtime.reconstruct, batches), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_a_copy_computes_the_same(make_model):
    runtime, rows = Runtime(make_model()), some_rows(3)
    codes = runtime.encode(rows)
    for copy in (pickle.loads(pickle.dumps(runtime)), deepcopy(runtime)):
        np.testing.assert_array_equal(copy.encode(rows), codes)


def test_repr_tells_architecture_and_size(make_model):
    runtime = Runtime(make_model(live=1.0, hidden_layer_sizes=(9,), code_activation="topk", k=2))
    nnz, widths = 2 * (12 * 9 + 9 * 5), 9 + 5 + 9 + 12
    n_bytes = 4 * (2 * nnz + 2 * widths + 4)  # values and indices, biases and indptr
    assert repr(runtime) == f"Runtime(12-9-5-9-12, topk code, density 1, {nnz} weights, {n_bytes:,} bytes)"


@each(
    {
        "verb, rows, message": [
            (
                "encode",
                np.zeros((32, 100)),
                "X must have 12 columns, the model's input width; got shape (32, 100).",
            ),
            (
                "reconstruct",
                np.zeros((2, 5)),
                "X must have 12 columns, the model's input width; got shape (2, 5).",
            ),
            ("decode", np.zeros((2, 12)), "X must have 5 columns, the code's width; got shape (2, 12)."),
            ("encode", np.full((2, 12), np.nan), "X must be finite; it holds NaN, first in row 0."),
            ("encode", np.full((2, 12), np.inf), "X must be finite; it holds infinity"),
            ("encode", np.full((2, 12), 1e39), "X must be finite; it holds infinity, or values beyond float32"),
            (
                "encode",
                np.repeat(np.float32([0, np.nan]), [290, 10])[:, None].repeat(12, 1),
                "it holds NaN, first in row 290.",
            ),
            ("decode", sp.csr_matrix([[0, 0, 1.0, 0, 0], [0, 0, np.nan, 0, 0]]), "it holds NaN, first in row 1."),
            ("decode", sp.csr_matrix((2, 12)), "X must have 5 columns, the code's width; got shape (2, 12)."),
            ("decode", np.zeros((0, 5)), "X has 0 sample(s) (shape=(0, 5))"),
            ("encode", np.zeros(12), "Reshape your data: X.reshape(1, -1) for one sample."),
            ("encode", [["a"] * 12], "X must hold numbers"),
        ]
    }
)
def test_bad_rows_are_refused(make_model, verb, rows, message):
    with pytest.raises(ValueError, match=rf"^\[{verb}\]") as caught:
        getattr(Runtime(make_model()), verb)(rows)
    assert message in str(caught.value)


def test_a_saved_model_computes_the_same(make_model, tmp_path):
    runtime = Runtime(make_model(hidden_layer_sizes=(9,), code_activation="jumprelu"))
    runtime.save(tmp_path / "model")
    loaded = dsae.load(tmp_path / "model")
    assert isinstance(loaded, dsae.Runtime)
    np.testing.assert_array_equal(loaded.reconstruct(some_rows(30)), runtime.reconstruct(some_rows(30)))


@each(code=["topk", "batchtopk", "jumprelu"])
def test_codes_are_shortened_in_use(make_model, code):
    runtime = Runtime(make_model(20, 12, code_activation=code, k=6, live=0.8))
    X = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)
    whole = runtime.encode(X)
    for k in (1, 3, 6):
        codes = runtime.encode(X, k=k)
        np.testing.assert_allclose(codes, keep_largest(whole, k), rtol=1e-6)
    np.testing.assert_array_equal(runtime.encode(X), whole)


def test_threads_may_ask_for_codes_of_different_lengths(make_model):
    model = make_model(20, 12, code_activation="topk", k=6, live=0.8)
    shorter = Runtime(replace(model, config=model.config.replace(k=1)))

    class Raced(Runtime):
        """Whenever it looks, another thread has just asked for codes of length 1."""

        _other = property(lambda self: shorter, lambda self, other: None)

    assert Raced(model)._with_k(3).config.k == 3


def test_a_topk_code_is_lengthened_too(make_model):
    model = make_model(20, 12, code_activation="topk", k=2, live=0.8)
    X = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)
    longer = Runtime(replace(model, config=model.config.replace(k=9)))
    np.testing.assert_array_equal(Runtime(model).encode(X, k=9), longer.encode(X))
    assert (longer.encode(X) != 0).sum(axis=1).max() > 2


@each(code=["relu", "topk", "jumprelu"], form=[np.asarray, sp.csr_matrix])
def test_sparse_codes_are_the_dense_ones_and_never_dense_as_a_whole(make_model, code, form, monkeypatch):
    runtime = Runtime(make_model(20, 12, code_activation=code, k=None if code == "relu" else 4))
    X = form(np.maximum(np.random.default_rng(0).normal(size=(100, 20)), 0).astype(np.float32))
    monkeypatch.setattr("dsae.runtime._layers._VALUES_AT_ONCE", 7 * 12)
    seen, original = [], Runtime._codes
    monkeypatch.setattr(Runtime, "_codes", lambda self, X, k: seen.append(X.shape[0]) or original(self, X, k))
    codes = runtime.encode(X, sparse_output=True)
    assert max(seen) == 7
    assert codes.format == "csr"
    np.testing.assert_allclose(codes.toarray(), runtime.encode(X), rtol=1e-5, atol=1e-6)


@each(form=[np.asarray, sp.csr_matrix])
def test_errors_by_row_and_by_value_agree(make_model, form, monkeypatch):
    monkeypatch.setattr("dsae.runtime._layers._VALUES_AT_ONCE", 9 * 20)
    runtime = Runtime(make_model(20, 5, hidden_layer_sizes=(8,)))
    X = np.random.default_rng(0).normal(size=(70, 20)).astype(np.float32)
    squared = (X - runtime.reconstruct(X)) ** 2
    np.testing.assert_allclose(runtime.reconstruction_error(form(X), per_feature=True), squared, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(runtime.reconstruction_error(form(X)), squared.mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(runtime.score_samples(form(X)), -squared.mean(axis=1), rtol=1e-4)
    scale = np.array([0.0, 2.0] * 10)
    weighted = (squared / np.array([1.0, 4.0] * 10)).mean(axis=1)
    np.testing.assert_allclose(runtime.score_samples(form(X), scale=scale), -weighted, rtol=1e-4)


@each(code=CODE_ACTIVATIONS, form=[np.asarray, sp.csr_matrix, sp.coo_array, pd.DataFrame])
def test_float64_equals_the_formula_to_rounding(make_model, code, form):
    model = make_model(live=0.5, hidden_layer_sizes=(9,), code_activation=code, **CODES[code])
    runtime, rows = Runtime(model, dtype="float64"), some_rows(33).astype(np.float64) * np.pi
    codes = runtime.encode(form(rows))
    assert codes.dtype == np.float64
    np.testing.assert_allclose(codes, by_formula(model, rows, "encoder"), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(runtime.decode(codes), by_formula(model, codes, "decoder"), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(runtime.reconstruct(form(rows)), by_formula(model, rows), rtol=1e-12, atol=1e-12)
    assert pickle.loads(pickle.dumps(runtime)).dtype == np.float64


def test_float64_cuts_codes_to_k_and_refuses_what_float32_refuses(make_model):
    model = make_model(hidden_layer_sizes=(9,), code_activation="jumprelu")
    runtime, rows = Runtime(model, np.float64), some_rows(20).astype(np.float64)
    np.testing.assert_array_equal(runtime.encode(rows, k=2), keep_largest(runtime.encode(rows), 2))
    with pytest.raises(ValueError, match=r"\[encode\] X must be finite; it holds NaN, first in row 1"):
        runtime.encode(pd.DataFrame([[1.0] * 12, [None] * 12]))
    with pytest.raises(ValueError, match=r"\[Runtime\] dtype must be float32 or float64; got float16"):
        Runtime(model, np.float16)
