"""Missing values of tables and noise of images, repaired in one pass, beside imputers and PCA."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from experiments.fits import seeds, spread

TITLE = "Repaired rows"
SEEDS = (0, 1, 2)
NAMES = ("satellite", "pendigits", "optdigits", "letter", "cardio")
SHARE, SD = 0.3, 0.5
IMPUTERS = {
    "mean": "column means",
    "kNN": "kNN (10)",
    "iterative": "IterativeImputer",
    "PCA": "PCA, iterated",
    "dsae": "dsae, density 0.2",
    "dense": "dense twin",
}
DENOISERS = {
    "none": "noisy images",
    "PCA": "PCA, 32 components",
    "plain": "dsae 5 %, no noise in training",
    "dsae": "dsae 5 %, noise=1.0",
    "dense": "dense twin, noise=1.0",
}
DENSE = {"density": 1.0, "shrink": "none"}
IMAGES = {"n_components": 32, "hidden_layer_sizes": (1024, 256), "density": 0.05, "max_iter": 10, "batch_size": 256}
_STEPS, _BATCH = 6000, 128  # of a table, but at most 200 epochs: small ones settle earlier


def jobs() -> list[dict[str, Any]]:
    """Five tables and six imputers, images and five denoisers, three seeds."""
    return [
        {"task": task, "data": name, "method": method, "seed": seed}
        for seed in SEEDS
        for task, names, methods in (("impute", NAMES, IMPUTERS), ("denoise", ("mnist",), DENOISERS))
        for name in names
        for method in methods
    ]


def measure(job: dict[str, Any], load: Any) -> dict[str, Any]:
    """The error of what was repaired."""
    if job["task"] == "denoise":
        return _denoised(job["method"], load("mnist"), job["seed"])
    train, test, truth = _holed(job["data"], job["seed"])
    begun = time.perf_counter()
    found = _imputed(job["method"], train, test, job["seed"])
    error = np.sqrt(np.square(found - truth)[np.isnan(test)].mean())
    return {"rmse": float(error), "seconds": time.perf_counter() - begun}


def _holed(name: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standardised training and test rows, of both 30 % removed at random, and the test rows as they were."""
    from experiments.datasets import anomalies

    X, rng = anomalies(name)[0], np.random.default_rng(seed)
    X = X[rng.permutation(len(X))][:, X.std(axis=0) > 0]
    n = len(X) * 7 // 10
    X = ((X - X[:n].mean(axis=0)) / np.maximum(X[:n].std(axis=0), 1e-9)).astype(np.float32)
    holed = np.where(rng.random(X.shape) < SHARE, np.float32(np.nan), X)
    return holed[:n], holed[n:], X[n:]


