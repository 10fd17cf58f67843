"""ONNX runtimes compute what the runtime computes, whatever the model."""

import json
import sys

import numpy as np
import pytest
from tests.covering import covering, each

from dsae import interop
from dsae.config import CODE_ACTIVATIONS, HIDDEN_ACTIVATIONS, activation_names
from dsae.interop import _onnx
from dsae.runtime import Runtime
from dsae.store import Inputs

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

K = {"topk": 3, "batchtopk": 3}
LINKS = {"poisson": "exp", "nb": "exp", "multinomial": "softmax"}
EXTRAS = {"nb": {"log_dispersion": np.zeros(12, np.float32)}}


def some_rows(n=40, low=-1.0):
    rng = np.random.default_rng(1)
    return (rng.uniform(low, 1, size=(n, 12)) * 3 * (rng.random((n, 12)) < 0.6)).astype(np.float32)


def session(folder):
    path = folder / "model.onnx"
    # Its types do not know that a sparse initializer may stand for a matrix.
    onnx.checker.check_model(str(path), full_check=not onnx.load(path).graph.sparse_initializer)
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def exported(model, folder, part="all", **options):
    return session(interop.save(model, folder / part, "onnx", part=part, **options))


def close(found, expected):
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@covering(
    code=CODE_ACTIVATIONS,
    hidden=HIDDEN_ACTIVATIONS,
    output=activation_names("output"),
    live=[0.0, 0.1, 0.4, 1.0],
    block_size=[1, 4],
    widths=[(), (9,), (9, 7)],
    sparse=[True, False],
    by="code",
)
def test_it_computes_the_same(make_model, tmp_path, code, hidden, output, live, block_size, widths, sparse):
    runtime = Runtime(
        make_model(
            live=live,
            code_activation=code,
            k=K.get(code),
            activation=hidden,
            output_activation=output,
            hidden_layer_sizes=widths,
            block_size=block_size,
        )
    )
    made = exported(runtime, tmp_path, sparse=sparse)
    for n in (1, 40):
        rows = some_rows(n)
        codes, rebuilt = made.run(["code", "reconstruction"], {"rows": rows})
        close(codes, runtime.encode(rows))
        np.testing.assert_array_equal(codes != 0, runtime.encode(rows) != 0)
        close(rebuilt, runtime.reconstruct(rows))


@each(loss=LINKS, transform=["none", "log1p", "lognormalize"], missing=["error", "mask"])
def test_counts_are_transformed_filled_and_exposed(make_model, tmp_path, loss, transform, missing):
    mean = np.random.default_rng(0).random(12).astype(np.float32)
    model = make_model(
        hidden_layer_sizes=(9,),
        output_activation=LINKS[loss],
        input_transform=transform,
        input_total=7.0 if transform == "lognormalize" else 0.0,
        missing=missing,
        model={
            "training": {"loss": loss},
            "extras": EXTRAS.get(loss, {}),
            "inputs": Inputs(mean, mean * 0, mean + 9) if missing == "mask" else None,
        },
    )
    runtime, rows = Runtime(model), some_rows(low=0.0)
    rows[3] = 0
    if missing == "mask":
        rows[np.random.default_rng(2).random(rows.shape) < 0.3] = np.nan
        rows[5] = np.nan
    codes, rebuilt = exported(runtime, tmp_path).run(None, {"rows": rows})
    close(codes, runtime.encode(rows))
    np.testing.assert_allclose(rebuilt, runtime.reconstruct(rows), rtol=2e-5, atol=1e-5)


def test_what_is_not_known_has_its_mean(make_model, tmp_path):
    mean = np.arange(12, dtype=np.float32)
    runtime = Runtime(make_model(missing="mask", model={"inputs": Inputs(mean, mean, mean)}))
    rows = some_rows()
    rows[rows > 1] = np.nan
    codes, rebuilt = exported(runtime, tmp_path).run(None, {"rows": rows})
    close(codes, runtime.encode(rows))
    close(rebuilt, runtime.reconstruct(rows))


def test_halves_are_those_of_the_runtime(make_model, tmp_path):
    settings = {"output_activation": "exp", "model": {"training": {"loss": "poisson"}}}
    runtime, rows = Runtime(make_model(hidden_layer_sizes=(9,), code_activation="topk", k=2, **settings)), some_rows()
    codes = runtime.encode(rows)
    close(exported(runtime, tmp_path, "encoder").run(None, {"rows": rows})[0], codes)
    close(exported(runtime, tmp_path, "decoder").run(None, {"code": codes})[0], runtime.decode(codes))


def test_ties_go_to_the_lower_latent(make_model, tmp_path):
    model = make_model(live=0.0, code_activation="topk", k=2)
    model.layers["encoder.0"].bias[:] = [0, 1, 1, 1, 1]
    codes = exported(model, tmp_path, "encoder").run(None, {"rows": some_rows(3)})[0]
    np.testing.assert_array_equal(codes, [[0, 1, 1, 0, 0]] * 3)


def test_a_model_of_other_columns_predicts_them(make_model, tmp_path):
    runtime, rows = Runtime(make_model(n_outputs=7, model={"target_names": list("abcdefg")})), some_rows()
    close(exported(runtime, tmp_path).run(["reconstruction"], {"rows": rows})[0], runtime.reconstruct(rows))


def test_weights_that_are_not_there_are_not_written(make_model, tmp_path):
    def size(live):
        model = make_model(n_features=200, n_components=100, live=live)
        path = interop.save(model, tmp_path / str(live), "onnx") / "model.onnx"
        sparse = onnx.load(path).graph.sparse_initializer
        assert [list(tensor.dims) for tensor in sparse] == ([[100, 200], [200, 100]] if live < 0.3 else [])
        return path.stat().st_size, model.nnz

    (thin, edges), (full, weights) = size(0.05), size(1.0)
    assert 12 * edges < thin < 12 * edges + 6000
    assert 4 * weights < full < 4 * weights + 6000


def test_the_file_tells_names(make_model, tmp_path):
    names = [f"gene {i}" for i in range(12)]
    model = make_model(code_activation="topk", k=2, model={"feature_names": names})
    found = onnx.load(interop.save(model, tmp_path / "out", "onnx") / "model.onnx")
    told = {entry.key: entry.value for entry in found.metadata_props}
    assert json.loads(told["feature_names"]) == names
    assert (told["code_activation"], told["k"], found.producer_name) == ("topk", "2", "dsae")


def test_what_cannot_be_said_is_refused(make_model, tmp_path, monkeypatch):
    model = make_model()
    with pytest.raises(ValueError, match=r"^\[export\] part must be one of all, encoder, decoder; got 'middle'"):
        interop.save(model, tmp_path / "out", "onnx", part="middle")
    with monkeypatch.context() as patch:
        patch.setattr(_onnx, "_LARGEST_FILE", 100)
        with pytest.raises(ValueError, match=r"at most 2 GiB; this one would have .* or fit at a lower density"):
            interop.save(model, tmp_path / "out", "onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'^\[export\] ONNX needs onnx, .* pip install "dsae\[onnx\]"'):
        interop.save(model, tmp_path / "out", "onnx")
    assert not (tmp_path / "out").exists()
