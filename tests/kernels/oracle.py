"""What the compiled kernels compute, in numpy and scipy: tests compare with it."""

from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import LOSSES
from dsae.kernels._numpy import *  # noqa: F403
from dsae.kernels._numpy import _matrix, _record, _rows
from dsae.topology import Topology

_EDGES_AT_ONCE = 4096


def pack(rows, panels) -> None:
    """Rows ``[b, f]`` into panels ``[p, f, lanes]``; the lanes left over are zero."""
    n_panels, width, lanes = panels.shape
    padded = np.zeros((n_panels * lanes, width), np.float32)
    padded[: rows.shape[0]] = rows
    panels[:] = padded.reshape(n_panels, lanes, width).transpose(0, 2, 1)


def unpack(panels, rows) -> None:
    """Panels ``[p, f, lanes]`` back into rows ``[b, f]``."""
    n_panels, width, lanes = panels.shape
    rows[:] = panels.transpose(0, 2, 1).reshape(n_panels * lanes, width)[: rows.shape[0]]


def spmm(indptr, indices, values, bias, x, y) -> None:
    """``y[p] = W x[p] + bias``."""
    W = _matrix(indptr, indices, values, x.shape[1])
    for x_panel, y_panel in zip(x, y, strict=True):
        y_panel[:] = W @ x_panel
        if bias is not None:
            y_panel += bias[:, None]


def sddmm(indptr, indices, dy, x, dw) -> None:
    """``dw[slot] = <dy[:, row], x[:, col]>`` at the active edges."""
    rows = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    for start in range(0, dw.size, _EDGES_AT_ONCE):
        edges = slice(start, start + _EDGES_AT_ONCE)
        dw[edges] = np.einsum("pel,pel->e", dy[:, rows[edges]], x[:, indices[edges]])


def backward(indptr, indices, values, dy, x, dx, dw) -> None:
    """``dx[p] = W dy[p]`` and ``dw[slot] = <x[:, row], dy[:, col]>``, ``W`` the transpose of a layer's matrix."""
    spmm(indptr, indices, values, None, dy, dx)
    sddmm(indptr, indices, x, dy, dw)


def _edges_of(indptr, indices, block_size, shape):
    """Row and column of each weight of a matrix of blocks."""
    t = Topology(shape, indptr, indices, block_size)
    return t.rows, t.cols


def block_spmm(indptr, indices, block_size, values, bias, x, y) -> None:
    """``y[p] = W x[p] + bias``, ``W`` of blocks."""
    rows, cols = _edges_of(indptr, indices, block_size, (y.shape[1], x.shape[1]))
    W = sp.csr_matrix((values, (rows, cols)), shape=(y.shape[1], x.shape[1]))
    for x_panel, y_panel in zip(x, y, strict=True):
        y_panel[:] = W @ x_panel
        if bias is not None:
            y_panel += bias[:, None]


def block_backward(indptr, indices, block_size, values, dy, x, dx, dw) -> None:
    """``dx[p] = W^T dy[p]`` from values, and ``dw[slot] = <dy[:, row], x[:, col]>`` from x."""
    width = (dx if x is None else x).shape[1]
    rows, cols = _edges_of(indptr, indices, block_size, (dy.shape[1], width))
    if dx is not None:
        W = sp.csr_matrix((values, (rows, cols)), shape=(dy.shape[1], width))
        for dy_panel, dx_panel in zip(dy, dx, strict=True):
            dx_panel[:] = W.T @ dy_panel
    if dw is not None:
        dw[:] = np.einsum("pel,pel->e", dy[:, rows], x[:, cols])


def sum_samples(panels, sums) -> None:
    """Every feature's sum over all panels and lanes."""
    sums[:] = panels.sum((0, 2))


def gather(values, slots, out) -> None:
    """``out[i] = values[slots[i]]``."""
    np.take(values, slots, out=out)