def _imputed(method: str, train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    if method in ("dsae", "dense"):
        from dsae import DeepSparseAutoencoder

        n, width = train.shape
        epochs = min(200, _STEPS // -(-n // _BATCH))
        settings = {"n_components": width // 2, "hidden_layer_sizes": (256,), "density": 0.2, "l2": 1e-5}
        settings |= {"max_iter": epochs, "batch_size": _BATCH, "missing": "mask", "random_state": seed}
        return DeepSparseAutoencoder(**settings | (DENSE if method == "dense" else {})).fit(train).impute(test)
    if method == "PCA":
        return _iterated_pca(train, test, max(2, train.shape[1] // 4))
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    iterative = {"random_state": seed, "n_nearest_features": min(20, train.shape[1] - 1)}
    imputer = {
        "mean": SimpleImputer(),
        "kNN": KNNImputer(n_neighbors=10),
        "iterative": IterativeImputer(**iterative),
    }[method]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten rounds are the default
        return imputer.fit(train).transform(test)


def _iterated_pca(train: np.ndarray, test: np.ndarray, width: int, n_rounds: int = 30) -> np.ndarray:
    """Reconstruct, fill in, fit again; the test rows by the components of the last round."""
    from sklearn.decomposition import PCA

    pca, means = None, np.nanmean(train, axis=0)
    for rows, fitted in ((train, False), (test, True)):
        missing = np.isnan(rows)
        found = np.where(missing, means, rows)
        for _ in range(n_rounds):
            pca = pca if fitted and pca is not None else PCA(width, random_state=0).fit(found)
            found[missing] = pca.inverse_transform(pca.transform(found))[missing]
    return found


def _denoised(method: str, data: Any, seed: int) -> dict[str, Any]:
    noise = np.random.default_rng(seed).standard_normal(data.test.shape).astype(np.float32)
    noisy, begun = data.test + np.float32(SD) * noise, time.perf_counter()
    if method == "none":
        repair: Any = np.asarray
    elif method == "PCA":
        from sklearn.decomposition import PCA

        pca = PCA(32, svd_solver="randomized", random_state=seed).fit(data.train)

        def repair(X: np.ndarray) -> np.ndarray:
            return pca.inverse_transform(pca.transform(X))
    else:
        from dsae import DeepSparseAutoencoder

        settings = IMAGES | {"l2": 1e-6, "noise": 0.0 if method == "plain" else 1.0}
        dsa = DeepSparseAutoencoder(**settings | (DENSE if method == "dense" else {}), random_state=seed).fit(
            data.train
        )
        repair = dsa.runtime_.reconstruct
    seconds = time.perf_counter() - begun
    once, clean = repair(noisy).clip(0, 1), repair(data.test).clip(0, 1)
    found = {"mse": float(np.square(once - data.test).mean()), "clean_mse": float(np.square(clean - data.test).mean())}
    again = noisy
    for _ in range(10):
        again = repair(again)
    return found | {"mse_after_10": float(np.square(again.clip(0, 1) - data.test).mean()), "seconds": seconds}


def render(rows: list[dict[str, Any]], images: Path) -> str:
    """Errors of both tasks and what was to be reached."""
    from benchmarks.page.common import table

    lines = [(label, *(spread(_impute(rows, name, method)) for name in NAMES)) for method, label in IMPUTERS.items()]
    imputed = table(("RMSE of removed values", *NAMES), lines)
    lines = []
    for method, label in DENOISERS.items():
        found = _results(rows, task="denoise", method=method)
        figures = (spread([result[key] for result in found]) for key in ("mse", "mse_after_10", "clean_mse"))
        lines.append((label, *figures, f"{mean(result['seconds'] for result in found):.0f}"))
    denoised = table(("mean squared error", "one pass", "ten passes", "of clean images", "training, s"), lines)
    bars = table(("to be reached", "measured", "bar", ""), [bar.cells() for bar in _bars(rows)])
    return f"{TEXT.format(seeds=seeds(rows))}\n{imputed}\n{denoised}\n{bars}"


def _bars(rows: list[dict[str, Any]]) -> list[Any]:
    from benchmarks.page.common import Bar

    errors = {m: [mean(_impute(rows, name, m)) for name in NAMES] for m in IMPUTERS}
    better = sum(ours < theirs for ours, theirs in zip(errors["dsae"], errors["iterative"], strict=True))
    ours, pca = (mean(result["mse"] for result in _results(rows, task="denoise", method=m)) for m in ("dsae", "PCA"))
    return [
        Bar("tables of five filled in better than by IterativeImputer", better, 4, ""),
        Bar("denoising: squared error over that of PCA", ours / pca, 0.85, at_least=False),
    ]


def _results(rows: list[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    return [row["result"] for row in rows if wanted.items() <= row["job"].items()]


def _impute(rows: list[dict[str, Any]], name: str, method: str) -> list[float]:
    return [result["rmse"] for result in _results(rows, task="impute", data=name, method=method)]


TEXT = f"""
**Missing values**: 30 % of the values of five tables of ADBench, standardised, are removed at random, from training
rows (70 %) and test rows alike; the error is that of the test rows' removed values. dsae: hidden layer of 256, a code
of half as many numbers as there are columns, `missing="mask"`, one pass. IterativeImputer diverges on one draw of
cardio. **Noise**: MNIST with Gaussian noise of {SD},
784-1024-256-32; PCA has as many components. Ten passes reconstruct the result again and again. Means of {{seeds}}.
"""
