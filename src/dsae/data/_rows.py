"""Rows in memory, whatever holds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data._batch import Batch, Rows
from dsae.data._check import check_finite, plain_rows
from dsae.data._objects import source_of
from dsae.data._source import ArraySource


def check_rows(
    verb: str,
    X: Any,
    n_features: int | None = None,
    what: str = "the model's input width",
    *,
    training: bool = False,
    finite: bool = True,
    missing: str | None = "error",
) -> Rows:
    """``X`` as float32 rows, dense C-contiguous or CSR; an error says what to do.

    Parameters
    ----------
    verb : str
        Named in the message.
    X : array-like, DataFrame, scipy sparse or an object of another library, shape (n_samples, n_features)
        Rows of an object of another library are read into memory; see `source_of`.
    n_features : int, optional
        Number of columns required.
    what : str
        What that width is, for the message.
    training : bool
        Whether a model is to be trained on them: features must then be centred where float32 cannot tell their values
        from their mean.
    finite : bool
        Whether NaN and infinity are refused here, rather than by a caller that sees every value anyway.
    missing : {"error", "mask"}, optional
        With ``"mask"`` NaN (stored NaN in a sparse matrix, what is masked, pandas' NA) is a value that is not known,
        and only infinity is refused. None where no such setting could help, for the message.

    Raises
    ------
    ValueError
        If ``X`` is not 2-D, has no row or column, has another width, holds NaN or infinity (also after the cast to
        float32), or text.
    TypeError
        If ``X`` holds objects that are no numbers, is a path, or is read in pieces.
    """
    columns = None if n_features is None else (n_features, what)
    rows = plain_rows(verb, rows_of(verb, X, training), columns, training=training)
    if finite:
        check_finite(verb, rows, missing)
    return rows


def rows_of(verb: str, X: Any, training: bool = False) -> Any:
    """The rows in an object of another library, in memory; anything else comes back as it is. See `source_of`."""
    if type(X) is np.ndarray or sp.issparse(X):
        return X
    if isinstance(X, (Batch, ArraySource)):
        return X.rows if isinstance(X, Batch) else X.X
    source = source_of(verb, X, training)
    if source is X:
        return X
    return source.X if isinstance(source, ArraySource) else source.read()
