"""What an explorer was made of, what it leaves out, and the checks of what it says."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import plain
from dsae.explorer._collect import Measured
from dsae.explorer._latents import Atoms
from dsae.explorer._view import View

_TRIED = 100  # pairs of a row and a latent
_GAP = 1e-5


def checks(view: View, rows: Any, codes: sp.csr_matrix, gap: float, seed: int) -> list[dict[str, Any]]:
    """Whether what is shown is so, measured on the model.

    Parameters
    ----------
    view : View
    rows : ndarray or csr_matrix of float32, shape (n_rows, n_features), or None
        Of which everything is known.
    codes : csr_matrix, shape (n_rows, n_latents)
        Of these rows.
    gap : float
        What `dsae.explorer._effects` found.
    seed : int

    Returns
    -------
    list of dict
    """
    found = []
    if view.exact and view.squared and np.isfinite(gap) and rows is not None:
        found.append(check("Bias and contributions add up to the reconstruction (relative gap)", gap, _GAP))
    rng = np.random.default_rng(seed)
    if view.exact and codes.nnz:
        found.append(check("Without a latent the output changes by its contribution", _ablated(view, codes, rng), _GAP))
    if view.exact_reads and view.config.code.scalable and rows is not None and codes.nnz:
        off_by = _read(view, codes, rows, rng)
        found.append(check("Bias and reads add up to the value of a latent that is on (relative gap)", off_by, 1e-4))
    return found


def check(name: str, value: float, limit: float) -> dict[str, Any]:
    """A claim, by how much it is missed, and by how much it may be."""
    return {"name": name, "value": value, "limit": limit, "passed": bool(value <= limit)}


def _ablated(view: View, codes: sp.csr_matrix, rng: np.random.Generator) -> float:
    """Largest difference between measured and shown changes of the output, relative to its largest value."""
    places = np.sort(rng.choice(codes.nnz, min(_TRIED, codes.nnz), replace=False))
    rows = np.searchsorted(codes.indptr, places, side="right") - 1
    whole = sp.csr_matrix(codes[rows])
    without = whole.tolil()
    shown = np.zeros((places.size, view.n_features), np.float32)
    for i, place in enumerate(places):
        latent = codes.indices[place]
        without[i, latent] = 0
        shown[i] = codes.data[place] * view.decoder[latent].toarray()[0]
    before, after = view.decode(whole, None), view.decode(without.tocsr(), None)
    return float(np.abs(before - after - shown).max() / max(float(np.abs(before).max()), 1e-30))


def _read(view: View, codes: sp.csr_matrix, rows: Any, rng: np.random.Generator) -> float:
    places = np.sort(rng.choice(codes.nnz, min(_TRIED, codes.nnz), replace=False))
    of = np.searchsorted(codes.indptr, places, side="right") - 1
    worst = 0.0
    for place, row in zip(places, of, strict=True):
        latent = int(codes.indices[place])
        weights = sp.csr_matrix(view.reads(np.zeros(view.n_features), slice(latent, latent + 1)))
        x = rows[int(row)]
        x = x.toarray()[0] if sp.issparse(x) else np.asarray(x)
        parts = weights.data.astype(np.float64) * x[weights.indices]
        bias = float(view.encoder_bias[latent])
        size = np.abs(parts).sum() + abs(bias)
        worst = max(worst, abs(parts.sum() + bias - float(codes.data[place])) / max(size, 1e-30))
    return worst


def about(
    view: View,
    found: Measured,
    atoms: Atoms,
    *,
    n_stored: int,
    sampled: Sequence[str],
    checked: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """What the view "About" shows, as JSON can hold it."""
    config = view.config
    model = view.runtime.model
    about_model: list[list[Any]] = [["latents", config.n_components], ["code", config.code_activation]]
    if config.k is not None:
        about_model.append(["non-zeros per code", config.k])
    for name, of in view.models.items():
        widths = " - ".join(str(width) for width in (*of.config.encoder_widths, *of.config.decoder_widths[1:]))
        about_model.append([f"layers of {name}" if name else "layers", widths])
    about_model += [["weights", model.nnz], ["density", model.density]]
    data: list[list[Any]] = [["rows", found.n_rows], ["stored rows", n_stored], ["features", view.n_features]]
    if found.fingerprint is not None:
        data.append(["SHA-256 of the values", found.fingerprint])
    training = [[str(key), str(value)] for key, value in model.training.items() if key != "given"]
    versions = [["dsae", _version("dsae")], ["numpy", np.__version__], ["python", sys.version.split()[0]]]
    return plain(
        {
            "model": about_model,
            "training": training,
            "data": data,
            "versions": versions,
            "sampled": list(sampled),
            "checks": list(checked),
        }
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "0"
