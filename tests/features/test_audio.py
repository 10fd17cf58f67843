"""Sounds become spectrograms, and sounds with these spectrograms again."""

import io

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from tests.covering import covering, each
from tests.features.media import chirp, float_wav, tone, wav

from dsae import DeepSparseAutoencoder
from dsae.features import AudioRows, from_json

soundfile = pytest.importorskip("soundfile")
SHORT = {"rate": 8000, "seconds": 0.5, "n_mels": 20}


@each({"kind": ["array", "path", "bytes", "pair", "mapping", "flac"]})
def test_all_ways_to_give_a_sound_are_one(kind, tmp_path):
    samples = np.rint(chirp() * 32767).astype("<i2")
    (tmp_path / "x.wav").write_bytes(wav(chirp()))
    soundfile.write(tmp_path / "x.flac", samples, 8000)
    item = {
        "array": samples,
        "path": tmp_path / "x.wav",
        "bytes": wav(chirp()),
        "pair": (samples, 8000),
        "mapping": {"array": samples / np.float32(32768), "sampling_rate": 8000},
        "flac": str(tmp_path / "x.flac"),
    }[kind]
    sounds = AudioRows(**SHORT)
    rows = sounds.fit([item]).transform([item, None])
    assert (rows.shape, rows.dtype, sounds.field) == ((2, 400), np.float32, (20, 20))
    assert np.isnan(rows[1]).all()
    np.testing.assert_array_equal(rows[0], sounds.transform([samples / np.float32(32768)])[0])
    assert len(set(sounds.get_feature_names_out())) == sounds.n_features == 400


def test_a_tone_is_loud_in_its_band():
    sounds = AudioRows(rate=8000, seconds=0.5)
    for hertz in (300.0, 1000.0, 2500.0):
        (row,) = sounds.transform([tone(hertz)]).reshape(-1, *sounds.field)
        assert np.abs(sounds.bands[row[10].argmax()] - hertz) < 100


def test_bands_are_those_of_the_definition():
    sounds = AudioRows(rate=8000, seconds=0.8, high=4000)
    assert sounds.field == (32, 40)
    wave = np.pad(chirp(0.8), (0, 256))
    mel = np.linspace(2595 * np.log10(1 + 50 / 700), 2595 * np.log10(1 + 4000 / 700), 42)
    edges, frequencies = 700 * (10 ** (mel / 2595) - 1), np.arange(257) * 8000 / 512
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    expected = np.zeros((32, 40))
    for frame in range(32):
        piece = wave[frame * 200 : frame * 200 + 256] * window
        power = np.abs(np.fft.rfft(piece, 512)) ** 2
        for band in range(40):
            low, peak, high = edges[band : band + 3]
            weight = np.clip(
                np.minimum((frequencies - low) / (peak - low), (high - frequencies) / (high - peak)), 0, None
            )
            expected[frame, band] = np.log(weight @ power + 1e-6)
    found = sounds.transform([chirp(0.8)])[0].reshape(32, 40)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@covering(rate=(8000, 16_000), seconds=(0.5, 0.31), position=("centre", "start"), by="rate")
def test_a_sound_of_a_row_has_nearly_that_row(rate, seconds, position):
    sounds = AudioRows(rate=rate, seconds=seconds, n_mels=30, position=position)
    rows = sounds.transform([chirp(seconds, rate), tone(600, seconds, rate)])
    made = sounds.inverse_transform(np.vstack([rows, np.full_like(rows[:1], np.nan)]))
    assert made[2] is None
    assert all(wave.shape == (sounds.n_samples,) and np.abs(wave).max() <= 1 for wave in made[:2])
    again = sounds.transform(made[:2])
    loud = rows > 0
    assert np.abs(again - rows)[loud].mean() < 0.8  # from random phases it is 1.3 or more
    assert np.corrcoef(again[loud], rows[loud])[0, 1] > 0.9
    np.testing.assert_array_equal(sounds.inverse_transform(rows[1:])[0], made[1])
    content = sounds.to_bytes(made[0])
    assert content[:4] == b"RIFF"
    np.testing.assert_allclose(sounds.transform([content])[0][loud[0]], again[0][loud[0]], atol=0.5)


