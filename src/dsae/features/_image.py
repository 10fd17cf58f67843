"""Pictures as rows of numbers, and back: the only file that imports Pillow."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from dsae.config import one_of, whole_number
from dsae.features._each import LARGEST_ROW, ItemRows
from dsae.features._items import BadItemError, Notes, bytes_of, check_file, is_path

CHANNELS = {"grey": (1, "L"), "rgb": (3, "RGB"), "rgba": (4, "RGBA")}
"""How many channels each has, and what Pillow calls it."""
ASPECTS = ("crop", "pad", "stretch")
RESAMPLES = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
# Formats that are pixels and nothing else: Pillow's EPS starts Ghostscript, others open further files.
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000")
_LARGEST = 89_478_485  # pixels, Pillow's own bound: 1 GiB / 4 / 3
_SIXTEEN_AS_WIDE = ("PNG", "PPM")  # formats of 16 bits at most, which Pillow widens to 32, up to 65535
_BITS_OF_TIFF = 258  # the tag BitsPerSample
_FIRST_FRAME = "frames"


class ImageRows(ItemRows):
    """Pictures as rows of numbers from 0 to 1, and rows as pictures again.

    A picture is turned as its EXIF data say, laid on ``background`` where it is transparent, converted to ``channels``
    (grey is ITU-R 601-2 luma) and brought to ``size``. With the default, ``aspect="crop"``, the largest centred part
    with the shape of ``size`` is kept and resized; a picture of that size is taken as it is. Of 16-bit pictures the
    upper 8 bits count, of animations the first frame. Arrays of whole numbers must be of uint8 or uint16.
    `inverse_transform` rounds to 8 bits: 8-bit pictures of ``size`` come back exactly.

    Parameters
    ----------
    size : int or (int, int)
        Height and width in pixels; one number means both.
    channels : {"grey", "rgb", "rgba"}
    aspect : {"crop", "pad", "stretch"}
        What happens to a picture of another shape: its margins are cut, it gets margins of ``background``, or it is
        stretched.
    resample : {"nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"}
        Pillow's filter.
    background : int
        Grey from 0 to 255 behind transparent pictures and in margins.
    on_error : {"raise", "missing"}
        Whether a picture that cannot be read raises, or counts as missing.

    Raises
    ------
    ImportError
        When a file is read, if Pillow is not installed.

    Examples
    --------
    >>> pictures = np.arange(0, 240, 15, dtype=np.uint8).reshape(1, 4, 4)
    >>> images = ImageRows(4).fit(pictures)
    >>> rows = images.transform([pictures[0], None])
    >>> rows.shape, images.present([pictures[0], None]).tolist(), images.field
    ((2, 16), [True, False], (4, 4))
    >>> bool((images.inverse_transform(rows)[0] == pictures[0]).all())
    True
    """

    kind = noun = "image"
    suffix = ".png"

    def __init__(
        self,
        size: int | tuple[int, int] = (28, 28),
        channels: str = "grey",
        *,
        aspect: str = "crop",
        resample: str = "box",
        background: int = 255,
        on_error: str = "raise",
    ) -> None:
        self.size = size
        self.channels = channels
        self.aspect = aspect
        self.resample = resample
        self.background = background
        self.on_error = on_error

    @property
    def field(self) -> tuple[int, ...]:
        """Height and width, or channels, height and width."""
        n, shape = CHANNELS[self.channels][0], _pair(self.size)
        return shape if n == 1 else (n, *shape)

    def inverse_transform(self, X: Any) -> list[np.ndarray | None]:
        """The pictures that rows mean.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Values below 0 and above 1 count as 0 and 1.

        Returns
        -------
        list of ndarray of uint8, shape (height, width) or (height, width, channels), or None
            As Pillow and matplotlib take them; None for a row with NaN.

        Raises
        ------
        ValueError
            If ``X`` has not the columns that `transform` gives.
        """
        self._check()
        pixels = np.rint(np.clip(self._rows_to_invert(X), 0, 1) * np.float32(255))
        empty = np.asarray(np.isnan(pixels).any(axis=1))
        whole = np.where(np.isnan(pixels), 0, pixels).astype(np.uint8).reshape(-1, *self.field)
        whole = whole if whole.ndim == 3 else whole.transpose(0, 2, 3, 1)
        return [None if none else np.ascontiguousarray(one) for none, one in zip(empty, whole, strict=True)]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """``pixel[y,x]``, or ``red[y,x]`` and so on."""
        height, width = _pair(self.size)
        names = ["pixel"] if self.channels == "grey" else ["red", "green", "blue", "alpha"][: self.field[0]]
        cells = [f"[{y},{x}]" for y in range(height) for x in range(width)]
        return np.array([name + cell for name in names for cell in cells], dtype=object)

    def to_bytes(self, value: Any) -> bytes:
        """A picture as the content of a PNG file."""
        file = io.BytesIO()
        _pillow().fromarray(np.ascontiguousarray(value, np.uint8)).save(file, "PNG")
        return file.getvalue()

    def _check(self) -> None:
        super()._check()
        one_of("channels", self.channels, tuple(CHANNELS))
        one_of("aspect", self.aspect, ASPECTS)
        one_of("resample", self.resample, RESAMPLES)
        whole_number("background", self.background, 256)
        for name, pixels in zip(("height", "width"), _pair(self.size), strict=True):
            if isinstance(pixels, bool) or not hasattr(pixels, "__index__") or not 1 <= pixels <= LARGEST_ROW:
                raise ValueError(f"size must hold a {name} of at least 1 pixel; got {pixels!r:.60}.")
        if self.n_features > LARGEST_ROW:
            raise ValueError(f"size must give rows of at most {LARGEST_ROW:,} values; got {self.field}.")

    def value(self, item: Any, notes: Notes) -> np.ndarray:
        """A row of one picture."""
        item = bytes_of(item)
        if is_path(item) or isinstance(item, bytes):
            image = _decoded(item, notes)
        elif hasattr(item, "getbands"):
            image = _of_pillow(item)
        else:
            image = _of_array(item)
        pixels = np.asarray(self._fitted(self._converted(image)), np.uint8)
        pixels = pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        return pixels.reshape(-1) / np.float32(255)

    def stacked(self, values: Sequence[Any]) -> np.ndarray:
        """Rows of pictures, NaN where there is none."""
        return self._dense(values)

    def told(self, notes: Notes, n: int) -> list[str]:
        """Of animations."""
        animated = int(notes.counts[_FIRST_FRAME])
        return [f"{animated} of {n} images have several frames; the first one counts."] if animated else []

    def _converted(self, image: Any) -> Any:
        mode = CHANNELS[self.channels][1]
        if image.mode == mode:
            return image
        if image.mode == "RGBA" and mode != "RGBA":
            behind = _pillow().new("RGBA", image.size, (self.background,) * 3 + (255,))
            behind.alpha_composite(image)
            image = behind.convert("RGB")
        return image.convert(mode)

    def _fitted(self, image: Any) -> Any:
        height, width = _pair(self.size)
        if image.size == (width, height):
            return image
        resample = getattr(_pillow().Resampling, self.resample.upper())
        across, down = image.size
        if self.aspect == "stretch":
            return image.resize((width, height), resample)
        if self.aspect == "crop":
            scale = max(width / across, height / down)
            # rounding may leave less than nothing on one side
            cut, off = (max(0.0, whole - kept / scale) / 2 for whole, kept in ((across, width), (down, height)))
            return image.resize((width, height), resample, (cut, off, across - cut, down - off))
        scale = min(width / across, height / down)
        inner = max(1, round(across * scale)), max(1, round(down * scale))
        n = len(image.getbands())
        page = _pillow().new(image.mode, (width, height), (self.background,) * n if n > 1 else self.background)
        page.paste(image.resize(inner, resample), ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return page


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, (tuple, list)):
        if len(size) != 2:
            raise ValueError(f"size must be a number of pixels, or height and width; got {size!r:.60}.")
        return size[0], size[1]
    return size, size


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError('Images need Pillow: pip install "dsae[image]".') from None
    return Image


def _decoded(item: Any, notes: Notes) -> Any:
    """The first frame of an image file, upright, in 8 bits."""
    source = io.BytesIO(item) if isinstance(item, bytes) else check_file(item)
    pillow = _pillow()
    try:
        with warnings.catch_warnings():
            # of bombs, which are measured here, and of damaged metadata, which do not matter to pixels
            warnings.simplefilter("ignore")
            with pillow.open(source, formats=_FORMATS) as image:
                if image.width * image.height > _LARGEST:
                    raise BadItemError(_too_large(image.size))
                if getattr(image, "n_frames", 1) > 1:
                    notes.add(_FIRST_FRAME)
                image.load()
                return _eight_bits(_upright(image), image.format, _bits(image))
    except (BadItemError, MemoryError, ImportError):
        raise
    except pillow.DecompressionBombError:
        raise BadItemError(f"must have at most {_LARGEST:,} pixels; it has more than twice as many") from None
    except pillow.UnidentifiedImageError:
        raise BadItemError(
            f"must be an image ({', '.join(_FORMATS)}); it is not, or its first bytes are damaged"
        ) from None
    except Exception as error:  # Pillow's decoders raise SyntaxError, ValueError, struct.error and others
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadItemError(f"must be a whole image file; it is truncated or corrupt ({why})") from None


def _too_large(size: tuple[int, int]) -> str:
    return f"must have at most {_LARGEST:,} pixels; got {size[0]} x {size[1]}"


def _upright(image: Any) -> Any:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF data that cannot be read say nothing of how a picture is to be turned
        return image


def _bits(image: Any) -> int:
    """How many of the 16 bits of a grey pixel a file uses: those of TIFF are widened, and not made larger."""
    bits = getattr(image, "tag_v2", {}).get(_BITS_OF_TIFF, (16,))
    return int(bits[0]) if 8 < bits[0] < 16 else 16


def _eight_bits(image: Any, form: str | None, bits: int = 16) -> Any:
    """A picture in L, RGB or RGBA, of a file of the format ``form`` of which 16-bit pixels use some ``bits``."""
    if image.mode == "I" and form in _SIXTEEN_AS_WIDE:
        return _of_array(np.asarray(image).astype(np.uint16))
    if image.mode.startswith("I;16"):
        return _of_array(np.asarray(image).astype(np.uint16) << np.uint16(16 - bits))
    if image.mode in ("I", "F"):
        got = "whole numbers of 32 bits" if image.mode == "I" else "floating-point numbers"
        raise BadItemError(f"must have pixels of 8 or 16 bits; got {got}")
    if "transparency" in image.info or image.mode in ("LA", "PA", "La", "RGBa"):
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "RGBA") else image.convert("L" if image.mode == "1" else "RGB")


def _of_pillow(image: Any) -> Any:
    """A picture of Pillow's, which may not be read yet, in 8 bits."""
    if image.width * image.height > _LARGEST:
        raise BadItemError(_too_large(image.size))
    try:
        image.load()
        return _eight_bits(image, image.format)
    except (BadItemError, MemoryError):
        raise
    except Exception as error:  # a damaged or closed file, or a mode without a way to RGB
        raise BadItemError(
            f"must be a whole image; got mode {image.mode} ({' '.join(str(error).split())[:200]})"
        ) from None


