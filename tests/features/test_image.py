"""Pictures become rows of numbers, and the same pictures again; whatever is no picture is refused by name."""

import io
import struct
import zlib

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from tests.covering import covering, each
from tests.features.media import encoded, picture

from dsae import DeepSparseAutoencoder
from dsae.features import ImageRows, from_json

Image = pytest.importorskip("PIL.Image")


@covering(
    joined={"channels, n": [("grey", 1), ("rgb", 3), ("rgba", 4)]},
    size=(7, (5, 9), 1),
    kind=("array", "path", "bytes", "PIL", "mapping"),
    by="kind",
)
def test_a_picture_of_the_size_comes_back_exactly(channels, n, size, kind, tmp_path):
    shape = size if isinstance(size, tuple) else (size, size)
    given = picture(*shape, n)
    if n == 4:
        given[..., 3] = np.maximum(given[..., 3], 1)
    (tmp_path / "x.png").write_bytes(encoded(given))
    item = {
        "array": given,
        "path": tmp_path / "x.png",
        "bytes": encoded(given),
        "PIL": Image.fromarray(given),
        "mapping": {"bytes": encoded(given), "path": "elsewhere.png"},
    }[kind]
    images = ImageRows(size, channels).fit([item])
    rows = images.transform([item, None])
    assert (rows.shape, rows.dtype) == ((2, n * shape[0] * shape[1]), np.float32)
    assert np.isnan(rows[1]).all()
    assert images.present([item, None]).tolist() == [True, False]
    back, none = images.inverse_transform(rows)
    assert none is None
    np.testing.assert_array_equal(back, given)
    np.testing.assert_array_equal(images.transform([back]), rows[:1])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(images.to_bytes(back)))), given)
    assert images.field == (shape if n == 1 else (n, *shape))
    assert len(set(images.get_feature_names_out())) == images.n_features == rows.shape[1]


def test_parts_of_a_field_are_channels():
    red = np.zeros((2, 3, 3), np.uint8)
    red[..., 0] = 255
    images = ImageRows((2, 3), "rgb")
    (row,) = images.transform([red])
    assert row.reshape(images.field).mean(axis=(1, 2)).tolist() == [1, 0, 0]
    assert images.get_feature_names_out()[[0, 6]].tolist() == ["red[0,0]", "green[0,0]"]


@each(
    {
        "aspect, expected": [
            ("crop", [[100, 200], [100, 200]]),
            ("stretch", [[50, 250], [50, 250]]),
            ("pad", [[255, 255], [50, 250]]),
        ]
    }
)
def test_the_shape_of_a_picture_is_kept_unless_it_is_stretched(aspect, expected):
    wide = np.repeat(np.array([[0, 100, 200, 255]], np.uint8), 2, axis=0)
    given = {"crop": wide, "stretch": np.array([[0, 100, 245, 255]] * 2, np.uint8), "pad": wide}[aspect]
    (row,) = ImageRows(2, aspect=aspect).transform([given])
    found = np.rint(row * 255).reshape(2, 2)
    if aspect == "pad":
        assert found[0].tolist() == [255, 255] or found[1].tolist() == [255, 255]
        assert [50, 228] in found.tolist()
    else:
        assert found.tolist() == expected


@each(size=[(28, 28), (7, 13), (1, 1)])
def test_a_plain_picture_of_any_size_stays_plain(size):
    """Of 55 pixels the cut to 28 once began at -4e-15, which Pillow refuses."""
    for aspect in ("crop", "stretch"):
        images = ImageRows(size, aspect=aspect)
        sizes = [(55, 55), (55, 61), *((h, w) for h in range(1, 60, 7) for w in range(2, 60, 5))]
        rows = images.transform([np.full(shape, 51, np.uint8) for shape in sizes])
        np.testing.assert_array_equal(rows, np.float32(0.2))


def saved(mode, format="PNG", **options):
    file = io.BytesIO()
    grey = Image.fromarray(picture(8, 8))
    {"I;16": lambda: Image.fromarray(picture(8, 8).astype(np.uint16) * 257)}.get(
        mode, lambda: grey.convert(mode)
    )().save(file, format, **options)
    return file.getvalue()


@each(
    mode=["1", "L", "P", "RGB", "RGBA", "LA", "I;16", "CMYK"],
    channels=["grey", "rgb", "rgba"],
)
def test_every_mode_becomes_eight_bits(mode, channels):
    images = ImageRows(8, channels, resample="nearest")
    content = saved(mode, "TIFF" if mode == "CMYK" else "PNG")
    (row,) = images.transform([content])
    first = np.rint(row.reshape(-1, 64)[0] * 255)
    expected = picture(8, 8).reshape(-1).astype(float)
    if mode != "1":
        np.testing.assert_allclose(first, expected, atol=1)
    else:
        assert set(first) == {0.0, 255.0}


