"""Folders as people keep them become rows; what cannot be read is named, counted and listed, and loses nothing."""

import os

import numpy as np
import pytest
from tests.covering import covering, each
from tests.features.folders import ENCODERS, SOUND, expected_images, image, images_of, loaded, put, sound, tar
from tests.features.media import chirp, wav

from dsae.features import ImageRows, TextRows, prepare

pytest.importorskip("PIL")
pytest.importorskip("soundfile")


@each({"nested": [False, True]})
def test_files_with_equal_names_are_a_row(nested, tmp_path):
    names = ("images/{}.png", "sound/{}.wav", "words/{}.txt") if nested else ("{}.png", "{}.wav", "{}.txt")
    files = {}
    for i in (2, 10, 1):
        files |= {names[0].format(i): image(i), names[1].format(i): sound(200 + 40 * i)}
    files[names[2].format(10)] = "ten"
    files[names[2].format(11)] = ""
    folder = put(tmp_path / f"in{nested}", files)
    done = prepare(folder, tmp_path / f"out{nested}", ENCODERS)
    assert (done.n_rows, done.present) == (4, {"audio": 3, "image": 3, "text": 2})
    batch = loaded(tmp_path / f"out{nested}")
    assert batch.ids.tolist() == ["1", "2", "10", "11"]
    assert batch.labels is None
    assert images_of(batch)[:3] == expected_images((1, 2, 10))
    assert batch.present["text"].tolist() == [False, False, True, True]
    assert batch.parts["text"].getnnz(axis=1).tolist() == [0, 0, 1, 0]
    np.testing.assert_allclose(batch.parts["audio"][0], SOUND.transform([sound(240)])[0], atol=0.01)


def test_subfolders_of_one_kind_are_classes(tmp_path):
    folder = put(tmp_path / "in", {f"{animal}/{i}.png": image(i) for animal in ("cat", "dog") for i in (1, 2)})
    put(folder, {"cat/1.wav": sound(300), "readme.md": "x", ".DS_Store": "x"})
    done = prepare(folder, tmp_path / "out", ENCODERS)
    batch = loaded(tmp_path / "out")
    assert batch.ids.tolist() == ["cat/1", "cat/2", "dog/1", "dog/2"]
    assert batch.labels.tolist() == ["cat", "cat", "dog", "dog"]
    assert batch.present["audio"].tolist() == [True, False, False, False]
    assert done.notes == ["1 files are neither pictures, sounds nor texts and are left out: 'readme.md'"]


def test_classes_within_modalities(tmp_path):
    files = {
        f"{kind}/{c}/{i}.{end}": make(i)
        for c in "ab"
        for i in (1, 2)
        for kind, end, make in (("pics", "png", image), ("waves", "wav", lambda i: sound(300 + i)))
    }
    prepare(put(tmp_path / "in", files), tmp_path / "out", ENCODERS)
    batch = loaded(tmp_path / "out")
    assert sorted(batch.parts) == ["audio", "image"]
    assert batch.labels.tolist() == ["a", "a", "b", "b"]


@each({"name": ["README.txt", "cover.png", "0.wav"]})
def test_a_file_beside_subfolders_of_modalities_changes_no_row(name, tmp_path):
    files = {f"images/{i}.png": image(i) for i in range(3)} | {f"sound/{i}.wav": sound(300 + i) for i in range(3)}
    prepare(put(tmp_path / f"{name}.without", files), tmp_path / f"{name}.a", ENCODERS)
    folder = put(tmp_path / f"{name}.with", files | {name: {"R": "about", "c": image(9), "0": sound(999)}[name[0]]})
    done = prepare(folder, tmp_path / f"{name}.b", ENCODERS)
    one, other = (loaded(tmp_path / f"{name}.{which}") for which in "ab")
    assert one.ids.tolist() == other.ids.tolist() == ["0", "1", "2"]
    assert one.labels is None
    assert other.labels is None
    assert sorted(one.parts) == sorted(other.parts) == ["audio", "image"]
    for part in one.parts:
        np.testing.assert_array_equal(one.parts[part], other.parts[part])
    assert done.notes == [f"1 files lie beside the subfolders and are left out: {name!r}"]


