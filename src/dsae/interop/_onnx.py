"""ONNX: ``model.onnx``, which any runtime of the standard computes, with sparse initializers for sparse layers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from dsae.config import LARGEST_LOG_RATE, LOSSES, TRANSFORMS, has_exposure, one_of, true_or_false
from dsae.store import Model
from dsae.topology import Layer, Topology

PARTS = ("all", "encoder", "decoder")
_OPSET, _IR = 18, 10  # onnxruntime reads them from version 1.18 on
_BYTES_OF_EDGE = 12  # a float32 and its place as int64, the only kind that onnx.checker takes
_LARGEST_FILE = 2**31 - 1  # of protobuf
_LEAST_USUAL = 1e-6  # below this share of the usual total of a row, what is known of it is rounding


def write(model: Model, *, part: str = "all", sparse: bool = True) -> Iterator[tuple[str, bytes]]:
    """The file of a model.

    Parameters
    ----------
    model : Model
    part : {"all", "encoder", "decoder"}
        ``rows`` to ``code`` and ``reconstruction``, ``rows`` to ``code``, or ``code`` to ``reconstruction``; the last
        is what `Runtime.decode` gives.
    sparse : bool
        Whether layers of few weights are sparse initializers. False is for runtimes that do not know these.
    """
    one_of("part", part, PARTS)
    true_or_false("sparse", sparse)
    config, loss = model.config, model.training.get("loss", "mse")
    graph = _Graph(sparse)
    graph.check_size([layer for name, layer in model.layers.items() if part == "all" or name.startswith(part)])
    if part == "decoder":
        rows = seen = ""
        code = graph.input("code", config.n_components)
    else:
        rows = graph.input("rows", config.n_features)
        seen = _filled(graph, rows, model, has_exposure(loss))
        code = _through(graph, _transformed(graph, seen, model), model, "encoder")
        graph.output("code", code, config.n_components)
    if part != "encoder":
        made = _through(graph, code, model, "decoder")
        if rows and has_exposure(loss):
            by_known = LOSSES[loss].couples_outputs and model.inputs is not None
            made = _exposed_by_known(graph, made, rows) if by_known else _exposed(graph, made, seen)
        graph.output("reconstruction", made, config.output_width)
    yield "model.onnx", graph.to_bytes(_told(model))


class _Graph:
    """A graph in the making; values are known by their names."""

    def __init__(self, sparse: bool) -> None:
        self._takes_sparse = sparse
        try:
            from onnx import TensorProto, helper, numpy_helper
        except ImportError:
            raise ImportError('[export] ONNX needs onnx, which is not installed: pip install "dsae[onnx]".') from None
        self._helper, self._tensor, self._float = helper, numpy_helper.from_array, TensorProto.FLOAT
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._dense: dict[str, Any] = {}
        self._sparse: list[Any] = []

    def input(self, name: str, width: int) -> str:
        """Rows that are given."""
        self._inputs.append(self._helper.make_tensor_value_info(name, self._float, ["batch", width]))
        return name

    def output(self, name: str, value: str, width: int) -> None:
        """Rows that are wanted."""
        self._nodes.append(self._helper.make_node("Identity", [value], [name]))
        self._outputs.append(self._helper.make_tensor_value_info(name, self._float, ["batch", width]))

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """The result of an operation."""
        return self.nodes(op, *inputs, n=1, **attributes)[0]

    def nodes(self, op: str, *inputs: str, n: int, **attributes: Any) -> list[str]:
        """The ``n`` results of an operation."""
        name = f"{op}_{len(self._nodes)}"
        names = [name, *(f"{name}_{i}" for i in range(1, n))]
        self._nodes.append(self._helper.make_node(op, inputs, names, name=name, **attributes))
        return names

    def constant(self, name: str, array: Any) -> str:
        """An array, float32 unless it holds whole numbers."""
        array = np.asarray(array)
        kind = np.int64 if array.dtype.kind in "iu" else np.float32
        self._dense[name] = self._tensor(np.ascontiguousarray(array, kind), name)
        return name

    def weights(self, name: str, layer: Layer) -> str:
        """A matrix ``[n_out, n_in]``, sparse where that takes less room."""
        if not self._is_sparse(layer.topology):
            return self.constant(name, layer.to_dense())
        edges, slots = layer.topology.edges
        values = self._tensor(np.ascontiguousarray(layer.values[slots], np.float32), name)
        places = self._tensor(edges.flat.astype(np.int64), f"{name}_places")
        self._sparse.append(self._helper.make_sparse_tensor(values, places, edges.shape))
        return name

    def total(self, rows: str) -> str:
        """The sum of every row, ``[batch, 1]``."""
        return self.node("ReduceSum", rows, self.constant("features", [1]), keepdims=1)

    def check_size(self, layers: Sequence[Layer]) -> None:
        """Refuse what no file holds."""
        size = sum(
            4 * bias.size + (_BYTES_OF_EDGE * topology.nnz if self._is_sparse(topology) else 4 * topology.size)
            for topology, _, bias in layers
        )
        if size > _LARGEST_FILE:
            raise ValueError(
                f"an ONNX file has at most 2 GiB; this one would have {size / 2**30:.1f}. Export part='encoder' and "
                "part='decoder' by themselves, or fit at a lower density."
            )

    def _is_sparse(self, topology: Topology) -> bool:
        return self._takes_sparse and _BYTES_OF_EDGE * topology.nnz < 4 * topology.size

    def to_bytes(self, told: dict[str, str]) -> bytes:
        """The file."""
        import dsae

        given = {"initializer": list(self._dense.values()), "sparse_initializer": self._sparse}
        graph = self._helper.make_graph(self._nodes, "dsae", self._inputs, self._outputs, **given)
        made = self._helper.make_model(
            graph,
            opset_imports=[self._helper.make_opsetid("", _OPSET)],
            ir_version=_IR,
            producer_name="dsae",
            producer_version=dsae.__version__,
        )
        self._helper.set_model_props(made, told)
        return made.SerializeToString()


def _told(model: Model) -> dict[str, str]:
    """What the file says of the model besides the graph."""
    config = model.config
    told = {
        "code_activation": config.code_activation,
        "k": config.k,
        "feature_names": model.feature_names,
        "output_names": None if model.output_names is model.feature_names else model.output_names,
    }
    return {name: v if isinstance(v, str) else json.dumps(v) for name, v in told.items() if v is not None}


def _through(graph: _Graph, x: str, model: Model, half: str) -> str:
    """Rows after the layers of the encoder or the decoder."""
    for name, layer in model.layers.items():
        if name.startswith(half):
            bias = graph.constant(f"{name}.bias", layer.bias)
            z = graph.node("Gemm", x, graph.weights(f"{name}.weight", layer), bias, transB=1)
            x = _ACTIVATIONS[model.config.activations[name]](graph, z, model)
    return x


def _topk(graph: _Graph, z: str, model: Model) -> str:
    best, places = graph.nodes("TopK", z, graph.constant("k", [model.config.k]), n=2, axis=1)
    zeros = graph.node("ConstantOfShape", graph.node("Shape", z))
    return graph.node("ScatterElements", zeros, places, graph.node("Relu", best), axis=1)


def _above_threshold(graph: _Graph, z: str, model: Model) -> str:
    on = graph.node("Greater", z, graph.constant("code.threshold", model.threshold))
    return graph.node("Where", on, z, graph.constant("zero", 0.0))


def _exp(graph: _Graph, z: str, model: Model) -> str:
    return graph.node("Exp", graph.node("Min", z, graph.constant("largest_log_rate", LARGEST_LOG_RATE)))


_ACTIVATIONS: dict[str, Callable[[_Graph, str, Model], str]] = {
    "identity": lambda graph, z, model: z,
    "relu": lambda graph, z, model: graph.node("Relu", z),
    "sigmoid": lambda graph, z, model: graph.node("Sigmoid", z),
    "softmax": lambda graph, z, model: graph.node("Softmax", z, axis=1),
    "topk": _topk,
    "batchtopk": _above_threshold,
    "jumprelu": _above_threshold,
    "exp": _exp,
}


def _transformed(graph: _Graph, x: str, model: Model) -> str:
    """Rows as they enter the network; see `dsae.config.transformed`."""
    record = TRANSFORMS[model.config.input_transform]
    if record.by_total:
        totals = graph.total(x)
        some = graph.node("Greater", totals, graph.constant("zero", 0.0))
        divisor = graph.node("Where", some, totals, graph.constant("one", 1.0))
        x = graph.node("Mul", x, graph.node("Div", graph.constant("input_total", model.config.input_total), divisor))
    if record.name != "none":
        x = graph.node("Log", graph.node("Add", x, graph.constant("one", 1.0)))
    return x


def _filled(graph: _Graph, rows: str, model: Model, by_total: bool) -> str:
    """Rows with the means of their features in place of NaN; see `dsae.data.filled`."""
    if model.inputs is None:
        return rows
    unknown, mean = graph.node("IsNaN", rows), graph.constant("input.mean", model.inputs.mean)
    if not by_total:
        return graph.node("Where", unknown, mean, rows)
    zero, one = graph.constant("zero", 0.0), graph.constant("one", 1.0)
    known = graph.node("Where", unknown, zero, rows)
    usual = graph.total(graph.node("Where", unknown, zero, mean))
    least = graph.constant("least", _LEAST_USUAL * model.inputs.mean.sum(dtype=np.float64))
    some = graph.node("Greater", usual, least)
    share = graph.node("Div", graph.total(known), graph.node("Where", some, usual, one))
    return graph.node("Where", unknown, graph.node("Mul", graph.node("Where", some, share, one), mean), rows)


def _exposed(graph: _Graph, made: str, rows: str) -> str:
    """A decoder's output times the totals of rows; see `dsae.config.exposed`."""
    return graph.node("Mul", made, graph.total(rows))


def _exposed_by_known(graph: _Graph, shares: str, rows: str) -> str:
    """Shares times the total at which the known ones have theirs; see `dsae.config.exposed_by_known`."""
    zero, one = graph.constant("zero", 0.0), graph.constant("one", 1.0)
    unknown = graph.node("IsNaN", rows)
    totals, known = (graph.total(graph.node("Where", unknown, zero, x)) for x in (rows, shares))
    some = graph.node("Greater", known, zero)
    factors = graph.node("Div", totals, graph.node("Where", some, known, one))
    return graph.node("Mul", shares, factors)
