"""Log-mel spectrograms of waveforms, and waveforms of log-mel spectrograms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.fft import irfft, rfft
from scipy.signal import get_window

_POWER_STEPS = 100  # of the least squares: as in the prototype, whose sounds were recognised
_LEAST = 1e-12  # of a power, so that factors stay finite
_LOUDEST_LOG = 80.0  # beyond it float32 has no power


@dataclass(frozen=True)
class Mel:
    """A short-time Fourier transform whose power is summed in bands that are even in mel.

    Parameters
    ----------
    rate : int
        Samples per second.
    n_samples : int
        Of a waveform.
    window, hop : int
        Samples of a frame, and from one frame to the next.
    n_mels : int
        Bands.
    low, high : float
        Where they begin and end, in Hz.
    floor : float
        Added to the power before its logarithm is taken.
    """

    rate: int
    n_samples: int
    window: int
    hop: int
    n_mels: int
    low: float
    high: float
    floor: float

    @property
    def n_frames(self) -> int:
        """Frames of a waveform."""
        return max(1, self.n_samples // self.hop)

    @property
    def n_bins(self) -> int:
        """Frequencies of a transform."""
        return self.n_fft // 2 + 1

    @property
    def n_fft(self) -> int:
        """Samples of a transform: the first power of 2 that is at least two windows."""
        return 1 << (2 * self.window - 1).bit_length()

    @cached_property
    def edges(self) -> np.ndarray:
        """Frequencies at which bands begin, peak and end: 2595 log10(1 + f / 700) is even."""
        low, high = 2595 * np.log10(1 + np.array([self.low, self.high]) / 700)
        return 700 * (10 ** (np.linspace(low, high, self.n_mels + 2) / 2595) - 1)

    @cached_property
    def filters(self) -> np.ndarray:
        """Triangles, ``[n_mels, n_bins]``."""
        frequencies, edges = np.arange(self.n_bins) * self.rate / self.n_fft, self.edges
        rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
        falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
        return np.maximum(0, np.minimum(rising, falling))

    @cached_property
    def _inverse(self) -> np.ndarray:
        return np.linalg.pinv(self.filters)

    @cached_property
    def _hann(self) -> np.ndarray:
        return np.asarray(get_window("hann", self.window))

    @cached_property
    def _overlap(self) -> np.ndarray:
        """Sum of the squared windows over each sample."""
        return np.maximum(self._added(np.tile(self._hann**2, (self.n_frames, 1))), 1e-2)

    def rows(self, wave: np.ndarray) -> np.ndarray:
        """Log-mel spectrogram of one waveform, ``[n_frames, n_mels]`` float32."""
        power = np.abs(self._transform(wave)) ** 2
        return np.log(power @ self.filters.T + self.floor).astype(np.float32)

    def wave(self, row: np.ndarray, n_iter: int) -> np.ndarray:
        """A waveform with about this spectrogram, float32 in [-1, 1].

        The power by non-negative least squares (Lee and Seung 1999), the phases by the iteration of Griffin and Lim
        (1984) from random ones, which are the same in every call.
        """
        log = np.minimum(row.reshape(self.n_frames, self.n_mels).astype(np.float64), _LOUDEST_LOG)
        magnitude = np.sqrt(self._power(np.maximum(np.exp(log) - self.floor, 0)))
        phases = np.random.default_rng(0).random(magnitude.shape)
        spectrum = magnitude * np.exp(2j * np.pi * phases)
        for _ in range(n_iter):
            spectrum = magnitude * np.exp(1j * np.angle(self._transform(self._back(spectrum))))
        wave = self._back(spectrum)
        return (wave / max(1.0, np.abs(wave).max())).astype(np.float32)

    def _power(self, bands: np.ndarray) -> np.ndarray:
        """Power of each frequency, of which bands are sums."""
        power, above = np.maximum(bands @ self._inverse.T, _LEAST), bands @ self.filters
        for _ in range(_POWER_STEPS):
            power *= above / np.maximum((power @ self.filters.T) @ self.filters, _LEAST)
        return power

    def _transform(self, wave: np.ndarray) -> np.ndarray:
        padded = np.pad(wave.astype(np.float64), (0, self.window + self.hop))
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop][: self.n_frames]
        return np.asarray(rfft(frames * self._hann, self.n_fft))

    def _back(self, spectrum: np.ndarray) -> np.ndarray:
        frames = np.asarray(irfft(spectrum, self.n_fft))[:, : self.window] * self._hann
        return (self._added(frames) / self._overlap)[: self.n_samples]

    def _added(self, frames: np.ndarray) -> np.ndarray:
        out = np.zeros(max(self.n_samples, self.n_frames * self.hop) + self.window)
        for i, frame in enumerate(frames):
            out[i * self.hop : i * self.hop + self.window] += frame
        return out
