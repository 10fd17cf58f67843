"""Times of the device beside dense float32, TF32 and bfloat16."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from on_gpu.report import Report, as_array, random_csr

LAYERS = [(1024, 1024), (4096, 4096), (16384, 4096)]
DENSITIES = [0.01, 0.05, 0.2]
PRECISIONS = ("float32", "TF32", "bfloat16")


class Precision:
    """float32, TF32 or bfloat16 for what runs inside."""

    def __init__(self, name: str, device: torch.device) -> None:
        self.name = name
        self.cast = torch.autocast(device.type, torch.bfloat16, enabled=name == "bfloat16")

    def __enter__(self) -> None:
        self.before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if self.name == "TF32" else "highest")
        self.cast.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.cast.__exit__(*error)
        torch.set_float32_matmul_precision(self.before)


def layers(report: Report) -> None:
    """Milliseconds of one layer's forward and backward pass, rows in and out."""
    from dsae.nn import SparseLinear

    batch = report.pick(1024, 64)
    for n_in, n_out in report.pick(LAYERS, LAYERS[:1]):
        x = torch.randn(batch, n_in, device=report.device, requires_grad=True)
        up = torch.randn(batch, n_out, device=report.device)

        def step(module: nn.Module, x: Tensor = x, up: Tensor = up) -> object:
            y = module(x)
            return torch.autograd.grad(y, [x, *module.parameters()], up.to(y.dtype))

        dense = nn.Linear(n_in, n_out, device=report.device)
        for precision in PRECISIONS:
            with Precision(precision, report.device):
                ms = report.milliseconds(lambda step=step, dense=dense: step(dense))
            report.row("layer", f"{n_in}->{n_out} x {batch}, dense {precision}", ms=ms)
        del dense
        for density in report.pick(DENSITIES, [0.05]):
            layer = SparseLinear(n_in, n_out, density=density).to(report.device)
            for precision in ("float32", "TF32"):
                with Precision(precision, report.device):
                    ms = report.milliseconds(lambda step=step, layer=layer: step(layer))
                report.row("layer", f"{n_in}->{n_out} x {batch}, sparse {density:g} {precision}", ms=ms)


def _mlp(widths: list[int], device: torch.device, k: int | None = None) -> nn.Module:
    linears = [nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False)]
    at = (len(linears) - 1) // 2

    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linears = nn.ModuleList(linears)

        def forward(self, x: Tensor) -> Tensor:
            for i, linear in enumerate(self.linears):
                x = linear(x)
                if i == at and k is not None:
                    best, where = x.topk(k, dim=1)
                    x = torch.zeros_like(x).scatter(1, where, best.relu())
                elif i != at and i + 1 < len(self.linears):
                    x = x.relu()
            return x

    return Dense().to(device)


def _dense_rate(
    report: Report, X: Any, widths: list[int], batch: int, n_steps: int, precision: str, k: int | None
) -> float:
    """Rows per second of the same network with all its weights, trained by Adam."""
    model = _mlp(widths, report.device, k)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=report.on_gpu)
    rng, n_rows = np.random.default_rng(0), X.shape[0]

    def steps(n: int) -> None:
        for _ in range(n):
            rows = X[rng.integers(n_rows, size=batch)]
            x = torch.from_numpy(as_array(rows)).to(report.device)
            optimizer.zero_grad()
            with Precision(precision, report.device):
                loss = F.mse_loss(model(x).float(), x)
            loss.backward()
            optimizer.step()

    steps(3)
    report.wait()
    start = time.perf_counter()
    steps(n_steps)
    report.wait()
    return n_steps * batch / (time.perf_counter() - start)


def _fits(
    report: Report, part: str, X: Any, hidden: tuple[int, ...], code: int, batch: int, k: int | None = None
) -> None:
    """Rows per second of a fit's last epoch, on the device and the CPU, beside loops of dense torch."""
    from dsae import DeepSparseAutoencoder

    width = X.shape[1]
    widths = [width, *hidden, code, *hidden[::-1], width]
    shape = "-".join(map(str, widths[: len(widths) // 2 + 1])) + f" x {batch}"
    n_steps = max(4, X.shape[0] // batch)
    for precision in PRECISIONS:
        rate = _dense_rate(report, X, widths, batch, min(n_steps, 40), precision, k)
        report.row(part, f"{shape}, dense {precision}", rows_per_second=rate)
    code_settings = {} if k is None else {"code_activation": "topk", "k": k}
    for density, shrink in ((0.05, "random"), (0.05, "tempered"), (0.05, "rigl")):
        for device in dict.fromkeys((report.device.type, *(("cpu",) if shrink == "random" and _native() else ()))):
            few = X[: 3 * batch] if device == "cpu" and report.on_gpu else X
            dsa = DeepSparseAutoencoder(
                code,
                hidden_layer_sizes=hidden,
                density=density,
                shrink=shrink,
                max_iter=2,
                batch_size=batch,
                random_state=0,
                device=device,
                **code_settings,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # two epochs learn little
                dsa.fit(few)
            rate = dsa.history_[-1]["samples_per_second"]
            report.row(part, f"{shape}, {shrink} {density:g} on {device}", rows_per_second=rate)


def _native() -> bool:
    from dsae import kernels

    return kernels.NATIVE


def fits(report: Report) -> None:
    """Images and wider rows."""
    rng = np.random.default_rng(0)
    _fits(report, "fit", rng.random((report.pick(20000, 1000), 784), dtype=np.float32), (1024, 256), 32, 256)
    if not report.quick:
        _fits(report, "fit", rng.random((8192, 4096), dtype=np.float32), (4096,), 256, 1024)


def dictionary(report: Report) -> None:
    """A top-k dictionary."""
    n, width, code, batch = report.pick((16384, 1024, 16384, 2048), (512, 64, 256, 128))
    _fits(
        report,
        "dictionary",
        np.random.default_rng(0).standard_normal((n, width), dtype=np.float32),
        (),
        code,
        batch,
        32,
    )


def wide(report: Report) -> None:
    """Sparse rows of very many features."""
    n, width, per_row = report.pick((8192, 50000, 100), (600, 2000, 20))
    _fits(report, "wide CSR", random_csr(n, width, per_row), (256,), 32, 256)
