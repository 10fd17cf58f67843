"""Values removed at random, guessed by dsae and by the imputers that people use."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

TITLE = "Missing values"
SEEDS = (0, 1, 2, 3, 4)
SHARES = (0.1, 0.3, 0.5)
UNITS = {"digits": "pixels in 0..1", "cardio": "standardised"}
METHODS = ("mean", "SVD", "iterative", "kNN", "kNN chosen", "dsae", "dsae chosen")
LABELS = {
    "mean": "feature means",
    "SVD": "SVD, rank and threshold chosen",
    "iterative": "IterativeImputer, default",
    "kNN": "KNNImputer, default",
    "kNN chosen": "KNNImputer, neighbours chosen",
    "dsae": "dsae, default",
    "dsae chosen": "dsae, settings chosen",
}
NEIGHBOURS = (3, 5, 10, 20, 40)
RANKS, THRESHOLDS = (4, 8, 16, 32), (0.0, 0.003, 0.01, 0.03, 0.1)  # thresholds as shares of the first singular value
CANDIDATES = tuple(
    {"n_components": width, "density": density, "max_iter": 150} for width in (10, 32) for density in (0.1, 0.2)
)
SEARCH_EPOCHS = 50  # settings are compared after a third of the epochs


def jobs() -> list[dict[str, Any]]:
    """Two tables, three shares of values removed, seven methods, five seeds, which draw split and removal."""
    return [
        {"data": name, "share": share, "method": method, "seed": seed}
        for seed in SEEDS
        for name in UNITS
        for share in SHARES
        for method in METHODS
    ]


def measure(job: dict[str, Any], load: Any) -> dict[str, Any]:
    """The error of the removed values of test rows, by settings that did best on a fifth of the training rows."""
    train, valid, test, truth = _holed(load(job["data"]), job["share"], job["seed"])
    begun, chosen = time.perf_counter(), None
    candidates = _candidates(job["method"], train.shape[1], job["seed"])
    if len(candidates) > 1:
        errors = [_rmse(_imputed(train, valid, *_sooner(way)), valid, truth[0]) for way in candidates]
        chosen = candidates[int(np.argmin(errors))]
    way, searched = chosen or candidates[0], time.perf_counter()
    guessed = _imputed(np.concatenate([train, valid]), test, *way)
    seconds = {"seconds": time.perf_counter() - searched, "search_seconds": searched - begun}
    return {"rmse": _rmse(guessed, test, truth[1]), "settings": way[1], "n_candidates": len(candidates), **seconds}


def _sooner(way: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    method, settings = way
    return method, settings | ({"max_iter": SEARCH_EPOCHS} if "max_iter" in settings else {})


def _holed(data: Any, share: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Training, validation and test rows with NaN where a value was removed, and what it was."""
    rng = np.random.default_rng(seed)
    X = np.concatenate([data.train, data.test])
    X = X[rng.permutation(len(X))]
    holes = rng.random(X.shape) < share
    n_test, n_valid = len(X) // 5, len(X) * 4 // 25
    known = np.where(holes, np.nan, X)
    parts = np.split(np.arange(len(X)), [n_test, n_test + n_valid])
    test, valid, train = (known[part] for part in parts)
    return train, valid, test, (X[parts[1]], X[parts[0]])


def _rmse(guessed: np.ndarray, holed: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.square(guessed - truth)[np.isnan(holed)].mean()))


def _candidates(method: str, n_features: int, seed: int) -> list[tuple[str, dict[str, Any]]]:
    if method == "SVD":
        ranks = [rank for rank in RANKS if rank <= n_features]
        return [("SVD", {"rank": rank, "threshold": share}) for rank in ranks for share in THRESHOLDS]
    if method == "kNN chosen":
        return [("kNN", {"n_neighbors": n}) for n in NEIGHBOURS]
    if method == "dsae chosen":
        return [("dsae", {**some, "random_state": seed}) for some in CANDIDATES]
    return [(method, {"random_state": seed} if method in ("dsae", "iterative") else {})]


