"""The kernels in numpy and scipy, for machines where the extension could not be built.

Same names, arguments and results as the extension; see `dsae.kernels` for what each does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import ACTIVATIONS, LOSSES, Activation

_EDGES_AT_ONCE = 4096


def isa() -> str:
    """Name of the instruction set in use."""
    return "numpy"


def threads() -> int:
    """Threads in use."""
    return 1


def _matrix(indptr, indices, values, n_in: int) -> sp.csr_matrix:
    return sp.csr_matrix((values, indices, indptr), shape=(indptr.size - 1, n_in))


def set_threads(n: int) -> int:
    """Nothing: this is one thread."""
    return 0


def clear_cache() -> None:
    """Nothing: no memory is kept."""


def empty(size):
    """An uninitialised float32 vector."""
    return np.empty(size, np.float32)


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


def sum_samples(panels, sums) -> None:
    """Every feature's sum over all panels and lanes."""
    sums[:] = panels.sum((0, 2))


def gather(values, slots, out) -> None:
    """``out[i] = values[slots[i]]``."""
    np.take(values, slots, out=out)


def scatter(values, slots, out) -> None:
    """``out[slots[i]] = values[i]``."""
    out[slots] = values


def to_dense(indptr, indices, values, matrix) -> None:
    """``values`` at their edges of ``matrix``, zero elsewhere."""
    matrix[...] = 0
    matrix[_rows(indptr), indices] = values


def from_dense(indptr, indices, matrix, values) -> None:
    """Values of ``matrix`` at the edges."""
    values[:] = matrix[_rows(indptr), indices]


def adam(indptr, indices, grad, values, mean, square, rate, beta1, beta2, epsilon, root) -> None:
    """One step of Adam; the rate of an edge is ``rate / max(fan-in of its row, mean fan-in)``."""
    fan_in = np.diff(indptr)
    rates = np.repeat(rate / np.maximum(fan_in, max(indices.size / max(fan_in.size, 1), 1e-30)), fan_in)
    mean += (1 - beta1) * (grad - mean)
    square *= beta2
    square += (1 - beta2) * grad**2
    values -= (rates * mean / (np.sqrt(square) * root + epsilon)).astype(np.float32)


def spmv(indptr, indices, values, x, y) -> None:
    """``y = W x`` for one vector."""
    y[:] = _matrix(indptr, indices, values, x.size) @ x


def sampled_outer(indptr, indices, left, right, dw) -> None:
    """``dw[slot] = left[row] * right[col]`` at the active edges."""
    dw[:] = left[_rows(indptr)] * right[indices]


def gather_live(indptr, values, slots, x_indptr, out) -> None:
    """``out[i] = values[slots[i]]`` in the rows of ``indptr`` that are not empty in ``x_indptr``."""
    live = np.repeat(np.diff(x_indptr) > 0, np.diff(indptr))
    out[live] = values[slots[live]]


def csr_spmm(indptr, indices, values, bias, x_indptr, x_indices, x_values, rows) -> None:
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


def tiled_loss(layer, transpose, x, target, loss: int, n_rows: int, factor: float, tile, gradients) -> float:
    """Sum of the loss of ``W x + bias`` against the target by columns, tile by tile of outputs, and its gradients.

    ``layer`` is ``indptr, indices, values, bias``; ``transpose`` its transpose's ``indptr, indices, values``;
    ``target`` ``indptr, samples, values, shift``; ``gradients`` ``dw, dbias, dx``, multiplied by ``factor``.
    """
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


def transpose(indptr, indices, n_cols: int):
    """CSR of the transpose, and the slot that each of its slots comes from."""
    slots = np.argsort(indices, kind="stable").astype(np.int32)
    rows = np.repeat(np.arange(indptr.size - 1, dtype=np.int32), np.diff(indptr))
    counts = np.bincount(indices, minlength=n_cols)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32), rows[slots], slots


def validate(indptr, indices, n_cols: int) -> int:
    """What keeps the arrays from being a topology: 0 nothing, 1 indptr, 2 an edge outside, 3 the order in a row."""
    if indptr[0] != 0 or (np.diff(indptr.astype(np.int64)) < 0).any() or indptr[-1] != indices.size:
        return 1
    if indices.size and (indices.min() < 0 or indices.max() >= n_cols):
        return 2
    rises = np.diff(indices) > 0
    rises[indptr[1:-1][(indptr[1:-1] > 0) & (indptr[1:-1] < indices.size)] - 1] = True
    return 0 if rises.all() else 3


def _rows(indptr) -> np.ndarray:
    return np.repeat(np.arange(indptr.size - 1), np.diff(indptr))


def _starts(counts) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def rewire(indptr, indices, keep, grown_indptr, grown_indices):
    """Kept slots merged with the grown edges: ``indptr, indices, source``."""
    rows = np.concatenate([_rows(indptr)[keep], _rows(grown_indptr)])
    cols = np.concatenate([indices[keep], grown_indices])
    source = np.concatenate([np.flatnonzero(keep), np.full(grown_indices.size, -1)])
    order = np.lexsort((cols, rows))
    counts = np.bincount(rows, minlength=indptr.size - 1)
    return _starts(counts), cols[order].astype(np.int32), source[order].astype(np.int32)


