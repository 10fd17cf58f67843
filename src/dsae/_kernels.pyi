from collections.abc import Callable, Sequence
from typing import Annotated

import numpy
from numpy.typing import NDArray

def isa() -> str:
    """Name of the instruction set in use."""

def threads() -> int:
    """Threads that a kernel called from this thread may use."""

def set_threads(n: int) -> int:
    """
    Let kernels called from this thread use ``n`` threads; 0 follows torch, else OMP_NUM_THREADS. Gives what was set.
    """

def l2_bytes() -> int:
    """
    Bytes of a core's second-level cache, half of which a block of columns fills.
    """

def set_l2_bytes(bytes: int) -> int:
    """
    Size blocks for another such cache; 0 asks the machine again. Gives what was set. No bit of a result changes.
    """

def clear_cache() -> None:
    """Free the memory kept for the next arrays, at most 256 MiB."""

def empty(size: int) -> Annotated[NDArray[numpy.float32], dict(shape=(None,))]:
    """An uninitialised float32 vector on a cache line."""

def pack(
    rows: Annotated[NDArray, dict(device="cpu", writable=False)], panels: Annotated[NDArray, dict(device="cpu")]
) -> None:
    """
    Rows ``[b, f]`` into panels ``[p, f, lanes]``; the lanes left over are zero.
    """

def unpack(
    panels: Annotated[NDArray, dict(device="cpu", writable=False)], rows: Annotated[NDArray, dict(device="cpu")]
) -> None:
    """Panels ``[p, f, lanes]`` back into rows ``[b, f]``."""

def sum_samples(
    panels: Annotated[NDArray, dict(device="cpu", writable=False)], sums: Annotated[NDArray, dict(device="cpu")]
) -> None:
    """Every feature's sum over all panels and lanes."""

def adam(
    parameters: Sequence[
        tuple[
            Annotated[NDArray, dict(device="cpu", writable=False)] | None,
            Annotated[NDArray, dict(device="cpu", writable=False)],
            Annotated[NDArray, dict(device="cpu")],
            Annotated[NDArray, dict(device="cpu")],
            Annotated[NDArray, dict(device="cpu")],
            Annotated[NDArray, dict(device="cpu")] | None,
            Annotated[NDArray, dict(device="cpu", writable=False)] | None,
            tuple[
                Annotated[NDArray, dict(device="cpu", writable=False)],
                Annotated[NDArray, dict(device="cpu", writable=False)],
            ]
            | None,
            float,
            float,
            float,
            float,
        ]
    ],
    beta1: float,
    beta2: float,
    epsilon: float,
) -> None:
    """
    One step of Adam for all parameters, in place.

    Each is ``(indptr or None, grad, values, mean, square, magnitude or None, mask or None, (rows, rates) or None,
    rate, root, newest, threshold)``. The rate of an edge is ``rate / max(fan-in of its row, mean fan-in)``, or, where the row of
    each is given instead of indptr, ``rate * rates[row]``; ``magnitude`` is the running mean of
    ``|grad|``, in which this step has the share ``newest``; a soft ``threshold`` follows. With a ``mask`` (uint8) the numbers are
    those of the dense matrix, and gradients where it is 0 count as 0.
    """

def gather(
    values: Annotated[NDArray, dict(device="cpu", writable=False)],
    slots: Annotated[NDArray, dict(device="cpu", writable=False)],
    out: Annotated[NDArray, dict(device="cpu")],
) -> None:
    """``out[i] = values[slots[i]]``."""

def scatter(
    values: Annotated[NDArray, dict(device="cpu", writable=False)],
    slots: Annotated[NDArray, dict(device="cpu", writable=False)],
    out: Annotated[NDArray, dict(device="cpu")],
) -> None:
    """``out[slots[i]] = values[i]``."""

def to_dense(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    values: Annotated[NDArray, dict(device="cpu", writable=False)],
    matrix: Annotated[NDArray, dict(device="cpu")],
    block_size: int = 1,
) -> None:
    """``values`` at their edges of ``matrix``, zero elsewhere."""

def from_dense(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    matrix: Annotated[NDArray, dict(device="cpu", writable=False)],
    values: Annotated[NDArray, dict(device="cpu")],
    block_size: int = 1,
) -> None:
    """What ``matrix`` has at the edges."""

def spmv(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    values: Annotated[NDArray, dict(device="cpu", writable=False)],
    x: Annotated[NDArray, dict(device="cpu", writable=False)],
    y: Annotated[NDArray, dict(device="cpu")],
) -> None:
    """``y = W x`` for one vector."""

