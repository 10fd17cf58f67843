"""Commands on models of several modalities, from files to files."""

import contextlib
import csv
import io
import json

import numpy as np
import pytest
from tests.covering import each

from dsae import load
from dsae.data import open_rows

Image = pytest.importorskip("PIL.Image")
WORDS = ("bright", "dark", "left", "right")
QUICK = ("--n-components", 4, "--hidden-layer-sizes", 12, "--density", 0.5, "--random-state", 0, "--verbose", 0)
TRAINED = ("--max-iter", 100, "--batch-size", 32, "--learning-rate-init", 0.01)


def picture(kind, rng):
    """Half of it is light: all, none, the left or the right."""
    light = np.zeros((8, 8))
    light[:, {0: slice(0, 8), 1: slice(0, 0), 2: slice(0, 4), 3: slice(4, 8)}[kind]] = 200
    file = io.BytesIO()
    Image.fromarray((light + rng.integers(0, 40, (8, 8))).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Rows of pictures and words, of which some lack one; and the folder they were made of."""
    from dsae.features import ImageRows, TextRows, prepare

    folder, rng = tmp_path_factory.mktemp("joint"), np.random.default_rng(0)
    given = folder / "given"
    given.mkdir()
    with open(given / "metadata.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "image_file_name", "text", "label"])
        for i in range(160):
            kind = i % 4
            (given / f"{i}.png").write_bytes(picture(kind, rng))
            table.writerow(
                [f"row-{i}", "" if i % 9 == 4 else f"{i}.png", "" if i % 9 == 0 else WORDS[kind], WORDS[kind]]
            )
    encoders = {"image": ImageRows((8, 8)), "text": TextRows(weights="counts")}
    prepare(given, folder / "rows", encoders)
    return folder


@pytest.fixture(scope="module")
def model(prepared):
    from dsae import cli

    path = prepared / "model"
    assert cli.run(list(map(str, ("fit", prepared / "rows", "-o", path, *QUICK, *TRAINED)))) == 0
    return path


def test_a_fit_writes_a_model_of_all_modalities(dsae, prepared, tmp_path):
    losses = ("--modality-losses", "text=multinomial", "--modality-weights", "image=2", "--modality-dropout", 0.3)
    rows, out = prepared / "rows", tmp_path / "model"
    done = dsae("fit", rows, "-o", out, "--test", rows, "--json", *losses, *QUICK, "--max-iter", 2)
    assert done.code == 0, done.err
    facts = json.loads(done.text)
    assert facts["density"] == pytest.approx(0.5, abs=0.02)
    assert {"train_score", "test_score", "loss_image", "loss_text"} <= set(facts)
    config = load(out).config
    assert (config.losses["text"], config.weights["image"], config.modality_dropout) == ("multinomial", 2.0, 0.3)
    assert load(out).model.encoders.keys() == {"image", "text"}


def test_codes_are_those_of_the_rows(dsae, prepared, model, tmp_path):
    done = dsae("encode", model, prepared / "rows", "-o", tmp_path / "codes.csv")
    assert done.code == 0, done.err
    written = open_rows(tmp_path / "codes.csv")
    found = written.load()
    np.testing.assert_allclose(found.X, load(model).encode(open_rows(prepared / "rows")), rtol=1e-4, atol=1e-5)
    assert found.rows.ids[:2].tolist() == ["row-0", "row-1"]


def test_rows_that_are_too_many_to_hold_are_read_from_the_files(prepared, monkeypatch):
    from dsae import MultimodalAutoencoder

    stream = open_rows(prepared / "rows")
    held = stream.load()
    monkeypatch.setattr(type(stream), "is_small", False)
    how = {"n_components": 4, "density": 0.5, "batch_size": 32, "max_iter": 3, "random_state": 0}
    mm = MultimodalAutoencoder(**how, early_stopping=True).fit(stream)
    assert "validation_loss" in mm.history_[-1]
    np.testing.assert_allclose(mm.transform(stream), mm.transform(held), atol=1e-6)
    assert mm.score(stream) == pytest.approx(mm.score(held), rel=1e-6)
    assert mm.encoders_.keys() == {"image", "text"}
    again = MultimodalAutoencoder(**how, early_stopping=True).fit(stream)
    np.testing.assert_array_equal(again.transform(held), mm.transform(held))
    mm.partial_fit(stream)
    assert mm.n_iter_ == 4


def test_pictures_become_words_and_words_pictures(dsae, prepared, model, tmp_path):
    rng = np.random.default_rng(5)
    (tmp_path / "one.png").write_bytes(picture(2, rng))
    done = dsae("translate", model, tmp_path / "one.png", "--to", "text", "-o", tmp_path / "one.txt")
    assert done.code == 0, done.err
    assert (tmp_path / "one.txt").read_text().split()[0] == "left"
    words = tmp_path / "words"
    words.mkdir()
    for i, word in enumerate(WORDS):
        (words / f"{i}.txt").write_text(word)
    done = dsae("translate", model, words, "--to", "image", "-o", tmp_path / "made")
    assert done.code == 0, done.err
    made = [np.asarray(Image.open(tmp_path / "made" / f"{i}.png"), float) for i in range(4)]
    assert made[2][:, :4].mean() > made[2][:, 4:].mean() + 50
    assert made[0].mean() > made[1].mean() + 50


@pytest.fixture(scope="module")
def maker(model, prepared):
    """The model with a sampler."""
    from dsae import MultimodalAutoencoder

    mm = MultimodalAutoencoder.load(model).fit_sampler(open_rows(prepared / "rows"), n_components=4)
    return mm.save(prepared / "maker")


def test_samples_are_a_folder_for_each_modality_or_one_of_them(dsae, maker, tmp_path):
    given = ("sample", maker, "-n", 12, "--random-state", 3)
    done = dsae(*given, "-o", tmp_path / "made")
    assert done.code == 0, done.err
    assert done.err.startswith("dsae: Mixture(4 numbers, from 160 codes, novelty ")
    names = [f"{i:02}" for i in range(12)]
    assert sorted(path.stem for path in (tmp_path / "made" / "image").glob("*.png")) == names
    assert sorted(path.stem for path in (tmp_path / "made" / "text").glob("*.txt")) == names
    done = dsae(*given, "--to", "image", "-o", tmp_path / "images")
    assert done.code == 0, done.err
    for name in names:
        content = (tmp_path / "images" / f"{name}.png").read_bytes()
        assert content == (tmp_path / "made" / "image" / f"{name}.png").read_bytes()
    runtime = load(maker)
    wanted = runtime.encoders["image"].inverse_transform(runtime.sample(12, "image", random_state=3))
    assert runtime.encoders["image"].to_bytes(wanted[5]) == (tmp_path / "images" / "05.png").read_bytes()


def test_a_bar_moves_while_files_are_written(dsae, maker, tmp_path, monkeypatch):
    told = []

    @contextlib.contextmanager
    def progress(label):
        yield lambda *done: told.append((label, *done))

    monkeypatch.setattr("dsae.cli._sample_several.progress", progress)
    monkeypatch.setattr("dsae.cli._translate._FILES_AT_ONCE", 5)
    assert dsae("sample", maker, "-n", 12, "--to", "image", "-o", tmp_path / "images").code == 0
    assert told == [("make image", 5, 12), ("make image", 10, 12), ("make image", 12, 12)]
    assert len(list((tmp_path / "images").glob("*.png"))) == 12


@pytest.fixture
def bars(monkeypatch):
    """What bars were told, by label."""
    told = {}

    @contextlib.contextmanager
    def progress(label):
        told.setdefault(label, [])
        yield lambda *done: told[label].append(done)

    for module in ("_output", "_several", "_sample", "_sample_several"):
        monkeypatch.setattr(f"dsae.cli.{module}.progress", progress)
    return told


def test_bars_move_while_a_model_is_measured_and_learns_to_sample(dsae, prepared, tmp_path, bars):
    how = (*QUICK, "--max-iter", 1, "--sampler", "mixture")
    assert dsae("fit", prepared / "rows", "-o", tmp_path / "model", *how).code == 0
    assert bars == {"sampler": [(160, 160), *bars["sampler"][1:-1], (60, 60)], "evaluate": [(160, 160)]}


def test_bars_move_while_a_model_is_looked_at(dsae, prepared, model, tmp_path, bars):
    assert dsae("report", model, prepared / "rows", "-o", tmp_path / "report.html").code == 0
    assert dsae("evaluate", model, prepared / "rows").code == 0
    assert dsae("encode", model, prepared / "given", "-o", tmp_path / "codes.csv").code == 0
    ends = {"report": 160, "evaluate": 160, "coherence": 160, "read": 320, "encode": 160}
    assert {label: done[-1] for label, done in bars.items()} == {label: (n, n) for label, n in ends.items()}


def test_modalities_without_an_encoder_are_made_as_tables(dsae, prepared, tmp_path):
    from dsae import MultimodalAutoencoder

    rng = np.random.default_rng(0)
    X = {"a": rng.normal(size=(40, 3)).astype(np.float32), "b": rng.normal(size=(40, 2)).astype(np.float32)}
    mm = MultimodalAutoencoder(n_components=2, density=0.8, max_iter=1, random_state=0).fit(X)
    mm.fit_sampler(X, n_components=1).save(tmp_path / "model")
    assert dsae("sample", tmp_path / "model", "-n", 5, "--random-state", 0, "-o", tmp_path / "made").code == 0
    for name, rows in mm.sample(5, random_state=0).items():
        found = open_rows(tmp_path / "made" / name / "rows.csv").read()
        np.testing.assert_allclose(found, rows, rtol=1e-4, atol=1e-5)


def test_from_a_picture_to_a_word(dsae, model, tmp_path):
    (tmp_path / "one.png").write_bytes(picture(2, np.random.default_rng(5)))
    (tmp_path / "other.txt").write_text("right")
    ends = ("interpolate", model, tmp_path / "one.png", tmp_path / "other.txt", "-n", 5)
    done = dsae(*ends, "-o", tmp_path / "way")
    assert done.code == 0, done.err
    words = [(tmp_path / "way" / "text" / f"{i}.txt").read_text().split()[0] for i in (0, 4)]
    assert words == ["left", "right"]
    assert len(list((tmp_path / "way" / "image").iterdir())) == 5
    assert dsae(*ends, "--to", "image", "-o", tmp_path / "images").code == 0
    for path in (tmp_path / "way" / "image").iterdir():
        assert path.read_bytes() == (tmp_path / "images" / path.name).read_bytes()


def test_fit_learns_to_sample(dsae, prepared, tmp_path):
    rows, out = prepared / "rows", tmp_path / "model"
    done = dsae("fit", rows, "-o", out, "--sampler", "neighbours", *QUICK, "--max-iter", 2)
    assert done.code == 0, done.err
    assert "dsae: Neighbours(4 numbers, from 160 codes, novelty " in done.err
    assert load(out).sample(3)["image"].shape == (3, 64)
    assert "train_score" in load(out).model.metrics
    done = dsae("fit", rows, "-o", tmp_path / "n", "--sampler", "mixture", "--code-activation", "softmax", *QUICK)
    assert done.code == 2
    assert '[fit_sampler] kind must be "neighbours" for softmax codes' in done.err


def test_novelty_is_told_by_info_and_the_report(dsae, maker, model, prepared, tmp_path):
    facts = json.loads(dsae("info", maker, "--json").text)
    assert (facts["sampler"], facts["sampler_novelty"]) == ("mixture", load(maker).model.sampler.novelty)
    assert "sampler_novelty" not in json.loads(dsae("info", model, "--json").text)
    for folder, told in ((maker, True), (model, False)):
        assert dsae("report", folder, prepared / "rows", "-o", tmp_path / "report.html").code == 0
        assert ("Novelty of samples" in (tmp_path / "report.html").read_text()) == told


def test_an_evaluation_tells_what_was_made_from_what(dsae, prepared, model):
    done = dsae("evaluate", model, prepared / "rows", "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.text)
    assert set(facts["fvu"]) == {"image", "text", "image+text"}
    assert facts["coherence"]["image"]["text"] > 0.9
    shown = dsae("evaluate", model, prepared / "rows").text
    assert "> image" in shown
    assert "coherence" in shown


def test_a_report_shows_pictures_and_words(dsae, prepared, model, tmp_path):
    done = dsae("report", model, prepared / "rows", "-o", tmp_path / "report.html")
    assert done.code == 0, done.err
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png") >= 6
    assert "bright" in page
    assert ">Of the right class<" in page


def test_a_comparison_has_the_dense_twin_and_linear_maps(dsae, prepared, tmp_path):
    out = tmp_path / "study"
    done = dsae("compare", prepared / "rows", "-o", out, "--json", *QUICK, "--max-iter", 2)
    assert done.code == 0, done.err
    assert set(json.loads(done.text)["errors"]) == {"DSA", "dense twin", "single models", "PCA + least squares"}
    assert (out / "report.html").is_file()
    assert load(out / "model").names == ("image", "text")


def test_info_describes_all_networks(dsae, model):
    done = dsae("info", model)
    assert done.code == 0, done.err
    assert "image.encoder.0" in done.text
    done = dsae("info", model / "image", "--json")
    assert json.loads(done.text)["n_features"] == 64


@each(command=["decode", "reconstruct", "impute", "score", "select"])
def test_other_commands_take_one_modality(dsae, model, prepared, command):
    done = dsae(command, model, prepared / "rows")
    assert done.code == 2
    assert f"such as {model}/image" in done.err


REFUSED = {
    "no such modality": (("translate", "MODEL", "ROWS", "--to", "imge"), "Did you mean 'image'"),
    "one modality": (("translate", "MODEL/image", "ROWS", "--to", "text"), "must have several modalities"),
    "k": (("encode", "MODEL", "ROWS", "--k", "2"), "for models of one modality"),
    "sample to": (
        ("sample", "MAKER", "--to", "imge"),
        "--to must be a modality of the model; got 'imge'. Did",
    ),
    "sample nowhere": (("sample", "MAKER"), "[sample] -o must name a folder for image and text; got '-'. Name one, or"),
    "no sampler": (("sample", "MODEL", "-o", "NEW"), "[sample] The model must have a sampler; it has none. Fit one"),
    "one to": (("sample", "MODEL/image", "--to", "image"), "[sample] --to is for models of several modalities"),
    "schedule": (("fit", "ROWS", "-o", "NEW", "--schedule", "stagewise"), "--schedule is for models of one modality"),
    "dropout": (("fit", "ROWS", "-o", "NEW", "--modality-dropout", "2"), "0<=x<=1"),
    "weights": (("fit", "ROWS", "-o", "NEW", "--modality-weights", "image=x"), "NAME=NUMBER"),
    "in the way": (("fit", "ROWS", "-o", "ROWS"), "is not the folder of a joint model"),
}


@each({"args, message": REFUSED.values()})
def test_wrong_usage_is_told_in_a_line(dsae, model, maker, prepared, tmp_path, args, message):
    places = {
        "MODEL": model,
        "MAKER": maker,
        "MODEL/image": model / "image",
        "ROWS": prepared / "rows",
        "NEW": tmp_path / "new",
    }
    done = dsae(*(places.get(arg, arg) for arg in args))
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1


def test_options_of_several_modalities_need_some(dsae, data, tmp_path):
    done = dsae("fit", data, "-o", tmp_path / "new", "--modality-dropout", 0.5)
    assert done.code == 2
    assert "is for rows of several modalities" in done.err


def test_rows_of_other_encoders_are_refused(dsae, model, prepared, tmp_path):
    from dsae.features import ImageRows, prepare

    prepare(prepared / "given", tmp_path / "other", {"image": ImageRows((6, 6))})
    done = dsae("encode", model, tmp_path / "other")
    assert done.code == 2
    assert "another encoder of 'image'" in done.err
