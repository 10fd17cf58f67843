"""Text by classes and neighbours: codes of 20 Newsgroups against LSA and NMF of the same width."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from benchmarks.page.common import table
from sklearn.decomposition import NMF, TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler, normalize

from dsae import DeepSparseAutoencoder
from experiments import fits

TITLE = "Text: classes and neighbours"
ALONE = True  # its times are compared
WIDTH, NEIGHBOURS = 64, 10
SEEDS = range(5)
DEFAULTS, CHOSEN = "dsae, defaults", "dsae, from LSA"
LSA, NMF_ = "LSA", "NMF"
SETTINGS = {
    "hidden_layer_sizes": (),
    "density": 0.2,
    "shrink": "random",
    "mask": 0.5,
    "max_iter": 2,
    "learning_rate_init": 1e-4,
}
MOST_TIME = 5  # times that of LSA


def jobs() -> list[dict]:
    """Every method by every seed."""
    return [{"method": method, "seed": seed} for seed in SEEDS for method in METHODS]


def measure(job: dict, load: Any) -> dict:
    """Accuracies and mean average precision of the test rows, and seconds of the fit."""
    data = load("news")
    words = TfidfTransformer(sublinear_tf=False).fit(data.train)  # the counts have been logarithmised
    rows, queries = (words.transform(part).tocsr().astype(np.float32) for part in (data.train, data.test))
    _warm(rows)
    begun = time.perf_counter()
    encode = METHODS[job["method"]](rows, job["seed"])
    seconds = time.perf_counter() - begun
    some, other = np.diff(rows.indptr) > 0, np.diff(queries.indptr) > 0  # without words there is nothing to tell
    return {"seconds": seconds} | judged(
        encode(rows[some]), encode(queries[other]), data.y_train[some], data.y_test[other]
    )


def _warm(rows: Any) -> None:
    """What is imported and compiled once is not counted."""
    DeepSparseAutoencoder(2, hidden_layer_sizes=(), max_iter=1).fit(rows[:500])
    TruncatedSVD(2).fit(rows[:500])


def _lsa(rows: Any, seed: int) -> Callable:
    return TruncatedSVD(WIDTH, random_state=seed).fit(rows).transform


def _nmf(rows: Any, seed: int) -> Callable:
    return NMF(WIDTH, init="nndsvda", max_iter=100, random_state=seed).fit(rows).transform


def _default(rows: Any, seed: int) -> Callable:
    return DeepSparseAutoencoder(WIDTH, random_state=seed).fit(rows).transform


def _from_lsa(rows: Any, seed: int) -> Callable:
    """The largest fifth of the weights of LSA, trained for two epochs to fill in what is hidden."""
    words = TruncatedSVD(WIDTH, random_state=seed).fit(rows).components_.astype(np.float32)
    mean = np.asarray(rows.mean(axis=0), np.float32).ravel()
    start = [(words, -words @ mean), (words.T.copy(), mean)]
    return DeepSparseAutoencoder(WIDTH, init=start, random_state=seed, **SETTINGS).fit(rows).transform


METHODS = {CHOSEN: _from_lsa, DEFAULTS: _default, LSA: _lsa, NMF_: _nmf}


def judged(codes: np.ndarray, queries: np.ndarray, y: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    """Accuracy of a linear probe and of a vote of the nearest rows by cosine, and mean average precision of a class."""
    scaler = StandardScaler().fit(codes)
    probe = LogisticRegression(C=0.1, max_iter=200).fit(scaler.transform(codes), y)
    votes, precisions = [], []
    known = normalize(codes)
    for start in range(0, len(queries), 500):
        likeness = normalize(queries[start : start + 500]) @ known.T
        order = np.argsort(-likeness, axis=1, kind="stable")
        near = np.take_along_axis(likeness, order[:, :NEIGHBOURS], axis=1)
        classes = y[order[:, :NEIGHBOURS], None] == np.arange(y.max() + 1)
        votes.append(((1 + near)[..., None] * classes).sum(axis=1).argmax(axis=1))
        same = y[order] == wanted[start : start + 500, None]
        precise = np.cumsum(same, axis=1) / np.arange(1, same.shape[1] + 1)
        precisions.append((precise * same).sum(axis=1) / same.sum(axis=1))
    return {
        "classes": float(probe.score(scaler.transform(queries), wanted)),
        "neighbours": float((np.concatenate(votes) == wanted).mean()),
        "precision": float(np.concatenate(precisions).mean()),
    }


FIGURES = {"classes": "linear probe", "neighbours": f"{NEIGHBOURS} neighbours", "precision": "MAP"}


def render(rows: list[dict], images: Path) -> str:
    """A line for each method."""
    lines = []
    for method in METHODS:
        found = fits.where(rows, method=method)
        each = [f"{median(result[key] for result in found):.3f}" for key in FIGURES]
        seconds = _middle(rows, method, "seconds")
        lines.append((method, *each, f"{seconds:.1f}", f"{seconds / _middle(rows, LSA, 'seconds'):.1f}"))
    settings = ", ".join(f"`{name}={value!r}`" for name, value in SETTINGS.items())
    return (
        "20 Newsgroups by date, tf-idf of log(1 + count), codes of 64 numbers; test rows by the accuracy of a linear "
        "probe and of the nearest training rows (cosine), and by the mean average precision of the rows of their class "
        f"among all training rows; medians of {fits.seeds(rows)}. *From LSA* starts with LSA's weights (`init=`), "
        f"their time counted, and has settings chosen on a fifth of the training rows: {settings}.\n\n"
        + table(("", *FIGURES.values(), "fit, s", "of LSA's time"), lines, left=1)
    )


def verdicts(rows: list[dict]) -> list[tuple[str, ...]]:
    """Classes and neighbours against the better of LSA and NMF, and the time against LSA's."""
    lines = []
    for key, what in FIGURES.items():
        best = max((LSA, NMF_), key=lambda method: _middle(rows, method, key))
        mine, other = _middle(rows, CHOSEN, key), _middle(rows, best, key)
        lines.append(("text", what, f"{mine:.3f}", f"{other:.3f}", best, "wins" if mine >= other else "loses"))
    mine, other = _middle(rows, CHOSEN, "seconds"), _middle(rows, LSA, "seconds")
    within = "within" if mine <= MOST_TIME * other else "beyond"
    return [*lines, ("text", "fit, s", f"{mine:.1f}", f"{other:.1f}", LSA, f"{within} {MOST_TIME} times")]


def _middle(rows: list[dict], method: str, key: str) -> float:
    return median(result[key] for result in fits.where(rows, method=method))