def sampled_outer(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    left: Annotated[NDArray, dict(device="cpu", writable=False)],
    right: Annotated[NDArray, dict(device="cpu", writable=False)],
    dw: Annotated[NDArray, dict(device="cpu")],
) -> None:
    """``dw[slot] = left[row] * right[column]`` at the edges."""

def edge_sums(
    rows: Annotated[NDArray, dict(device="cpu", writable=False)],
    columns: Annotated[NDArray, dict(device="cpu", writable=False)],
    values: Annotated[NDArray, dict(device="cpu", writable=False)],
    x: Annotated[NDArray, dict(device="cpu", writable=False)],
    y: Annotated[NDArray, dict(device="cpu")],
) -> None:
    """``y = W x`` for one vector, of edges ``(rows, columns)`` in any order."""

def gather_live(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    values: Annotated[NDArray, dict(device="cpu", writable=False)],
    slots: Annotated[NDArray, dict(device="cpu", writable=False)],
    x_indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    out: Annotated[NDArray, dict(device="cpu")],
) -> None:
    """
    ``out[i] = values[slots[i]]`` in the rows of ``indptr`` that are not empty in ``x_indptr``.
    """

def csr_spmm(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    values: Annotated[NDArray, dict(device="cpu", writable=False)],
    bias: Annotated[NDArray, dict(device="cpu", writable=False)],
    x_indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    x_indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    x_values: Annotated[NDArray, dict(device="cpu", writable=False)],
    rows: Annotated[NDArray, dict(device="cpu")],
    block_size: int = 1,
) -> None:
    """
    ``rows = X W^T + bias`` for CSR rows ``X``; ``indptr, indices, values`` are ``W^T``, edge by edge. Those of each of its rows
    come in runs of ``block_size`` neighbours, and a shorter one at the end.
    """

def csr_sddmm(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    slots: Annotated[NDArray, dict(device="cpu", writable=False)],
    x_indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    x_indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    x_values: Annotated[NDArray, dict(device="cpu", writable=False)],
    dy: Annotated[NDArray, dict(device="cpu", writable=False)],
    dw: Annotated[NDArray, dict(device="cpu")],
) -> None:
    """
    ``dw[slots[i]] += <x[:, row], dy[:, column]>`` at the edges of ``W^T``; the batch comes by columns.
    """

def csr_gradient(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    x_indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    x_indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    x_values: Annotated[NDArray, dict(device="cpu", writable=False)],
    dy: Annotated[NDArray, dict(device="cpu", writable=False)],
    outer: tuple[
        Annotated[NDArray, dict(device="cpu", writable=False)], Annotated[NDArray, dict(device="cpu", writable=False)]
    ]
    | None,
    dw: Annotated[NDArray, dict(device="cpu")],
    block_size: int = 1,
) -> None:
    """
    ``dw[i] = <x[:, row], dy[:, column]>`` at the edges of ``W^T``, plus ``left[column] * right[row]`` for an outer product
    ``(left, right)``; the batch comes by columns. Blocks as in `csr_spmm`.
    """

def tiled_loss(
    layer: tuple[
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
    ],
    transpose: tuple[
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
    ]
    | None,
    x: Annotated[NDArray, dict(device="cpu", writable=False)],
    target: tuple[
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)] | None,
    ],
    loss: int,
    n_rows: int,
    factor: float,
    tile: Annotated[NDArray, dict(device="cpu")],
    gradients: tuple[
        Annotated[NDArray, dict(device="cpu")],
        Annotated[NDArray, dict(device="cpu")],
        Annotated[NDArray, dict(device="cpu")] | None,
    ]
    | None,
    known: Annotated[NDArray, dict(device="cpu", writable=False)] | None = None,
    weights: Annotated[NDArray, dict(device="cpu", writable=False)] | None = None,
    offset: Annotated[NDArray, dict(device="cpu", writable=False)] | None = None,
    dispersion: tuple[Annotated[NDArray, dict(device="cpu", writable=False)], Annotated[NDArray, dict(device="cpu")]]
    | None = None,
    block_size: int = 1,
) -> float:
    """
    Sum of the loss of ``W x + bias`` against a target by columns, tile by tile of outputs, and its gradients.

    ``layer`` is ``(indptr, indices, values, bias)``, ``transpose`` the same matrix's ``(indptr, indices, values)``,
    ``target`` ``(indptr, samples, values, shift or None)``, ``gradients`` ``(dw, dbias, dx or None)``, ``known`` the weights of the target's numbers, ``weights`` those of the samples. Likelihoods of
    counts take the logarithms of the samples' totals as ``offset``, and ``(log_dispersion, its gradient)`` of the outputs. Of blocks,
    values and dw are as in `block_spmm`, a tile has whole groups, and the transpose is not read.
    """