def test_transparent_pixels_show_the_background():
    see_through = np.zeros((2, 2, 4), np.uint8)
    see_through[0, 0] = [10, 20, 30, 255]
    for background in (0, 255):
        rows = ImageRows(2, "rgb", background=background).transform([encoded(see_through)])
        pixels = np.rint(rows.reshape(3, 2, 2) * 255)
        assert pixels[:, 0, 0].tolist() == [10, 20, 30]
        assert (pixels[:, 1, 1] == background).all()


def test_a_picture_is_turned_as_its_exif_data_say():
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    plain = picture(4, 6)
    turned = ImageRows((6, 4)).transform([encoded(plain, "PNG", exif=exif)])
    np.testing.assert_array_equal(turned, ImageRows((6, 4)).transform([np.rot90(plain, -1)]))


def test_of_an_animation_the_first_frame_counts_and_a_warning_says_so():
    frames = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (10, 200)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match=r"^\[transform\] 1 of 2 images have several frames; the first one counts\.$"):
        rows = ImageRows(4).transform([file.getvalue(), frames[0]])
    np.testing.assert_array_equal(rows[0], rows[1])


def bomb(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


BAD = {
    "bomb.png": (bomb(60_000, 60_000), r"must have at most 89,478,485 pixels"),
    "large.png": (bomb(10_000, 10_000), r"must have at most 89,478,485 pixels; got 10000 x 10000"),
    "short.png": (encoded(picture(40, 40))[:300], r"must be a whole image file; it is truncated or corrupt"),
    "short.jpg": (encoded(picture(40, 40), "JPEG")[:-300], r"must be a whole image file; it is truncated or corrupt"),
    "none.png": (b"once upon a time", r"must be an image \(PNG, JPEG"),
    "empty.png": (b"", r"is an empty file"),
    "float.tif": (saved("F", "TIFF"), r"must have pixels of 8 or 16 bits; got floating-point numbers"),
    "page.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", r"must be an image \(PNG, JPEG"),
}


@each({"name": [*BAD, "lost.png", "folder"]})
def test_a_bad_file_is_named_in_one_line_and_loses_nothing(name, tmp_path):
    content, message = BAD.get(name, (None, "does not exist" if name == "lost.png" else "it is a folder"))
    path = tmp_path / name
    if name == "folder":
        path.mkdir(exist_ok=True)
    elif content is not None:
        path.write_bytes(content)
    good = picture(4, 4)
    with pytest.raises(ValueError, match=message) as caught:
        ImageRows(4).transform([good, path, good])
    assert str(caught.value).startswith(f"[transform] {path} ")
    assert "\n" not in str(caught.value)
    lenient = ImageRows(4, on_error="missing")
    found = lenient.encode([good, str(path), good])
    assert found.present.tolist() == [True, False, True]
    assert [problem.row for problem in found.problems] == [1]
    with pytest.warns(UserWarning, match=r"1 of 3 images could not be read and count as missing: "):
        rows = lenient.transform([good, path, good])
    np.testing.assert_array_equal(rows, found.rows)
    np.testing.assert_array_equal(rows[0], rows[2])
    assert np.isnan(rows[1]).all()


@each(
    {
        "item, message": [
            (np.full((3, 3), 2.0), r"must hold numbers from 0 to 1"),
            (np.full((3, 3), np.nan), r"must hold finite numbers"),
            (np.full((3, 3), -1), r"must hold numbers from 0 to 1"),
            (np.full((3, 3), 200), r"must hold numbers from 0 to 1, or be of uint8 or uint16; got int64 from 200 to"),
            (np.full((3, 3), 200, np.uint32), r"must hold numbers from 0 to 1, or be of uint8 or uint16; got uint32"),
            (np.zeros(9), r"must be a path, bytes or an array \[height, width\]"),
            (np.zeros((5, 5, 2)), r"must have 1, 3 or 4 channels; got shape \(5, 5, 2\)"),
            (np.array([["a"]]), r"must be a path, bytes or an array"),
            ({"text": "a"}, r"must be a path, bytes or an array; got a mapping of text"),
            (object(), r"must be a path, bytes or an array"),
            (Image.open(io.BytesIO(saved("L")[:60])), r"must be a whole image; got mode L \("),
            (Image.new("1", (10_000, 10_000)), r"must have at most 89,478,485 pixels; got 10000 x 10000"),
        ]
    }
)
def test_what_is_no_picture_is_refused_by_number(item, message):
    with pytest.raises(ValueError, match=rf"^\[transform\] image 0, counted from 0, {message}"):
        ImageRows(3).transform([item])


@each({"dtype, white": [(np.uint8, 255), (np.uint16, 65535), (">u2", 65535), (np.float32, 1), (bool, True)]})
def test_arrays_of_every_depth(dtype, white):
    array = np.zeros((2, 2), dtype)
    array[0, 0] = white
    assert ImageRows(2).transform([array])[0].tolist() == [1, 0, 0, 0]
    np.testing.assert_array_equal(ImageRows(2).transform([array, array]), ImageRows(2).transform(np.stack([array] * 2)))


