"""What a GPU makes of dsae: its results against the CPU's, then its times beside dense float32, TF32 and bfloat16.

    python benchmarks/gpu.py [--quick] [--seconds 420] [--device cuda] [-o gpu.json]

It needs torch and dsae with its dependencies, no more: an installed wheel, or a checkout as it is::

    PYTHONPATH=src python benchmarks/gpu.py

A checkout without the compiled extension warns and checks against numpy's kernels; times on the GPU are the same.
Every line is printed when it is known; a part that fails says why, and the others follow. No part begins after
``--seconds``. The exit status is 1 where a result differs from the CPU's or a part failed.
``--device cpu --quick`` tries the script itself on a machine without a GPU.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Largest difference from the CPU in units of the largest number; sums are in another order, in float32.
TOLERANCE = 1e-4
LAYERS = [(1024, 1024), (4096, 4096), (16384, 4096)]
DENSITIES = [0.01, 0.05, 0.2]
PRECISIONS = ("float32", "TF32", "bfloat16")


class Report:
    """Prints lines as they come and keeps them."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.quick, self.device, self.begun = args.quick, torch.device(args.device), time.perf_counter()
        self.seconds, self.output = args.seconds, args.output
        self.rows: list[dict[str, Any]] = []
        self.failed = False

    @property
    def on_gpu(self) -> bool:
        """Whether there is one to measure."""
        return self.device.type == "cuda"

    def pick(self, full: Any, quick: Any) -> Any:
        """One of two sizes."""
        return quick if self.quick else full

    def row(self, part: str, what: str, **numbers: Any) -> None:
        """Print one line and write all so far."""
        self.rows.append({"part": part, "what": what, **numbers})
        shown = "  ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in numbers.items()
        )
        print(f"{part:<11}{what:<44}{shown}", flush=True)
        if self.output:
            Path(self.output).write_text(json.dumps(self.rows, indent=1))

    def compare(self, what: str, got: Tensor, wanted: Tensor, tolerance: float = TOLERANCE) -> None:
        """How far a result is from the CPU's."""
        got, wanted = got.detach().double().cpu(), wanted.detach().double().cpu()
        scale = max(wanted.abs().max().item(), 1e-30) if wanted.numel() else 1.0
        error = (got - wanted).abs().max().item() / scale if wanted.numel() else 0.0
        ok = got.shape == wanted.shape and error <= tolerance
        self.failed |= not ok
        self.row("check", what, error=error, result="ok" if ok else "DIFFERS")

    def milliseconds(self, call: Callable[[], object]) -> float:
        """Median time of a call that is waited for."""
        for _ in range(3):
            call()
        times: list[float] = []
        until = time.perf_counter() + self.pick(0.6, 0.1)
        while len(times) < 5 or (time.perf_counter() < until and len(times) < 200):
            self.wait()
            start = time.perf_counter()
            call()
            self.wait()
            times.append(1e3 * (time.perf_counter() - start))
        return statistics.median(times)

    def wait(self) -> None:
        """Until the device is done."""
        if self.on_gpu:
            torch.cuda.synchronize()


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


def machine(report: Report) -> None:
    """What it runs on."""
    import dsae
    from dsae import kernels

    report.row("machine", "torch", version=torch.__version__, cuda=str(torch.version.cuda), dsae=dsae.__version__)
    report.row("machine", "compiled kernels", native=kernels.NATIVE, threads=torch.get_num_threads())
    if report.on_gpu:
        p = torch.cuda.get_device_properties(0)
        report.row("machine", p.name, GiB=p.total_memory / 2**30, multiprocessors=p.multi_processor_count)


def random_csr(n_rows: int, width: int, per_row: int, seed: int = 0) -> sp.csr_matrix:
    """Rows with ``per_row`` positive numbers each."""
    rng = np.random.default_rng(seed)
    columns = np.concatenate([np.sort(rng.choice(width, per_row, replace=False)) for _ in range(n_rows)])
    values = rng.random(columns.size, dtype=np.float32)
    indptr = np.arange(0, columns.size + 1, per_row)
    return sp.csr_matrix((values, columns.astype(np.int32), indptr.astype(np.int32)), shape=(n_rows, width))


