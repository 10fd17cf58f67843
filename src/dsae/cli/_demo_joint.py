"""Pictures, sounds and words in one code, on data that come with scikit-learn or are made here."""

from __future__ import annotations

from typing import Any

import click

from dsae.cli._compare import made
from dsae.cli._output import progress, show, telling, watched

_WORDS = (
    ("zero", "null", "zéro", "cero", "nil", "0"),
    ("one", "eins", "un", "uno", "ein", "1"),
    ("two", "zwei", "deux", "dos", "zwo", "2"),
    ("three", "drei", "trois", "tres", "iii", "3"),
    ("four", "vier", "quatre", "cuatro", "iv", "4"),
    ("five", "fünf", "cinq", "cinco", "v", "5"),
    ("six", "sechs", "sixième", "seis", "vi", "6"),
    ("seven", "sieben", "sept", "siete", "vii", "7"),
    ("eight", "acht", "huit", "ocho", "viii", "8"),
    ("nine", "neun", "neuf", "nueve", "ix", "9"),
)
# Resonances of the vocal tract in Hz for five vowels (Peterson and Barney 1952, rounded), and the two that a digit
# glides between.
_VOWELS = {"a": (730, 1090), "e": (530, 1840), "i": (270, 2290), "o": (570, 840), "u": (300, 870)}
_GLIDES = ("io", "ua", "iu", "ii", "oo", "ai", "ie", "ee", "ei", "ae")
_RATE, _SECONDS, _VOICES = 8000, 0.6, 24
_SETTINGS: dict[str, Any] = {"n_components": 32, "density": 0.1, "batch_size": 64, "learning_rate_init": 2e-3}


@click.command("demo-joint")
@click.option("-o", "--output", default="demo-joint", show_default=True, metavar="FOLDER", help="Folder to write.")
@click.option("--seed", default=0, show_default=True, help="Of the pairs, the split and the training.")
@click.option("--max-iter", default=60, show_default=True, help="Epochs.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable figures on stdout.")
def demo_joint(output: str, seed: int, max_iter: int, as_json: bool) -> None:
    """Learn one code of pictures, sounds and words of digits, translate each into the others, and show it."""
    import numpy as np

    from dsae.estimators import MultimodalAutoencoder
    from dsae.features import AudioRows, ImageRows, TextRows
    from dsae.report import write_joint_report

    folder = made(output)
    train, test, labels = digits(seed)
    encoders = {
        "image": ImageRows(8),
        "audio": AudioRows(_RATE, _SECONDS, 32),
        "text": TextRows("counts", n_words=3),
    }
    model = MultimodalAutoencoder(encoders, max_iter=max_iter, random_state=seed, verbose=1, **_SETTINGS).fit(train)
    source = model.runtime_.source("report", test)
    source.ids = np.array([f"A {digit}" for digit in labels], object)
    with progress("coherence") as told:
        matrix = model.coherence(telling(told, source), labels)
    model.save(folder / "model")
    shown = watched("report", source)
    report = write_joint_report(folder / "report.html", model.runtime_, shown, coherence=matrix)
    (folder / "sounds").mkdir(exist_ok=True)
    rows = model.translate({"text": [words[0] for words in _WORDS]}, to="audio")
    for digit, wave in enumerate(model.render("audio", rows)):
        (folder / "sounds" / f"{digit}.wav").write_bytes(encoders["audio"].to_bytes(wave))
    facts: dict[str, Any] = {"nnz": model.nnz_, "density": model.density_, "seconds": model.fit_time_}
    facts |= {f"{given}_to_{to}": row[to] for given, row in matrix.items() for to in row}
    show(facts, as_json)
    click.echo(f"The model is in {folder / 'model'}; see and hear what it makes in {report}.", err=True)


def digits(seed: int) -> tuple[dict[str, list[Any]], dict[str, list[Any]], Any]:
    """Scikit-learn's 1,797 digits, each with a sound and a word of its class; a fifth is held out."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch: Any = load_digits()
    pictures, classes = np.rint(bunch.images * (255 / 16)).astype(np.uint8), bunch.target
    rng = np.random.default_rng(seed)
    spoken = [[voice(digit, rng) for _ in range(_VOICES)] for digit in range(10)]
    parts = train_test_split(np.arange(len(classes)), test_size=0.2, stratify=classes, random_state=seed)
    n_held_out = _VOICES // 5
    found = []
    for rows, voices in zip(parts, (range(n_held_out, _VOICES), range(n_held_out)), strict=True):
        found.append(
            {
                "image": [pictures[row] for row in rows],
                "audio": [spoken[classes[row]][rng.choice(voices)] for row in rows],
                "text": [str(rng.choice(_WORDS[classes[row]])) for row in rows],
            }
        )
    return found[0], found[1], classes[parts[1]]


def voice(digit: int, rng: Any) -> Any:
    """Half a second in which a voice of its own pitch and pace glides between the two vowels of a digit.

    Harmonics of the pitch, as loud as two resonances let them be: a vowel, in the source-filter model of speech.
    """
    import numpy as np

    t = np.arange(round(_RATE * _SECONDS)) / _RATE
    start, length = rng.uniform(0.02, 0.1), rng.uniform(0.38, 0.48)
    place = np.clip((t - start) / length, 0, 1)
    pitch = rng.uniform(90, 220) * (1 - 0.15 * place)
    tract = rng.uniform(0.92, 1.12)  # long ones have lower resonances
    first, second = (np.array(_VOWELS[vowel]) * tract for vowel in _GLIDES[digit])
    glide = 1 / (1 + np.exp(-14 * (place - 0.5)))
    resonances = first[:, None] + (second - first)[:, None] * glide
    phase, sound = 2 * np.pi * np.cumsum(pitch) / _RATE, np.zeros(t.size)
    for harmonic in range(1, int(_RATE / 2 / pitch.max())):
        hertz = harmonic * pitch
        loud = sum(np.exp(-0.5 * ((hertz - resonance) / (80 + 0.08 * resonance)) ** 2) for resonance in resonances)
        sound += (loud + 0.01) * np.sin(harmonic * phase) / harmonic**0.5
    inside = (t >= start) & (t <= start + length)
    sound *= inside * np.sin(np.pi * place) ** 0.5
    sound += rng.normal(0, 0.003, t.size)
    return (0.7 * sound / np.abs(sound).max()).astype(np.float32)
