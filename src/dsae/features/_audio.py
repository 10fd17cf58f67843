"""Sounds as rows of numbers, and back: the only file that imports soundfile."""

from __future__ import annotations

import io
import wave as wav
from collections.abc import Mapping, Sequence
from math import ceil, gcd
from typing import Any

import numpy as np
from scipy.signal import resample_poly

from dsae.config import in_range, one_of, positive_int
from dsae.features._each import LARGEST_ROW, ItemRows
from dsae.features._items import BadItemError, Notes, bytes_of, check_file, is_path
from dsae.features._mel import Mel
from dsae.features._whole import check_whole

POSITIONS = ("centre", "start")
_RATES = 1000, 768_000  # of files; a header may claim any number, and a resampling filter is as long as it
_LONGEST_WINDOW = 1 << 15
_MOST_BANDS = 1024
_MOST_ROUNDS = 1000
_MOST_CELLS = 1 << 24  # of a spectrogram, and of its filters: settings from elsewhere could else ask for all memory
_MOST_VALUES = 1 << 28  # samples of one sound before it is cut: half an hour of 48 kHz stereo is 2^27
_AROUND = 64  # samples beside a cut that a resampling filter sees


class AudioRows(ItemRows):
    """Sounds as rows of log-mel spectrograms, and rows as sounds again.

    A sound becomes mono (the mean of its channels) at ``rate``, cut to ``seconds`` or padded with silence, then the
    logarithm of the power in ``n_mels`` bands and frames ``hop`` apart. The bands lie even in mel (2595 log10(1 + f /
    700)), the window is Hann's. `inverse_transform` finds a waveform by Griffin and Lim's iteration: words stay
    recognisable, voices sound metallic, since phases are not kept.

    Parameters
    ----------
    rate : int
        Samples per second; other rates are resampled.
    seconds : float
        Length of a row's sound.
    n_mels : int
        Bands.
    window, hop : float
        Seconds of a frame, and from one frame to the next.
    low : float
        Where the bands begin, in Hz.
    high : float or None
        Where they end; by default half of ``rate``.
    floor : float
        Power added before the logarithm: silence becomes ``log(floor)``.
    position : {"centre", "start"}
        Which part of a longer sound is kept, and where silence is not added to a shorter one.
    n_iter : int
        Rounds of Griffin and Lim's iteration.
    on_error : {"raise", "missing"}
        Whether a sound that cannot be read, or is silent, raises or counts as missing.

    Raises
    ------
    ImportError
        When a file is read, if soundfile is not installed.

    Examples
    --------
    >>> sounds = AudioRows(rate=8000, seconds=0.5, n_mels=20)
    >>> tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4000) / 8000)
    >>> rows = sounds.fit([tone]).transform([tone, (tone, 16_000), None])
    >>> rows.shape, sounds.field, float(sounds.bands[rows[0].reshape(sounds.field)[10].argmax()].round())
    ((3, 400), (20, 20), 461.0)
    >>> sounds.inverse_transform(rows)[0].shape
    (4000,)
    """

    kind = "audio"
    noun = "sound"
    suffix = ".wav"

    def __init__(
        self,
        rate: int = 8000,
        seconds: float = 1.0,
        n_mels: int = 40,
        *,
        window: float = 0.032,
        hop: float = 0.025,
        low: float = 50.0,
        high: float | None = None,
        floor: float = 1e-6,
        position: str = "centre",
        n_iter: int = 60,
        on_error: str = "raise",
    ) -> None:
        self.rate = rate
        self.seconds = seconds
        self.n_mels = n_mels
        self.window = window
        self.hop = hop
        self.low = low
        self.high = high
        self.floor = floor
        self.position = position
        self.n_iter = n_iter
        self.on_error = on_error

    @property
    def field(self) -> tuple[int, ...]:
        """Frames and bands."""
        return self._mel.n_frames, self.n_mels

    @property
    def n_samples(self) -> int:
        """Samples of a row's sound."""
        return round(self.rate * self.seconds)

    @property
    def bands(self) -> np.ndarray:
        """Frequencies at which bands peak, in Hz, float64 ``[n_mels]``."""
        return self._mel.edges[1:-1]

    @property
    def _mel(self) -> Mel:
        window, hop = (max(1, round(self.rate * seconds)) for seconds in (self.window, self.hop))
        high = self.rate / 2 if self.high is None else self.high
        settings = (self.rate, self.n_samples, window, hop, self.n_mels, self.low, high, self.floor)
        kept = vars(self).get("_kept")
        if kept is None or kept[0] != settings:  # filters are made once, and again where a setting changes
            kept = self._kept = settings, Mel(*settings)
        return kept[1]

    def inverse_transform(self, X: Any) -> list[np.ndarray | None]:
        """Waveforms with about the spectrograms that rows are.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)

        Returns
        -------
        list of ndarray of float32, shape (n_samples of a sound,), or None
            At ``rate``, in [-1, 1]; None for a row with NaN.

        Raises
        ------
        ValueError
            If ``X`` has not the columns that `transform` gives.
        """
        self._check()
        rows, mel = self._rows_to_invert(X), self._mel
        return [None if np.isnan(row).any() else mel.wave(row, self.n_iter) for row in rows]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Time and frequency, such as ``0.125s 440Hz``."""
        names = [f"{hertz:.0f}Hz" for hertz in self.bands]
        if len(set(names)) < len(names):
            names = [f"{hertz:.0f}Hz({band})" for band, hertz in enumerate(self.bands)]
        return np.array([f"{frame * self.hop:.3f}s {name}" for frame in range(self.field[0]) for name in names], object)

    def to_bytes(self, value: Any) -> bytes:
        """A waveform as the content of a wav file, mono, 16 bits."""
        samples, file = np.rint(np.clip(value, -1, 1) * 32767).astype("<i2"), io.BytesIO()
        with wav.open(file, "wb") as out:
            out.setparams((1, 2, self.rate, len(samples), "NONE", ""))
            out.writeframes(samples.tobytes())
        return file.getvalue()

    def _check(self) -> None:
        super()._check()
        one_of("position", self.position, POSITIONS)
        for name, most in (("rate", _RATES[1]), ("n_mels", _MOST_BANDS), ("n_iter", _MOST_ROUNDS)):
            positive_int(name, getattr(self, name))
            in_range(name, getattr(self, name), 1, most)
        in_range("rate", self.rate, _RATES[0], _RATES[1])
        in_range("seconds", self.seconds, 1 / self.rate, LARGEST_ROW / self.rate)
        in_range("window", self.window, 2 / self.rate, _LONGEST_WINDOW / self.rate)
        in_range("hop", self.hop, 1 / self.rate, self.window)
        in_range("floor", self.floor, 1e-30, 1e30)
        in_range("low", self.low, 0, self.rate / 2, open_high=True)
        if self.high is not None:
            in_range("high", self.high, self.low, self.rate / 2, open_low=True)
        if self.n_features > LARGEST_ROW:
            raise ValueError(f"seconds and hop must give rows of at most {LARGEST_ROW:,} values; got {self.field}.")
        cells = max(self.field) * self._mel.n_bins
        if cells > _MOST_CELLS:
            raise ValueError(
                "window, hop, seconds and n_mels must give spectrograms and filters of at most "
                f"{_MOST_CELLS:,} values; got {cells:,}. A shorter window or a longer hop gives fewer."
            )

    def value(self, item: Any, notes: Notes) -> np.ndarray:
        """A row of one sound."""
        samples, rate, total = self._samples(item)
        if not total:
            raise BadItemError("holds no sound: 0 samples")
        if not np.isfinite(samples).all():
            raise BadItemError("must hold finite samples; it holds NaN or infinity")
        if total > self.seconds * rate + 0.5:
            notes.add("cut")
            notes.add("lost", total / rate - self.seconds)
        notes.add("heard", total / rate)
        if not np.abs(samples).max() > 0:
            raise BadItemError("is silent: all samples that are kept are 0")
        return self._mel.rows(self._padded(samples)).reshape(-1)

    def stacked(self, values: Sequence[Any]) -> np.ndarray:
        """Rows of sounds, NaN where there is none."""
        return self._dense(values)

    def told(self, notes: Notes, n: int) -> list[str]:
        """Of sounds that were cut."""
        if not notes.counts["cut"]:
            return []
        share = notes.counts["lost"] / notes.counts["heard"]
        return [
            f"{notes.counts['cut']:.0f} of {n} sounds are longer than {self.seconds:g} s; their {self.position} is "
            f"kept, and {share:.1%} of all sound is cut."
        ]

    def _samples(self, item: Any) -> tuple[np.ndarray, int, int]:
        """Mono samples at ``rate``, at most as many as a row has; the rate that they had, and how many there were."""
        if isinstance(item, Mapping) and item.get("array") is not None:  # as Hugging Face data sets have sounds
            item = (item["array"], item.get("sampling_rate", self.rate))
        item = bytes_of(item)
        if is_path(item) or isinstance(item, bytes):
            return self._from_file(item)
        rate = self.rate
        if isinstance(item, tuple) and len(item) == 2 and np.ndim(item[1]) == 0:
            item, rate = item[0], _rate(item[1])
        samples = _waveform(item)
        start, stop = self._span(len(samples), rate)
        return self._resampled(samples[start:stop], rate, start, len(samples)), rate, len(samples)

    def _from_file(self, item: Any) -> tuple[np.ndarray, int, int]:
        soundfile = _soundfile()
        source = io.BytesIO(item) if isinstance(item, bytes) else str(check_file(item))
        check_whole(item)
        try:
            with soundfile.SoundFile(source) as file:
                rate, total = _rate(file.samplerate), file.frames
                start, stop = self._span(total, rate)
                if (stop - start) * file.channels > _MOST_VALUES:
                    raise BadItemError(f"must have less than {_MOST_VALUES:,} samples in what is kept of it")
                if start:
                    file.seek(start)
                samples = file.read(stop - start, dtype="float32", always_2d=True)
        except (BadItemError, MemoryError):
            raise
        except Exception as error:  # soundfile's own, and TypeError for .raw
            why = " ".join(str(getattr(error, "error_string", error)).split())[:200]
            raise BadItemError(f"must be a whole sound file (wav, flac, ogg, mp3); it cannot be read ({why})") from None
        if len(samples) < stop - start:
            raise BadItemError(
                f"must be a whole sound file; it is truncated after {start + len(samples)} of {total} samples"
            )
        return self._resampled(samples.mean(axis=1), rate, start, total), rate, total

    def _span(self, total: int, rate: int) -> tuple[int, int]:
        """Samples of a sound that are needed, and begin at a multiple of what resampling counts in."""
        needed = ceil(self.n_samples * rate / self.rate)
        if total <= needed + 2:
            return 0, total
        first = (total - needed) // 2 if self.position == "centre" else 0
        down = rate // gcd(rate, self.rate)
        around = 0 if rate == self.rate else _AROUND * max(1, -(-rate // self.rate))
        start = max(0, first - around) // down * down
        return start, min(total, first + needed + around + 1)

    def _resampled(self, samples: np.ndarray, rate: int, start: int, total: int) -> np.ndarray:
        """Samples from number ``start`` of ``total`` at ``rate``, as those of the row's sound, or fewer."""
        n, begun = self.n_samples, start
        if rate != self.rate:
            shared = gcd(rate, self.rate)
            up, down = self.rate // shared, rate // shared
            if len(samples) and np.isfinite(samples).all():
                samples = np.asarray(resample_poly(samples.astype(np.float64), up, down)).astype(np.float32)
            begun, total = start // down * up, ceil(total * self.rate / rate)
        first = max(0, (total - n) // 2) if self.position == "centre" else 0
        return samples[max(0, first - begun) :][:n]

    def _padded(self, samples: np.ndarray) -> np.ndarray:
        more = self.n_samples - len(samples)
        before = more // 2 if self.position == "centre" else 0
        return np.pad(samples, (before, more - before)) if more else samples


def _soundfile() -> Any:
    try:
        import soundfile
    except ImportError:
        raise ImportError('Sound files need soundfile: pip install "dsae[audio]".') from None
    return soundfile


def _rate(rate: Any) -> int:
    if isinstance(rate, bool) or not hasattr(rate, "__index__") or not _RATES[0] <= rate <= _RATES[1]:
        raise BadItemError(f"must have from {_RATES[0]:,} to {_RATES[1]:,} samples per second; got {rate!r:.60}")
    return int(rate)


def _waveform(item: Any) -> np.ndarray:
    """Mono float32 of an array ``[n]`` or, as soundfile has it, ``[n, channels]``; whole numbers by their type."""
    try:
        array = np.asarray(item)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadItemError(f"must be a path, bytes or a waveform; got {type(item).__name__} ({error})") from None
    if array.dtype.kind not in "iuf" or array.ndim not in (1, 2):
        raise BadItemError(
            f"must be a path, bytes, a waveform [n] or [n, channels], or (waveform, rate); got {type(item).__name__} "
            f"of shape {array.shape} and dtype {array.dtype}"
        )
    if array.dtype.kind in "iu":
        most = np.iinfo(array.dtype)
        middle = (int(most.max) + int(most.min) + 1) // 2  # 0, or 128 of uint8
        array = (array.astype(np.float64) - middle) / (int(most.max) + 1 - middle)
    if array.ndim == 2:
        if array.shape[1] > array.shape[0] and array.shape[0] <= 8:
            raise BadItemError(f"must be [n, channels]; got shape {array.shape}. Transpose it")
        array = array.mean(axis=1) if array.shape[1] else array.reshape(-1)
    with np.errstate(over="ignore"):
        return array.astype(np.float32)
