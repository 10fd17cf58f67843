"""Training from files: peak memory by the number of rows, and the share of time spent waiting for rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from suite.timing import Settings, peak_bytes, progress

N_FEATURES, N_FACTORS, PIECE = 128, 16, 1 << 16
KINDS = ("npy", "parquet")
ROOT = Path(__file__).parents[2]


def measure(settings: Settings) -> dict[str, Any]:
    """One epoch of 128-256-16 at density 0.1 for each kind and size, each in a process of its own."""
    sizes = settings.pick((10**5, 10**6, 10**7), (2 * 10**4, 10**5))
    rows = []
    with progress("stream", len(KINDS) * len(sizes)) as advance:
        for kind in KINDS:
            for n_rows in sizes:
                advance(f"{n_rows:,} rows of .{kind}")
                rows.append({"kind": kind, "rows": n_rows, **_apart(kind, n_rows, settings.threads)})
    return {"n_features": N_FEATURES, "rows": rows}


def make(path: Path, n_rows: int) -> None:
    """Rows of a few factors and some noise, piece by piece."""
    from dsae.data import writing

    loadings = np.random.default_rng(0).standard_normal((N_FACTORS, N_FEATURES), dtype=np.float32)
    with writing(path, n_rows, [f"x{i}" for i in range(N_FEATURES)]) as writer:
        for start in range(0, n_rows, PIECE):
            rng, n = np.random.default_rng(start), min(PIECE, n_rows - start)
            factors = rng.standard_normal((n, N_FACTORS), dtype=np.float32)
            writer.write(factors @ loadings + rng.standard_normal((n, N_FEATURES), dtype=np.float32))


def _apart(kind: str, n_rows: int, threads: int) -> dict[str, Any]:
    """Data are made and used by two processes, so that one's memory is not the other's."""
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "benchmarks")}
    with tempfile.TemporaryDirectory(dir=build) as folder:
        found = {}
        for verb in ("make", "fit"):
            command = [sys.executable, "-m", "suite.stream", verb, f"{folder}/x.{kind}", str(n_rows), str(threads)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
            found = json.loads(done.stdout or "{}")
        return found


def _fit(path: Path, threads: int) -> dict[str, Any]:
    import torch

    from dsae import DeepSparseAutoencoder
    from dsae.data import open_rows

    torch.set_num_threads(threads)
    settings = {"hidden_layer_sizes": (256,), "density": 0.1, "random_state": 0}
    warm = np.random.default_rng(0).standard_normal((512, N_FEATURES), dtype=np.float32)
    DeepSparseAutoencoder(N_FACTORS, max_iter=1, **settings).fit(warm)  # what is loaded lazily
    before, source = peak_bytes(), open_rows(path)
    begun = time.perf_counter()
    source.moments()
    one_pass = time.perf_counter() - begun
    dsa = DeepSparseAutoencoder(N_FACTORS, max_iter=1, **settings).fit(source)
    seconds = dsa.history_[-1]["seconds"]
    return {
        "bytes_on_disk": path.stat().st_size,
        "peak_bytes": peak_bytes(),
        "peak_before": before,
        "seconds": seconds,
        "waited": source.waited,
        "share_waited": source.waited / seconds,
        "pass_seconds": one_pass,
        "rows_per_second": len(source) / seconds,
    }


if __name__ == "__main__":
    verb, path, n_rows, threads = sys.argv[1:]
    if verb == "make":
        make(Path(path), int(n_rows))
    else:
        print(json.dumps(_fit(Path(path), int(threads))))
