"""Small palette images as data URIs, with nothing but zlib."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np


def _fade(red: int, green: int, blue: int, alpha: np.ndarray) -> np.ndarray:
    color = np.tile(np.array([red, green, blue]), (alpha.size, 1))
    return np.column_stack([color, alpha]).astype(np.uint8)


_LEVELS = np.arange(256)
# Faint values are transparent, so that the same image sits on a light and on a dark page.
PALETTES = {
    "gray": np.column_stack([_LEVELS, _LEVELS, _LEVELS, np.full(256, 255)]).astype(np.uint8),
    "heat": _fade(64, 112, 232, _LEVELS),
    "diverging": np.vstack(
        [
            _fade(44, 104, 214, 255 - 2 * np.arange(128)),
            _fade(222, 92, 36, np.minimum(2 * np.arange(128), 255)),
        ]
    ),
}


def png(pixels: np.ndarray, palette: str = "gray") -> bytes:
    r"""An 8-bit palette PNG.

    Parameters
    ----------
    pixels : array-like of int in 0..255, shape (height, width)
    palette : {"gray", "heat", "diverging"}
        ``heat`` runs from transparent to blue; ``diverging`` from blue over transparent at 128 to orange.

    Examples
    --------
    >>> png([[0, 255]])[:4]
    b'\x89PNG'
    """
    image = np.asarray(pixels, dtype=np.uint8)
    height, width = image.shape
    # Only the colours that occur: all 256 are a kilobyte, more than the pixels of most pictures on a page.
    levels, places = np.unique(image, return_inverse=True)
    colors, image = PALETTES[palette][levels], places.reshape(image.shape).astype(np.uint8)
    # Each line begins with its filter, here none: palette images compress no better with one.
    lines = np.column_stack([np.zeros(height, np.uint8), image])
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", colors[:, :3].tobytes()),
            b"" if palette == "gray" else _chunk(b"tRNS", colors[:, 3].tobytes()),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            _chunk(b"IEND", b""),
        ]
    )


def data_uri(pixels: np.ndarray, palette: str = "gray") -> str:
    """The same, ready for an image's ``src``."""
    return "data:image/png;base64," + base64.b64encode(png(pixels, palette)).decode("ascii")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