def test_a_text_beside_classes_is_no_row(tmp_path):
    folder = put(tmp_path / "in", {"cat/1.png": image(1), "dog/1.png": image(2), "9.png": image(3), "README.txt": "x"})
    done = prepare(folder, tmp_path / "out", {"image": ImageRows(6)})
    batch = loaded(tmp_path / "out")
    assert batch.ids.tolist() == ["9", "cat/1", "dog/1"]
    assert batch.labels.tolist() == [None, "cat", "dog"]
    assert done.notes == ["1 files lie beside the subfolders and are left out: 'README.txt'"]


@each(
    {
        "names": [
            ("images/a1.png", "images/a2.png", "sound/b1.wav"),
            ("images/1.png", "images/README.txt", "sound/1.wav"),
            ("train/images/1.png", "train/sound/1.wav", "test/images/2.png", "test/sound/2.wav"),
        ]
    }
)
def test_kinds_that_never_meet_in_a_row_are_refused(names, tmp_path):
    make = {"png": image(1), "wav": sound(300), "txt": "x"}
    folder = put(tmp_path / "-".join(names).replace("/", "+"), {name: make[name[-3:]] for name in names})
    with pytest.raises(ValueError, match=r"must have rows with several of audio.* image.*, and no two files belong"):
        prepare(folder, tmp_path / "out", ENCODERS)


def test_files_that_never_meet_in_a_row_are_told_of(tmp_path):
    done = prepare(put(tmp_path / "in", {"a.png": image(1), "b.wav": sound(300)}), tmp_path / "out", ENCODERS)
    assert done.notes == ["No two files have equal names up to their ending, so every row has one of audio and image."]


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_linked_subfolders_are_told_of(tmp_path):
    folder = put(tmp_path / "in", {"a/1.png": image(1), "b/1.png": image(2)})
    put(tmp_path / "else", {"2.png": image(3)})
    (folder / "c").symlink_to(tmp_path / "else")
    done = prepare(folder, tmp_path / "out", {"image": ImageRows(6)})
    assert loaded(tmp_path / "out").ids.tolist() == ["a/1", "b/1"]
    assert done.notes == ["1 linked subfolders are not followed: 'c'"]


@each(
    {
        "columns": [
            {"id_column": "name"},
            {"label_column": "name"},
            {"text_columns": ["name"]},
            {"exclude": ["name"]},
        ],
        "kind": ["files", "tar"],
    }
)
def test_columns_need_a_table(columns, kind, tmp_path):
    folder = put(tmp_path / f"{kind}{next(iter(columns))}", {"1.png": image(1)})
    where = folder if kind == "files" else tar(folder / "a.tar", {"1.png": image(1)})
    with pytest.raises(ValueError, match=r"must have metadata.csv.* for a column 'name'; it has no table of files"):
        prepare(where, tmp_path / "out", ENCODERS, **columns)


def test_settings_without_use_are_told_of_and_checked(tmp_path):
    folder = put(tmp_path / "in", {"1.png": image(1)})
    done = prepare(folder, tmp_path / "out", ENCODERS)
    assert done.notes == ["The folder has no 'audio'; the settings of its encoder are not used."]
    with pytest.raises(ValueError, match=r"ngrams must be the shortest and the longest"):
        prepare(folder, tmp_path / "no", {"image": ImageRows(6), "text": TextRows(ngrams=(3, 1))})


def damaged(tmp_path, name):
    folder = put(tmp_path / name, {f"{i}.png": image(i) for i in range(4)} | {f"{i}.wav": sound(300) for i in range(4)})
    put(folder, {"1.png": image(1)[:60], "2.wav": wav(np.zeros(100)), "3.txt": b"\xff\xfe", "0.txt": "zero"})
    (folder / "4.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "secret.png").write_bytes(image(9))
    return folder


def test_what_cannot_be_read_is_refused_by_name_and_nothing_is_written(tmp_path):
    folder = damaged(tmp_path, "in")
    with pytest.raises(ValueError, match=r"^\[prepare\] .*\.(png|wav|txt) ") as caught:
        prepare(folder, tmp_path / "out", ENCODERS)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "secret.png"]


