"""Why a latent fires: what it reads in a row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import positive_int
from dsae.interpret._codes import Csr, checked_latents, rows_in_memory, runtime_of
from dsae.interpret._gradients import encoder_chain, integrated, output
from dsae.interpret._relevance import largest


@dataclass(frozen=True)
class Reads:
    """What some latents read in some rows: ``bias`` plus all parts is the latent's value before its activation.

    Attributes
    ----------
    latents : ndarray of int64, shape (n_latents,)
    bias : ndarray of float64, shape (n_latents,)
        Without any part: the encoder's bias, or, of a deep encoder, the value at the base row.
    total : ndarray of float64, shape (n_rows, n_latents)
        The values before the activation.
    method : {"exact", "integrated gradients"}
    """

    latents: np.ndarray
    bias: np.ndarray
    total: np.ndarray
    method: str
    _parts: list[Csr] = field(repr=False)

    def of(self, latent: int) -> Csr:
        """The parts of one latent, ``W_ij x_j``: CSR of float64, ``[n_rows, n_features]``.

        Parameters
        ----------
        latent : int
            One of `latents`.
        """
        at = np.flatnonzero(self.latents == latent)
        if not at.size:
            raise ValueError(f"[reads] latent must be one of those asked for; got {latent}.")
        return self._parts[at[0]]

    def parts(self, row: int, latent: int, n: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Features and their parts in one row, the largest first.

        Parameters
        ----------
        row : int
            Its place among the rows given.
        latent : int
        n : int, optional
            How many at most.

        Returns
        -------
        features : ndarray of int64
        parts : ndarray of float64
        """
        found = self.of(latent)[row]
        return largest(found, found.nnz if n is None else n)


def reads(model: Any, X: Any, latents: Any, *, base: Any = None, steps: int = 64) -> Reads:
    """Why latents fire in rows: which features, by how much.

    With one encoder layer these are the exact products ``W_ij x_j`` of the weights that exist, and short lists where
    weights are sparse. Beyond, integrated gradients from the base row to the row. Values are those that enter the
    network, so after the model's input transform.

    Parameters
    ----------
    model : Model, Runtime or fitted DeepSparseAutoencoder
    X : array-like, DataFrame or scipy sparse, shape (n_samples, n_features)
    latents : sequence of int
    base : array-like, shape (n_features,), optional
        The row that a deep encoder's effects are taken from, as it enters the network; zeros by default.
    steps : int
        Points along the way from the base, for a deep encoder.

    Returns
    -------
    Reads

    Raises
    ------
    ValueError
        If ``X`` is not finite rows of the model's width, a latent does not exist, or ``base`` has another width.

    Examples
    --------
    >>> from dsae.config import AutoencoderConfig
    >>> from dsae.store import Model
    >>> from dsae.topology import Layer, Topology
    >>> config = AutoencoderConfig(n_features=3, n_components=1, code_activation="relu")
    >>> encoder = Layer(Topology.from_mask([[1, 0, 1]]), np.float32([2, -1]), np.float32([0.5]))
    >>> decoder = Layer(Topology.full((3, 1)), np.ones(3, "f4"), np.zeros(3, "f4"))
    >>> found = reads(Model(config, {"encoder.0": encoder, "decoder.0": decoder}), [[3.0, 9.0, 1.0]], [0])
    >>> found.parts(0, 0), found.bias + found.of(0).sum()
    ((array([0, 2]), array([ 6., -1.])), array([5.5]))
    """
    positive_int("[reads] steps", steps)
    runtime = runtime_of(model)
    chosen = checked_latents("reads", latents, runtime.config.n_components)
    rows = rows_in_memory("reads", runtime, X)
    rows = runtime.entering("reads", rows)
    chain = encoder_chain(runtime)
    if len(chain) == 1:
        weights, bias = chain[0].weights[chosen], chain[0].bias[chosen]
        parts = [_products(rows, weights[i]) for i in range(chosen.size)]
        sums = [np.asarray(part.sum(axis=1)).ravel() for part in parts]
        total = bias + np.stack(sums, axis=1) if parts else np.zeros((rows.shape[0], 0))
        return Reads(chosen, bias, total, "exact", parts)
    start = np.zeros(runtime.config.n_features) if base is None else np.asarray(base, np.float64)
    if start.shape != (runtime.config.n_features,):
        raise ValueError(
            f"[reads] base must hold {runtime.config.n_features} numbers, one per feature; got shape {start.shape}."
        )
    bias, total, parts = output(chain, start[None])[0, chosen], [], []
    for row in range(rows.shape[0]):
        x = rows[row].toarray().ravel() if sp.issparse(rows) else rows[row]
        total.append(output(chain, np.asarray(x, np.float64)[None])[0, chosen])
        parts.append(_integrated(chain, start, np.asarray(x, np.float64), steps, chosen))
    by_latent = [sp.csr_matrix(sp.vstack([of_row[i] for of_row in parts], format="csr")) for i in range(chosen.size)]
    return Reads(chosen, bias, np.stack(total), "integrated gradients", by_latent)


def _products(rows: Any, weights: Csr) -> Csr:
    """``weights_j x_j`` where both exist."""
    if sp.issparse(rows):
        return sp.csr_matrix(rows.astype(np.float64).multiply(weights))
    columns = weights.indices
    found = np.asarray(rows[:, columns], np.float64) * weights.data
    ends = np.arange(len(found) + 1) * columns.size
    return sp.csr_matrix((found.ravel(), np.tile(columns, len(found)), ends), shape=rows.shape)


def _integrated(chain: Any, start: np.ndarray, x: np.ndarray, steps: int, chosen: np.ndarray) -> Csr:
    """The parts of every latent in one row, ``[n_latents, n_features]``."""
    moving, parts = integrated(chain, start, x, steps, chosen)
    ends = np.arange(chosen.size + 1) * moving.size
    return sp.csr_matrix((parts.T.ravel(), np.tile(moving, chosen.size), ends), shape=(chosen.size, start.size))
