"""`dsae prepare` writes rows and says what it did."""

import json

import numpy as np
import pytest
from tests.covering import each
from tests.features.media import encoded, picture, tone, wav

from dsae.cli import run
from dsae.data import open_rows
from dsae.features import encoders_from_json

pytest.importorskip("PIL")
pytest.importorskip("soundfile")


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "in"
    place.mkdir()
    for i in range(3):
        (place / f"{i}.png").write_bytes(encoded(picture(9, 7, 3, seed=i)))
        (place / f"{i}.wav").write_bytes(wav(tone(300 + 50 * i, 0.3)))
        (place / f"{i}.txt").write_text(f"number {i}")
    return place


def test_options_reach_the_encoders(folder, tmp_path, capsys):
    args = ["prepare", str(folder), "-o", str(tmp_path / "rows"), "--json", "--image-size", "4,5", "--channels", "rgb"]
    args += ["--aspect", "pad", "--audio-rate", "4000", "--audio-seconds", "0.2", "--audio-mels", "8"]
    args += ["--text-ngrams", "1,2", "--text-analyzer", "char", "--text-weights", "counts", "--text-features", "6"]
    assert run(args) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["rows"] == 3
    assert facts["image"] == {"rows": 3, "features": 60}
    encoders = encoders_from_json((tmp_path / "rows" / "encoders.json").read_text("utf-8"))
    assert encoders["image"].get_params()["aspect"] == "pad"
    assert encoders["audio"].field == (8, 8)
    assert encoders["text"].n_features == 6
    batch = open_rows(tmp_path / "rows").load()
    np.testing.assert_array_equal(batch.parts["text"].shape, (3, 6))
    more = [
        "prepare",
        str(folder),
        "-o",
        str(tmp_path / "more"),
        "--encoders",
        str(tmp_path / "rows" / "encoders.json"),
    ]
    assert run(more) == 0
    again = open_rows(tmp_path / "more").load()
    np.testing.assert_array_equal(again.parts["image"], batch.parts["image"])


@each(
    {
        "args, message": [
            (["--image-size", "a"], "must be 28, or height and width such as 28,40; got 'a'"),
            (["--text-ngrams", "1,2,3"], "must be the shortest and the longest, such as 1,3"),
            (["--text-ngrams", "3,1"], "ngrams must be the shortest and the longest"),
            (["--channels", "gray"], "Did you mean 'grey'"),
            (["--audio-rate", "5"], "rate must be a number in"),
            (["--on-error", "skp"], "Did you mean 'skip'"),
            (["--encoders", "no.json"], "no.json does not exist"),
            (["--encoders", "no.json", "--channels", "rgb"], "--channels does not go with --encoders"),
        ]
    }
)
def test_wrong_usage_is_one_line(args, message, folder, tmp_path, capsys):
    assert run(["prepare", str(folder), "-o", str(tmp_path / "rows"), *args]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert not (tmp_path / "rows").exists()


def test_problems_are_told(folder, tmp_path, capsys):
    (folder / "1.png").write_bytes(b"no picture")
    assert run(["prepare", str(folder), "-o", str(tmp_path / "rows")]) == 2
    assert "1.png must be an image" in capsys.readouterr().err
    assert run(["prepare", str(folder), "-o", str(tmp_path / "rows"), "--on-error", "skip"]) == 0
    told = capsys.readouterr()
    assert "1 files could not be read; problems.log in" in told.err
    assert "dropped             1\n" in told.out
