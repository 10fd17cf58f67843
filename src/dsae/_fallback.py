"""The kernels in numpy and scipy, for machines where the extension could not be built.

Same names, arguments and results as the extension; see `dsae.kernels` for what each does.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.special import expit, softmax

_EDGES_AT_ONCE = 4096


def isa() -> str:
    """Name of the instruction set in use."""
    return "numpy"


def threads() -> int:
    """Threads in use."""
    return 1


def _matrix(indptr, indices, values, n_in: int) -> sp.csr_matrix:
    return sp.csr_matrix((values, indices, indptr), shape=(indptr.size - 1, n_in))


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
    """``dw[slot] = <dy[:, row], x[:, col]>`` at the live edges."""
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


def transpose(indptr, indices, n_cols: int):
    """CSR of the transpose, and the slot that each of its slots comes from."""
    slots = np.argsort(indices, kind="stable").astype(np.int32)
    rows = np.repeat(np.arange(indptr.size - 1, dtype=np.int32), np.diff(indptr))
    counts = np.bincount(indices, minlength=n_cols)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32), rows[slots], slots


def rewire(indptr, indices, keep, grow_rows, grow_cols):
    """Kept slots merged with the grown edges: ``indptr, indices, source``."""
    n_rows = indptr.size - 1
    rows = np.repeat(np.arange(n_rows, dtype=np.int64), np.diff(indptr))[keep]
    all_rows = np.concatenate([rows, grow_rows.astype(np.int64)])
    all_cols = np.concatenate([indices[keep], grow_cols])
    source = np.concatenate([np.flatnonzero(keep), np.full(grow_rows.size, -1)])
    order = np.lexsort((all_cols, all_rows))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(all_rows, minlength=n_rows))]).astype(np.int32)
    return indptr, all_cols[order].astype(np.int32), source[order].astype(np.int32)


def patch_slots(old_slots, source, patch, order):
    """Slot map of a patched transpose.

    ``source`` is the rewiring of the matrix, ``patch`` that of its transpose; ``order`` sorts the grown edges
    (numbered by row) by column.
    """
    grown = np.flatnonzero(source < 0)
    moved = np.empty(max(old_slots.size, 1), np.int32)
    moved[source[source >= 0]] = np.flatnonzero(source >= 0)
    slots = np.empty(patch.size, np.int32)
    kept = patch >= 0
    slots[kept] = moved[old_slots[patch[kept]]]
    slots[~kept] = grown[order]
    return slots


def activate(rows, activation: str, k: int, thresholds) -> None:
    """Apply an activation to rows ``[b, f]``, in place."""
    match activation:
        case "relu":
            np.maximum(rows, 0, out=rows)
        case "sigmoid":
            expit(rows, out=rows)
        case "softmax":
            rows[:] = softmax(rows, axis=1)
        case "topk":
            _keep_largest(rows, k)
        case "batchtopk" | "jumprelu":
            rows[rows <= thresholds] = 0


def _keep_largest(rows, k: int) -> None:
    np.maximum(rows, 0, out=rows)
    dead = np.argsort(-rows, axis=1, kind="stable")[:, k:]
    np.put_along_axis(rows, dead, 0, axis=1)


class Network:
    """Layers in a row: rows ``[b, f]`` go through some of them in one call."""

    def __init__(self) -> None:
        self._layers = []

    def add(self, indptr, indices, values, bias, n_in: int, activation: str, k: int, thresholds) -> None:
        """Put a layer behind the others; ``k`` is topk's, ``thresholds`` those of batchtopk and jumprelu."""
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
