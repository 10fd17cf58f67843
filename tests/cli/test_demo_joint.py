"""`dsae demo-joint` makes its data, trains, and leaves a model, sounds and a page to see and hear."""

import json
import re

import numpy as np
import pytest

from dsae import load
from dsae.cli import run
from dsae.cli._demo_joint import digits, voice


@pytest.fixture(autouse=True)
def few_voices(monkeypatch):
    monkeypatch.setattr("dsae.cli._demo_joint._VOICES", 5)


def test_a_digit_has_a_sound_and_a_word_of_its_class():
    train, test, labels = digits(0)
    assert len(train["image"]) + len(test["image"]) == 1797
    assert {len(values) for values in test.values()} == {len(labels)}
    heard = {wave.tobytes() for wave in train["audio"]}
    assert not heard & {wave.tobytes() for wave in test["audio"]}


def test_a_voice_is_a_sound_of_its_own():
    rng = np.random.default_rng(0)
    waves = [voice(3, rng) for _ in range(2)]
    assert all(np.isfinite(wave).all() and 0.5 < np.abs(wave).max() < 1 for wave in waves)
    assert not np.allclose(*waves)


def test_it_leaves_a_page_on_which_translations_are_seen_and_heard(tmp_path, capsys):
    assert run(["demo-joint", "-o", str(tmp_path / "demo"), "--max-iter", "2", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert set(facts) >= {"nnz", "density", "image_to_audio", "text_to_image"}
    page = (tmp_path / "demo" / "report.html").read_text("utf-8")
    assert page.count("data:audio/wav;base64,") > 6
    assert page.count("data:image/png;base64,") > 20
    assert re.search(r"<h3>A \d</h3>", page)
    assert len(page) < 5 << 20
    sounds = sorted((tmp_path / "demo" / "sounds").iterdir())
    assert [path.name for path in sounds] == [f"{digit}.wav" for digit in range(10)]
    runtime = load(tmp_path / "demo" / "model")
    made = runtime.render("text", runtime.translate({"audio": [str(sounds[0])]}, to="text"))
    assert len(made) == 1
