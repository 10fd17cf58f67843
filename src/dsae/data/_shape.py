"""What arrays of files must be to hold rows: their shape, and the type of their numbers."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from dsae.data._batch import Rows


def check_shape(name: str, shape: tuple[int, ...]) -> None:
    """Raise unless ``shape`` is that of rows."""
    if len(shape) < 2:
        raise ValueError(
            f"[read] {name} must be 2-D, [n_samples, n_features]; got {len(shape)}-D with shape {tuple(shape)}. Save "
            "X.reshape(1, -1) for one sample."
        )
    if 0 in shape:
        raise ValueError(f"[read] {name} holds no {'columns' if shape[0] else 'rows'}; got shape {tuple(shape)}.")


def shape_fields(shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The field of rows flattened from ``[n, h, w]`` or ``[n, c, h, w]``."""
    return {"image": tuple(shape[1:])} if len(shape) > 2 else {}


def flattened(name: str, rows: Rows) -> tuple[Rows, dict[str, tuple[int, ...]]]:
    """Rows as a table of real numbers (CSR if sparse), and the shape of the images they were."""
    check_shape(name, rows.shape)
    check_real(name, rows.dtype)
    if sp.issparse(rows):
        rows = sp.csr_matrix(rows)
        rows.sum_duplicates()
        return rows, {}
    return rows.reshape(len(rows), -1), shape_fields(rows.shape)


def check_real(name: str, dtype: np.dtype) -> None:
    """Raise unless numbers of ``dtype`` are real ones."""
    if dtype.kind not in "biuf":
        raise ValueError(f"[read] {name} must hold real numbers; got dtype {dtype}.")