def move(values, source, out) -> None:
    """``out[slot] = values[source[slot]]``, or 0 where an edge was grown."""
    kept = source >= 0
    out[:] = 0
    out[kept] = values[source[kept]]


def smallest(scores, n: int, chosen) -> None:
    """Marks the ``n`` smallest scores; ties go to the lower index; NaN sorts last."""
    chosen[:] = False
    chosen[np.argsort(scores, kind="stable")[:n]] = True


_STEP = 0x9E3779B97F4A7C15


def draw_dead(indptr, indices, n_cols: int, n: int, seed: int):
    """``n`` distinct inactive edges at random: ``indptr, indices``, the very edges that the extension draws."""
    counts = _draw_counts(np.diff(indptr), n_cols, n, seed)
    row_seeds = _mix(np.uint64(seed) - np.arange(1, counts.size + 1, dtype=np.uint64) * np.uint64(_STEP))
    columns = [
        _draw_columns(indices[indptr[row] : indptr[row + 1]], n_cols, int(counts[row]), row_seeds[row])
        for row in np.flatnonzero(counts)
    ]
    return _starts(counts), np.concatenate([np.empty(0, np.int32), *columns]).astype(np.int32)


def _mix(z):
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return z ^ z >> np.uint64(31)


def _random(seed, start: int, size: int):
    """SplitMix64: numbers ``start`` and on of a seed's stream."""
    return _mix(np.uint64(seed) + np.arange(start + 1, start + size + 1, dtype=np.uint64) * np.uint64(_STEP))


def _below(x, n: int):
    """``x n / 2^64``, for n below 2^32."""
    low = (x & np.uint64(2**32 - 1)) * np.uint64(n) >> np.uint64(32)
    return ((x >> np.uint64(32)) * np.uint64(n) + low >> np.uint64(32)).astype(np.int64)


def _draw_counts(live, n_cols: int, n: int, seed: int):
    n_rows, dead = live.size, live.size * n_cols - int(live.sum())
    leave_out = 2 * n > dead
    used, left, start = live.tolist(), dead - n if leave_out else n, 0
    while left:
        x = _random(seed, start, size := 2 * left + 16)
        start += size
        places = _below(x * np.uint64(n_rows), n_cols)
        for row, place in zip(_below(x, n_rows).tolist(), places.tolist(), strict=True):
            if left and place >= used[row]:
                used[row] += 1
                left -= 1
    return n_cols - np.array(used, np.int64) if leave_out else np.array(used, np.int64) - live


def _draw_columns(live, n_cols: int, n: int, seed):
    dead = n_cols - live.size
    leave_out = 2 * n > dead
    wanted, start, drawn = dead - n if leave_out else n, 0, np.empty(0, np.int64)
    while drawn.size < wanted:
        size = 2 * (wanted - drawn.size) * n_cols // dead + 8
        cols = _below(_random(seed, start, size), n_cols)
        start += size
        drawn = np.concatenate([drawn, cols[~np.isin(cols, live)]])
        drawn = drawn[np.sort(np.unique(drawn, return_index=True)[1])][:wanted]
    if leave_out:
        return np.setdiff1d(np.arange(n_cols), np.concatenate([live, drawn]))
    return np.sort(drawn)


def first_dead(indptr, indices, order, lengths):
    """The inactive edges among the first ``lengths[row]`` columns of ``order``: ``indptr, indices``."""
    columns = [
        np.setdiff1d(order[:length], indices[indptr[row] : indptr[row + 1]]) for row, length in enumerate(lengths)
    ]
    return _starts([row.size for row in columns]), np.concatenate([np.empty(0, np.int32), *columns])


def activate(rows, activation: int | Activation, k: int, thresholds) -> None:
    """Apply an activation, by its record or its kernel's number, to rows ``[b, f]``, in place."""
    _record(ACTIVATIONS, activation).apply(rows, k, thresholds)


def _record(table, kind):
    """What is in a table by its kernel's number; a record is itself."""
    if not isinstance(kind, int):
        return kind
    for record in table.values():
        if record.kernel == kind:
            return record
    raise ValueError(f"Expected the number of a kernel of {', '.join(table)}; got {kind}.")


class Network:
    """Layers in a row: rows ``[b, f]`` go through some of them in one call."""

    def __init__(self) -> None:
        self._layers = []

    def add(self, indptr, indices, values, bias, n_in: int, activation: int | Activation, k: int, thresholds) -> None:
        """Put a layer behind the others; ``k`` and ``thresholds`` are for activations that need them."""
        self._layers.append((_matrix(indptr, indices, values, n_in), bias, (activation, k, thresholds)))

    def run(self, begin: int, end: int, rows, out) -> bool:
        """Rows through layers ``begin:end``; False, and ``out`` unfinished, where they hold NaN or infinity."""
        if not np.isfinite(rows.data if sp.issparse(rows) else rows).all():
            return False
        for W, bias, activation in self._layers[begin:end]:
            product = rows @ W.T
            rows = np.ascontiguousarray(product.toarray() if sp.issparse(product) else product) + bias
            activate(rows, *activation)
        out[:] = rows
        return True

    def run_csr(self, begin: int, end: int, indptr, indices, values, out) -> bool:
        """The same for CSR rows."""
        return self.run(begin, end, _matrix(indptr, indices, values, self._layers[begin][0].shape[1]), out)