def twins(report: Report, n_in: int, n_out: int, density: float, **settings: Any) -> tuple[Any, Any]:
    """One layer on the CPU and its copy on the device."""
    from dsae.nn import SparseLinear

    layer = SparseLinear(n_in, n_out, density=density, generator=torch.Generator().manual_seed(0), **settings)
    copy = SparseLinear(n_in, n_out, topology=layer.topology).to(report.device)
    copy.load_state_dict(layer.state_dict())
    return layer, copy


def check_layers(report: Report) -> None:
    """Output and gradients of layers, by either executor, rows and panels."""
    from dsae import ops
    from dsae.nn import _linear

    generator = torch.Generator().manual_seed(1)
    for density in (0.02, 0.3, 0.8, 1.0):
        layer, copy = twins(report, 300, 200, density)
        x, up = (torch.randn(3, 50, n, generator=generator) for n in (300, 200))
        for below, executor in ((_linear.DENSE_BELOW, "dense"), (0, "sparse")):
            _linear.DENSE_BELOW, before = below, _linear.DENSE_BELOW
            try:
                results = []
                for module in (layer, copy):
                    given = x.to(module.values.device).requires_grad_()
                    y = module(given)
                    gradients = torch.autograd.grad((y * up.to(y)).sum(), (given, module.values, module.bias))
                    results.append((y, *gradients))
                for name, wanted, got in zip(("output", "dx", "dvalues", "dbias"), *results, strict=True):
                    report.compare(f"layer at {density:g}, {executor}: {name}", got, wanted)
            finally:
                _linear.DENSE_BELOW = before
        rows = x.reshape(-1, 300)
        y = copy(ops.pack(rows.to(report.device)))
        report.compare(f"layer at {density:g}, panels", ops.unpack(y), layer(rows))


def check_sparse_rows(report: Report) -> None:
    """A first layer of sparse rows, a last one with its loss, growth at both."""
    from dsae import ops

    X = random_csr(64, 500, 25)
    x = ops.SparseRows.of(X)
    x = x.centred(torch.full((500,), 0.02), torch.ones(500))
    layer, copy = twins(report, 500, 60, 0.1)
    results = []
    for module in (layer, copy):
        module.tape.recording = True
        y = module(x)
        results.append((y, *torch.autograd.grad(y.square().sum(), (module.values, module.bias))))
    for name, wanted, got in zip(("output", "dvalues", "dbias"), *results, strict=True):
        report.compare(f"sparse rows: {name}", got, wanted)
    grown = [
        ops.absent_gradient_topk(m.tape.x, m.tape.dy, m.topology, 100, np.random.default_rng(0)) for m in (layer, copy)
    ]
    same = np.intersect1d(grown[0].flat, grown[1].flat).size
    report.row("check", "sparse rows: edges grown alike, of 100", edges=same, result="ok" if same >= 95 else "DIFFERS")
    report.failed |= same < 95
    targets = {"mse": x, "bce": ops.SparseRows.of(X)}
    for density in (0.1, 1.0):
        layer, copy = twins(report, 60, 500, density)
        for kind, target in targets.items():
            results = []
            for module in (layer, copy):
                h = torch.randn(64, 60, generator=torch.Generator().manual_seed(2)).to(module.values.device)
                h.requires_grad_()
                loss = module.loss(h, target, kind)
                results.append((loss, *torch.autograd.grad(2 * loss, (h, module.values, module.bias))))
            for name, wanted, got in zip(("loss", "dh", "dvalues", "dbias"), *results, strict=True):
                report.compare(f"{kind} of sparse rows at {density:g}: {name}", got, wanted)


