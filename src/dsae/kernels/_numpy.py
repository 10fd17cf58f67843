"""What topologies and the runtime need of the kernels in numpy and scipy: without a compiler, and in float64.

Same names and arguments as the extension's; training without it is plain torch.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from dsae.config import ACTIVATIONS, Activation


def isa() -> str:
    """Name of the instruction set in use."""
    return "numpy"


def threads() -> int:
    """Threads in use."""
    return 1


def _matrix(indptr, indices, values, n_in: int) -> sp.csr_matrix:
    return sp.csr_matrix((values, indices, indptr), shape=(indptr.size - 1, n_in))


def _block_matrix(indptr, indices, values, bias, n_in: int, block_size: int) -> sp.csr_matrix:
    if block_size == 1:
        return _matrix(indptr, indices, values, n_in)
    narrow = bias.size % block_size
    wide = int(indptr[-2]) if narrow else indices.size
    blocks = np.zeros((indices.size, block_size, 1), values.dtype)
    blocks[:wide, :, 0] = values[: wide * block_size].reshape(-1, block_size)
    if narrow:
        blocks[wide:, :narrow, 0] = values[wide * block_size :].reshape(-1, narrow)
    shape = ((indptr.size - 1) * block_size, n_in)
    return sp.bsr_matrix((blocks, indices, indptr), shape=shape).tocsr()[: bias.size]


def set_threads(n: int) -> int:
    """Nothing: this is one thread."""
    return 0


def l2_bytes() -> int:
    """Bytes of a core's second-level cache: a usual size, for numpy does not depend on it."""
    return 1 << 20


def set_l2_bytes(bytes: int) -> int:
    """Nothing: numpy has no blocks of columns."""
    return 1 << 20


def clear_cache() -> None:
    """Nothing: no memory is kept."""


def empty(size):
    """An uninitialised float32 vector."""
    return np.empty(size, np.float32)


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


def draw_dead(indptr, indices, n_cols: int, n: int, seed: int):
    """``n`` distinct inactive edges at random: ``indptr, indices``; others than the extension draws."""
    n_rows = indptr.size - 1
    active = _rows(indptr) * n_cols + indices
    ranks = np.sort(np.random.default_rng(seed).choice(n_rows * n_cols - active.size, n, replace=False))
    # the r-th inactive place has as many active ones before it as have at most r inactive ones before them
    flat = ranks + np.searchsorted(active - np.arange(active.size), ranks, side="right")
    return _starts(np.bincount(flat // n_cols, minlength=n_rows)), (flat % n_cols).astype(np.int32)


def first_dead(indptr, indices, order, lengths):
    """The inactive edges among the first ``lengths[row]`` columns of ``order``: ``indptr, indices``."""
    columns = [
        np.setdiff1d(order[:length], indices[indptr[row] : indptr[row + 1]]) for row, length in enumerate(lengths)
    ]
    return _starts([row.size for row in columns]), np.concatenate([np.empty(0, np.int32), *columns])


def ridge(columns, rows, sizes, scales, l2: float, unseen: float, begin: int, outputs) -> None:
    """Ridge regression of columns on others: ``outputs`` are ``counts, indices, values``, as the extension has it."""
    counts, indices, values = outputs
    n_columns, n_rows = columns[0].size - 1, rows[0].size - 1
    by_column, by_row = _matrix(*columns, n_in=n_rows), _matrix(*rows, n_in=n_columns)
    indices, values = indices.reshape(counts.size, -1), values.reshape(counts.size, -1)
    for at, j in enumerate(range(begin, begin + counts.size)):
        chosen, fitted = np.empty(0, np.int64), np.empty(0)
        target = by_column[j].toarray()[0].astype(np.float64)
        weight = np.where(target != 0, 1.0, unseen)
        left = target
        for size, scale in zip(sizes, scales, strict=True):
            score = np.abs((weight * left) @ by_row) * scale
            score[[j, *chosen]] = 0
            best = np.argsort(-score, kind="stable")[: size - chosen.size]
            chosen = np.concatenate([chosen, best[score[best] > 0]])
            some = by_column[chosen].toarray().astype(np.float64)
            fitted = np.linalg.solve(weight * some @ some.T + l2 * np.eye(chosen.size), some @ (weight * target))
            left = target - fitted @ some
        order = np.argsort(chosen)
        counts[at] = order.size
        indices[at, : order.size], values[at, : order.size] = chosen[order], fitted[order]


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

    def add(
        self,
        indptr,
        indices,
        values,
        bias,
        n_in: int,
        activation: int | Activation,
        k: int,
        thresholds,
        block_size: int = 1,
    ) -> None:
        """Put a layer behind the others; ``k`` and ``thresholds`` are for activations that need them."""
        weights = _block_matrix(indptr, indices, values, bias, n_in, block_size)
        self._layers.append((weights, bias, (activation, k, thresholds)))

    def run(self, begin: int, end: int, rows, out) -> bool:
        """Rows through layers ``begin:end``; False, and ``out`` unfinished, where they hold NaN or infinity."""
        # As the extension does, which looks at the rows as it packs them: no pass over them beforehand.
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
