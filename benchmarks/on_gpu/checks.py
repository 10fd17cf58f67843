"""Results of the device beside those of the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from on_gpu.report import Report, as_array, random_csr


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
    from dsae.nn import _executor

    generator = torch.Generator().manual_seed(1)
    for density in (0.02, 0.3, 0.8, 1.0):
        layer, copy = twins(report, 300, 200, density)
        x, up = (torch.randn(3, 50, n, generator=generator) for n in (300, 200))
        for below, executor in ((_executor.DENSE_BELOW, "dense"), (0, "sparse")):
            _executor.DENSE_BELOW, before = below, _executor.DENSE_BELOW
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
                _executor.DENSE_BELOW = before
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
    mixed = (rng.random((2000, 12), dtype=np.float32) @ atoms).astype(np.float32)
    sparse = random_csr(1000, 400, 8)
    cases: list[tuple[str, Any, dict[str, Any]]] = [
        ("tempered", mixed, {"density": 0.2}),
        ("rigl", mixed, {"density": 0.2, "shrink": "rigl"}),
        ("set, stagewise", mixed, {"density": 0.2, "shrink": "set", "schedule": "stagewise"}),
        ("l1, l2, contractive", mixed, {"density": 0.5, "l1": 0.1, "l2": 1e-4, "contractive": 1e-3}),
        ("topk", mixed, {"density": 0.3, "code_activation": "topk", "k": 4}),
        ("batchtopk", mixed, {"density": 0.3, "code_activation": "batchtopk", "k": 4}),
        ("jumprelu", mixed, {"density": 0.3, "code_activation": "jumprelu", "k": 4}),
        ("sparse rows", sparse, {"density": 0.1, "shrink": "rigl"}),
        ("early stopping", mixed, {"density": 0.2, "early_stopping": True, "scale": True}),
    ]
    for name, X, settings in cases:
        fitted = []
        for device in ("cpu", report.device.type):
            dsa = DeepSparseAutoencoder(16, hidden_layer_sizes=(40,), max_iter=12, random_state=0, device=device)
            fitted.append(dsa.set_params(**settings).fit(X))
        errors = [
            float(np.mean((np.asarray(dsa.inverse_transform(dsa.transform(X))) - as_array(X)) ** 2)) for dsa in fitted
        ]
        ratio = errors[1] / errors[0]
        ok = 0.8 < ratio < 1.25 and (fitted[0].nnz_ == fitted[1].nnz_ or "l1" in settings)
        report.failed |= not ok
        report.row("check", f"fit: {name}", error_ratio=ratio, nnz=fitted[1].nnz_, result="ok" if ok else "DIFFERS")


def check_resume(report: Report) -> None:
    """A model continues learning on the device from what was saved on the CPU, and back."""
    from dsae import DeepSparseAutoencoder

    X = np.random.default_rng(0).random((1200, 30), dtype=np.float32)
    dsa = DeepSparseAutoencoder(6, hidden_layer_sizes=(20,), density=0.3, random_state=0, device="cpu")
    for device in ("cpu", report.device.type, "cpu"):
        dsa.set_params(device=device).partial_fit(X)
    losses = [row["loss"] for row in dsa.history_]
    ok = losses[0] > losses[1] > losses[2]
    report.failed |= not ok
    report.row("check", "partial_fit: cpu, device, cpu", losses=str(losses), result="ok" if ok else "DIFFERS")
