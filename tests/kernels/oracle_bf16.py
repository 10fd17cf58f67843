"""What the kernels on lines of 16 bits compute."""

import numpy as np
from tests.kernels.oracle import sddmm, spmm


def _nearest_bfloat16(x):
    """The upper 16 bits of float32, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    nearest = (bits.astype(np.uint64) + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(x), bits >> 16 | 0x40, nearest).astype(np.uint16)


def bf16_pack(panels, lines) -> None:
    """Panels rounded to bfloat16; in every run of 32 lanes, lane ``i`` at ``2 i``, lane ``i + 16`` at ``2 i + 1``."""
    n_panels, width, lanes = panels.shape
    parts = lanes // lines.shape[2]
    by_line = _nearest_bfloat16(panels).reshape(n_panels, width, parts, lines.shape[2] // 32, 2, 16)
    lines[:] = by_line.transpose(0, 2, 1, 3, 5, 4).reshape(lines.shape)


def bf16_unpack(lines, panels) -> None:
    """The reverse of ``bf16_pack``."""
    n_panels, width, lanes = panels.shape
    parts = lanes // lines.shape[2]
    by_panel = (
        (lines.astype(np.uint32) << 16).view(np.float32).reshape(n_panels, parts, width, lines.shape[2] // 32, 16, 2)
    )
    panels[:] = by_panel.transpose(0, 2, 1, 3, 5, 4).reshape(panels.shape)


def _unpacked(lines):
    panels = np.empty(lines.shape, np.float32)
    bf16_unpack(lines, panels)
    return panels


def _parts(panels, lines):
    """A view of float32 panels by the narrower panels of ``lines``."""
    n_panels, width, lanes = panels.shape
    return panels.reshape(n_panels, width, lanes // lines.shape[2], lines.shape[2]).transpose(0, 2, 1, 3)


def bf16_spmm(indptr, indices, values, bias, x, y) -> None:
    """``spmm`` of bfloat16 lines."""
    out = np.empty((x.shape[0], y.shape[1], x.shape[2]), np.float32)
    spmm(indptr, indices, values, bias, _unpacked(x), out)
    _parts(y, x)[:] = out.reshape(_parts(y, x).shape)


def bf16_sddmm(indptr, indices, dy, x, dw) -> None:
    """``sddmm`` of bfloat16 lines."""
    sddmm(indptr, indices, _unpacked(dy), _unpacked(x), dw)


def bf16_backward(indptr, indices, values, dy, x, dx, dw) -> None:
    """``backward`` of bfloat16 lines."""
    bf16_spmm(indptr, indices, values, None, dy, dx)
    bf16_sddmm(indptr, indices, x, dy, dw)