@each(rate=[4000, 11_025, 16_000, 44_100, 48_000])
def test_other_rates_are_resampled(rate):
    sounds = AudioRows(**SHORT)
    (expected,) = sounds.transform([tone(440)])
    for item in ((tone(440, rate=rate), rate), wav(tone(440, rate=rate), rate)):
        (found,) = sounds.transform([item])
        loud = expected > np.log(1e-1)
        assert np.abs(found - expected)[loud].mean() < 0.1


@each(rate=[8000, 16_000, 44_100], position=["centre", "start"])
def test_only_the_part_that_is_kept_is_read(rate, position, tmp_path):
    long = chirp(3.0, rate)
    sounds = AudioRows(**SHORT, position=position)
    path = tmp_path / "long.wav"
    path.write_bytes(wav(long, rate))
    with pytest.warns(
        UserWarning, match=rf"1 of 1 sounds are longer than 0.5 s; their {position} is kept, and 83.3% of"
    ):
        (found,) = sounds.transform([path])
    kept = long[round(1.25 * rate) :][: rate // 2] if position == "centre" else long[: rate // 2]
    (expected,) = sounds.transform([(kept, rate)])
    loud = expected > np.log(1e-1)
    assert np.abs(found - expected)[loud].mean() < 0.1
    with pytest.warns(UserWarning, match="longer"):
        np.testing.assert_allclose(sounds.transform([(np.rint(long * 32767) / 32768, rate)])[0], found, atol=1e-3)


def test_short_sounds_lie_in_silence():
    sounds = AudioRows(**SHORT)
    rows = sounds.transform([tone(440, 0.1)]).reshape(20, 20)
    assert rows[[0, -1]].max() == pytest.approx(np.log(1e-6))
    assert rows[10].max() > 0
    assert AudioRows(**SHORT, position="start").transform([tone(440, 0.1)]).reshape(20, 20)[0].max() > 0


def test_stereo_is_the_mean():
    left, right = tone(440), tone(700)
    sounds = AudioRows(**SHORT)
    (expected,) = sounds.transform([(left + right) / 2])
    np.testing.assert_allclose(sounds.transform([np.stack([left, right], 1)])[0], expected, atol=1e-4)
    loud = expected > np.log(1e-2)
    np.testing.assert_allclose(sounds.transform([wav(np.stack([left, right], 1))])[0][loud], expected[loud], atol=0.05)


def through(form):
    """The bytes of a sound file of 16 bits."""
    file = io.BytesIO()
    soundfile.write(file, tone(), 8000, format=form, subtype="PCM_16")
    return file.getvalue()


BAD = {
    "short.aiff": (
        through("AIFF")[:1000],
        r"must be a whole AIFF file; it is truncated: \d+ of 8008 bytes of sound are there",
    ),
    "head.aiff": (through("AIFF")[:14], r"must be a whole AIFF file; it ends before any sound"),
    "short.au": (through("AU")[:1024], r"must be a whole AU file; it is truncated: 1000 of 8000 bytes of sound are"),
    "short.wav": (
        wav(tone())[:1000],
        r"must be a whole wav file; it is truncated: 956 of 8000 bytes of sound are there",
    ),
    "head.wav": (wav(tone())[:30], r"must be a whole wav file; it ends before any sound"),
    "none.wav": (b"once upon a time there was no sound", r"must be a whole sound file \(wav, flac, ogg, mp3\)"),
    "empty.wav": (b"", r"is an empty file"),
    "zero.wav": (wav(np.zeros(0)), r"holds no sound: 0 samples"),
    "silent.wav": (wav(np.zeros(4000)), r"is silent: all samples that are kept are 0"),
    "nan.wav": (float_wav([0.1, np.nan, 0.2] * 100), r"must hold finite samples; it holds NaN or infinity"),
    "slow.wav": (wav(tone(), 3), r"must have from 1,000 to 768,000 samples per second; got 3"),
}


@each({"name": [*BAD, "lost.wav"]})
def test_a_bad_file_is_named_in_one_line_and_loses_nothing(name, tmp_path):
    content, message = BAD.get(name, (None, "does not exist"))
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        AudioRows(**SHORT).transform([tone(), path, tone()])
    assert str(caught.value).startswith(f"[transform] {path} ")
    assert "\n" not in str(caught.value)
    lenient = AudioRows(**SHORT, on_error="missing")
    found = lenient.encode([tone(), path, tone()])
    assert found.present.tolist() == [True, False, True]
    assert [problem.row for problem in found.problems] == [1]
    with pytest.warns(UserWarning, match=r"1 of 3 sounds could not be read and count as missing: "):
        rows = lenient.transform([tone(), path, tone()])
    np.testing.assert_array_equal(rows[0], rows[2])
    assert np.isnan(rows[1]).all()


@each({"form": ["AIFF", "AU", "WAV"]})
def test_a_whole_file_is_taken(form):
    np.testing.assert_allclose(
        *AudioRows(**SHORT).transform([through(form), wav(tone())]), atol=0.5
    )  # quiet bands are rounding


def test_a_cut_flac_is_refused(tmp_path):
    path = tmp_path / "x.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 4000), 8000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"^\[transform\] {path} must be a whole sound file"):
        AudioRows(**SHORT).transform([path])


@each(
    {
        "item, message": [
            (np.zeros((2, 5000)), r"must be \[n, channels\]; got shape \(2, 5000\)\. Transpose it"),
            (np.array(["a"]), r"must be a path, bytes, a waveform"),
            (np.zeros((2, 2, 2)), r"must be a path, bytes, a waveform"),
            ((tone(), 10), r"must have from 1,000"),
            ((tone(), "8000"), r"must have from 1,000"),
            (np.full(100, np.inf), r"must hold finite samples"),
            (np.zeros(0), r"holds no sound"),
        ]
    }
)
def test_what_is_no_sound_is_refused_by_number(item, message):
    with pytest.raises(ValueError, match=rf"^\[transform\] sound 0, counted from 0, {message}"):
        AudioRows(**SHORT).transform([item])


@each(
    {
        "settings, message": [
            ({"rate": 0}, "rate must be"),
            ({"rate": 10**9}, "rate must be a number in"),
            ({"seconds": 0}, "seconds must be a number in"),
            ({"seconds": 1e9}, "seconds must be a number in"),
            ({"n_mels": 10**6}, "n_mels must be a number in"),
            ({"window": 100.0}, "window must be a number in"),
            ({"hop": 0.1}, "hop must be a number in"),
            ({"low": 4000.0}, "low must be a number in"),
            ({"high": 5000.0}, "high must be a number in"),
            ({"floor": 0.0}, "floor must be a number in"),
            ({"n_iter": 10**5}, "n_iter must be a number in"),
            ({"rate": 768_000, "window": 32_768 / 768_000, "n_mels": 1024}, "filters of at most 16,777,216 values"),
            ({"hop": 1 / 8000, "seconds": 1000, "n_mels": 1}, "spectrograms and filters of at most 16,777,216 values"),
            ({"position": "center"}, "Did you mean 'centre'"),
        ]
    }
)
def test_a_bad_setting_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        AudioRows(**settings).fit([])


def test_it_is_kept_as_json_bit_for_bit():
    sounds = AudioRows(**SHORT, low=100, high=3500, position="start", n_iter=3).fit([])
    again = from_json(sounds.to_json())
    assert type(again) is AudioRows
    assert again.get_params() == sounds.get_params() == clone(sounds).get_params()
    rows = sounds.transform([chirp(), (tone(rate=16_000), 16_000), None])
    np.testing.assert_array_equal(again.transform([chirp(), (tone(rate=16_000), 16_000), None]), rows)
    np.testing.assert_array_equal(again.inverse_transform(rows)[0], sounds.inverse_transform(rows)[0])
    assert again.to_json() == sounds.to_json()


def test_filters_follow_the_settings():
    sounds = AudioRows(**SHORT)
    before = sounds.transform([chirp()])
    sounds.set_params(n_mels=10)
    assert sounds.transform([chirp()]).shape == (1, 200)
    np.testing.assert_array_equal(sounds.set_params(n_mels=20).transform([chirp()]), before)


def test_it_stands_in_a_pipeline():
    waves = [chirp(high=1000.0 + 100 * i) for i in range(12)]
    dsa = DeepSparseAutoencoder(2, hidden_layer_sizes=(4,), density=0.5, max_iter=1, random_state=0)
    pipeline = make_pipeline(AudioRows(**SHORT, n_iter=1), dsa).fit(waves)
    assert pipeline.inverse_transform(pipeline.transform(waves[:2]))[0].shape == (4000,)
