"""Pictures and sounds of rows and of atoms."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from dsae.explorer._folder import Target
from dsae.explorer._given import ITEMS
from dsae.explorer._view import View

PER_SHARD = 16
_CELLS = 64  # pixels of a side: larger pictures are shrunk
_PICTURE_BYTES = 1 << 26  # of the pictures of all rows
_SOUND_BYTES = 24_000_000
_MOST_SOUNDS = 200  # rows: making a sound of a spectrogram takes some hundredths of a second


class Shape:
    """How the features of a modality are pixels.

    Parameters
    ----------
    field : tuple of int
        Height and width, or channels, height and width.
    """

    def __init__(self, field: tuple[int, ...]) -> None:
        self._field = field
        channels = field[0] if len(field) == 3 else 1
        height, width = field[-2:]
        self.height, self.width = min(height, _CELLS), min(width, _CELLS)
        self.channels = 1 if channels == 1 else 3

    @property
    def size(self) -> int:
        """Numbers of a picture."""
        return self.height * self.width * self.channels

    @property
    def shape(self) -> list[int]:
        """Height, width and channels."""
        return [self.height, self.width, self.channels]

    def names(self) -> list[str]:
        """What the pixels are called: line and column, and the channel if there are several."""
        places = np.ndindex(*self._field)
        return ["pixel[" + ",".join(map(str, (*place[-2:], *place[:-2]))) + "]" for place in places]

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Pictures ``[n, height, width, channels]`` of rows; larger ones as means of blocks."""
        images = rows.reshape(rows.shape[0], -1, *self._field[-2:])
        if images.shape[1] > self.channels:  # what is behind red, green and blue is how opaque they are
            images = images[:, : self.channels]
        for axis, cells in ((2, self.height), (3, self.width)):
            n = images.shape[axis]
            if n > cells:
                starts = np.arange(cells) * n // cells
                sizes = np.diff([*starts, n]).reshape((-1,) + (1,) * (3 - axis))
                images = np.add.reduceat(images, starts, axis=axis) / sizes
        return images.transpose(0, 2, 3, 1)


