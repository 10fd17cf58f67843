"""The estimator with only n_components and density given, against PCA."""

from __future__ import annotations

from pathlib import Path

from benchmarks.page.common import table

from dsae.comparison._baselines import LinearModel
from experiments import fits

TITLE = "No tuning: against PCA of the same code size"

SETS = {
    "digits": ("scikit-learn's digits", 16),
    "mnist": ("MNIST", 32),
    "news": ("20 Newsgroups, log(1 + count)", 32),
    "cells": ("mouse bladder cells, log(1 + count)", 32),
}
DENSITIES = (0.1, 0.05)
SEEDS = range(3)


def jobs() -> list[dict]:
    """Every data set by PCA and by the estimator."""
    made = []
    for data in SETS:
        made.append({"data": data, "density": None, "seed": 0})
        made += [{"data": data, "density": density, "seed": seed} for seed in SEEDS for density in DENSITIES]
    return made


def measure(job: dict, load) -> dict:
    """FVU of the test rows."""
    data, n = load(job["data"]), SETS[job["data"]][1]
    if job["density"] is None:
        model = LinearModel.fit(data.train, n)
        return fits.measure(model, data) | {"nnz": model.components.size}
    settings = {"n_components": n, "density": job["density"], "random_state": job["seed"]}
    dsa, cost = fits.fit(data, settings)
    return (
        fits.measure(dsa.runtime_, data)
        | cost
        | {"widths": dsa.runtime_.config.hidden_layer_sizes, "epochs": dsa.n_iter_}
    )


def render(rows: list[dict], images: Path) -> str:
    """A line for each data set and density."""
    lines = []
    for data, (name, n) in SETS.items():
        pca = fits.where(rows, data=data, density=None)[0]
        lines.append((name, n, "PCA", "", f"{pca['nnz']:,}", f"{pca['fvu']:.4f}", "", ""))
        for density in DENSITIES:
            found = fits.where(rows, data=data, density=density)
            fvu = fits.average(rows, "fvu", data=data, density=density)
            widths = "-".join(map(str, found[0]["widths"]))
            verdict = f"{fvu / pca['fvu']:.3f}" + ("" if fvu < pca["fvu"] else " (PCA wins)")
            seconds = fits.average(rows, "fit_cpu_seconds", data=data, density=density)
            lines.append(
                (
                    "",
                    n,
                    f"DSA, density {density:g}",
                    widths,
                    f"{found[0]['nnz']:,}",
                    fits.spread([result["fvu"] for result in found]),
                    verdict,
                    f"{seconds:.0f}",
                )
            )
    header = ("", "code", "", "hidden layers", "weights", "test FVU", "of PCA's", "fit, processor s")
    return (
        "Nothing but `n_components` and `density` is given; FVU of held-out rows (a fifth, or the official split), "
        f"{fits.seeds(rows)}, one thread.\n\n" + table(header, lines, left=1) + AFTER
    )


AFTER = """
Where PCA wins, a network learns few and very wide rows by heart: [why, and what was
tried](design/shrinking.md#default-widths-and-epochs).
"""
