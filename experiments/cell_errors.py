"""What a code of 32 numbers leaves of the variance of all genes' log counts, beside PCA."""

from __future__ import annotations

from statistics import median
from typing import Any

import numpy as np
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
# Then the encoder becomes what gives the best codes for the atoms, in a last epoch that hardly moves it.
LAST: dict[str, Any] = {
    "hidden_layer_sizes": (),
    "density": {"encoder.0": 1.0, "decoder.0": SETTINGS["density"]},
    "shrink": "random",
    "learning_rate_init": 1e-6,
    "max_iter": 1,
}


def measure(name: str, seed: int, data: Any) -> dict[str, Any]:
    """FVU of the test cells, weights, and seconds of the fit."""
    import time

    from dsae.comparison._baselines import LinearModel
    from experiments import fits

    begun = time.perf_counter()
    if name == PCA:
        model = LinearModel.fit(data.train, CODE)
        nnz = model.components.size
    else:
        fitted = fit(data.train, seed)
        model, nnz = fitted.runtime_, fitted.nnz_
    seconds = time.perf_counter() - begun
    return {"fvu": fits.measure(model, data)["fvu"], "nnz": nnz, "seconds": seconds}


def fit(rows: Any, seed: int) -> Any:
    """Atoms by gradients, and codes by least squares on them."""
    from dsae import DeepSparseAutoencoder

    first = DeepSparseAutoencoder(CODE, random_state=seed, **SETTINGS).fit(rows)
    decoder = first.runtime_.layers["decoder.0"]
    atoms = decoder.to_dense().astype(np.float64)
    inverse = np.linalg.solve(atoms.T @ atoms, atoms.T)
    layers = [(inverse, -inverse @ decoder.bias), (atoms, decoder.bias)]
    return DeepSparseAutoencoder(CODE, random_state=seed, init=layers, **LAST).fit(rows)


def render(named: dict[str, list[dict[str, Any]]]) -> str:
    """A table of both, where they were run."""
    if not all(name in named for name in NAMES):
        return ""
    lines = []
    for name in NAMES:
        fvu, nnz, seconds = (median(result[key] for result in named[name]) for key in ("fvu", "nnz", "seconds"))
        lines.append((name.partition(",")[0], f"{fvu:.4f}", f"{nnz:,.0f}", f"{seconds:.0f}"))
    settings, last = (", ".join(f"`{key}={value!r}`" for key, value in how.items()) for how in (SETTINGS, LAST))
    text = (
        "\nThe squared error of log(1 + count) of all 20,670 genes, as a share of the test cells' variance (FVU), for "
    )
    text += f"the same split; settings of dsae: {settings}; then\n{last}, from the "
    text += "decoder and its pseudoinverse as the encoder.\n\n"
    return text + table(("", "FVU", "weights", "fit, s"), lines, left=1)


def verdicts(named: dict[str, list[dict[str, Any]]]) -> list[tuple[str, ...]]:
    """One line."""
    if not all(name in named for name in NAMES):
        return []
    ours, other = (median(result["fvu"] for result in named[name]) for name in (OURS, PCA))
    ours, other = (round(value, 4) for value in (ours, other))  # as they are printed
    outcome = "wins" if ours < other else "level" if ours == other else "loses"
    return [("single cells", "FVU of log counts", f"{ours:.4f}", f"{other:.4f}", "PCA", outcome)]