def log_sums(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    values: Annotated[NDArray, dict(device="cpu", writable=False)],
    bias: Annotated[NDArray, dict(device="cpu", writable=False)],
    x: Annotated[NDArray, dict(device="cpu", writable=False)],
    sums: Annotated[NDArray, dict(device="cpu")],
    block_size: int = 1,
) -> None:
    """
    The logarithm of the sum of ``exp(W x + bias)`` over all outputs, for each sample of the panels ``x``.
    """

def code_topk(z: Annotated[NDArray, dict(device="cpu", writable=False)], k: int) -> tuple:
    """
    The latents among the ``k`` largest of each row that are positive, ties to the lower: ``indptr, indices``.
    """

def code_above(
    z: Annotated[NDArray, dict(device="cpu", writable=False)],
    thresholds: Annotated[NDArray, dict(device="cpu", writable=False)],
    margin: float,
) -> tuple:
    """Where ``z - thresholds > -margin``: ``indptr, indices``."""

def kth_of_all(z: Annotated[NDArray, dict(device="cpu", writable=False)], k: int) -> float:
    """The ``k``-th largest number, 0 if that is not positive."""

def code_dots(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    values: Annotated[NDArray, dict(device="cpu", writable=False)],
    code_indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    code_indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    y: Annotated[NDArray, dict(device="cpu", writable=False)],
    out: Annotated[NDArray, dict(device="cpu")],
) -> None:
    """``out[entry] = <M[latent], y[row]>`` for the entries of a code."""

def code_outer(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    latent_indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    latent_rows: Annotated[NDArray, dict(device="cpu", writable=False)],
    code_values: Annotated[NDArray, dict(device="cpu", writable=False)],
    y: Annotated[NDArray, dict(device="cpu", writable=False)],
    dm: Annotated[NDArray, dict(device="cpu")],
    sums: Annotated[NDArray, dict(device="cpu")] | None,
) -> None:
    """
    ``dm[latent] = sum c y[row]`` over a code's entries, which come by latent; ``sums[latent] = sum c``.
    """

def turn(
    rows: Annotated[NDArray, dict(device="cpu", writable=False)], out: Annotated[NDArray, dict(device="cpu")]
) -> None:
    """``out = rows^T``."""

def window_edges(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    n_cols: int,
    height: int,
) -> tuple:
    """
    Edges by windows of ``height`` rows, within a window by column: ``rows, slots, cuts``.
    """

def gram_loss(
    layer: tuple[
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
    ],
    windows: tuple[
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
        int,
    ]
    | None,
    x: Annotated[NDArray, dict(device="cpu", writable=False)],
    columns: tuple[
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
    ],
    samples: tuple[
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
    ],
    shift: Annotated[NDArray, dict(device="cpu", writable=False)] | None,
    unseen: float,
    factor: float,
    gradients: tuple[
        Annotated[NDArray, dict(device="cpu")],
        Annotated[NDArray, dict(device="cpu")],
        Annotated[NDArray, dict(device="cpu")] | None,
    ],
    known: tuple[
        Annotated[NDArray, dict(device="cpu", writable=False)], Annotated[NDArray, dict(device="cpu", writable=False)]
    ]
    | None = None,
    block_size: int = 1,
) -> float:
    """
    Summed squared error of ``W x + bias`` for rows ``x`` against a sparse target, from Gram matrices, and its gradients.

    ``layer`` is ``(indptr, indices, values, bias)``, ``windows`` what `window_edges` gives and the height where the layer's Gram matrix is to come from dense windows instead of pairs of weights, ``columns`` and ``samples`` are the
    target's ``(indptr, indices, values)`` both ways, ``gradients`` ``(dw, dbias, dx or None)``; numbers that the target
    does not hold have the weight ``unseen``, the others 1 or that of ``known``, by column and by sample. Values and dw of blocks are as in `block_spmm`.
    """

