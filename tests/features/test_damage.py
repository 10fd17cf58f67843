"""Files damaged at random are rows, or refused in one line; nothing else happens."""

import io
import random
import warnings

import pytest
from tests.contract.attacks import bruised
from tests.covering import each
from tests.features.media import chirp, encoded, picture, wav

from dsae.features import AudioRows, ImageRows

pytest.importorskip("PIL")
soundfile = pytest.importorskip("soundfile")


def flac():
    file = io.BytesIO()
    soundfile.write(file, chirp(0.3), 8000, format="FLAC")
    return file.getvalue()


FILES = {
    "png": lambda: encoded(picture(20, 20, 3)),
    "jpeg": lambda: encoded(picture(20, 20), "JPEG"),
    "gif": lambda: encoded(picture(20, 20), "GIF"),
    "bmp": lambda: encoded(picture(20, 20), "BMP"),
    "wav": lambda: wav(chirp(0.3)),
    "flac": flac,
}


@each(kind=list(FILES))
def test_damaged_files(kind):
    rng, content, refused = random.Random(0), FILES[kind](), 0
    rows = AudioRows(8000, 0.25, 8) if kind in ("wav", "flac") else ImageRows(6, "rgb")
    for _ in range(60):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert rows.transform([bruised(content, rng)]).shape == (1, rows.n_features)
        except ValueError as error:
            assert str(error).startswith("[transform] ")  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
            refused += 1
    assert refused
