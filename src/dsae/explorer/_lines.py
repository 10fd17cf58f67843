"""Expressions of Python by which the page names what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data import ArraySource, JointSource, ModalityStream, StreamSource
from dsae.runtime import JointRuntime, Runtime
from dsae.store import JointModel, Model

# How labels that travel with rows are found, and rows of which some can be chosen.
_LABELS = {StreamSource: "X.load().rows.labels", ArraySource: "X.rows.labels", ModalityStream: "X.load().labels"}
_LABELS |= {JointSource: "X.labels"}
_ARRAYS = {StreamSource: "X.load().X", ArraySource: "X.X"}


def expressions(model: Any, X: Any, labels: Any, given: Mapping[str, str] | None) -> dict[str, str]:
    """Of the model, the rows, an array of the rows, their labels and texts, as a reader's variables are called.

    Parameters
    ----------
    model, X, labels : object
        As `explore` was given them.
    given : mapping of str to str, optional
        What is known better. Other rows have no array but the one that is given with them.
    """
    given = dict(given or {})
    found = {"model": _model(model), "rows": "X", "labels": "labels", "texts": "texts"}
    if labels is None and type(X) in _LABELS:
        found["labels"] = _LABELS[type(X)]
    array = _ARRAYS.get(type(X))
    if isinstance(X, np.ndarray) or (sp.issparse(X) and X.format == "csr"):
        array = "X"
    if array and "rows" not in given:
        found["array"] = array
    return found | given


def _model(model: Any) -> str:
    """Something that has the verbs of a runtime: all that is explored beside models and runtimes are estimators."""
    if isinstance(model, Model):
        return "dsae.Runtime(model)"
    if isinstance(model, JointModel):
        return "dsae.runtime.JointRuntime(model)"
    return "model" if isinstance(model, (Runtime, JointRuntime)) else "model.runtime_"
