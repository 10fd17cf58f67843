"""Pictures and sounds made of formulas, as arrays and as the bytes of files."""

import io
import struct
import wave

import numpy as np


def picture(height=12, width=12, channels=1, seed=0):
    """A smooth gradient with noise, uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    grey = (8 * y + 5 * x + rng.integers(0, 40, (height, width))) % 256
    return (grey if channels == 1 else np.stack([(grey * (c + 1)) % 256 for c in range(channels)], 2)).astype(np.uint8)


def encoded(array, format="PNG", mode=None, **options):
    """The bytes of an image file."""
    from PIL import Image

    file = io.BytesIO()
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(file, format, **options)
    return file.getvalue()


def tone(hertz=440.0, seconds=0.5, rate=8000, loud=0.5):
    """A sine."""
    return (loud * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def chirp(seconds=0.5, rate=8000, low=200.0, high=2000.0):
    """A tone that rises."""
    t = np.arange(round(rate * seconds)) / rate
    return (0.5 * np.sin(2 * np.pi * (low * t + (high - low) * t**2 / (2 * seconds)))).astype(np.float32)


def wav(samples, rate=8000):
    """The bytes of a wav file of 16 bits, of samples ``[n]`` or ``[n, channels]``."""
    samples, file = np.asarray(samples), io.BytesIO()
    with wave.open(file, "wb") as out:
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        out.setparams((channels, 2, rate, len(samples), "NONE", ""))
        out.writeframes(np.rint(samples * 32767).astype("<i2").tobytes())
    return file.getvalue()


def float_wav(samples, rate=8000):
    """The bytes of a wav file of floating-point numbers, which may be no numbers."""
    data = np.asarray(samples, "<f4").tobytes()
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, rate, 4 * rate, 4, 32)
    body = b"WAVE" + head + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body
