"""Reconstruction errors of the rows of each label."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from dsae.metrics._reconstruction import Reconstruction

_MOST = 1000  # different labels: more are targets, such as prices, rather than classes


class ByLabel:
    """`Reconstruction` for each label, accumulated batch by batch.

    Parameters
    ----------
    labels : True or array-like, shape (n_samples,)
        True for those that travel with the rows.
    n_samples : int
        Rows to come.

    Raises
    ------
    ValueError
        If there is not one label per row.
    """

    def __init__(self, labels: Any, n_samples: int) -> None:
        self._given = None if labels is True else np.asarray(labels)
        self._errors: dict[Any, Reconstruction] | None = {}
        if self._given is not None and self._given.shape != (n_samples,):
            raise ValueError(
                f"[evaluate] by_label must hold one label for each of {n_samples} rows; got shape {self._given.shape}."
            )

    def update(self, start: int, rows: Any, X_hat: Any, labels: np.ndarray | None) -> None:
        """Add rows, the first of which is row ``start``, with their reconstructions and the labels they came with."""
        labels = labels if self._given is None else self._given[start : start + rows.shape[0]]
        if labels is None or np.ndim(labels) != 1:
            raise ValueError(
                "[evaluate] by_label=True needs rows that have one label each; got rows without. Open them with "
                "label_column=, or give the labels themselves: by_label=y."
            )
        if self._errors is None:
            return
        places: dict[Any, list[int]] = {}
        for i, label in enumerate(labels.tolist()):
            missing = isinstance(label, float) and math.isnan(label)  # NaN is no key: it differs from itself
            places.setdefault(None if missing else label, []).append(i)
        if len(self._errors.keys() | places.keys()) > _MOST:
            self._errors = None
            warnings.warn(f"[evaluate] There are more than {_MOST} different labels: none is shown.", stacklevel=3)
            return
        for label, here in places.items():
            self._errors.setdefault(label, Reconstruction()).update(rows[here], X_hat[here])

    def result(self) -> dict[Any, dict[str, float]] | None:
        """``n_samples``, ``mse`` and ``fvu`` by label, the largest ``mse`` first; None if there are too many labels."""
        if self._errors is None:
            return None
        found = {label: {"n_samples": errors.n_samples, **errors.result()} for label, errors in self._errors.items()}
        found = {label: {name: all_[name] for name in ("n_samples", "mse", "fvu")} for label, all_ in found.items()}
        return dict(sorted(found.items(), key=lambda item: -item[1]["mse"]))