def gram_edges(
    layer: tuple[
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
    ],
    x: Annotated[NDArray, dict(device="cpu", writable=False)],
    columns: tuple[
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
    ],
    samples: tuple[
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
    ],
    shift: Annotated[NDArray, dict(device="cpu", writable=False)] | None,
    factor: float,
    edges: tuple[
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu")],
    ]
    | None,
    norms: Annotated[NDArray, dict(device="cpu")] | None,
) -> None:
    """
    The same error's gradient at any edges, ``(indptr, indices, dw)``, active or not, and the ``norms`` of the outputs' gradients over the samples.
    """

def spmm(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    values: Annotated[NDArray, dict(device="cpu", writable=False)],
    bias: Annotated[NDArray, dict(device="cpu", writable=False)] | None,
    x: Annotated[NDArray, dict(device="cpu", writable=False)],
    y: Annotated[NDArray, dict(device="cpu")],
) -> None:
    """``y[p] = W x[p] + bias`` for panels."""

def sddmm(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    dy: Annotated[NDArray, dict(device="cpu", writable=False)],
    x: Annotated[NDArray, dict(device="cpu", writable=False)],
    dw: Annotated[NDArray, dict(device="cpu")],
) -> None:
    """``dw[slot] = <dy[:, row], x[:, column]>`` at the edges, for panels."""

def backward(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    values: Annotated[NDArray, dict(device="cpu", writable=False)],
    dy: Annotated[NDArray, dict(device="cpu", writable=False)],
    x: Annotated[NDArray, dict(device="cpu", writable=False)],
    dx: Annotated[NDArray, dict(device="cpu")],
    dw: Annotated[NDArray, dict(device="cpu")],
) -> None:
    """
    ``dx[p] = W dy[p]`` and ``dw[slot] = <x[:, row], dy[:, column]>``, ``W`` the transpose of a layer's matrix.
    """

def block_spmm(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    block_size: int,
    values: Annotated[NDArray, dict(device="cpu", writable=False)],
    bias: Annotated[NDArray, dict(device="cpu", writable=False)] | None,
    x: Annotated[NDArray, dict(device="cpu", writable=False)],
    y: Annotated[NDArray, dict(device="cpu")],
) -> None:
    """``y[p] = W x[p] + bias`` for panels, ``W`` of blocks of 4 or 8 rows."""

def block_backward(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    block_size: int,
    values: Annotated[NDArray, dict(device="cpu", writable=False)] | None,
    dy: Annotated[NDArray, dict(device="cpu", writable=False)],
    x: Annotated[NDArray, dict(device="cpu", writable=False)] | None,
    dx: Annotated[NDArray, dict(device="cpu")] | None,
    dw: Annotated[NDArray, dict(device="cpu")] | None,
) -> None:
    """
    ``dx[p] = W^T dy[p]`` from values, and ``dw[slot] = <dy[:, row], x[:, column]>`` from x; None is left out.
    """

def bf16_pack(
    panels: Annotated[NDArray, dict(device="cpu", writable=False)], lines: Annotated[NDArray, dict(device="cpu")]
) -> None:
    """
    Panels rounded to bfloat16, uint16 ``[p, f, lanes]`` or ``[2 p, f, lanes / 2]``: in every run of 32 lanes, lane ``i`` lies at ``2 i`` and lane ``i + 16`` at ``2 i + 1``.
    """

def bf16_unpack(
    lines: Annotated[NDArray, dict(device="cpu", writable=False)], panels: Annotated[NDArray, dict(device="cpu")]
) -> None:
    """The reverse of ``bf16_pack``."""

def bf16_spmm(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    values: Annotated[NDArray, dict(device="cpu", writable=False)],
    bias: Annotated[NDArray, dict(device="cpu", writable=False)] | None,
    x: Annotated[NDArray, dict(device="cpu", writable=False)],
    y: Annotated[NDArray, dict(device="cpu")],
) -> None:
    """``spmm`` of bfloat16 lines."""

def bf16_sddmm(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    dy: Annotated[NDArray, dict(device="cpu", writable=False)],
    x: Annotated[NDArray, dict(device="cpu", writable=False)],
    dw: Annotated[NDArray, dict(device="cpu")],
) -> None:
    """``sddmm`` of bfloat16 lines."""

def bf16_backward(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    values: Annotated[NDArray, dict(device="cpu", writable=False)],
    dy: Annotated[NDArray, dict(device="cpu", writable=False)],
    x: Annotated[NDArray, dict(device="cpu", writable=False)],
    dx: Annotated[NDArray, dict(device="cpu")],
    dw: Annotated[NDArray, dict(device="cpu")],
) -> None:
    """``backward`` of bfloat16 lines."""