class Media:
    """Pictures and sounds of a model's modalities.

    Parameters
    ----------
    view : View
    target : Target
    image_shape : tuple of int, or mapping of str to tuple of int, optional
        Height and width, or channels, height and width, of features that are pixels.
    audio : int, optional
        Samples per second, of a model whose rows are sounds.
    encoder : AudioRows, ImageRows, TextRows or TableRows, optional
        What made the rows of a model of one modality.
    fields : mapping of str to tuple of int
        What rows say of themselves, by modality.
    """

    def __init__(
        self, view: View, target: Target, image_shape: Any, audio: Any, encoder: Any, fields: Mapping[str, Any]
    ) -> None:
        self._view, self._target = view, target
        self._encoders = _encoders(view, encoder)
        self.rate = audio
        known = view.joint or encoder is not None
        if audio is not None and (known or isinstance(audio, bool) or not 1 <= int(audio) <= 768_000):
            raise ValueError(
                f"[explore] audio must be the samples per second of a model whose rows are sounds; got {audio!r}. "
                "Encoders, and models of several modalities, know their own."
            )
        self.shapes: dict[str, Shape] = {}
        given = image_shape if isinstance(image_shape, Mapping) else {"": image_shape} if not view.joint else {}
        if view.joint and image_shape is not None and not isinstance(image_shape, Mapping):
            raise ValueError(f"[explore] image_shape must be by modality ({', '.join(view.models)}); got one for all.")
        for name, of in view.models.items():
            field = given.get(name)
            if field is False:
                continue
            if field is None:
                field = getattr(self._encoders.get(name), "field", None) or fields.get(name)
            else:
                field = _checked(field, of.config.n_features)
            if field is not None and len(field) in (2, 3) and prod(field) == of.config.n_features:
                self.shapes[name] = Shape(tuple(int(n) for n in field))
        self.low: dict[str, float] = {}
        self.high: dict[str, float] = {}
        self._kept: dict[int, dict[str, Any]] = {}
        self._sounding = np.zeros(0, np.int64)
        self.n_sounds = 0

    def words(self) -> list[str] | None:
        """Names of the features that the encoder of a model of one modality gives; None if there are none."""
        encoder: Any = self._encoders.get("")
        return list(map(str, encoder.get_feature_names_out())) if getattr(encoder, "kind", None) == "text" else None

    def pixels(self, names: list[str]) -> list[str]:
        """Names of features without names, pixels by their places."""
        named = list(names)
        for name, shape in self.shapes.items():
            named[self._view.spans[name]] = shape.names()
        return named

    def kinds(self) -> dict[str, str]:
        """What each modality is."""
        found = {}
        for name, of in self._view.models.items():
            kind = getattr(self._encoders.get(name), "kind", None)
            if kind is None:
                kind = "audio" if self.rate else "image" if name in self.shapes else "numbers"
                kind = "table" if of.model.table is not None else kind
            found[name] = kind if kind in ("text", "image", "audio", "table") else "numbers"
        return found

    def rates(self) -> dict[str, int | None]:
        """Samples per second of each modality, where it is sound."""
        return {name: self.rate or getattr(self._encoders.get(name), "rate", None) for name in self._view.models}

    def ranged(self, low: np.ndarray, high: np.ndarray) -> None:
        """Take the ranges of features: black and white of pictures. Encoders of pictures give 0 to 1."""
        for name in self.shapes:
            span = self._view.spans[name]
            if getattr(self._encoders.get(name), "kind", None) == "image":
                self.low[name], self.high[name] = 0.0, 1.0
            else:
                self.low[name], self.high[name] = float(np.nanmin(low[span])), float(np.nanmax(high[span]))

    def room(self) -> int:
        """Rows whose pictures keep to the budget."""
        size = 2 * sum(shape.size for shape in self.shapes.values())
        return _PICTURE_BYTES // size if size else 1 << 62

    def sounding(self, rows: np.ndarray, ranked: list[np.ndarray]) -> None:
        """Choose the stored rows that can be heard: the strongest examples, as many as the budget has room for.

        Parameters
        ----------
        rows : ndarray of int64
            Numbers of the stored rows, ascending.
        ranked : list of ndarray of int64
            Numbers of rows, the most wanted first.
        """
        if not self._sounds:
            return
        per_row = 4 * sum(self._n_samples(name) for name in self._sounds)
        most = int(min(_MOST_SOUNDS, max(1, _SOUND_BYTES // max(per_row, 1))))
        wanted = np.concatenate([*ranked, rows])
        order, first = np.unique(wanted, return_index=True)
        order = order[np.argsort(first, kind="stable")]
        order = order[np.isin(order, rows)][:most]
        self._sounding = np.searchsorted(rows, np.sort(order))

    def pictures(self, x: np.ndarray, rebuilt: np.ndarray, known: np.ndarray) -> dict[str, Any]:
        """Pictures of rows and of what is made of their codes, as levels."""
        found = {}
        for name, shape in self.shapes.items():
            span = self._view.spans[name]
            has = np.asarray(known[:, span].any(axis=1))[:, None]
            given = np.where(known[:, span], x[:, span], self.low[name])
            found[name] = {
                "x": self._levels(name, np.where(has, given, self.low[name]), shape),
                "rebuilt": self._levels(name, rebuilt[:, span], shape),
            }
        return found

    def atoms(self, rows: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
        """Pictures of signed numbers, each on a scale of its own, and these scales.

        Parameters
        ----------
        rows : ndarray, shape (n, n_features)
        """
        pictures, scales = {}, {}
        for name, shape in self.shapes.items():
            images = shape.of(np.asarray(rows[:, self._view.spans[name]], np.float64)).reshape(rows.shape[0], -1)
            scale = np.abs(images).max(axis=1)
            shown = np.rint(127 * images / np.where(scale > 0, scale, 1)[:, None])
            pictures[name], scales[name] = shown.astype(np.int8), scale
        return pictures, scales

    def sounds(self, first: int, x: np.ndarray, rebuilt: np.ndarray, known: np.ndarray) -> None:
        """Keep the sounds of those of some stored rows that are to be heard, and write what is complete."""
        for at in self._sounding[(self._sounding >= first) & (self._sounding < first + x.shape[0])]:
            i = int(at) - first
            entry: dict[str, Any] = {}
            for name in self._sounds:
                span = self._view.spans[name]
                there = bool(known[i, span].all())
                entry[name] = (self._wav(name, x[i, span]) if there else None, self._wav(name, rebuilt[i, span]))
            self._kept[int(at)] = entry
            self.n_sounds += 1

    def finish(self) -> None:
        """Write the sounds."""
        for shard in sorted({at // PER_SHARD for at in self._kept}):
            places = range(shard * PER_SHARD, (shard + 1) * PER_SHARD)
            sounds = {
                name: {
                    key: [self._kept[at][name][j] if at in self._kept else None for at in places]
                    for j, key in enumerate(("x", "rebuilt"))
                }
                for name in self._sounds
            }
            self._target.write(f"sounds/{shard}", {"first": places[0], "n": PER_SHARD, "sounds": sounds})

    @property
    def _sounds(self) -> list[str]:
        if self.rate:
            return [""]
        return [name for name, encoder in self._encoders.items() if getattr(encoder, "kind", None) == "audio"]

    def _n_samples(self, name: str) -> int:
        encoder = self._encoders.get(name)
        return encoder.n_samples if encoder is not None else self._view.models[name].config.n_features

    def _wav(self, name: str, row: np.ndarray) -> str:
        encoder = self._encoders.get(name)
        if encoder is not None:
            content = encoder.to_bytes(encoder.inverse_transform(row[None].astype(np.float32))[0])
        else:
            peak = max(1.0, float(np.abs(row).max(initial=0.0)))
            samples = np.rint(row / peak * 32767).astype("<i2").tobytes()
            with io.BytesIO() as file:
                with wave.open(file, "wb") as out:
                    out.setparams((1, 2, int(self.rate), len(row), "NONE", ""))
                    out.writeframes(samples)
                content = file.getvalue()
        return base64.b64encode(content).decode()

    def _levels(self, name: str, rows: np.ndarray, shape: Shape) -> np.ndarray:
        low, high = self.low[name], self.high[name]
        levels = 255 * (shape.of(rows) - low) / (high - low if high > low else 1.0)
        return np.clip(np.rint(np.nan_to_num(levels)), 0, 255).astype(np.uint8).reshape(rows.shape[0], -1)


def _encoders(view: View, given: Any) -> dict[str, Any]:
    """By modality, the one of a model of one modality being called ``""``.

    Raises
    ------
    ValueError
        If the model has its own, or rows of another width.
    TypeError
        If it is no encoder of sounds, pictures or texts.
    """
    if view.joint:
        if given is not None:
            raise ValueError("[explore] encoder is for models of one modality; this one has its own. Leave it out.")
        return dict(view.runtime.encoders) if view.runtime.model.encoders else {}
    if given is None:
        return {}
    width = prod(given.field) if getattr(given, "kind", None) in ITEMS else None
    if width is None:
        raise TypeError(f"[explore] encoder must be AudioRows, ImageRows or TextRows; got {type(given).__name__}.")
    if width != view.n_features:
        raise ValueError(
            f"[explore] encoder must make rows of {view.n_features:,} features, as the model takes them; it makes "
            f"{width:,}. Give the one that made the training rows."
        )
    return {"": given}


def _checked(field: Any, n_features: int) -> tuple[int, ...]:
    shape = tuple(np.atleast_1d(np.asarray(field)).tolist())
    if len(shape) not in (2, 3) or prod(shape) != n_features:
        raise ValueError(
            f"[explore] image_shape must be (height, width) or (channels, height, width) with {n_features} numbers, "
            f"the features of a row; got {field!r}."
        )
    return shape
