"""Tables and archives that name files become rows, in the order and with the ids that they give."""

import json

import numpy as np
import pandas as pd
import pytest
from tests.covering import each
from tests.features.folders import ENCODERS, expected_images, image, images_of, loaded, put, sound, tar

from dsae.features import ImageRows, TableRows, TextRows, encoders_from_json, prepare

pytest.importorskip("PIL")
pytest.importorskip("soundfile")

METADATA = pd.DataFrame(
    {
        "id": ["p", "q", "r"],
        "image_file_name": ["a.png", "b.png", None],
        "audio_file_name": ["s/x.wav", None, "s/x.wav"],
        "caption": ["a cat", None, "a dog"],
        "age": [3.0, 4.0, 8.0],
        "label": ["x", "y", "x"],
    }
)


@each(kind=["csv", "jsonl", "parquet"])
def test_a_table_names_the_files(kind, tmp_path):
    folder = put(tmp_path / kind, {"a.png": image(1), "b.png": image(2), "s/x.wav": sound(300), "more.png": image(3)})
    path = folder / f"metadata.{kind}"
    {
        "csv": lambda: METADATA.to_csv(path, index=False),
        "jsonl": lambda: METADATA.to_json(path, orient="records", lines=True),
        "parquet": lambda: METADATA.to_parquet(path),
    }[kind]()
    done = prepare(folder, tmp_path / f"{kind}.out", ENCODERS)
    batch = loaded(tmp_path / f"{kind}.out")
    assert (batch.ids.tolist(), batch.labels.tolist()) == (["p", "q", "r"], ["x", "y", "x"])
    assert {name: has.tolist() for name, has in batch.present.items()} == {
        "image": [True, True, False],
        "audio": [True, False, True],
        "caption": [True, False, True],
        "table": [True, True, True],
    }
    assert images_of(batch)[:2] == expected_images((1, 2))
    assert done.encoders["caption"].vocabulary_ == ["a", "cat", "dog"]
    assert done.encoders["table"].get_feature_names_out().tolist() == ["age"]
    assert done.notes == [
        f"1 files are not in metadata.{kind} and are left out: 'more.png'",
        f"1 files are in more than one cell of metadata.{kind}: 's/x.wav'",
    ]


def test_one_column_of_files_and_no_ids(tmp_path):
    folder = put(tmp_path / "in", {"x/a.png": image(1), "x/b.png": image(2)})
    pd.DataFrame({"file_name": ["x/b.png", "x/a.png"], "text": ["7", "8"]}).to_csv(folder / "metadata.csv", index=False)
    prepare(folder, tmp_path / "out", ENCODERS | {"text": TextRows("counts")})
    batch = loaded(tmp_path / "out")
    assert sorted(batch.parts) == ["image", "text"]
    assert batch.ids.tolist() == ["b", "a"]
    assert images_of(batch) == expected_images((2, 1))


@each({"name": ["../x.png", "/etc/passwd.png", "a/../../x.png", "C:\\x.png", "..\\x.png", "link.png", "gone.png"]})
def test_a_path_that_leaves_the_folder_is_never_read(name, tmp_path):
    folder = tmp_path / "in"
    if not folder.exists():
        put(tmp_path, {"x.png": image(5), "in/a.png": image(1)})
        (folder / "link.png").symlink_to(tmp_path / "x.png")
    pd.DataFrame({"file_name": ["a.png", name]}).to_csv(folder / "metadata.csv", index=False)
    with pytest.raises(ValueError, match=r"^\[prepare\] .*(within the folder|does not exist)"):
        prepare(folder, tmp_path / "out", ENCODERS)
    done = prepare(folder, tmp_path / "out", ENCODERS, on_error="missing")
    assert (done.n_rows, done.n_dropped, len(done.problems)) == (1, 1, 1)
    for file in (tmp_path / "out").iterdir():
        file.unlink()
    (tmp_path / "out").rmdir()