def scatter(values, slots, out) -> None:
    """``out[slots[i]] = values[i]``."""
    out[slots] = values


def to_dense(indptr, indices, values, matrix, block_size=1) -> None:
    """``values`` at their edges of ``matrix``, zero elsewhere."""
    matrix[...] = 0
    matrix[_edges_of(indptr, indices, block_size, matrix.shape)] = values


def from_dense(indptr, indices, matrix, values, block_size=1) -> None:
    """Values of ``matrix`` at the edges."""
    values[:] = matrix[_edges_of(indptr, indices, block_size, matrix.shape)]


def adam(parameters, beta1, beta2, epsilon) -> None:
    """One step of Adam; the rate of an edge is ``rate / max(fan-in of its row, mean fan-in)``."""
    for indptr, grad, values, mean, square, magnitude, mask, rates, rate, root, newest, threshold in parameters:
        if rates is not None:
            rate = rate * rates[1][rates[0]]
        if indptr is not None:
            fan_in = np.diff(indptr)
            rows = fan_in if mask is None else values.size // max(fan_in.size, 1)
            rate = np.repeat(rate / np.maximum(fan_in, max(indptr[-1] / max(fan_in.size, 1), 1e-30)), rows)
        grad = grad if mask is None else grad * mask
        mean += (1 - beta1) * (grad - mean)
        square *= beta2
        square += (1 - beta2) * grad**2
        values -= (rate * mean / (np.sqrt(square) * root + epsilon)).astype(np.float32)
        values[:] = np.sign(values) * np.maximum(np.abs(values) - np.float32(threshold), 0)
        if magnitude is not None:
            magnitude += newest * (np.abs(grad) - magnitude)


def spmv(indptr, indices, values, x, y) -> None:
    """``y = W x`` for one vector."""
    y[:] = _matrix(indptr, indices, values, x.size) @ x


def sampled_outer(indptr, indices, left, right, dw) -> None:
    """``dw[slot] = left[row] * right[col]`` at the active edges."""
    dw[:] = left[_rows(indptr)] * right[indices]


def edge_sums(rows, columns, values, x, y) -> None:
    """``y = W x`` for one vector, of edges ``(rows, columns)`` in any order."""
    y[:] = np.bincount(rows, values.astype(np.float64) * x[columns], y.size)


def gather_live(indptr, values, slots, x_indptr, out) -> None:
    """``out[i] = values[slots[i]]`` in the rows of ``indptr`` that are not empty in ``x_indptr``."""
    live = np.repeat(np.diff(x_indptr) > 0, np.diff(indptr))
    out[live] = values[slots[live]]


def csr_spmm(indptr, indices, values, bias, x_indptr, x_indices, x_values, rows, block_size=1) -> None:
    """``rows = X W^T + bias`` for CSR rows ``X``; ``indptr, indices, values`` are ``W^T``."""
    live = np.zeros(indptr.size - 1, bool)
    live[x_indices] = True
    numbers = np.where(np.repeat(live, np.diff(indptr)), values, 0)
    X = _matrix(x_indptr, x_indices, x_values, indptr.size - 1)
    product: Any = X @ _matrix(indptr, indices, numbers, rows.shape[1])
    rows[:] = product.toarray() + bias


def csr_sddmm(indptr, indices, slots, x_indptr, x_indices, x_values, dy, dw) -> None:
    """``dw[slots[i]] += <x[:, row], dy[:, col]>`` at the edges of ``W^T``; the batch comes by columns."""
    rows, Xt = _rows(indptr), _matrix(x_indptr, x_indices, x_values, dy.shape[0])
    for start in range(0, rows.size, _EDGES_AT_ONCE):
        edges = slice(start, start + _EDGES_AT_ONCE)
        dw[slots[edges]] += np.asarray(Xt[rows[edges]].multiply(dy[:, indices[edges]].T).sum(axis=1)).ravel()


