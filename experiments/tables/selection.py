"""Feature selection: the inputs that an autoencoder leans on, handed to classifiers that see nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.page.common import figure, save, table
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from dsae import DeepSparseAutoencoder

TITLE = "Feature selection"
SELECTED = 50
PUBLISHED = {"ExtraTrees": 91.95, "SVM": 93.62, "kNN": 89.30}
_MODEL = {"n_components": 32, "hidden_layer_sizes": [256], "max_iter": 10}
OURS = "dsae, importance of training"
MADELON = "dsae, Madelon-like"


def jobs() -> list[dict[str, Any]]:
    """One run per way of choosing and seed."""
    ways = [
        {"name": OURS, "fit": _MODEL | {"density": 0.03}},
        {"name": "the same model, strength of its weights", "fit": _MODEL | {"density": 0.03}, "method": "strength"},
        {"name": "dense twin, importance of training", "fit": _MODEL | {"density": 1.0, "shrink": "none"}},
        {"name": "largest variance"},
        {"name": "random"},
        {"name": MADELON, "fit": _MODEL | {"n_components": 16, "density": 0.05, "scale": True}},
    ]
    return [way | {"seed": seed} for seed in range(3) for way in ways]


def madelon(seed: int) -> np.ndarray:
    """Rows in which columns 0..4 are informative, 5..19 redundant and the other 480 noise."""
    X, _ = make_classification(
        n_samples=2000,
        n_features=500,
        n_informative=5,
        n_redundant=15,
        n_clusters_per_class=16,
        class_sep=2.0,
        shuffle=False,
        random_state=seed,
    )
    return X.astype(np.float32)


def measure(job: dict[str, Any], data: Callable[[str], Any]) -> dict[str, Any]:
    """Accuracies in percent, or how many of the twenty relevant columns were found."""
    if job["name"] == MADELON:
        importances, result = _importances(job, madelon(job["seed"]))
        return result | {"relevant": int((_top(importances, 20) < 20).sum())}
    images = data("mnist")
    importances, result = _importances(job, images.train)
    chosen = _top(importances, SELECTED)
    for name, classifier in _classifiers(job["seed"]).items():
        classifier.fit(images.train[:, chosen], images.y_train)
        result[name] = 100 * float(classifier.score(images.test[:, chosen], images.y_test))
    return result | {"pixels": chosen.tolist()}


def _importances(job: dict[str, Any], X: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    if job["name"] == "largest variance":
        return X.var(axis=0, dtype=np.float64), {}
    if job["name"] == "random":
        return np.random.default_rng(job["seed"]).random(X.shape[1]), {}
    from dsae.interpret import feature_importances

    begun = time.perf_counter()
    dsa = DeepSparseAutoencoder(**job["fit"], random_state=job["seed"]).fit(X)
    result = {"density": dsa.density_, "seconds": time.perf_counter() - begun}
    scale = X.std(axis=0, dtype=np.float64) if "method" in job else None
    return feature_importances(dsa.runtime_, method=job.get("method", "sensitivity"), scale=scale), result


def _top(importances: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(-importances, kind="stable")[:k]


def _classifiers(seed: int) -> dict[str, Any]:
    return {
        "ExtraTrees": ExtraTreesClassifier(n_estimators=50, random_state=seed),
        "SVM": SVC(),
        "kNN": KNeighborsClassifier(),
    }


def render(rows: list[dict[str, Any]], images: Path) -> str:
    """Text, two tables, picture of the chosen pixels."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["job"]["name"], []).append(row["result"])
    found = by_name.pop(MADELON, [])
    lines = [
        (name, _mean(results, "density", 3), *(_mean(results, key) for key in PUBLISHED))
        for name, results in by_name.items()
    ]
    lines.append(("QuickSelection (published)", "≤ 0.030", *(f"{value:.2f}" for value in PUBLISHED.values())))
    widths = f"784-{_MODEL['hidden_layer_sizes'][0]}-{_MODEL['n_components']}"
    text = f"""
MNIST, {SELECTED} of 784 pixels chosen without labels, then ExtraTrees (50 trees), an RBF SVM and 5 nearest neighbours
trained on these pixels alone; accuracy in percent on the 10,000 test images, mean ± standard deviation over seeds. The
model is {widths}, mirrored, {_MODEL["max_iter"]} epochs, and sees the 60,000 training images. QuickSelection (Atashgahi
et al. 2022) is a denoising autoencoder of 1000 units trained for 100 epochs on standardised pixels; its figures are
those of the comparison in NeuroFS (TMLR 2022).

"""
    text += table(("chosen by", "density", *PUBLISHED), lines)
    if found:
        counts = ", ".join(str(result["relevant"]) for result in found)
        text += f"""
Madelon-like rows (2000 x 500, 5 informative columns, 15 linear combinations of them, 480 of noise; `scale=True`,
density {_mean(found, "density", 3)}, {_mean(found, "seconds", 1)} s): of the 20 relevant columns, the 20 most important
hold {counts} in the {len(found)} runs.
"""
    return text + "\n" + _picture(by_name, images)


def _mean(results: list[dict[str, Any]], key: str, digits: int = 2) -> str:
    values = [result[key] for result in results if key in result]
    if not values:
        return ""
    spread = f" ± {np.std(values):.{digits}f}" if key in PUBLISHED else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def _picture(by_name: dict[str, list[dict[str, Any]]], images: Path) -> str:
    shown = {name: results[0]["pixels"] for name, results in by_name.items() if name != "random"}
    made, axes = figure(len(shown), 2)
    for ax, (name, pixels) in zip(axes, shown.items(), strict=True):
        mask = np.zeros(784)
        mask[pixels] = 1
        ax.imshow(mask.reshape(28, 28), cmap="Greys")
        ax.set(xticks=[], yticks=[])
        ax.grid(visible=False)
        ax.set_title(name, fontsize=9, loc="left")
    return save(made, axes[0], images, "selection") if shown else ""
