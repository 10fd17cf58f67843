"""Small images as plain data: ``{"palette": ..., "pixels": rows of 0..255}``."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.data import Rows
from dsae.topology import Layer

# Enough to see structure, and few enough that a page stays below 5 MB.
_HEAT_CELLS = 128
_IMAGE_CELLS = 64
_SMALLEST_IMAGE = 64  # 8 x 8: with fewer features chance makes neighbours similar


def find_image_shape(rows: Rows, image_shape: Any, named: bool) -> tuple[int, int] | None:
    """Height and width of the rows as images, or None if they are not images.

    Parameters
    ----------
    rows : ndarray or csr_matrix, shape (n_samples, n_features)
    image_shape : tuple of int, False or None
        As given by the user; None detects square images: dense, unnamed features that fill a square of at least 64
        pixels and are clearly more similar to the features above and below than to distant ones.
    named : bool
        Whether the features have names.

    Raises
    ------
    ValueError
        If the shape does not hold the features.
    """
    n_features = rows.shape[1]
    if image_shape is False:
        return None
    if image_shape is not None:
        shape = tuple(np.atleast_1d(np.asarray(image_shape)).tolist())
        if len(shape) != 2 or shape[0] * shape[1] != n_features:
            raise ValueError(
                f"[write_report] image_shape must be (height, width) with {n_features} pixels, the number of "
                f"features, or False; got {image_shape!r}."
            )
        return shape[0], shape[1]
    side = round(n_features**0.5)
    if sp.issparse(rows) or named or side * side != n_features or n_features < _SMALLEST_IMAGE:
        return None
    return (side, side) if _is_smooth(np.asarray(rows[:500], dtype=np.float64), side) else None  # enough to tell


def _is_smooth(rows: np.ndarray, side: int) -> bool:
    known = ~np.isnan(rows)
    n = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, rows - np.where(known, rows, 0).sum(axis=0) / n, 0)
    spread = np.sqrt(np.square(centred).sum(axis=0) / n)
    standard = centred / np.where(spread > 0, spread, 1)

    def alike(distance: int) -> float:
        both = (spread[:-distance] > 0) & (spread[distance:] > 0)
        if not both.any():
            return 0.0
        return float(np.abs((standard[:, :-distance] * standard[:, distance:]).mean(axis=0))[both].mean())

    # Half a side away, a feature is neither above nor beside, so in an image it is not similar.
    return alike(side) > 0.2 and alike(side) > 1.3 * alike(side // 2)


def block_mean(matrix: np.ndarray, cells: int = _IMAGE_CELLS) -> np.ndarray:
    """``matrix`` with each side shrunk to at most ``cells``, cells being means of blocks."""
    for axis in (0, 1):
        n = matrix.shape[axis]
        if n > cells:
            starts = np.arange(cells) * n // cells
            sizes = np.diff([*starts, n])  # blocks differ by one where the side is no multiple
            matrix = np.add.reduceat(matrix, starts, axis=axis) / np.expand_dims(sizes, 1 - axis)
    return matrix


def gray(row: np.ndarray, shape: tuple[int, int], low: float, high: float) -> dict[str, Any]:
    """A row as a gray image, black at ``low``, and where nothing is known, and white at ``high``."""
    image = block_mean(np.nan_to_num(np.asarray(row, dtype=np.float64), nan=low).reshape(shape))
    return _image("gray", 255 * (image - low) / (high - low if high > low else 1.0))


def diverging(row: np.ndarray, shape: tuple[int, int], limit: float) -> dict[str, Any]:
    """A row of signed numbers as an image, neutral at 0, and where nothing is known, and full at ``limit``."""
    image = block_mean(np.nan_to_num(np.asarray(row, dtype=np.float64)).reshape(shape))
    return _image("diverging", 128 + 127 * image / (limit if limit > 0 else 1.0))


def heat(row: np.ndarray, shape: tuple[int, int]) -> dict[str, Any]:
    """A row of numbers from 0 up as an image, full at the largest."""
    image = block_mean(np.asarray(row, dtype=np.float64).reshape(shape))
    return _image("heat", 255 * image / (image.max() or 1.0))


def weight_map(layer: Layer) -> dict[str, Any]:
    """``|W|`` of a layer in at most 128 x 128 cells, each the mean over its block, on a square-root scale.

    Uses only the active weights: a wide layer is never densified.
    """
    topology = layer.topology
    height, width = (min(n, _HEAT_CELLS) for n in topology.shape)
    cell_rows = topology.rows.astype(np.int64) * height // topology.shape[0]
    cell_cols = topology.cols.astype(np.int64) * width // topology.shape[1]
    sums = np.bincount(cell_rows * width + cell_cols, weights=np.abs(layer.values), minlength=height * width)
    counts = [
        np.bincount(np.arange(n, dtype=np.int64) * cells // n, minlength=cells)
        for n, cells in zip(topology.shape, (height, width), strict=True)
    ]
    means = sums.reshape(height, width) / np.outer(*counts)
    # Not the largest: one strong cell would leave the map dark.
    top = np.quantile(means[means > 0], 0.99) if (means > 0).any() else 1.0
    return _image("heat", 255 * np.sqrt(means / top))


def _image(palette: str, levels: np.ndarray) -> dict[str, Any]:
    return {"palette": palette, "pixels": np.clip(np.rint(levels), 0, 255).astype(int).tolist()}
