"""What would come out if a latent had another value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.interpret._codes import Csr, checked_latents, column_means
from dsae.interpret._whole import Whole, whole_of

_VALUES_AT_ONCE = 2**22  # of reconstructions


@dataclass(frozen=True)
class Ablation:
    """Reconstructions without some latents.

    Attributes
    ----------
    codes : csr_matrix of float32, shape (n_rows, n_components)
        The changed codes.
    before, after : ndarray of float64, shape (n_rows,)
        Errors of the rows as `Runtime.reconstruction_error` measures them, a mean over features: of several modalities
        over those of all that a row has.
    """

    codes: Csr
    before: np.ndarray
    after: np.ndarray
    _whole: Whole = field(repr=False)

    @property
    def x_hat(self) -> np.ndarray:
        """What the changed codes give, float32 ``[n_rows, n_outputs]``; computed when it is asked for."""
        return np.concatenate([made for _, made in _reconstructed(self._whole, self.codes)])

    @property
    def change(self) -> np.ndarray:
        """By how much errors rise, float64 ``[n_rows]``; negative where rows are better off without."""
        return self.after - self.before


def ablate(model: Any, X: Any, latents: Any, *, to: Any = "zero", target: Any = None) -> Ablation:
    """Reconstructions with some latents at zero, or at another value, in every row.

    The code is changed after its activation, so no other latent takes the place of one that a topk code has lost.

    Parameters
    ----------
    model : Model, Runtime, JointModel, JointRuntime or fitted estimator
    X : array-like, DataFrame, scipy sparse or rows by modality, shape (n_samples, n_features)
        In memory; see `take`. Outputs of several modalities stand one after another.
    latents : int or sequence of int
    to : "zero", "mean", float or array-like, shape (n_latents,)
        What they become; ``"mean"`` is each latent's mean over ``X``.
    target : array-like, DataFrame or scipy sparse, shape (n_samples, n_outputs), optional
        What reconstructions are compared with, in place of ``X``; needed where the model predicts other columns.

    Returns
    -------
    Ablation

    Raises
    ------
    ValueError
        If ``X`` is not finite rows of the model's width, a latent does not exist, ``to`` is something else, or
        ``target`` is not as many rows as ``X`` or is needed.

    Examples
    --------
    >>> ablate(runtime, X, [7]).change.mean()                                           # doctest: +SKIP
    """
    whole = whole_of("ablate", model, X, target)
    whole.check_aims()
    chosen, codes = checked_latents("ablate", latents, whole.n_components), whole.codes
    if isinstance(to, str) and to == "mean":
        values = column_means(codes)[chosen]
    else:
        values = _values("ablate", "to", 0.0 if isinstance(to, str) and to == "zero" else to, chosen.size)
    changed = replaced(codes, chosen, np.broadcast_to(values, (codes.shape[0], chosen.size)))
    before, after = (_errors(whole, some) for some in (codes, changed))
    return Ablation(changed, before, after, whole)


def steer(model: Any, X: Any, latents: Any, *, to: Any = None, add: Any = None, times: Any = None) -> np.ndarray:
    """Reconstructions with some latents set to a value, moved, or scaled.

    Parameters
    ----------
    model : Model, Runtime, JointModel, JointRuntime or fitted estimator
    X : array-like, DataFrame, scipy sparse or rows by modality, shape (n_samples, n_features)
        In memory; see `take`. Outputs of several modalities stand one after another.
    latents : int or sequence of int
    to, add, times : float or array-like, shape (n_latents,), optional
        Exactly one of them: what the latents become, what is added to them, or what they are multiplied by. The result
        is not passed through the code's activation again.

    Returns
    -------
    ndarray of float32, shape (n_samples, n_outputs)

    Raises
    ------
    ValueError
        If ``X`` is not finite rows of the model's width, a latent does not exist, or not exactly one change is
        given.

    Examples
    --------
    >>> stronger = steer(runtime, X, [7], times=2.0)                                    # doctest: +SKIP
    """
    given = {name: value for name, value in (("to", to), ("add", add), ("times", times)) if value is not None}
    if len(given) != 1:
        raise ValueError(f"[steer] Exactly one of to, add and times must be given; got {', '.join(given) or 'none'}.")
    ((name, value),) = given.items()
    whole = whole_of("steer", model, X)
    chosen, codes = checked_latents("steer", latents, whole.n_components), whole.codes
    values = _values("steer", name, value, chosen.size)
    old = codes[:, chosen].toarray().astype(np.float64)
    new = np.broadcast_to(values, old.shape) if name == "to" else old + values if name == "add" else old * values
    return np.concatenate([made for _, made in _reconstructed(whole, replaced(codes, chosen, new))])


def replaced(codes: Csr, latents: np.ndarray, values: np.ndarray) -> Csr:
    """Codes with other values of some latents.

    Parameters
    ----------
    codes : csr_matrix, shape (n_rows, n_components)
    latents : ndarray of int64, shape (n_latents,)
    values : ndarray, shape (n_rows, n_latents)

    Returns
    -------
    csr_matrix
        New; zeros are not stored.
    """
    n, width = codes.shape
    rest = codes.copy()
    rest.data[np.isin(codes.indices, latents)] = 0
    rest.eliminate_zeros()
    at = np.repeat(np.arange(n), latents.size), np.tile(latents, n)
    placed = sp.csr_matrix((np.asarray(values, codes.dtype).ravel(), at), shape=(n, width))
    placed.eliminate_zeros()
    return sp.csr_matrix(rest + placed)


def _reconstructed(whole: Whole, codes: Csr) -> Iterator[tuple[slice, np.ndarray]]:
    """What codes give in the units of the rows, a few rows at a time."""
    step = max(1, _VALUES_AT_ONCE // whole.n_outputs)
    for start in range(0, codes.shape[0], step):
        some = slice(start, min(start + step, codes.shape[0]))
        yield some, whole.exposed(whole.decode(codes[some]), some)


def _errors(whole: Whole, codes: Csr) -> np.ndarray:
    return np.concatenate([whole.errors(some, made) for some, made in _reconstructed(whole, codes)])


def _values(verb: str, name: str, value: Any, n: int) -> np.ndarray:
    kinds = '"zero", "mean", ' if verb == "ablate" else ""
    try:
        values = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        values = np.full((0, 0), np.nan)
    if values.shape not in ((), (n,)) or not np.isfinite(values).all():
        raise ValueError(f"[{verb}] {name} must be {kinds}one finite number, or {n}, one per latent; got {value!r}.")
    return values