def transpose(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    n_cols: int,
) -> tuple:
    """CSR of the transpose, and the slot that each of its slots comes from."""

def validate(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    n_cols: int,
) -> int:
    """
    What keeps the arrays from being a topology: 0 nothing, 1 indptr, 2 an edge outside, 3 the order in a row.
    """

def rewire(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    keep: Annotated[NDArray, dict(device="cpu", writable=False)],
    grown_indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    grown_indices: Annotated[NDArray, dict(device="cpu", writable=False)],
) -> tuple:
    """Kept slots merged with the grown edges: ``indptr, indices, source``."""

def move(
    values: Annotated[NDArray, dict(device="cpu", writable=False)],
    source: Annotated[NDArray, dict(device="cpu", writable=False)],
    out: Annotated[NDArray, dict(device="cpu")],
) -> None:
    """``out[slot] = values[source[slot]]``, or 0 where an edge was grown."""

def smallest(
    scores: Annotated[NDArray, dict(device="cpu", writable=False)],
    n: int,
    chosen: Annotated[NDArray, dict(device="cpu")],
) -> None:
    """
    Mark the ``n`` smallest scores; ties go to the lower index, NaN sorts last.
    """

def draw_dead(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    n_cols: int,
    n: int,
    seed: int,
) -> tuple:
    """``n`` distinct inactive edges at random: ``indptr, indices``."""

def first_dead(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    order: Annotated[NDArray, dict(device="cpu", writable=False)],
    lengths: Annotated[NDArray, dict(device="cpu", writable=False)],
) -> tuple:
    """
    The inactive edges among the first ``lengths[row]`` columns of ``order``: ``indptr, indices``.
    """

def activate(
    rows: Annotated[NDArray, dict(device="cpu")],
    activation: int,
    k: int,
    thresholds: Annotated[NDArray, dict(device="cpu", writable=False)] | None,
) -> None:
    """Apply an activation to rows ``[b, f]``, in place."""

class Network:
    """Layers in a row: rows ``[b, f]`` go through some of them in one call."""

    def __init__(self) -> None: ...
    def add(
        self,
        indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
        indices: Annotated[NDArray, dict(device="cpu", writable=False)],
        values: Annotated[NDArray, dict(device="cpu", writable=False)],
        bias: Annotated[NDArray, dict(device="cpu", writable=False)],
        n_in: int,
        activation: int,
        k: int,
        thresholds: Annotated[NDArray, dict(device="cpu", writable=False)] | None,
        block_size: int = 1,
    ) -> None:
        """
        Put a layer behind the others; ``k`` is topk's, ``thresholds`` those of batchtopk and jumprelu.
        """

    def run(
        self,
        begin: int,
        end: int,
        rows: Annotated[NDArray, dict(device="cpu", writable=False)],
        out: Annotated[NDArray, dict(device="cpu")],
    ) -> bool:
        """
        Rows through layers ``begin:end``; False, and ``out`` unfinished, where they hold NaN or infinity.
        """

    def run_csr(
        self,
        begin: int,
        end: int,
        indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
        indices: Annotated[NDArray, dict(device="cpu", writable=False)],
        values: Annotated[NDArray, dict(device="cpu", writable=False)],
        out: Annotated[NDArray, dict(device="cpu")],
    ) -> bool:
        """The same for CSR rows."""

def ridge(
    columns: tuple[
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
    ],
    rows: tuple[
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
        Annotated[NDArray, dict(device="cpu", writable=False)],
    ],
    sizes: Annotated[NDArray, dict(device="cpu", writable=False)],
    scales: Annotated[NDArray, dict(device="cpu", writable=False)],
    l2: float,
    unseen: float,
    begin: int,
    outputs: tuple[
        Annotated[NDArray, dict(device="cpu")],
        Annotated[NDArray, dict(device="cpu")],
        Annotated[NDArray, dict(device="cpu")],
    ],
) -> None:
    """
    Ridge regression of columns of a matrix, from ``begin`` on, on others that it chooses in stages; rows in which a column is zero
    weigh ``unseen``.

    ``columns`` and ``rows`` are the matrix' ``(indptr, indices, values)`` both ways, ``sizes`` the number of inputs after
    each stage, ``scales [n_stages, n_columns]`` what products are multiplied by, ``outputs`` ``(counts, indices,
    values)``, of which a column's are in order.
    """