@each(
    {
        "rows, message": [
            ([{"file_name": "a.png", "id": "x"}, {"file_name": "a.png", "id": "x"}], r"rows 0 and 1, .* are both 'x'"),
            ([{"file_name": "a.png", "id": "x"}, {"file_name": "a.png", "id": None}], r"must name every row; row 1"),
            ([{"file_name": "a.png"}, {"file_name": "s.wav"}], r"must name files of one kind .*; got audio and image"),
            ([{"file_name": "a.exe"}], r"must name files of one kind .*; got files of another kind"),
            ([{"file_name": None}], r"got nothing"),
            ([{"../x_file_name": "a.png"}], r"A modality must have a name that a folder may have"),
            ([{"file_name": "a.png", "image": "red"}], r"'file_name' and 'image' are both 'image'\. Rename or exclude"),
            (
                [{"image_file_name": "a.png", "file_name": "a.png"}],
                r"'image_file_name' and 'file_name' are both 'image'",
            ),
            ([{"file_name": "a.png", "table": "x", "age": 3}], r"'table' and 'age' are both 'table'"),
            (
                [{"file_name": "a.png", "label": 1}, {"file_name": "a.png", "label": "a"}],
                r"column 'label' must hold values of one type that tables can hold; got int and str",
            ),
        ]
    }
)
def test_a_table_that_contradicts_itself_is_refused(rows, message, tmp_path):
    folder = put(tmp_path / "in", {"a.png": image(1), "s.wav": sound(300)})
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(ValueError, match=message):
        prepare(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_rows_take_the_encoders_of_training(tmp_path):
    texts = {"1.txt": "red apple", "2.txt": "green pear"}
    prepare(put(tmp_path / "train", texts), tmp_path / "rows")
    encoders = encoders_from_json((tmp_path / "rows" / "encoders.json").read_text("utf-8"))
    prepare(put(tmp_path / "test", {"3.txt": "red pear tree"}), tmp_path / "more", encoders)
    batch = loaded(tmp_path / "more")
    assert encoders["text"].inverse_transform(batch.parts["text"]) == [["pear", "red"]]
    assert (tmp_path / "more" / "encoders.json").read_text() == (tmp_path / "rows" / "encoders.json").read_text()


def numbered(folder, values):
    put(folder, {f"{i}.png": image(i) for i in range(len(values))})
    rows = [f"{i}.png,{x},{y}" for i, (x, y) in enumerate(values)]
    (folder / "metadata.csv").write_text("\n".join(["file_name,x,y", *rows]) + "\n")
    return folder


def test_numbers_take_the_means_of_training(tmp_path):
    train = numbered(tmp_path / "train", [(1, 10), (2, 30), (3, 20)])
    prepare(train, tmp_path / "rows", ENCODERS)
    encoders = encoders_from_json((tmp_path / "rows" / "encoders.json").read_text("utf-8"))
    prepare(numbered(tmp_path / "test", [(2, 20), (3, 30)]), tmp_path / "more", encoders)
    batch = loaded(tmp_path / "more")
    np.testing.assert_allclose(batch.parts["table"], [[0, 0], [1.5**0.5, 1.5**0.5]], atol=1e-6)
    prepare(train, tmp_path / "again", ENCODERS | {"table": TableRows(missing="fill")})
    np.testing.assert_array_equal(loaded(tmp_path / "again").parts["table"], loaded(tmp_path / "rows").parts["table"])


@each({"missing, has": [("fill", [True, False, True, True]), ("mask", [True, False, False, True])]})
def test_a_row_of_empty_cells_is_missing(missing, has, tmp_path):
    folder = numbered(tmp_path / missing, [(1, 2), ("", ""), (3, ""), (4, 1)])
    done = prepare(folder, tmp_path / f"{missing}.out", {"image": ImageRows(6), "table": TableRows(missing=missing)})
    assert loaded(tmp_path / f"{missing}.out").present["table"].tolist() == has
    assert done.present["table"] == sum(has)
    (note,) = done.notes
    assert note.startswith("1 rows of 'table' have empty cells and ")


def test_archives_of_webdataset(tmp_path):
    (tmp_path / "in").mkdir()
    tar(
        tmp_path / "in" / "0.tar",
        {"1.png": image(1), "1.wav": sound(300), "1.cls": b"7", "2.png": image(2), "2.cls": b"8"},
    )
    tar(tmp_path / "in" / "1.tar", {"3.txt": b"three", "3.cls": b"9", "3.json": b"{}"})
    done = prepare(tmp_path / "in", tmp_path / "out", ENCODERS)
    batch = loaded(tmp_path / "out")
    assert (batch.ids.tolist(), batch.labels.tolist()) == (["1", "2", "3"], ["7", "8", "9"])
    assert done.present == {"image": 2, "audio": 1, "text": 1}
    assert images_of(batch)[:2] == expected_images((1, 2))
    assert len(done.notes) == 1
    assert "'3.json'" in done.notes[0]
    tar(tmp_path / "odd.tar", {"1.png": image(1), "2.png": image(2), "1.wav": sound(300)})
    with pytest.raises(ValueError, match=r"must hold the members of a row beside each other; '1.wav' comes after"):
        prepare(tmp_path / "odd.tar", tmp_path / "no")
    (tmp_path / "cut.tar").write_bytes((tmp_path / "odd.tar").read_bytes()[:600])
    with pytest.raises(ValueError, match=r"cut.tar .*(is truncated|truncated or corrupt)"):
        prepare(tmp_path / "cut.tar", tmp_path / "no")


def test_members_called_label_are_no_label_and_bare_rows_are_told_of(tmp_path):
    path = tar(tmp_path / "a.tar", {"1.png": image(1), "2.json": b"{}", "2.cls": b"5", "3.png": image(3)})
    done = prepare(path, tmp_path / "out", {"image": ImageRows(6)})
    batch = loaded(tmp_path / "out")
    assert (batch.ids.tolist(), batch.labels) == (["1", "3"], None)
    assert any("'2.json'" in note for note in done.notes)
    assert "1 rows have no picture, sound or text and are left out: '2'" in done.notes
    with pytest.raises(ValueError, match=r"other than id and label; got 'label'"):
        prepare(tar(tmp_path / "b.tar", {"1.png": image(1), "1.label.txt": b"cat"}), tmp_path / "no")
    with pytest.raises(ValueError, match=r"must hold one label in each row; '1' has two"):
        prepare(tar(tmp_path / "c.tar", {"1.png": image(1), "1.cls": b"0", "1.CLS": b"1"}), tmp_path / "no")
    with pytest.raises(ValueError, match=r"must hold pictures, sounds or texts; it holds no file"):
        prepare(tar(tmp_path / "d.tar", {}), tmp_path / "no")
