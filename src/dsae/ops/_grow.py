"""Which dead edges would lower the loss most, without a dense gradient in memory."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dsae.topology import Topology

_TILE_WEIGHTS = 1 << 22


def absent_gradient_topk(x: Tensor, dy: Tensor, topology: Topology, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``n`` dead edges with the largest ``|dL/dw|``, as RigL grows them (Evci et al. 2020).

    Parameters
    ----------
    x, dy : Tensor, shapes (n_panels, in_features, lanes) and (n_panels, out_features, lanes), or rows (batch, features)
        A layer's input and the gradient of its output.
    topology : Topology
    n : int
        At most all dead edges are given.

    Returns
    -------
    rows, cols : ndarray of int64, shape (min(n, dead edges),)
        The gradient is formed in tiles of output rows; only the best so far are kept.
    """
    n = min(n, topology.size - topology.nnz)
    x, dy = _samples_last(x), _samples_last(dy)
    n_out, n_in = topology.shape
    best_score, best_flat = x.new_empty(0), torch.empty(0, dtype=torch.int64, device=x.device)
    rows_at_once = max(1, _TILE_WEIGHTS // max(n_in, 1))
    for start in range(0, n_out if n else 0, rows_at_once):
        stop = min(start + rows_at_once, n_out)
        score = (dy[start:stop] @ x.T).abs_().view(-1)
        live = slice(topology.indptr[start], topology.indptr[stop])
        at = topology.rows[live].astype(np.int64) * n_in + topology.indices[live] - start * n_in
        score[torch.from_numpy(at).to(x.device)] = -1.0
        tile_score, tile_flat = score.topk(min(n, score.numel()))
        best_score = torch.cat([best_score, tile_score])
        best_flat = torch.cat([best_flat, tile_flat + start * n_in])
        if best_score.numel() > n:
            best_score, order = best_score.topk(n)
            best_flat = best_flat[order]
    flat = best_flat.cpu().numpy()
    return flat // max(n_in, 1), flat % max(n_in, 1)


def _samples_last(t: Tensor) -> Tensor:
    return t.T if t.ndim == 2 else t.transpose(0, 1).reshape(t.shape[1], -1)