def portable_grey(value, most):
    return f"P5 2 2 {most}\n".encode() + np.full((2, 2), value, ">u2" if most > 255 else "u1").tobytes()


@each({"value": [0, 1, 200, 255, 256, 300, 65535], "form": ["PGM", "PNG", "TIFF"]})
def test_how_dark_a_16_bit_picture_is_does_not_change_how_it_is_read(value, form):
    array = np.full((2, 2), value, np.uint16)
    item = portable_grey(value, 65535) if form == "PGM" else encoded(array, form)
    np.testing.assert_array_equal(ImageRows(2).transform([item])[0], np.float32(value // 256) / np.float32(255))


@each({"most": [1, 15, 255, 1023, 4095, 65535]})
def test_the_largest_value_that_a_file_names_is_white(most):
    assert ImageRows(2).transform([portable_grey(most, most)]).tolist() == [[1] * 4]


def tiff_of_12_bits(value):
    """Two pixels of 12 bits in three bytes."""
    tags = ((256, 2), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 3))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, number) for tag, number in tags)
    pixels = (value << 12 | value).to_bytes(3, "big") + b"\0"  # what follows begins at an even place
    return struct.pack("<2sHI", b"II", 42, 12) + pixels + struct.pack("<H", len(tags)) + entries + bytes(4)


@each({"value": [0, 255, 2048, 4095]})
def test_a_tiff_of_12_bits_is_as_bright_as_one_of_8(value):
    expected = np.float32(value // 16) / np.float32(255)
    np.testing.assert_array_equal(ImageRows((1, 2)).transform([tiff_of_12_bits(value)])[0], expected)


@each({"value": [200, 300], "mode": ["I", "F"]})
def test_a_file_of_32_bits_is_refused(value, mode):
    item = encoded(np.full((2, 2), value, {"I": np.int32, "F": np.float32}[mode]), "TIFF")
    with pytest.raises(ValueError, match=r"image 0, .* must have pixels of 8 or 16 bits; got "):
        ImageRows(2).transform([item])


def test_arrays_as_torch_has_them():
    colours = picture(6, 5, 3)
    images = ImageRows((6, 5), "rgb")
    np.testing.assert_array_equal(images.transform([colours]), images.transform([colours.transpose(2, 0, 1)]))


@each(
    {"X, got": [("a.png", "one str"), (b"x", "one bytes"), (3, "int"), ({"image": []}, "one dict"), (np.array(1), "")]}
)
def test_one_picture_is_no_list(X, got):
    with pytest.raises(TypeError, match=rf"\[transform\] X must be a list of images; got {got}"):
        ImageRows(3).transform(X)


@each(
    {
        "settings, message": [
            ({"size": 0}, "at least 1 pixel"),
            ({"size": (3,)}, "height and width"),
            ({"size": 2.5}, "at least 1 pixel"),
            ({"size": (1 << 13, 1 << 13)}, "rows of at most"),
            ({"channels": "gray"}, "Did you mean 'grey'"),
            ({"aspect": "cut"}, "aspect must be one of"),
            ({"resample": "cubic"}, "Did you mean 'bicubic'"),
            ({"background": 256}, "background must be a whole number in 0..255"),
            ({"on_error": "skip"}, "on_error must be one of raise, missing"),
        ]
    }
)
def test_a_bad_setting_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ImageRows(**settings).fit([])


@covering(channels=("grey", "rgb"), aspect=("crop", "pad", "stretch"), resample=("box", "bicubic"), by="aspect")
def test_it_is_kept_as_json_bit_for_bit(channels, aspect, resample):
    images = ImageRows((5, 4), channels, aspect=aspect, resample=resample, background=7).fit([])
    again = from_json(images.to_json())
    assert type(again) is ImageRows
    assert again.get_params() == images.get_params() == clone(images).get_params()
    given = [picture(11, 17), picture(9, 3, 3), None]
    np.testing.assert_array_equal(again.transform(given), images.transform(given))
    assert again.to_json() == images.to_json()


def test_a_row_has_the_width_of_transform():
    with pytest.raises(ValueError, match=r"\[inverse_transform\] X must have 9 columns, as transform gives them"):
        ImageRows(3).inverse_transform(np.zeros((2, 8)))
    with pytest.raises(ValueError, match=r"it holds infinity"):
        ImageRows(3).inverse_transform(np.full((2, 9), np.inf))


def test_it_stands_in_a_pipeline():
    pictures = [picture(6, 6, seed=seed) for seed in range(20)]
    dsa = DeepSparseAutoencoder(2, hidden_layer_sizes=(4,), density=0.5, max_iter=1, random_state=0)
    pipeline = make_pipeline(ImageRows(6), dsa).fit(pictures)
    made = pipeline.inverse_transform(pipeline.transform(pictures))
    assert [one.shape for one in made] == [(6, 6)] * 20