def csr_gradient(indptr, indices, x_indptr, x_indices, x_values, dy, outer, dw, block_size=1) -> None:
    """``dw[i] = <x[:, row], dy[:, col]> + left[col] * right[row]`` at the edges of ``W^T``."""
    dw[:] = 0 if outer is None else outer[0][indices] * outer[1][_rows(indptr)]
    csr_sddmm(indptr, indices, np.arange(dw.size), x_indptr, x_indices, x_values, dy, dw)


def code_topk(z, k: int):
    """The latents among the ``k`` largest of each row that are positive, ties to the lower: ``indptr, indices``."""
    best = np.sort(np.argsort(-z, axis=1, kind="stable")[:, :k], axis=1)
    live = np.take_along_axis(z, best, 1) > 0
    return _csr_of(live, best)


def code_above(z, thresholds, margin: float):
    """Where ``z - thresholds > -margin``: ``indptr, indices``."""
    live = z - thresholds > np.float32(-margin)
    return _csr_of(live, np.broadcast_to(np.arange(z.shape[1]), z.shape))


def _csr_of(live, indices):
    return np.concatenate([[0], np.cumsum(live.sum(1))]).astype(np.int32), indices[live].astype(np.int32)


def kth_of_all(z, k: int) -> float:
    """The ``k``-th largest number, 0 if that is not positive."""
    return max(0.0, float(np.sort(z, axis=None)[-k]))


def code_dots(indptr, indices, values, code_indptr, code_indices, y, out) -> None:
    """``out[entry] = <M[latent], y[row]>`` for the entries of a code."""
    M = _matrix(indptr, indices, values, y.shape[1]).toarray()
    out[:] = np.einsum("ef,ef->e", M[code_indices], y[_rows(code_indptr)])


def code_outer(indptr, indices, latent_indptr, latent_rows, code_values, y, dm, sums) -> None:
    """``dm[latent] = sum c y[row]`` over a code's entries, which come by latent; ``sums[latent] = sum c``."""
    C = _matrix(latent_indptr, latent_rows, code_values, y.shape[0])
    dm[:] = (C @ y)[_rows(indptr), indices]
    if sums is not None:
        sums[:] = np.asarray(C.sum(1)).ravel()


def turn(rows, out) -> None:
    """``out = rows^T``."""
    out[:] = rows.T


def tiled_loss(
    layer,
    transpose,
    x,
    target,
    loss: int,
    n_rows: int,
    factor: float,
    tile,
    gradients,
    known=None,
    weights=None,
    offset=None,
    dispersion=None,
    block_size=1,
) -> float:
    """Sum of the loss of ``W x + bias`` against the target by columns, tile by tile of outputs, and its gradients.

    Weights, offset, dispersion and blocks are beyond it: their tests write the formulas out.

    ``layer`` is ``indptr, indices, values, bias``; ``transpose`` its transpose's ``indptr, indices, values``;
    ``target`` ``indptr, samples, values, shift``; ``gradients`` ``dw, dbias, dx``, multiplied by ``factor``.
    """
    assert known is weights is offset is dispersion is None
    assert block_size == 1
    indptr, indices, values, bias = layer
    t_indptr, samples, numbers, shift = target
    rows = np.empty((n_rows, x.shape[1]), np.float32)
    unpack(x, rows)
    W, T = _matrix(indptr, indices, values, x.shape[1]), _matrix(t_indptr, samples, numbers, n_rows)
    total, d_rows = 0.0, np.zeros_like(rows)
    for begin in range(0, bias.size, tile.shape[1]):
        chosen = slice(begin, min(begin + tile.shape[1], bias.size))
        z, t = W[chosen] @ rows.T + bias[chosen, None], T[chosen].toarray()
        aim = t if shift is None else t - shift[chosen, None]
        part, dy = _record(LOSSES, loss).tile(z, aim)
        total += part
        if gradients is not None:
            dy *= np.float32(factor)
            slots = slice(indptr[begin], indptr[chosen.stop])
            edges = _rows(indptr[begin : chosen.stop + 1] - indptr[begin]), indices[slots]
            gradients[0][slots] = np.einsum("es,es->e", dy[edges[0]], rows.T[edges[1]])
            gradients[1][chosen] = dy.sum(1)
            d_rows += (W[chosen].T @ dy).T
    if gradients is not None and gradients[2] is not None:
        pack(d_rows, gradients[2])
    return total


