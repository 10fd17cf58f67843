"""Files, prepared rows and tables given to commands of models of several modalities, and what they are called."""

import csv
import json

import numpy as np
import pytest
from tests.cli.test_several import QUICK, WORDS, picture
from tests.covering import each

from dsae import load
from dsae.data import open_rows

Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """Pictures, words and tables of 24 rows, one picture damaged, with a model of them."""
    from dsae import cli
    from dsae.features import ImageRows, TextRows, prepare

    folder, rng = tmp_path_factory.mktemp("media"), np.random.default_rng(0)
    given = folder / "given"
    given.mkdir()
    with open(given / "metadata.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "file_name", "text", "age", "size", "label"])
        for i in range(24):
            (given / f"{i}.png").write_bytes(picture(i % 4, rng) if i != 5 else b"damaged")
            table.writerow([f"set/row {i}", f"{i}.png", WORDS[i % 4], 20 + i, 0.5 * (i % 4), WORDS[i % 4]])
    encoders = {"image": ImageRows((8, 8)), "text": TextRows(weights="counts")}
    prepare(given, folder / "rows", encoders, on_error="missing")
    (given / "5.png").write_bytes(picture(1, rng))  # mended
    done = cli.run(list(map(str, ("fit", folder / "rows", "-o", folder / "model", *QUICK, "--max-iter", 20))))
    assert done == 0
    return folder


def test_a_log_of_problems_is_no_row(dsae, media, tmp_path):
    rows, model = media / "rows", media / "model"
    assert (rows / "problems.log").is_file()
    assert dsae("encode", model, rows, "-o", tmp_path / "codes.csv").code == 0
    assert len(open_rows(tmp_path / "codes.csv")) == 24
    assert json.loads(dsae("evaluate", model, rows, "--json").text)["n_samples"] == 24
    assert dsae("report", model, rows, "-o", tmp_path / "page.html").code == 0
    assert "shown on 24 rows" in (tmp_path / "page.html").read_text()
    assert dsae("translate", model, rows, "--to", "image", "-o", tmp_path / "made").code == 0
    assert len(list((tmp_path / "made").iterdir())) == 24


def test_a_folder_of_files_is_encoded_as_it_would_be_prepared(dsae, media, tmp_path):
    model = load(media / "model")
    done = dsae("encode", media / "model", media / "given", "-o", tmp_path / "codes.csv")
    assert done.code == 0, done.err
    found = open_rows(tmp_path / "codes.csv").load()
    wanted = model.encode(open_rows(media / "rows"))
    others = np.arange(24) != 5  # which was damaged when rows were prepared
    np.testing.assert_allclose(found.X[others], wanted[others], rtol=1e-4, atol=1e-5)
    assert found.rows.ids.tolist() == [f"set/row {i}" for i in range(24)]
    facts = json.loads(dsae("evaluate", media / "model", media / "given", "--json").text)
    assert facts["n_samples"] == 24
    assert "coherence" in facts


def on_error(folder):
    """Four rows: whole, a damaged picture with a word, a damaged picture alone, words whose picture is missing."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, kind in {"a": 2, "b": None, "c": None}.items():
        (folder / f"{name}.png").write_bytes(b"damaged" if kind is None else picture(kind, rng))
    for name in "abd":
        (folder / f"{name}.txt").write_text("left")
    return folder


@each(
    {
        "command, how, ids": [
            ("encode", "raise", None),
            ("encode", "missing", ["a", "b", "d"]),
            ("encode", "skip", ["a", "d"]),
            ("evaluate", "missing", ["a", "b", "d"]),
            ("translate", "skip", ["a", "d"]),
            ("report", "missing", ["a", "b", "d"]),
            ("interpolate", "skip", ["a", "d"]),
        ]
    }
)
def test_files_that_cannot_be_read_are_counted_and_listed(dsae, media, tmp_path, command, how, ids):
    folder, out = (
        on_error(tmp_path / "in"),
        tmp_path / {"translate": "made", "report": "page.html"}.get(command, "a.csv"),
    )
    more = {"translate": ["--to", "text"], "interpolate": [folder, "--to", "table", "-n", 2]}.get(command, [])
    more += ["--json"] if command == "evaluate" else ["-o", out]
    done = dsae(command, media / "model", folder, *more, "--on-error", how)
    if how == "raise":
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert done.err.startswith(f"dsae: [{command}] {folder / 'b.png'} must be an image")
        assert not out.exists()
        return
    assert done.code == 0, done.err
    told = f"dsae: 2 files could not be read; {4 - len(ids)} rows are left out\n"
    times = 2 if command == "interpolate" else 1
    assert [done.err.count(text) for text in ("b.png must be", "c.png must be", told)] == [times] * 3
    if command == "encode":
        assert open_rows(out).load().rows.ids.tolist() == ids
    elif command == "translate":
        assert sorted(path.stem for path in out.iterdir()) == ids
    elif command == "evaluate":
        assert json.loads(done.text)["n_samples"] == len(ids)


@each({"args, message": [(["{rows}"], "holds rows. Leave it out."), (["{empty}"], "No row is left: ")]})
def test_leaving_out_needs_files_of_which_some_can_be_read(dsae, media, tmp_path, args, message):
    places = {"{rows}": media / "rows", "{empty}": tmp_path}
    (tmp_path / "a.png").write_bytes(b"damaged")
    done = dsae("encode", media / "model", *(places[arg] for arg in args), "--on-error", "skip")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert message in done.err


def test_pairs_of_which_one_cannot_be_read_are_not_mixed_up(dsae, media, tmp_path):
    folder, other = on_error(tmp_path / "in"), on_error(tmp_path / "other")
    for one, another in (("a.png", "b.png"), ("b.png", "a.png")):  # two rows are left of each, but not the same
        (other / one).write_bytes((folder / another).read_bytes())
    more = ["--to", "table", "-n", 2, "-o", tmp_path / "a.csv", "--on-error"]
    done = dsae("interpolate", media / "model", folder, other, *more, "skip")
    assert done.code == 2
    assert "row 0, counted from 0, is left of one alone. Take its files out of both." in done.err
    assert not (tmp_path / "a.csv").exists()
    assert dsae("interpolate", media / "model", folder, other, *more, "missing").code == 0


def test_texts_of_digits_are_texts_where_the_model_has_texts(media, tmp_path):
    from dsae.features import TextRows, read_raw

    texts = TextRows(weights="counts").fit(["7", "12"])
    (tmp_path / "metadata.csv").write_text("id,word\na,12\nb,7\nc,\n")
    made = read_raw("encode", tmp_path, {"word": texts})
    assert made.rows["word"].toarray().tolist() == [[1, 0], [0, 1], [0, 0]]
    assert made.present["word"].tolist() == [True, True, False]


def test_files_are_called_as_their_rows(dsae, media, tmp_path):
    done = dsae("translate", media / "model", media / "rows", "--to", "image", "-o", tmp_path / "made")
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "made").iterdir()} == {f"set_row {i}.png" for i in range(24)}
    assert {path.name for path in tmp_path.iterdir()} == {"made"}


@each(names=[("a.png", "a.bmp"), ("b/a.png", "b_a.png"), ("A.png", "a.png")])
def test_two_rows_of_one_file_are_refused(dsae, media, tmp_path, names):
    pictures, out = tmp_path / "pictures", tmp_path / "made"
    for name in names:
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        (pictures / name).write_bytes(picture(2, np.random.default_rng(0)))
    done = dsae("translate", media / "model", pictures, "--to", "text", "-o", out)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert not out.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"pictures"}


def test_pictures_are_not_written_over(dsae, media, tmp_path):
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / f"{name}.png").write_bytes(picture(2, np.random.default_rng(0)))
    done = dsae("translate", media / "model", tmp_path / "in", "--to", "image", "-o", tmp_path / "in")
    assert done.code == 2
    assert "where the data are" in done.err
    assert (tmp_path / "in" / "a.png").read_bytes() == picture(2, np.random.default_rng(0))


def test_every_ending_that_is_prepared_is_read(media, tmp_path):
    from dsae.features import is_raw
    from dsae.features._kinds import ENDINGS

    for ending in (ending for endings in ENDINGS.values() for ending in endings):
        (tmp_path / f"x{ending}").touch()
        assert is_raw(tmp_path / f"x{ending}"), ending
    assert not is_raw(media / "rows")


def test_a_table_is_written_as_a_table(dsae, media, tmp_path):
    done = dsae("translate", media / "model", media / "rows", "--to", "table", "-o", tmp_path / "made.csv")
    assert done.code == 0, done.err
    lines = list(csv.reader((tmp_path / "made.csv").read_text().splitlines()))
    model = load(media / "model")
    rendered = model.render("table", model.translate(open_rows(media / "rows"), "table"))
    assert lines[0] == ["id", *(str(name) for name in getattr(rendered, "column_names", rendered.columns))]
    assert {"age", "size"} <= set(lines[0])
    ages = [float(line[lines[0].index("age")]) for line in lines[1:]]
    assert 15 < np.mean(ages) < 50
    assert lines[1][0] == "set/row 0"


def labelled(media, folder, labels):
    from dsae.features import encoders_from_json, prepare

    folder.mkdir()
    for i, _ in enumerate(labels):
        (folder / f"{i}.png").write_bytes((media / "given" / f"{i}.png").read_bytes())
    with open(folder / "metadata.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", "text", "label"])
        rows.writerows([f"{i}.png", WORDS[i % 4], label] for i, label in enumerate(labels))
    encoders = encoders_from_json((media / "rows" / "encoders.json").read_text())
    prepare(folder, folder.with_suffix(".rows"), {name: encoders[name] for name in ("image", "text")})
    return folder.with_suffix(".rows")


@each({"labels, n_unlabelled": [([*WORDS * 3, "", ""], 2), (["dark"] * 8, None), ([""] * 8, None)]})
def test_errors_are_told_whatever_the_labels(dsae, media, tmp_path, labels, n_unlabelled):
    done = dsae("evaluate", media / "model", labelled(media, tmp_path / "in", labels), "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.text)
    assert set(facts["fvu"]) == {"image", "text", "image+text"}
    assert facts["n_samples"] == len(labels)
    assert facts.get("n_unlabelled") == n_unlabelled
    assert ("coherence" in facts) == (n_unlabelled is not None)


@each({"labels, judged": [([*WORDS * 6, "", ""], True), (["dark"] * 24, False)]})
def test_a_comparison_takes_whatever_labels_there_are(dsae, media, tmp_path, labels, judged):
    rows = labelled(media, tmp_path / "in", labels[:24])
    test = labelled(media, tmp_path / "other", labels[-24:])
    done = dsae("compare", rows, "--test", test, "-o", tmp_path / "study", "--json", *QUICK, "--max-iter", 1)
    assert done.code == 0, done.err
    found = json.loads(done.text)
    assert set(found["errors"]["DSA"]) == {"image", "text", "image+text"}
    assert bool(found["coherence"]) == judged
