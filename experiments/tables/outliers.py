"""Outliers in small tables: DSAOutlierDetector beside PyOD's autoencoders, ECOD and KNN, IsolationForest and LOF."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

import numpy as np
from benchmarks.page.common import table
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor

from dsae import DSAOutlierDetector
from experiments import datasets, fits

TITLE = "Outliers in tables"
CHOSEN_ON = ("cardio", "letter", "satellite")
HELD_OUT = ("thyroid", "annthyroid", "pendigits", "optdigits")
PROTOCOLS = {"all": "trained on all rows, anomalies among them", "normal": "trained on half of the normal rows"}
SPEED = ((100, 6), (5000, 50))
SEEDS = range(5)
AHEAD = 0.02  # AUROC by which the best of the other autoencoders has to be surpassed


class Rows(NamedTuple):
    """Rows to fit, and rows to score with their labels, standardised by the former and not."""

    fit: np.ndarray
    score: np.ndarray
    plain_fit: np.ndarray
    plain_score: np.ndarray
    same: bool


def _dsae(rows: Rows, seed: int) -> np.ndarray:
    return -DSAOutlierDetector(random_state=seed).fit(rows.plain_fit).score_samples(rows.plain_score)


def _forest(rows: Rows, seed: int) -> np.ndarray:
    return -IsolationForest(random_state=seed).fit(rows.plain_fit).score_samples(rows.plain_score)


def _lof(rows: Rows, seed: int) -> np.ndarray:
    if rows.same:  # with novelty=True a row would be among its own neighbours
        return -LocalOutlierFactor().fit(rows.fit).negative_outlier_factor_
    return -LocalOutlierFactor(novelty=True).fit(rows.fit).score_samples(rows.score)


def _pyod(module: str, name: str, seeded: bool = False) -> Callable[[Rows, int], np.ndarray]:
    def scores(rows: Rows, seed: int) -> np.ndarray:
        kind = getattr(importlib.import_module(f"pyod.models.{module}"), name)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # bars of progress
            detector = kind(**({"random_state": seed} if seeded else {})).fit(rows.fit)
            return detector.decision_scores_ if rows.same else detector.decision_function(rows.score)

    return scores


OTHERS = {"IsolationForest": _forest, "LOF": _lof}
AUTOENCODERS = ("PyOD AutoEncoder", "PyOD VAE")
PEERS = {
    "PyOD AutoEncoder": _pyod("auto_encoder", "AutoEncoder", True),
    "PyOD VAE": _pyod("vae", "VAE", True),
    "PyOD ECOD": _pyod("ecod", "ECOD"),
    "PyOD KNN": _pyod("knn", "KNN"),
}
OURS = "DSAOutlierDetector"


def jobs() -> list[dict]:
    """Every table and size by every seed."""
    sizes = [{"n_rows": n_rows, "n_features": n_features} for n_rows, n_features in SPEED]
    names = [{"data": name} for name in (*CHOSEN_ON, *HELD_OUT)]
    return [job | {"seed": seed} for seed in SEEDS for job in [*names, *sizes]]


def measure(job: dict, load: Any) -> dict:
    """Of each method AUROC, average precision and seconds of fit and scores, by protocol; or seconds alone."""
    methods = {OURS: _dsae, **OTHERS, **(PEERS if importlib.util.find_spec("pyod") else {})}
    if "data" not in job:
        rows = _generated(job)
        return {
            "seconds": {
                name: min(_timed(score, rows, job["seed"])[1] for _ in range(3))
                for name, score in {OURS: _dsae, **OTHERS}.items()
            }
        }
    X, y = datasets.anomalies(job["data"])
    found: dict[str, Any] = {}
    for protocol in PROTOCOLS:
        rows, labels = _split(X, y, protocol, job["seed"])
        found[protocol] = {}
        for name, score in methods.items():
            scores, seconds = _timed(score, rows, job["seed"])
            auroc, precision = roc_auc_score(labels, scores), average_precision_score(labels, scores)
            found[protocol][name] = {"auroc": float(auroc), "precision": float(precision), "seconds": seconds}
    return found


def _timed(score: Callable, rows: Rows, seed: int) -> tuple[np.ndarray, float]:
    begun = time.perf_counter()
    return score(rows, seed), time.perf_counter() - begun


def _generated(job: dict) -> Rows:
    rng = np.random.default_rng(job["seed"])
    X = rng.normal(size=(job["n_rows"], 3)) @ rng.normal(size=(3, job["n_features"]))
    X += 0.3 * rng.normal(size=X.shape)
    return Rows(X, X, X, X, True)


def _split(X: np.ndarray, y: np.ndarray, protocol: str, seed: int) -> tuple[Rows, np.ndarray]:
    fit = score = np.arange(len(y))
    if protocol == "normal":
        normal = np.random.default_rng(seed).permutation(np.flatnonzero(y == 0))
        fit = np.sort(normal[: len(normal) // 2])
        score = np.setdiff1d(score, fit)
    given = X[fit], X[score]
    center, spread = given[0].mean(axis=0), given[0].std(axis=0)
    standardised = [(rows - center) / np.where(spread > 0, spread, 1) for rows in given]
    return Rows(*standardised, *given, protocol == "all"), y[score]


def render(rows: list[dict], images: Path) -> str:
    """Tables of both protocols, the tables that settings were chosen on apart."""
    text = (
        f"Medians of {fits.seeds(rows)}, one thread. Every detector has its defaults. Those of "
        f"{OURS} were chosen on three tables, of few, of local and of many anomalies ([how](design/outliers.md)). The "
        "others had been scored once when rarity was added, by the same three; the two thyroid tables have one source, "
        "so both are among the others. "
        "PyOD's detectors and LOF get standardised rows. *AP* is average precision.\n"
    )
    if not _methods(rows) >= set(PEERS):
        text += "\nPyOD was not installed: its detectors are left out.\n"
    for protocol, meaning in PROTOCOLS.items():
        for names, about in ((HELD_OUT, "not used for choosing"), (CHOSEN_ON, "used for choosing")):
            text += f"\n{meaning.capitalize()}; tables {about}:\n\n"
            lines = [_line(rows, protocol, names, method) for method in _order(rows)]
            text += table(("AUROC", *names, "mean", "mean AP", "fit and scores, s"), lines, left=1)
    sizes = [f"{n} rows of {d} features" for n, d in SPEED]
    lines = [(name, *(f"{_seconds(rows, n, d, name):.2f}" for n, d in SPEED)) for name in (OURS, *OTHERS)]
    return text + "\nSeconds of fit and scores, the import of no package counted:\n\n" + table(("", *sizes), lines)


def verdicts(rows: list[dict]) -> list[tuple]:
    """Mean AUROC of the tables that were not used for choosing, against all and against other autoencoders."""
    lines = []
    for protocol, meaning in PROTOCOLS.items():
        means = {method: _mean(rows, protocol, HELD_OUT, method, "auroc") for method in _methods(rows)}
        ours = means.pop(OURS)
        for others, ahead, what in (
            (set(means), 0.0, "AUROC"),
            ({"IsolationForest"}, 0.0, "AUROC, forest alone"),
            (set(AUTOENCODERS), AHEAD, f"AUROC, autoencoders, by {AHEAD:g}"),
        ):
            found = {method: value for method, value in means.items() if method in others}
            if found:
                best = max(found, key=lambda method: found[method])
                verdict = "wins" if ours >= found[best] + ahead else "loses"
                lines.append((f"outliers, {meaning}", what, f"{ours:.3f}", f"{found[best]:.3f}", best, verdict))
    return lines


def _methods(rows: list[dict]) -> set[str]:
    return set(next(row["result"]["all"] for row in rows if "data" in row["job"]))


def _order(rows: list[dict]) -> list[str]:
    return [name for name in (OURS, *OTHERS, *PEERS) if name in _methods(rows)]


def _line(rows: list[dict], protocol: str, names: tuple[str, ...], method: str) -> tuple:
    each = [f"{_median(rows, protocol, name, method, 'auroc'):.3f}" for name in names]
    means = [_mean(rows, protocol, names, method, key) for key in ("auroc", "precision")]
    return (
        method,
        *each,
        *(f"{value:.3f}" for value in means),
        f"{_mean(rows, protocol, names, method, 'seconds'):.1f}",
    )


def _mean(rows: list[dict], protocol: str, names: tuple[str, ...], method: str, key: str) -> float:
    return mean(_median(rows, protocol, name, method, key) for name in names)


def _median(rows: list[dict], protocol: str, name: str, method: str, key: str) -> float:
    return median(result[protocol][method][key] for result in fits.where(rows, data=name))


def _seconds(rows: list[dict], n_rows: int, n_features: int, method: str) -> float:
    found = fits.where(rows, n_rows=n_rows, n_features=n_features)
    return median(result["seconds"][method] for result in found)
