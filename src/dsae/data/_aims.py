"""What reconstructions are compared with."""

from __future__ import annotations

from typing import Any

from dsae.config import AutoencoderConfig
from dsae.data._batch import Rows
from dsae.data._errors import called
from dsae.data._rows import check_rows


def aims_of(verb: str, config: AutoencoderConfig, rows: Rows, target: Any = None) -> Rows:
    """What reconstructions of checked rows are compared with: the target, or the rows themselves.

    Parameters
    ----------
    verb : str
        Named in messages.
    config : AutoencoderConfig
    rows : ndarray or csr_matrix of float32, shape (n_samples, n_features)
    target : array-like, DataFrame or scipy sparse, shape (n_samples, n_outputs), optional

    Raises
    ------
    ValueError
        If the target is not what it should be, or there is none and the model predicts other columns.
    """
    if target is None:
        if config.n_outputs is not None:
            raise ValueError(
                f"[{verb}] target must be given, as in fit: the model predicts {config.n_outputs} columns from the "
                f"{config.n_features} of X."
            )
        return rows
    with called("target"):
        aims = check_rows(verb, target, config.output_width, "those that the model predicts", missing="mask")
    if aims.shape[0] != rows.shape[0]:
        raise ValueError(
            f"[{verb}] target must have {rows.shape[0]} rows, one for each row of X; got {aims.shape[0]}. Give both in "
            "the same order."
        )
    return aims
