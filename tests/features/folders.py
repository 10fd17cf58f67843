"""Folders of small pictures, sounds and texts, and the rows that they become."""

import io
import tarfile

import numpy as np
from tests.features.media import encoded, picture, tone, wav

from dsae.data import Batch, open_rows
from dsae.features import AudioRows, ImageRows, encoders_from_json

SOUND = AudioRows(8000, 0.25, 8)
ENCODERS = {"image": ImageRows(6), "audio": SOUND}


def put(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def image(seed):
    return encoded(picture(6, 6, seed=seed))


def sound(hertz):
    return wav(tone(hertz, 0.25))


def loaded(folder):
    """All rows; those of one modality alone are a plain table."""
    batch = Batch.stack(list(open_rows(folder).chunks()))
    if list(batch.parts) != ["X"]:
        return batch
    (name,) = encoders_from_json((folder / "encoders.json").read_text("utf-8"))
    return Batch({name: batch.rows}, batch.numbers, {name: np.ones(len(batch), bool)}, batch.ids, batch.labels)


def images_of(batch):
    return [np.rint(row * 255).astype(int).tolist() for row in batch.parts["image"]]


def expected_images(seeds):
    return [picture(6, 6, seed=seed).reshape(-1).astype(int).tolist() for seed in seeds]


def tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path
