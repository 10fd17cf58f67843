"""Images: what is one, how it shrinks, and what the PNG holds."""

import struct
import zlib

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae.report import _pixels
from dsae.report._png import PALETTES, png


def decoded(data):
    """Chunks of a PNG, and its pixels."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + body)
        chunks[kind], at = body, at + 12 + length
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not lines[:, 0].any()
    return chunks, lines[:, 1:]


@each(palette=PALETTES)
@each(shape=[(1, 1), (3, 5), (40, 7)])
def test_png_holds_the_pixels(palette, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape)
    chunks, found = decoded(png(pixels, palette))
    colors = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)
    np.testing.assert_array_equal(colors[found], PALETTES[palette][pixels][..., :3])
    assert len(colors) == len(np.unique(pixels))
    assert (b"tRNS" in chunks) == (palette != "gray")
    if palette != "gray":
        opaque = np.frombuffer(chunks[b"tRNS"], np.uint8)
        np.testing.assert_array_equal(opaque[found], PALETTES[palette][pixels][..., 3])


def test_faint_values_are_transparent():
    assert PALETTES["heat"][0, 3] == 0
    assert PALETTES["diverging"][128, 3] == 0
    assert PALETTES["diverging"][0, 3] == PALETTES["heat"][255, 3] == 255
    assert (np.diff(PALETTES["diverging"][:128, 3].astype(int)) < 0).all()


@each(shape=[(3, 4), (64, 64), (65, 128), (300, 1)])
def test_block_mean_is_small_and_keeps_constants(shape):
    small = _pixels.block_mean(np.full(shape, 3.0))
    assert small.shape == tuple(min(n, 64) for n in shape)
    np.testing.assert_allclose(small, 3.0)


def test_block_mean_averages_blocks():
    matrix = np.random.default_rng(0).random((128, 192))
    np.testing.assert_allclose(_pixels.block_mean(matrix), matrix.reshape(64, 2, 64, 3).mean(axis=(1, 3)))


@each(shape=[(5, 7), (256, 384), (130, 3), (1, 300)])
def test_weight_map_is_the_block_mean_of_the_dense_weights(make_model, shape):
    n_out, n_in = shape
    layer = make_model(n_features=n_in, n_components=n_out, live=0.3).layers["encoder.0"]
    height, width = (min(n, 128) for n in shape)
    means = np.zeros((height, width))
    for r in range(height):
        for c in range(width):
            own = [
                np.flatnonzero(np.arange(n) * k // n == i)
                for n, k, i in zip(shape, (height, width), (r, c), strict=True)
            ]
            means[r, c] = np.abs(layer.to_dense())[np.ix_(*own)].mean()
    top = np.quantile(means[means > 0], 0.99)
    expected = np.clip(np.rint(255 * np.sqrt(means / top)), 0, 255)
    np.testing.assert_allclose(_pixels.weight_map(layer)["pixels"], expected, atol=1)


def smooth(n=200, side=12):
    """Rows with soft blobs at random places."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    centres = rng.uniform(2, side - 2, (n, 2))
    blobs = [np.exp(-((y - a) ** 2 + (x - b) ** 2) / 8) for a, b in centres]
    return np.stack(blobs).reshape(n, -1).astype(np.float32)


def test_smooth_squares_are_images():
    assert _pixels.find_image_shape(smooth(), None, named=False) == (12, 12)


def test_digits_are_images():
    from sklearn.datasets import load_digits

    assert _pixels.find_image_shape(load_digits().data, None, named=False) == (8, 8)


def test_other_rows_are_no_images():
    rng = np.random.default_rng(0)
    latent = rng.normal(0, 1, (300, 3)) @ rng.normal(0, 1, (3, 100))
    shuffled = smooth()[:, rng.permutation(144)]
    for X in (latent, rng.normal(0, 1, (300, 100)), np.ones((5, 64)), smooth()[:, :143], smooth(side=7), shuffled):
        assert _pixels.find_image_shape(X, None, named=False) is None
    assert _pixels.find_image_shape(smooth(), None, named=True) is None
    assert _pixels.find_image_shape(sp.csr_matrix(smooth()), None, named=False) is None


def test_the_user_decides():
    assert _pixels.find_image_shape(smooth(), False, named=False) is None
    assert _pixels.find_image_shape(sp.csr_matrix(smooth()), (9, 16), named=True) == (9, 16)


@each(shape=[(3, 3), 144, (144,), (1, 12, 12), True])
def test_a_shape_that_does_not_fit_is_refused(shape):
    with pytest.raises(ValueError, match=r"image_shape must be \(height, width\) with 144 pixels"):
        _pixels.find_image_shape(smooth(), shape, named=False)


def test_gray_runs_from_black_to_white_and_diverging_is_neutral_at_zero():
    row = np.array([0.0, 1.0, 2.0, 5.0])
    assert _pixels.gray(row, (2, 2), 0, 2)["pixels"] == [[0, 128], [255, 255]]
    assert _pixels.diverging(np.array([-1.0, 0.0, 1.0, 9.0]), (2, 2), 1)["pixels"] == [[1, 128], [255, 255]]
    assert _pixels.gray(np.ones(4), (2, 2), 1, 1)["pixels"] == [[0, 0], [0, 0]]
    assert _pixels.heat(np.zeros(4), (2, 2))["pixels"] == [[0, 0], [0, 0]]
