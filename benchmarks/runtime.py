"""Encoding by the runtime against dense torch (and onnxruntime, if there): minimum of microseconds, calls taking turns.

python benchmarks/runtime.py [--threads 2]
"""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Callable

import click
import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

from dsae import kernels
from dsae.config import AutoencoderConfig
from dsae.nn import Autoencoder
from dsae.runtime import Runtime
from dsae.store import Model

WIDTHS = (784, 1024, 256, 32)
ROWS = (1, 8, 32, 256, 4096)
LATENTS = 4096


def runtime(widths: tuple[int, ...], density: float, **code) -> Runtime:
    """An untrained model."""
    config = AutoencoderConfig(
        n_features=widths[0], hidden_layer_sizes=widths[1:-1], n_components=widths[-1], density=density, **code
    )
    return Runtime(Model(config, Autoencoder(config, torch.Generator().manual_seed(0)).to_layers()))


def dense(widths: tuple[int, ...]) -> nn.Sequential:
    """The same widths, every weight alive."""
    layers = [m for n_in, n_out in zip(widths, widths[1:], strict=False) for m in (nn.Linear(n_in, n_out), nn.ReLU())]
    return nn.Sequential(*layers[:-1]).eval()


def onnx_call(net: nn.Module, threads: int) -> Callable[[np.ndarray], object] | None:
    """The dense net in onnxruntime; None where it or onnx is missing."""
    try:
        import onnxruntime
    except ImportError:
        return None
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axes = {"x": {0: "n"}, "y": {0: "n"}}
        x = torch.zeros(2, WIDTHS[0])
        torch.onnx.export(net, (x,), file, input_names=["x"], output_names=["y"], dynamic_axes=axes, dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})


def minima(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Microseconds of each call, taking turns in blocks so that each finds its own data in cache."""
    best = dict.fromkeys(calls, float("inf"))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, call in calls.items():
            for _ in range(5):
                begun = time.perf_counter()
                call()
                best[name] = min(best[name], time.perf_counter() - begun)
    return {name: 1e6 * seconds for name, seconds in best.items()}


def show(what: str, times: dict[str, float]) -> None:
    """One line."""
    print(f"{what}: " + "  ".join(f"{name} {microseconds:.1f}" for name, microseconds in times.items()), flush=True)


@click.command()
@click.option("--threads", default=2, show_default=True)
@click.option("--seconds", default=4.0, show_default=True, help="For each line.")
def main(threads: int, seconds: float) -> None:
    """Print one line per batch: encoding, then decoding of sparse codes."""
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    print(f"{kernels.isa()}, {threads} threads, {'-'.join(map(str, WIDTHS))} at density 0.05")
    model, net = runtime(WIDTHS, 0.05), dense(WIDTHS)
    in_onnx = onnx_call(net, threads)
    for n in ROWS:
        for share in (0.2, 1.0):
            x = (rng.random((n, WIDTHS[0])) * (rng.random((n, WIDTHS[0])) < share)).astype(np.float32)
            calls: dict[str, Callable[[], object]] = {"dsae": lambda x=x: model.encode(x)}
            calls["torch"] = lambda x=x: torch.inference_mode()(net)(torch.from_numpy(x))
            if in_onnx:
                calls["onnxruntime"] = lambda x=x: in_onnx(x)
            show(f"encode {n} rows, {share:.0%} non-zero", minima(calls, seconds))
    for density in (0.05, 1.0):
        model = runtime((WIDTHS[0], LATENTS), density, code_activation="topk", k=32)
        for n in ROWS[:-1]:
            codes = rng.random((n, LATENTS), dtype=np.float32)
            sparse = np.where(codes < 32 / LATENTS, codes, np.float32(0))
            forms = {"CSR": sp.csr_matrix(sparse), "zeros stored": sparse, "no zeros": codes}
            calls = {name: lambda form=form, decode=model.decode: decode(form) for name, form in forms.items()}
            show(f"decode {n} codes of {LATENTS}, density {density:g}", minima(calls, seconds))


if __name__ == "__main__":
    main()
