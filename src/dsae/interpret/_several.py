"""A model of several modalities as one: a code, and all features one after another, in the order of the modalities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data import Batch, stacked
from dsae.runtime import JointRuntime, Runtime

_VALUES_AT_ONCE = 2**22  # of joint codes, which are dense before their activation: 16 MiB


def parts_of(runtime: Any) -> dict[str, Runtime]:
    """The model of each modality; one that has no other is called ``""``."""
    return runtime.modalities if isinstance(runtime, JointRuntime) else {"": runtime}


def spans_of(runtime: Any) -> dict[str, slice]:
    """Where the features of each modality are among all."""
    widths = [of.config.n_features for of in parts_of(runtime).values()]
    starts = np.concatenate([[0], np.cumsum(widths)]).astype(int)
    return {name: slice(*starts[i : i + 2].tolist()) for i, name in enumerate(parts_of(runtime))}


def shares_of(runtime: Any) -> dict[str, np.ndarray]:
    """How much each modality counts in each latent of rows that have all, float64 ``[n_components]`` each."""
    if not isinstance(runtime, JointRuntime):
        return {"": np.ones(runtime.config.n_components)}
    weights = {name: runtime.model.weight[name].astype(np.float64) for name in runtime.names}
    total = np.sum(list(weights.values()), axis=0)
    return {name: weight / total for name, weight in weights.items()}


def codes_of(runtime: Any, batch: Batch) -> sp.csr_matrix:
    """Codes of the rows of a batch: what is not zero, made some rows at a time.

    Parameters
    ----------
    runtime : Runtime or JointRuntime
    batch : Batch
        Rows, or parts by modality.

    Returns
    -------
    csr_matrix of float32, shape (n_rows, n_components)
    """
    if not isinstance(runtime, JointRuntime):
        return runtime.encode(batch.rows, sparse_output=True)
    pieces, step = [], max(1, _VALUES_AT_ONCE // runtime.config.n_components)
    for start in range(0, batch.n_rows, step):
        some = batch[start : start + step]
        pieces.append(sp.csr_matrix(runtime.join(runtime.latents(some.parts), some.present or {})))
    return sp.csr_matrix(stacked(pieces))


def side_by_side(pieces: list[Any]) -> Any:
    """Matrices with the same rows as one: CSR if all are sparse, else an array."""
    if all(sp.issparse(piece) for piece in pieces):
        return sp.csr_matrix(sp.hstack(pieces, format="csr"))
    return np.hstack([piece.toarray() if sp.issparse(piece) else piece for piece in pieces])


def feature_names(verb: str, runtime: Any, names: Any, column_names: Any = None) -> tuple[list[str], bool]:
    """Names of all features, and whether any of them is more than a number.

    Parameters
    ----------
    verb : str
        Named in messages.
    runtime : Runtime or JointRuntime
    names : sequence of str, mapping of str to sequence of str, or None
        A mapping by modality; by default the model's own names, or those that its encoders give.
    column_names : sequence of str, optional
        Of the rows, for a model of one modality that has no names.

    Returns
    -------
    names : list of str
    known : bool

    Raises
    ------
    ValueError
        If they are more or fewer than features, or of a modality that the model has not.
    """
    if not isinstance(runtime, JointRuntime):
        own = names if names is not None else runtime.model.feature_names or column_names
        return _checked(verb, "names", own, runtime.config.n_features), own is not None
    if names is not None and not isinstance(names, Mapping):
        names = {"": names}
    given = dict(names or {})
    for name in given:
        if name not in runtime.modalities:
            raise ValueError(f"[{verb}] names must be by modality ({', '.join(runtime.names)}); got {name!r}.")
    found, known = [], False
    for name, of in runtime.modalities.items():
        own = given.get(name)
        own = own if own is not None else of.model.feature_names or _of_encoder(runtime, name)
        known = known or own is not None
        found += _checked(verb, f"names[{name!r}]", own, of.config.n_features)
    return found, known


def _of_encoder(runtime: JointRuntime, name: str) -> list[str] | None:
    encoder = runtime.encoders.get(name) if runtime.model.encoders else None
    try:
        return None if encoder is None else [str(one) for one in encoder.get_feature_names_out()]
    except (AttributeError, ValueError):  # of hashed words there are none
        return None


def _checked(verb: str, what: str, names: Any, n: int) -> list[str]:
    if names is None:
        return [f"x{j}" for j in range(n)]
    names = [str(name) for name in names]
    if len(names) != n:
        raise ValueError(f"[{verb}] {what} must name {n:,} features; got {len(names):,}. Give one name for each.")
    return names
