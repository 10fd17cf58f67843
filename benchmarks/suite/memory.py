"""Bytes of training state per weight, counted from the live arrays, and the peak of a whole fit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dsae.nn import SparseLinear
from dsae.ops import Tape
from suite.timing import Settings, progress

WIDTH, BATCH = 4096, 256
DENSITIES = (0.2, 0.05, 0.01)
FITS = ("dense", "0.05", "0.01")
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def measure(settings: Settings) -> dict[str, Any]:
    """State bytes of one layer by density, and peak memory of three fits, each in a process of its own."""
    width = settings.pick(WIDTH, 512)
    n_rows, n_in, n_code = settings.pick((512, 20000, 2000), (256, 2000, 200))
    rows, fits = [], []
    with progress("memory", len(DENSITIES) + len(FITS) + 1) as advance:
        for density in DENSITIES:
            advance(f"state at density {density:g}")
            layer = SparseLinear(width, width, density=density)
            counted = _after_a_step(layer, width)
            rows.append({"density": density, "nnz": layer.nnz, "bytes": counted})
        advance("state of the dense twin")
        dense = _after_a_step(nn.Linear(width, width), width)
        for kind in FITS:
            advance(f"fit {n_in}-{n_code}-{n_in}, {kind}")
            fits.append(_fit_apart(kind, n_rows, n_in, n_code))
    shape = {"rows": n_rows, "n_in": n_in, "n_code": n_code}
    return {
        "width": width,
        "rows": rows,
        "dense": {"weights": width * width, "bytes": dense},
        "fit": shape,
        "fits": fits,
    }


def training_bytes(layer: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, int]:
    """Bytes of each thing that lives from step to step: parameters, gradients, moments, and all the layer's arrays."""
    seen: set[int] = set()
    parameters = list(layer.parameters())
    counted = {
        "values": _bytes([p.detach() for p in parameters], seen),
        "gradients": _bytes([p.grad for p in parameters], seen),
        "moments": _bytes([list(optimizer.state[p].values()) for p in parameters], seen),
    }
    own = {key: value for key, value in layer.__dict__.items() if not key.startswith(("_parameters", "tape"))}
    counted["indices"] = _bytes(own, seen)
    return counted | {"total": sum(counted.values())}


def _bytes(thing: Any, seen: set[int]) -> int:
    """Bytes of all arrays and tensors that can be reached, each block of memory counted once."""
    if isinstance(thing, torch.Tensor):
        thing = thing.detach().numpy()
    if isinstance(thing, np.ndarray):
        while isinstance(thing.base, np.ndarray):
            thing = thing.base
        at = thing.__array_interface__["data"][0]
        new = at not in seen
        seen.add(at)
        return thing.nbytes if new else 0
    if isinstance(thing, dict):
        return sum(_bytes(value, seen) for value in thing.values())
    if isinstance(thing, (list, tuple)):
        return sum(_bytes(value, seen) for value in thing)
    ours = type(thing).__module__.startswith("dsae") and not isinstance(thing, Tape)
    if not ours or id(thing) in seen:  # objects may refer to each other
        return 0
    seen.add(id(thing))
    return _bytes(vars(thing), seen)


def _after_a_step(layer: nn.Module, width: int) -> dict[str, int]:
    """Counted after two steps, when every cache is filled."""
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3, fused=True)
    x = torch.randn(BATCH, width, requires_grad=True)
    for _ in range(2):
        optimizer.zero_grad()
        layer(x).square().mean().backward()
        optimizer.step()
    return training_bytes(layer, optimizer)


def _fit_apart(kind: str, n_rows: int, n_in: int, n_code: int) -> dict[str, Any]:
    folder = Path(__file__).parents[1]
    command = [sys.executable, "-m", "suite.memory", kind, str(n_rows), str(n_in), str(n_code)]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def _fit_here(kind: str, n_rows: int, n_in: int, n_code: int) -> dict[str, Any]:
    """Two epochs on random rows; how far the process's peak rose above its size with the data loaded."""
    from dsae import DeepSparseAutoencoder

    X = np.random.default_rng(0).standard_normal((n_rows, n_in), dtype=np.float32)
    _fit_dense(X[:8, :8], 4)  # a first time, for what is loaded lazily
    DeepSparseAutoencoder(4, density=0.5, shrink="rigl", max_iter=2).fit(X[:8, :8])
    if kind == "dense":
        return {"kind": kind, "weights": 2 * n_in * n_code, "peak_bytes": peak_growth(lambda: _fit_dense(X, n_code))}
    settings = {"density": float(kind), "shrink": "rigl", "max_iter": 2, "random_state": 0}
    dsa = DeepSparseAutoencoder(n_code, **settings)
    return {"kind": kind, "peak_bytes": peak_growth(lambda: dsa.fit(X)), "weights": dsa.nnz_}


def _fit_dense(X: np.ndarray, n_code: int) -> None:
    model = nn.Sequential(nn.Linear(X.shape[1], n_code), nn.Linear(n_code, X.shape[1]))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    rows = torch.from_numpy(X)
    for _ in range(2):
        for x in rows.split(BATCH):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), x).backward()
            optimizer.step()


def peak_growth(call: Callable[[], object]) -> int | None:
    """How far the process's resident set rose above its size before the call; None where the system does not tell."""
    try:
        _RESET.write_text("5", encoding="ascii")
        before = _resident("VmRSS")
    except OSError:
        call()
        return None
    call()
    return max(0, _resident("VmHWM") - before)


def _resident(field: str) -> int:
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


if __name__ == "__main__":
    print(json.dumps(_fit_here(sys.argv[1], *map(int, sys.argv[2:]))))
