"""Rifai et al. 2011: how much a contractive penalty shrinks the encoder's Jacobian."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from benchmarks.page.common import table

from experiments import fits

TITLE = "Contraction (Rifai et al. 2011)"

PUBLISHED = {"plain": (17.5, 49.90), "contractive": (0.73, 86.36)}
BAR = 10
SETTINGS = {
    "n_components": 1000,
    "hidden_layer_sizes": [],
    "code_activation": "sigmoid",
    "output_activation": "sigmoid",
    "loss": "bce",
    "density": 0.1,
    "max_iter": 10,
}
STRENGTHS = (0.0, 0.1, 1.0)
SEEDS = range(3)


def jobs() -> list[dict]:
    """Without the penalty and with it."""
    return [{"contractive": strength, "seed": seed} for seed in SEEDS for strength in STRENGTHS]


def measure(job: dict, load) -> dict:
    """Mean Frobenius norm of dh/dx over the test images, and the share of saturated units."""
    data = load("mnist")
    dsa, cost = fits.fit(data, SETTINGS | {"contractive": job["contractive"], "random_state": job["seed"]})
    code = dsa.transform(data.test)
    weights = dsa.runtime_.layers["encoder.0"].to_csr().power(2).sum(axis=1)
    norms = np.sqrt((code * (1 - code)) ** 2 @ np.asarray(weights).ravel())
    saturated = ((code < 0.05) | (code > 0.95)).mean()
    return (
        fits.measure(dsa.runtime_, data) | cost | {"jacobian": float(norms.mean()), "saturated": 100 * float(saturated)}
    )


def render(rows: list[dict], images: Path) -> str:
    """Ratios, as the paper scales its norm in its own way."""
    plain = fits.average(rows, "jacobian", contractive=0.0)
    theirs = PUBLISHED["plain"][0] / PUBLISHED["contractive"][0]
    lines = [
        ("published: autoencoder", "", "1", f"{PUBLISHED['plain'][1]:.1f}", ""),
        ("published: contractive", "", f"{theirs:.1f}", f"{PUBLISHED['contractive'][1]:.1f}", ""),
    ]
    for strength in STRENGTHS:
        norms = [result["jacobian"] for result in fits.where(rows, contractive=strength)]
        lines.append(
            (
                f"DSA, `contractive={strength:g}`",
                fits.spread(norms),
                f"{plain * len(norms) / sum(norms):.1f}",
                f"{fits.average(rows, 'saturated', contractive=strength):.1f}",
                f"{fits.average(rows, 'squared_error_per_row', contractive=strength):.2f}",
            )
        )
    header = ("", "mean norm of dh/dx", "plain over contractive", "saturated units, %", "squared error per image")
    return (
        "784-1000-784, sigmoid code and output, cross entropy, density 0.1; mean Frobenius norm of the encoder's "
        f"Jacobian on the test images, {fits.seeds(rows)}. To reach: a ratio of at least {BAR}. Saturated: below 0.05 "
        f"or above 0.95.\n\n" + table(header, lines)
    )
