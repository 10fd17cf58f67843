"""A trained model in use: few rows and many, and the decoding of k-sparse codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

from dsae import DeepSparseAutoencoder
from dsae.config import AutoencoderConfig
from dsae.nn import Autoencoder
from dsae.runtime import Runtime
from dsae.store import Model
from dsae.topology import Layer
from suite.timing import Settings, bursts, console, progress

ROWS = (1, 8, 32, 256, 4096)
WIDTHS, CODE, DENSITY = (784, 1024, 256), 32, 0.05
LATENTS, K, FEATURES = 4096, 32, 784
OURS, EAGER, ONNX = "dsae", "torch eager, dense", "onnxruntime, dense"
OURS_ZEROS, ZEROS = "dsae, 80 % zeros", 0.8  # of a row, as in an image of a digit
OURS_SPARSE, OURS_DENSE, MODULE = "dsae, sparse codes", "dsae, dense codes", "torch eager, dense"


def measure(settings: Settings) -> dict[str, Any]:
    """Microseconds per call by number of rows, encoding and decoding."""
    rows = settings.pick(ROWS, (1, 32))
    with progress("rows", 2 * len(rows)) as advance:
        encode = _encoding(rows, settings, advance)
        decode = _decoding(rows, settings, advance)
    return {
        "widths": (*WIDTHS, CODE),
        "density": DENSITY,
        "encode": encode,
        "latents": LATENTS,
        "k": K,
        "features": FEATURES,
        "decode": decode,
    }


def _encoding(rows: tuple[int, ...], settings: Settings, advance: Callable[[str], None]) -> list[dict[str, Any]]:
    X = np.random.default_rng(0).standard_normal((max(*rows, 1024), WIDTHS[0]), dtype=np.float32)
    dsa = DeepSparseAutoencoder(
        CODE, hidden_layer_sizes=WIDTHS[1:], density=DENSITY, shrink="random", max_iter=1, random_state=0
    ).fit(X[:1024])
    runtime = dsa.runtime_
    layers = [layer for name, layer in runtime.layers.items() if name.startswith("encoder")]
    dense, session = _dense(layers), _onnx(layers, settings.threads)
    found = []
    for n in rows:
        advance(f"encode {n} rows")
        x = X[:n]
        calls: dict[str, Callable[[], Any]] = {OURS: lambda x=x: runtime.encode(x), EAGER: _eager(dense, x)}
        if session is not None:
            calls[ONNX] = lambda x=x: session.run(None, {"x": x})[0]
        _check(calls)
        with_zeros = np.where(np.random.default_rng(1).random(x.shape) < ZEROS, np.float32(0), x)
        calls[OURS_ZEROS] = lambda x=with_zeros: runtime.encode(x)
        found.append({"rows": n, "us": _microseconds(calls, settings)})
    return found


def _decoding(rows: tuple[int, ...], settings: Settings, advance: Callable[[str], None]) -> list[dict[str, Any]]:
    config = AutoencoderConfig(
        n_features=FEATURES, n_components=LATENTS, code_activation="topk", k=K, density=dict.fromkeys(_HALVES, DENSITY)
    )
    runtime = Runtime(Model(config, Autoencoder(config, torch.Generator().manual_seed(0)).to_layers()))
    dense = _dense([runtime.layers["decoder.0"]])
    found = []
    for n in rows:
        advance(f"decode {n} rows")
        codes = _codes(n)
        full = codes.toarray()
        calls = {
            OURS_SPARSE: lambda codes=codes: runtime.decode(codes),
            OURS_DENSE: lambda full=full: runtime.decode(full),
            MODULE: _eager(dense, full),
        }
        _check(calls)
        found.append({"rows": n, "us": _microseconds(calls, settings)})
    return found


_HALVES = ("encoder.0", "decoder.0")


def _codes(n: int) -> sp.csr_matrix:
    rng = np.random.default_rng(0)
    columns = np.concatenate([np.sort(rng.choice(LATENTS, K, replace=False)) for _ in range(n)]).astype(np.int32)
    values = rng.random(n * K, dtype=np.float32)
    return sp.csr_matrix((values, columns, np.arange(0, n * K + 1, K, dtype=np.int32)), shape=(n, LATENTS))


def _microseconds(calls: dict[str, Callable[[], Any]], settings: Settings) -> dict[str, dict[str, float]]:
    timed = bursts(calls, settings.pick(2.0, 0.2))
    return {name: {"median": 1e3 * t["median"], "min": 1e3 * t["min"], "n": t["n"]} for name, t in timed.items()}


def _check(calls: dict[str, Callable[[], Any]]) -> None:
    first, *others = (np.asarray(call()) for call in calls.values())
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-3, atol=1e-3)


def _eager(dense: nn.Module, x: np.ndarray) -> Callable[[], np.ndarray]:
    tensor = torch.from_numpy(x)

    def call() -> np.ndarray:
        with torch.inference_mode():
            return dense(tensor).numpy()

    return call


def _dense(layers: list[Layer]) -> nn.Sequential:
    modules: list[nn.Module] = []
    for layer in layers:
        linear = nn.Linear(layer.topology.shape[1], layer.topology.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(layer.to_dense()))
            linear.bias.copy_(torch.from_numpy(layer.bias))
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def _onnx(layers: list[Layer], threads: int) -> Any:
    """A session on the dense encoder, or None where onnx is not installed."""
    try:
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        console.print("rows: onnx or onnxruntime is not installed")
        return None
    nodes, weights, name = [], [], "x"
    for i, layer in enumerate(layers):
        weights += [numpy_helper.from_array(layer.to_dense(), f"w{i}"), numpy_helper.from_array(layer.bias, f"b{i}")]
        nodes.append(helper.make_node("Gemm", [name, f"w{i}", f"b{i}"], [f"z{i}"], transB=1))
        name = f"z{i}"
        if i < len(layers) - 1:
            nodes.append(helper.make_node("Relu", [name], [f"h{i}"]))
            name = f"h{i}"
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", layers[0].topology.shape[1]]),
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", layers[-1].topology.shape[0]]),
    ]
    graph = helper.make_graph(nodes, "encoder", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