def check_fits(report: Report) -> None:
    """Whole fits, CPU and device: the same density, and nearly the same error."""
    from dsae import DeepSparseAutoencoder

    rng = np.random.default_rng(0)
    atoms = rng.random((12, 60), dtype=np.float32)
    dense = (rng.random((2000, 12), dtype=np.float32) @ atoms).astype(np.float32)
    sparse = random_csr(1000, 400, 8)
    cases: list[tuple[str, Any, dict[str, Any]]] = [
        ("tempered", dense, {"density": 0.2}),
        ("rigl", dense, {"density": 0.2, "shrink": "rigl"}),
        ("set, stagewise", dense, {"density": 0.2, "shrink": "set", "schedule": "stagewise"}),
        ("l1, l2, contractive", dense, {"density": 0.5, "l1": 0.1, "l2": 1e-4, "contractive": 1e-3}),
        ("topk", dense, {"density": 0.3, "code_activation": "topk", "k": 4}),
        ("batchtopk", dense, {"density": 0.3, "code_activation": "batchtopk", "k": 4}),
        ("jumprelu", dense, {"density": 0.3, "code_activation": "jumprelu", "k": 4}),
        ("sparse rows", sparse, {"density": 0.1, "shrink": "rigl"}),
        ("early stopping", dense, {"density": 0.2, "early_stopping": True, "scale": True}),
    ]
    for name, X, settings in cases:
        fitted = []
        for device in ("cpu", report.device.type):
            dsa = DeepSparseAutoencoder(16, hidden_layer_sizes=(40,), max_iter=12, random_state=0, device=device)
            fitted.append(dsa.set_params(**settings).fit(X))
        errors = [
            float(np.mean((np.asarray(dsa.inverse_transform(dsa.transform(X))) - _dense(X)) ** 2)) for dsa in fitted
        ]
        ratio = errors[1] / errors[0]
        ok = 0.8 < ratio < 1.25 and (fitted[0].nnz_ == fitted[1].nnz_ or "l1" in settings)
        report.failed |= not ok
        report.row("check", f"fit: {name}", error_ratio=ratio, nnz=fitted[1].nnz_, result="ok" if ok else "DIFFERS")


def _dense(X: Any) -> np.ndarray:
    return X.toarray() if sp.issparse(X) else X


def check_resume(report: Report) -> None:
    """A model goes on learning on the device from what was saved on the CPU, and back."""
    from dsae import DeepSparseAutoencoder

    X = np.random.default_rng(0).random((1200, 30), dtype=np.float32)
    dsa = DeepSparseAutoencoder(6, hidden_layer_sizes=(20,), density=0.3, random_state=0, device="cpu")
    for device in ("cpu", report.device.type, "cpu"):
        dsa.set_params(device=device).partial_fit(X)
    losses = [row["loss"] for row in dsa.history_]
    ok = losses[0] > losses[1] > losses[2]
    report.failed |= not ok
    report.row("check", "partial_fit: cpu, device, cpu", losses=str(losses), result="ok" if ok else "DIFFERS")


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
            x = torch.from_numpy(_dense(rows)).to(report.device)
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


PARTS = (machine, check_layers, check_sparse_rows, check_fits, check_resume, layers, fits, dictionary, wide)


def _due(report: Report) -> Iterator[Callable[[Report], None]]:
    for part in PARTS:
        if time.perf_counter() - report.begun > report.seconds:
            print(f"{part.__name__}: left out, the time is over", flush=True)
        else:
            yield part


def main() -> int:
    """All parts, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, under a minute")
    parser.add_argument("--seconds", type=float, default=420.0, help="no part begins after this")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("-o", "--output", help="a JSON file of all lines")
    report = Report(parser.parse_args())
    if report.on_gpu and not torch.cuda.is_available():
        print("torch finds no cuda device; --device cpu --quick tries the script itself.")
        return 1
    for part in _due(report):
        start = time.perf_counter()
        try:
            part(report)
        except Exception:
            report.failed = True
            report.row("FAILED", part.__name__, result="FAILED")
            traceback.print_exc(file=sys.stdout)
        if report.on_gpu:
            torch.cuda.empty_cache()
        print(f"  ({part.__name__}: {time.perf_counter() - start:.1f} s)", flush=True)
    print("FAILED" if report.failed else "all results as on the CPU", flush=True)
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