def _of_array(item: Any) -> Any:
    """A picture of an array of 8 or 16 bits, or of numbers from 0 to 1."""
    try:
        array = np.asarray(item)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadItemError(
            f"must be a path, bytes or an array of pixels; got {type(item).__name__} ({error})"
        ) from None
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        array = array.transpose(1, 2, 0)  # as torch has pictures
    if array.dtype.kind not in "biuf" or not array.size or array.ndim not in (2, 3):
        raise BadItemError(
            f"must be a path, bytes or an array [height, width] or [height, width, channels]; got "
            f"{type(item).__name__} of shape {array.shape} and dtype {array.dtype}"
        )
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        raise BadItemError(f"must have 1, 3 or 4 channels; got shape {array.shape}")
    if array.shape[0] * array.shape[1] > _LARGEST:
        raise BadItemError(_too_large(array.shape[1::-1]))
    pixels = _as_bytes(array)
    return _pillow().fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels))


def _as_bytes(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if not np.isfinite(array).all():
        raise BadItemError("must hold finite numbers; it holds NaN or infinity")
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return (array >> 8).astype(np.uint8)
    low, high = array.min(), array.max()
    if array.dtype.kind != "f":  # 200 is bright in 8 bits and dark in 16, and such a type does not tell which
        raise BadItemError(
            f"must hold numbers from 0 to 1, or be of uint8 or uint16; got {array.dtype} from {low} to {high}. Convert "
            "it, as with astype('uint8')"
        )
    if low < 0 or high > 1:
        raise BadItemError(
            f"must hold numbers from 0 to 1, or be of uint8 or uint16; got {array.dtype} from {low} to {high}"
        )
    return np.rint(array * 255).astype(np.uint8)
