"""What is printed and kept of a run, and the rows that its parts share."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

# Largest difference from the CPU in units of the largest number; sums are in another order, in float32.
TOLERANCE = 1e-4


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


def random_csr(n_rows: int, width: int, per_row: int, seed: int = 0) -> sp.csr_matrix:
    """Rows with ``per_row`` positive numbers each."""
    rng = np.random.default_rng(seed)
    columns = np.concatenate([np.sort(rng.choice(width, per_row, replace=False)) for _ in range(n_rows)])
    values = rng.random(columns.size, dtype=np.float32)
    indptr = np.arange(0, columns.size + 1, per_row)
    return sp.csr_matrix((values, columns.astype(np.int32), indptr.astype(np.int32)), shape=(n_rows, width))


def as_array(X: Any) -> np.ndarray:
    """Rows as an array."""
    return X.toarray() if sp.issparse(X) else X
