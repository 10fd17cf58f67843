"""What a code of 32 numbers leaves of the variance of all genes' log counts, beside PCA."""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks.page.common import table

PCA, OURS = "PCA, error", "dsae, error"
NAMES = (PCA, OURS)
CODE = 32
# Chosen on a fifth of the training cells (docs/design/shrinking.md).
SETTINGS: dict[str, Any] = {
    "init_topology": "principal",
    "density": 0.2,
    "learning_rate_init": 2e-3,
    "max_iter": 40,
}


def measure(name: str, seed: int, data: Any) -> dict[str, Any]:
    """FVU of the test cells, weights, and seconds of the fit."""
    import time

    from dsae import DeepSparseAutoencoder
    from dsae.comparison._baselines import LinearModel
    from experiments import fits

    begun = time.perf_counter()
    if name == PCA:
        model = LinearModel.fit(data.train, CODE)
        nnz = model.components.size
    else:
        fitted = DeepSparseAutoencoder(CODE, random_state=seed, **SETTINGS).fit(data.train)
        model, nnz = fitted.runtime_, fitted.nnz_
    seconds = time.perf_counter() - begun
    return {"fvu": fits.measure(model, data)["fvu"], "nnz": nnz, "seconds": seconds}


def render(named: dict[str, list[dict[str, Any]]]) -> str:
    """A table of both, where they were run."""
    if not all(name in named for name in NAMES):
        return ""
    lines = []
    for name in NAMES:
        fvu, nnz, seconds = (median(result[key] for result in named[name]) for key in ("fvu", "nnz", "seconds"))
        lines.append((name.partition(",")[0], f"{fvu:.4f}", f"{nnz:,.0f}", f"{seconds:.0f}"))
    settings = ", ".join(f"`{key}={value!r}`" for key, value in SETTINGS.items())
    text = (
        "\nThe squared error of log(1 + count) of all 20,670 genes, as a share of the test cells' variance (FVU), for "
    )
    text += f"the same split; settings of dsae: {settings}.\n\n"
    return text + table(("", "FVU", "weights", "fit, s"), lines, left=1)


def verdicts(named: dict[str, list[dict[str, Any]]]) -> list[tuple[str, ...]]:
    """One line."""
    if not all(name in named for name in NAMES):
        return []
    ours, other = (median(result["fvu"] for result in named[name]) for name in (OURS, PCA))
    outcome = "wins" if ours < other else "level" if ours == other else "loses"
    return [("single cells", "FVU of log counts", f"{ours:.4f}", f"{other:.4f}", "PCA", outcome)]