class Step:
    """
    Layers in a row that are trained: their gradients go into arrays given with each.
    """

    def __init__(self, private_bytes: int = 4194304) -> None:
        """
        At most so many bytes of gradients lie beside those given, so that panels can go through alone.
        """

    def add(
        self,
        layer: tuple[
            Annotated[NDArray, dict(device="cpu", writable=False)],
            Annotated[NDArray, dict(device="cpu", writable=False)],
            Annotated[NDArray, dict(device="cpu", writable=False)],
            Annotated[NDArray, dict(device="cpu", writable=False)],
        ],
        transpose: tuple[
            Annotated[NDArray, dict(device="cpu", writable=False)],
            Annotated[NDArray, dict(device="cpu", writable=False)],
            Annotated[NDArray, dict(device="cpu", writable=False)],
        ]
        | None,
        gradients: tuple[Annotated[NDArray, dict(device="cpu")], Annotated[NDArray, dict(device="cpu")]],
        n_in: int,
        activation: int,
        block_size: int = 1,
        rounded: int = 0,
    ) -> None:
        """
        Put a layer ``(indptr, indices, values, bias)`` behind the others, with its transpose ``(indptr, indices, slots)``, which blocks need not have, and the places of its gradients ``(dw, dbias)``; ``rounded`` sums 1, 2 and 4 for the forward product, the backward one and that of a first layer, which then read lines of 16 bits.
        """

    def gradients(
        self,
        first: int,
        last: int,
        x: Annotated[NDArray, dict(device="cpu", writable=False)],
        n_rows: int,
        centring: tuple[
            Annotated[NDArray, dict(device="cpu", writable=False)],
            Annotated[NDArray, dict(device="cpu", writable=False)],
        ]
        | None,
        target: Annotated[NDArray, dict(device="cpu", writable=False)] | None,
        as_given: bool,
        known: Annotated[NDArray, dict(device="cpu", writable=False)] | None,
        weights: Annotated[NDArray, dict(device="cpu", writable=False)] | None,
        loss: int,
        factor: float,
        dx: Annotated[NDArray, dict(device="cpu")] | None,
        finished: Callable[[int], None] | None,
        offset: Annotated[NDArray, dict(device="cpu", writable=False)] | None = None,
        dispersion: tuple[
            Annotated[NDArray, dict(device="cpu", writable=False)], Annotated[NDArray, dict(device="cpu")]
        ]
        | None = None,
    ) -> float:
        """
        The summed loss of layers ``first:last``, and all their gradients; ``x`` is rows, which are centred, or panels, whose gradient goes into ``dx``. ``finished(layer)`` is called when all of a layer's are there. Likelihoods of counts take the logarithm of each row's total as ``offset``, and ``(log_dispersion, its gradient)`` of the outputs.
        """

    def forward(
        self,
        first: int,
        last: int,
        x: Annotated[NDArray, dict(device="cpu", writable=False)],
        n_rows: int,
        centring: tuple[
            Annotated[NDArray, dict(device="cpu", writable=False)],
            Annotated[NDArray, dict(device="cpu", writable=False)],
        ]
        | None,
        y: Annotated[NDArray, dict(device="cpu")],
        activated: bool,
    ) -> None:
        """What layers ``first:last`` give, as panels; kept for `backward`."""

    def backward(
        self,
        y: Annotated[NDArray, dict(device="cpu")],
        dy: Annotated[NDArray, dict(device="cpu", writable=False)],
        dx: Annotated[NDArray, dict(device="cpu")] | None,
        activated: bool,
        finished: Callable[[int], None] | None,
    ) -> None:
        """
        The gradients of the layers that `forward` has gone through, from that of ``y``.
        """

def take_rows(
    rows: Annotated[NDArray, dict(device="cpu", writable=False)],
    chosen: Annotated[NDArray, dict(device="cpu", writable=False)],
    out: Annotated[NDArray, dict(device="cpu")],
) -> None:
    """``out = rows[chosen]``, for int64 numbers of rows in any order."""

def take_csr(
    indptr: Annotated[NDArray, dict(device="cpu", writable=False)],
    indices: Annotated[NDArray, dict(device="cpu", writable=False)],
    values: Annotated[NDArray, dict(device="cpu", writable=False)],
    chosen: Annotated[NDArray, dict(device="cpu", writable=False)],
) -> tuple[
    Annotated[NDArray[numpy.int32], dict(shape=(None,))],
    Annotated[NDArray[numpy.int32], dict(shape=(None,))],
    Annotated[NDArray[numpy.float32], dict(shape=(None,))],
]:
    """The same of CSR rows: ``indptr, indices, values`` of those chosen."""