def log_sums(indptr, indices, values, bias, x, sums, block_size=1) -> None:
    """The logarithm of the sum of ``exp(W x + bias)`` over all outputs, for each sample of the panels ``x``."""
    assert block_size == 1
    rows = np.empty((sums.size, x.shape[1]), np.float32)
    unpack(x, rows)
    z = (_matrix(indptr, indices, values, x.shape[1]) @ rows.T).T + bias
    sums[:] = np.logaddexp.reduce(z.astype(np.float64), axis=1)


def window_edges(indptr, indices, n_cols: int, height: int):
    """Edges by windows of ``height`` rows, within a window by column: ``rows, slots, cuts``."""
    rows, n_windows = _rows(indptr), -(-(indptr.size - 1) // height)
    cells = rows // height * n_cols + indices
    order = np.argsort(cells, kind="stable").astype(np.int32)
    cuts = np.concatenate([[0], np.cumsum(np.bincount(cells, minlength=n_windows * n_cols))]).astype(np.int32)
    return rows[order].astype(np.int32), order, cuts


def gram_loss(
    layer, windows, x, columns, samples, shift, unseen: float, factor: float, gradients, known=None, block_size=1
) -> float:
    """Summed squared error of ``W x + bias`` for rows ``x`` against a sparse target, and its gradients.

    Numbers that the target does not hold have the weight ``unseen``, the others 1 or that of ``known``.
    """
    assert block_size == 1
    indptr, indices, values, bias = layer
    W, T = _matrix(indptr, indices, values, x.shape[1]).toarray(), _matrix(*columns, x.shape[0]).toarray().T
    seen = _matrix(*columns[:2], np.ones_like(columns[2]), x.shape[0]).toarray().T > 0
    residual = x @ W.T + bias - T + (0 if shift is None else shift)
    counts = 1 if known is None else _matrix(*columns[:2], known[0], x.shape[0]).toarray().T
    dy = np.where(seen, counts, np.float32(unseen)) * residual
    total = float((dy.astype(np.float64) * residual).sum())
    dy *= np.float32(factor)
    gradients[0][:] = (dy.T @ x)[_rows(indptr), indices]
    gradients[1][:] = dy.sum(0)
    if gradients[2] is not None:
        gradients[2][:] = dy @ W
    return total


def gram_edges(layer, x, columns, samples, shift, factor: float, edges, norms) -> None:
    """The same error's gradient at any edges, and the norms of the outputs' gradients over the samples."""
    indptr, indices, values, bias = layer
    W, T = _matrix(indptr, indices, values, x.shape[1]).toarray(), _matrix(*columns, x.shape[0]).toarray().T
    dy = np.float32(factor) * (x @ W.T + bias - T + (0 if shift is None else shift))
    if norms is not None:
        norms[:] = np.linalg.norm(dy, axis=0)
    if edges is not None:
        edges[2][:] = (dy.T @ x)[_rows(edges[0]), edges[1]]


def take_rows(rows, chosen, out) -> None:
    """``out = rows[chosen]``."""
    out[:] = rows[chosen]


def take_csr(indptr, indices, values, chosen):
    """The same of CSR rows."""
    at = np.concatenate([np.arange(indptr[row], indptr[row + 1]) for row in chosen] or [np.zeros(0, int)])
    starts = np.concatenate([[0], np.cumsum(np.diff(indptr)[chosen])]).astype(np.int32)
    return starts, indices[at], values[at]
