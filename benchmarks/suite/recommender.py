"""Items for very many users: seconds and peak of a fit, users ranked per second, each case in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from suite.timing import Settings, peak_bytes, progress

CASES = (
    {"users": 100_000, "items": 20_000, "per_user": 50, "neighbours": 50},
    {"users": 1_000_000, "items": 200_000, "per_user": 50, "neighbours": 50},
)
QUICK = ({"users": 500, "items": 300, "per_user": 20, "neighbours": 10},)
_NEW_USERS = 2000


def measure(settings: Settings) -> dict[str, Any]:
    """One row for each case."""
    cases, rows = settings.pick(CASES, QUICK), []
    with progress("recommender", len(cases)) as advance:
        for case in cases:
            advance(f"{case['users']} x {case['items']}")
            rows.append(case | _apart(case))
    return {"rows": rows}


def _apart(case: dict[str, Any]) -> dict[str, Any]:
    folder = Path(__file__).parents[1]
    command = [sys.executable, "-m", "suite.recommender", json.dumps(case)]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def _here(case: dict[str, Any]) -> dict[str, Any]:
    """Fit, and rank for users that were not among those of the fit: every fifth of their items is to be found."""
    from dsae import DSARecommender
    from dsae.data import make_ratings
    from dsae.metrics import ranking

    X = make_ratings(case["users"] + _NEW_USERS, case["items"], per_user=case["per_user"], random_state=0)
    train, new = X[: case["users"]], X[case["users"] :]
    del X
    seen, held_out = new.copy(), new.copy()
    hidden = np.arange(new.nnz) % 5 == 0
    seen.data[hidden], held_out.data[~hidden] = 0, 0
    seen.eliminate_zeros()
    held_out.eliminate_zeros()
    processor = time.process_time()
    model = DSARecommender(case["neighbours"]).fit(train)
    processor = time.process_time() - processor
    model.recommend(seen[:100])  # a first time, for what is made lazily
    begun = time.perf_counter()
    model.recommend(seen)
    seconds = time.perf_counter() - begun
    popular = np.asarray(train.sum(axis=0), np.float32)
    found = ranking(model, seen, held_out)
    plain = ranking(lambda rows: np.repeat(popular, rows.shape[0], axis=0), seen, held_out, rows_at_once=100)
    return {
        "fit_seconds": model.fit_time_,
        "fit_processor_seconds": processor,
        "users_per_second": seen.shape[0] / seconds,
        "peak_bytes": peak_bytes(),
        "weights": model.nnz_,
        "recall": found["recall@20"],
        "popular_recall": plain["recall@20"],
    }


if __name__ == "__main__":
    print(json.dumps(_here(json.loads(sys.argv[1]))))