def _imputed(train: np.ndarray, rows: np.ndarray, method: str, settings: dict[str, Any]) -> np.ndarray:
    """``rows`` filled by what ``train`` teaches."""
    if method == "SVD":
        return _soft_impute(np.concatenate([train, rows]), **settings)[len(train) :]
    if method == "dsae":
        from dsae import DeepSparseAutoencoder

        return DeepSparseAutoencoder(missing="mask", **settings).fit(train).impute(rows)
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    kinds = {"mean": SimpleImputer, "iterative": IterativeImputer, "kNN": KNNImputer}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten rounds are the default
        return kinds[method](keep_empty_features=True, **settings).fit(train).transform(rows)


def _soft_impute(rows: np.ndarray, rank: int, threshold: float, n_rounds: int = 100) -> np.ndarray:
    """Iterated soft-thresholded SVD of the centred rows (Mazumder, Hastie & Tibshirani 2010), cut at a rank."""
    missing, mean = np.isnan(rows), np.nanmean(rows, axis=0)
    found = np.where(missing, 0, rows - mean)
    for _ in range(n_rounds):
        left, values, right = np.linalg.svd(found, full_matrices=False)
        values = np.maximum(values[:rank] - threshold * values[0], 0)
        made = (left[:, :rank] * values) @ right[:rank]
        step = np.abs(made - found)[missing].max(initial=0)
        found[missing] = made[missing]
        if step < 1e-4:
            break
    return found + mean


def render(rows: list[dict[str, Any]], images: Path) -> str:
    """Errors by method and share removed, for each table."""
    from benchmarks.page.common import table

    text = TEXT
    for name, unit in UNITS.items():
        lines = []
        for method in METHODS:
            if not _errors(rows, name, SHARES[0], method):
                continue
            errors = [f"{median(_errors(rows, name, share, method)):.4f}" for share in SHARES]
            lines.append((LABELS[method], *errors, _seconds(rows, name, method), _settings(rows, name, method)))
        header = ("", *(f"{100 * share:g} % removed" for share in SHARES), "seconds", "settings (30 %)")
        text += f"{name} ({unit}), root mean squared error of the removed values:\n\n{table(header, lines, left=1)}\n"
    return text


def verdicts(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """One line for each table, at 30 % removed."""
    lines = []
    for name in UNITS:
        others = {m: median(_errors(rows, name, 0.3, m)) for m in METHODS if not m.startswith("dsae")}
        best = min(others, key=lambda m: others[m])
        ours = median(_errors(rows, name, 0.3, "dsae chosen"))
        won = "wins" if ours < others[best] else "loses"
        measured = "RMSE of removed values"
        lines.append((f"imputation, {name}, 30 %", measured, f"{ours:.4f}", f"{others[best]:.4f}", LABELS[best], won))
    return lines


def _of(rows: list[dict[str, Any]], name: str, share: float, method: str) -> list[dict[str, Any]]:
    wanted = {"data": name, "share": share, "method": method}
    return [row["result"] for row in rows if wanted.items() <= row["job"].items()]


def _errors(rows: list[dict[str, Any]], name: str, share: float, method: str) -> list[float]:
    return [result["rmse"] for result in _of(rows, name, share, method)]


def _seconds(rows: list[dict[str, Any]], name: str, method: str) -> str:
    found = _of(rows, name, 0.3, method)
    fit, search = (median(result[key] for result in found) for key in ("seconds", "search_seconds"))
    return f"{fit:.3g}" if found[0]["n_candidates"] == 1 else f"{fit:.3g} (search {search:.3g})"


def _settings(rows: list[dict[str, Any]], name: str, method: str) -> str:
    """Those chosen by most seeds."""
    texts = []
    for result in _of(rows, name, 0.3, method):
        settings = {key: value for key, value in result["settings"].items() if key != "random_state"}
        texts.append(", ".join(f"{key} {value}" for key, value in settings.items()))
    return max(texts, key=texts.count)


TEXT = f"""
A share of all values is removed at random, in training, validation and test rows alike, and the values removed from the
test rows (a fifth) are guessed from what is left. Settings are chosen on a fifth of the training rows, then all
training rows are used; each figure is the median over seeds, which draw rows and removals. `SVD` repeats a
soft-thresholded SVD until it settles, of training and test rows together. dsae sees, in training, another share of
up to 80 % hidden, drawn per row (`missing="mask"`), and guesses in one pass. One thread. {len(CANDIDATES)} settings of
dsae are tried for {SEARCH_EPOCHS} epochs each.

"""
