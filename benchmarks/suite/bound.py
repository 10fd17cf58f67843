"""The kernels against what the machine allows: GFLOP/s beside a program that only loads and multiply-adds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dsae import kernels, ops
from dsae.topology import Topology
from suite.contestants import edges
from suite.timing import Settings, console, progress, turns

SHAPES = (
    (4096, 4096, (0.2, 0.1, 0.05, 0.02, 0.01)),
    (20000, 2000, (0.05, 0.01)),
    (100000, 1000, (0.05, 0.01)),
)
BATCH = 256
_SOURCE = Path(__file__).parents[1] / "roofline.cpp"
_BUILD = Path(__file__).parents[2] / "build" / "bench"


def measure(settings: Settings) -> dict[str, Any]:
    """The roofline before and after, the rates of the kernels, and those of dense products."""
    shapes = settings.pick(SHAPES, ((1024, 1024, (0.05,)),))
    program = _compile()
    seconds = settings.pick(1.0, 0.1)
    rooflines = [_roofline(program, settings.threads, seconds)]
    rows = []
    with progress("bound", sum(len(densities) for _, _, densities in shapes) + 1) as advance:
        for n_in, n_out, densities in shapes:
            for density in densities:
                advance(f"{n_in} -> {n_out}, density {density:g}")
                rows.append(_rates(n_in, n_out, density, settings))
        advance("dense products")
        dense = _dense_rates(settings.pick(4096, 512), settings)
    rooflines.append(_roofline(program, settings.threads, seconds))
    return {"roofline": _better(*rooflines), "batch": BATCH, "rows": rows, "dense": dense}


def _compile() -> Path | None:
    if shutil.which("g++") is None:
        console.print("bound: no g++, so no roofline")
        return None
    _BUILD.mkdir(parents=True, exist_ok=True)
    program = _BUILD / "roofline"
    subprocess.run(["g++", "-O3", "-march=native", "-fopenmp", "-o", program, _SOURCE], check=True)
    return program


def _roofline(program: Path | None, threads: int, seconds: float) -> list[dict[str, Any]]:
    if program is None:
        return []
    command = [program, str(threads), str(seconds)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout)


def _better(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [max(pair, key=lambda row: row["median"]) for pair in zip(first, second, strict=True)]


def _filled(*shape: int) -> np.ndarray:
    array = kernels.aligned(shape)
    array[...] = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return array


def _rates(n_in: int, n_out: int, density: float, settings: Settings) -> dict[str, Any]:
    t = edges(n_out, n_in, density)
    x, dx, y, dy = (kernels.empty_panels(BATCH, width) for width in (n_in, n_in, n_out, n_out))
    for panels in (x, dy):
        panels[...] = np.random.default_rng(0).standard_normal(panels.shape, dtype=np.float32)
    values, dw, bias = _filled(t.nnz), _filled(t.nnz), _filled(n_out)
    calls = {
        "spmm": lambda: kernels.spmm(t.indptr, t.indices, values, bias, x, y),
        "sddmm": lambda: kernels.sddmm(t.indptr, t.indices, dy, x, dw),
        "backward": _backward(t, values, x, dy, dx, dw),
        "whole": _whole(t, values, bias, x, dy),
    }
    ms = turns(calls, settings.pick(3.0, 0.1), least=settings.pick(9, 3))
    products = {"spmm": 1, "sddmm": 1, "backward": 2, "whole": 3}
    flop = 2.0 * t.nnz * BATCH
    rates = {name: flop * products[name] / (1e6 * timed["median"]) for name, timed in ms.items()}
    return {"n_in": n_in, "n_out": n_out, "density": density, "nnz": t.nnz, "ms": ms, "gflops": rates}


def _whole(t: Topology, values: np.ndarray, bias: np.ndarray, x: np.ndarray, dy: np.ndarray) -> Callable[[], object]:
    """Forward and backward through autograd, panels in and out: three sparse products and all that is around them."""
    inputs = [torch.from_numpy(array).requires_grad_() for array in (values, bias, x)]
    up = torch.from_numpy(dy)

    def whole() -> object:
        values, bias, x = inputs
        y = ops.linear(values, bias, ops.Panels(x, x.shape[0] * x.shape[2]), t)
        return torch.autograd.grad(ops.tensor_of(y), inputs, up)

    return whole


def _backward(
    t: Topology, values: np.ndarray, x: np.ndarray, dy: np.ndarray, dx: np.ndarray, dw: np.ndarray
) -> Callable[[], object]:
    """Both gradients in one pass over the transposed edges."""
    transposed, slots = t.transpose
    moved = kernels.aligned(values.shape)
    kernels.gather(values, slots, moved)
    return lambda: kernels.backward(transposed.indptr, transposed.indices, moved, dy, x, dx, dw)


def _dense_rates(n: int, settings: Settings) -> dict[str, float]:
    """GFLOP/s of a dense product with the same batch: how good the dense baseline is."""
    w, x = torch.randn(n, n), torch.randn(n, BATCH)
    w16, x16, w_np, x_np = w.bfloat16(), x.bfloat16(), w.numpy(), x.numpy()
    calls = {"torch float32": lambda: w @ x, "torch bfloat16": lambda: w16 @ x16, "numpy float32": lambda: w_np @ x_np}
    ms = turns(calls, settings.pick(3.0, 0.1), least=settings.pick(9, 3))
    return {name: 2.0 * n * n * BATCH / (1e6 * timed["median"]) for name, timed in ms.items()}
