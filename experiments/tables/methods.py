"""Every method of shrink= on one grid of densities."""

from __future__ import annotations

from pathlib import Path

from benchmarks.page.common import figure, save, table

from dsae.config import SHRINK
from experiments import fits

TITLE = "Every method, every density"

DENSITIES = (0.2, 0.1, 0.05, 0.02, 0.01)
METHODS = tuple(name for name in SHRINK if name != "none")
SETTINGS = {"n_components": 32, "hidden_layer_sizes": [1024, 256], "max_iter": 5}
SEEDS = range(3)


def jobs() -> list[dict]:
    """MNIST, five epochs."""
    grid = [
        {"shrink": shrink, "density": density, "seed": seed}
        for seed in SEEDS
        for shrink in METHODS
        for density in DENSITIES
    ]
    return [*grid, *({"shrink": "none", "density": 1.0, "seed": seed} for seed in SEEDS)]


def measure(job: dict, load) -> dict:
    """Test error and training time on one core."""
    settings = {"shrink": job["shrink"], "density": job["density"], "random_state": job["seed"]}
    return fits.fit_and_measure(load("mnist"), SETTINGS | settings)


def render(rows: list[dict], images: Path) -> str:
    """A table of errors, one of times, a plot."""
    dense = fits.average(rows, "mse", shrink="none")
    mean = {(m, d): fits.average(rows, "mse", shrink=m, density=d) for m in METHODS for d in DENSITIES}
    best = {d: min(METHODS, key=lambda m: mean[m, d]) for d in DENSITIES}
    errors = [[f"`{m}`", *(_cell(rows, m, d, best[d] == m) for d in DENSITIES)] for m in METHODS]
    times = [
        [f"`{m}`", *(f"{fits.average(rows, 'fit_cpu_seconds', shrink=m, density=d):.0f}" for d in DENSITIES)]
        for m in METHODS
    ]
    made, (ax,) = figure(1, 1, height=4)
    for method in METHODS:
        ax.plot(DENSITIES, [mean[method, d] for d in DENSITIES], label=method)
    ax.axhline(dense, color="black", linestyle="--", marker="", label="dense twin")
    ax.set(xscale="log", yscale="log", xlabel="density", ylabel="test MSE")
    ax.set_xticks(DENSITIES, [f"{d:g}" for d in DENSITIES])
    header = ("", *(f"density {d:g}" for d in DENSITIES))
    seconds = fits.average(rows, "fit_cpu_seconds", shrink="none")
    return (
        "MNIST, 784-1024-256-32 mirrored, 5 epochs, default settings but for `shrink` and `density`; test MSE x 1000 "
        f"per pixel, mean ± standard deviation of {fits.seeds(rows)}. The dense twin has {1000 * dense:.2f}. "
        f"`gradient` is the "
        "rule as the source of the method states it, |dL/dw| of one batch; it drops weights that are large and "
        "settled, "
        "and is reported as it is. The best of each column is bold.\n\n"
        + table(header, errors)
        + f"\nTraining, seconds of processor time on one thread (dense twin {seconds:.0f}).\n\n"
        + table(header, times)
        + "\n"
        + save(made, ax, images, "methods", columns=5)
    )


def _cell(rows: list[dict], method: str, density: float, best: bool) -> str:
    text = fits.spread([1000 * r["mse"] for r in fits.where(rows, shrink=method, density=density)])
    return f"**{text}**" if best else text