@each({"on_error, ids": [("missing", ["0", "1", "2", "3"]), ("skip", ["0"])]})
def test_or_it_is_missing_or_skipped_counted_and_listed(on_error, ids, tmp_path):
    (tmp_path / on_error).mkdir()
    folder = damaged(tmp_path / on_error, "in")
    out = tmp_path / on_error / "out"
    done = prepare(folder, out, ENCODERS, on_error=on_error)
    batch = loaded(out)
    assert batch.ids.tolist() == ids
    assert len(done.problems) == 4
    assert done.n_dropped == 5 - len(ids)
    text = (out / "problems.log").read_text("utf-8")
    assert text.splitlines() == done.problems
    for name, why in {"1.png": "truncated", "2.wav": "silent", "3.txt": "UTF-8", "4.png": "leads out of it"}.items():
        assert any(name in line and why in line for line in done.problems), name
    if on_error == "missing":
        assert batch.present["image"].tolist() == [True, False, True, True]
        assert batch.present["audio"].tolist() == [True, True, False, True]
        assert batch.present["text"].tolist() == [True, False, False, False]
        assert images_of(batch)[2] == expected_images([2])[0]


@each(
    {
        "files, message": [
            ({"x.exe": "x"}, r"must hold pictures, sounds or texts \(.txt\); it holds 'x.exe'"),
            ({}, r"must hold pictures, sounds or texts \(.txt\); it holds no file"),
            ({"train/metadata.csv": "x"}, r"Prepare train by itself"),
            ({"metadata.csv": "a\n1\n", "metadata.jsonl": "{}"}, r"must have one table of files"),
            ({"metadata.jsonl": "{]"}, r"must hold an object of JSON in each line; line 1"),
            ({"metadata.jsonl": '{"a": [1]}'}, r"plain values in each line; line 1"),
            ({"metadata.csv": "id,label\n1,2\n"}, r"must have rows, and columns of files"),
        ]
    }
)
def test_a_folder_without_rows_is_refused(files, message, tmp_path):
    folder = tmp_path / str(abs(hash(message)))
    folder.mkdir()
    with pytest.raises(ValueError, match=message):
        prepare(put(folder, files), tmp_path / "out")


def test_the_output_must_be_new_and_encoders_must_fit(tmp_path):
    folder = put(tmp_path / "in", {"1.png": image(1)})
    with pytest.raises(ValueError, match=r"There is no modality 'sound'; the folder has image"):
        prepare(folder, tmp_path / "out", {"sound": SOUND})
    with pytest.raises(ValueError, match=r"'image' must have image rows as its encoder; got audio rows"):
        prepare(folder, tmp_path / "out", {"image": SOUND})
    prepare(folder, tmp_path / "out", {"image": ImageRows(6)})
    with pytest.raises(FileExistsError, match=r"exists already; choose another folder"):
        prepare(folder, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"does not exist"):
        prepare(tmp_path / "nowhere", tmp_path / "out2")


def test_progress_is_told(tmp_path):
    told = []
    folder = put(tmp_path / "in", {f"{i}.txt": f"word{i}" for i in range(300)})
    prepare(folder, tmp_path / "out", progress=lambda done, total: told.append((done, total)))
    assert told == [(256, 300), (300, 300)]


def test_rows_that_have_nothing_are_told_of(tmp_path):
    folder = put(tmp_path / "in", {"metadata.csv": "id,file_name\na,1.png\nb,\n", "1.png": image(1)})
    done = prepare(folder, tmp_path / "out", {"image": ImageRows(6)}, on_error="missing")
    assert (done.n_rows, done.n_dropped) == (1, 1)
    assert done.notes == ["1 rows have nothing and are left out: 'b'"]


def test_long_sounds_are_told_of(tmp_path):
    folder = put(tmp_path / "in", {"1.wav": wav(chirp(0.5)), "2.wav": sound(300)})
    done = prepare(folder, tmp_path / "out", {"audio": SOUND})
    assert done.notes == ["1 of 2 sounds are longer than 0.25 s; their centre is kept, and 33.3% of all sound is cut."]


@covering(n=(0, 3), kind=("image", "audio", "text"), by="kind")
def test_hostile_names_are_shown_on_one_line(n, kind, tmp_path):
    end = {"image": "png", "audio": "wav", "text": "txt"}[kind]
    good = {"image": image(1), "audio": sound(300), "text": b"x"}[kind]
    folder = put(tmp_path / f"{n}", {f"good{i}.{end}": good for i in range(n)})
    bad = folder / f"a\nb\x1b[31m.{end}" if os.name == "posix" else folder / f"a.{end}"
    folder.mkdir(exist_ok=True)
    bad.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match=r"^\[prepare\] ") as caught:
        prepare(folder, tmp_path / f"{n}.out")
    assert str(caught.value).isprintable()
