"""Decoders of several layers for the page, which decodes codes of the reader's own by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import ACTIVATIONS, LOSSES, has_exposure
from dsae.explorer._shards import lists, rounded
from dsae.explorer._view import View
from dsae.runtime import Runtime

_WEIGHTS = 500_000  # some 3 MB, as whole atoms of a decoder of one layer
_ACTIVATIONS = ("identity", "relu", "sigmoid", "softmax", "exp")  # those of `decode.js`


def network(view: View) -> dict[str, Any] | None:
    """The layers of the decoder of each modality; None where the page cannot compute what they give.

    Parameters
    ----------
    view : View
        Whose decoder is no single linear layer.

    Returns
    -------
    dict or None
    """
    layers = [[name for name in of.layers if name.startswith("decoder")] for of in view.models.values()]
    pairs = list(zip(view.models.values(), layers, strict=True))
    size = sum(of.layers[name].topology.nnz for of, names in pairs for name in names)
    if size > _WEIGHTS or not all(_plain(of, names) for of, names in pairs):
        return None
    return {"layers": [[_layer(of, name) for name in names] for of, names in pairs]}


def gap(view: View, content: dict[str, Any], codes: Any) -> float:
    """How far what the page makes of codes is from what the model makes, relative to its largest value.

    Parameters
    ----------
    view : View
    content : dict
        What `network` gave.
    codes : csr_matrix, shape (n_rows, n_latents)

    Returns
    -------
    float
    """
    worst = 0.0
    for of, layers in zip(view.models.values(), content["layers"], strict=True):
        made, rows = of.decode(codes), codes.toarray().astype(np.float64)
        for layer in layers:
            entries = rounded(layer["value"]), layer["column"], layer["ptr"]
            weights = sp.csr_matrix(entries, shape=(layer["bias"].size, rows.shape[1]))
            rows = np.asarray((weights @ rows.T).T, np.float64) + rounded(layer["bias"])
            ACTIVATIONS[layer["activation"]].apply(rows, 0, None)
        worst = max(worst, float(np.abs(rows - made).max(initial=0) / max(float(np.abs(made).max(initial=0)), 1e-30)))
    return worst


def _plain(of: Runtime, names: list[str]) -> bool:
    """Whether the page has the activations, and the factor of a row's output does not depend on the output."""
    by_output = has_exposure(of.loss) and LOSSES[of.loss].couples_outputs and of.model.inputs is not None
    return not by_output and all(of.config.activations[name] in _ACTIVATIONS for name in names)


def _layer(of: Runtime, name: str) -> dict[str, Any]:
    weights, bias = of.layers[name].to_csr(), of.layers[name].bias
    entries = {"column": weights.indices, "value": weights.data}
    return {**lists(np.diff(weights.indptr), **entries), "bias": bias, "activation": of.config.activations[name]}
