"""Sparse rows of very many features: seconds and peak memory of an epoch, each case in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from suite.timing import Settings, peak_bytes, progress

CASES = (
    {"rows": 20_000, "features": 50_000, "per_row": 100, "hidden": 256, "code": 64, "density": 0.05},
    {"rows": 100_000, "features": 1_000_000, "per_row": 100, "hidden": 1000, "code": 64, "density": 1e-3},
)
QUICK = ({"rows": 500, "features": 5_000, "per_row": 20, "hidden": 32, "code": 8, "density": 0.05},)
_TOPICS, _OF_TOPIC = 100, 0.8


def measure(settings: Settings) -> dict[str, Any]:
    """One row for each case."""
    cases, rows = settings.pick(CASES, QUICK), []
    with progress("wide", len(cases)) as advance:
        for case in cases:
            advance(f"{case['rows']} x {case['features']}")
            rows.append(case | _apart(case))
    return {"rows": rows}


def topics(rows: int, features: int, per_row: int, seed: int = 0) -> sp.csr_matrix:
    """Rows of ones: four fifths of a row's features are of its one topic, the rest of no topic.

    A topic has four times as many features as a row takes of it, so the topics explain what can be explained.
    """
    rng = np.random.default_rng(seed)
    words = rng.integers(features, size=(_TOPICS, 4 * per_row), dtype=np.int32)
    own = round(_OF_TOPIC * per_row)
    columns = rng.integers(features, size=(rows, per_row), dtype=np.int32)
    columns[:, :own] = words[rng.integers(_TOPICS, size=rows)[:, None], rng.integers(4 * per_row, size=(rows, own))]
    starts = np.arange(0, columns.size + 1, per_row)
    X = sp.csr_matrix((np.ones(columns.size, np.float32), columns.ravel(), starts), shape=(rows, features))
    X.sum_duplicates()
    X.data[:] = 1
    return X


def _apart(case: dict[str, Any]) -> dict[str, Any]:
    folder = Path(__file__).parents[1]
    command = [sys.executable, "-m", "suite.wide", json.dumps(case)]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def _here(case: dict[str, Any]) -> dict[str, Any]:
    """Fit one epoch and encode; the peak is the process's, libraries and data and all."""
    from dsae import DeepSparseAutoencoder

    X = topics(case["rows"], case["features"], case["per_row"])
    DeepSparseAutoencoder(2, max_iter=1).fit(np.eye(8, dtype=np.float32))  # a first time, for what is loaded lazily
    dsa = DeepSparseAutoencoder(
        case["code"], hidden_layer_sizes=(case["hidden"],), density=case["density"], max_iter=1, random_state=0
    )
    fit, fit_processor = _seconds(lambda: dsa.fit(X))
    encode, _ = _seconds(lambda: dsa.transform(X))
    peak = peak_bytes()
    weights = dsa.nnz_
    dense = 2 * case["hidden"] * (case["features"] + case["code"])
    return {
        "fit_seconds": fit,
        "fit_processor_seconds": fit_processor,
        "encode_seconds": encode,
        "peak_bytes": peak,
        "weights": weights,
        "dense_bytes": 16 * dense,
        "loss": dsa.history_[-1]["loss"],
    }


def _seconds(call: Any) -> tuple[float, float]:
    begun, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - begun, time.process_time() - processor


if __name__ == "__main__":
    print(json.dumps(_here(json.loads(sys.argv[1]))))
