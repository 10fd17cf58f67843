"""`dsae explore`: files of what belongs to rows, refusals, names by a program of one's own."""

import json
import sys

import numpy as np
import pytest
from tests.covering import each

import dsae as dsae_
from dsae.explorer import read_shard, read_values

NAMER = """
import json, sys
latents = json.load(sys.stdin)
json.dump({latent["latent"]: latent["writes"][0].upper() for latent in latents}, sys.stdout)
"""


def test_explore_writes_a_folder(dsae, model, data, tmp_path):
    (tmp_path / "labels.txt").write_text("odd\neven\n" * 20)
    (tmp_path / "texts.json").write_text(json.dumps([f"alpha {i}" for i in range(40)]))
    (tmp_path / "ids.csv").write_text("who,n\n" + "".join(f"person {i},{i}\n" for i in range(40)))
    (tmp_path / "namer.py").write_text(NAMER)
    given = [
        "--labels",
        tmp_path / "labels.txt",
        "--texts",
        tmp_path / "texts.json",
        "--ids",
        f"{tmp_path}/ids.csv:who",
    ]
    namer = ["--namer", f"{sys.executable} {tmp_path}/namer.py", "--title", "Greek"]
    folder = tmp_path / "e"
    done = dsae("explore", model, data, "-o", folder, *given, *namer)
    assert (done.code, done.text) == (0, ""), done.err
    assert done.err == f"explorer: {folder}/index.html\n"
    index, rows = read_shard(folder, "index"), read_shard(folder, "rows/0")
    assert index["title"] == "Greek"
    assert index["labels"] == {"names": ["even", "odd"], "counts": [20, 20], "beside": True}
    said = {name: eval(line, {"dsae": dsae_}) for name, line in index["python"].items()}
    assert type(said["model"]) is dsae_.Runtime
    np.testing.assert_array_equal(said["array"], said["rows"].load().X)
    assert said["array"].shape == (40, 4)
    assert (said["labels"][0], said["texts"][7]) == ("odd", "alpha 7")
    assert (rows["id"][7], rows["text"][7], rows["label"][7]) == ("person 7", "alpha 7", 0)
    assert read_shard(folder, "features")["name"] == ["alpha", "beta", "gamma", "delta"]
    assert {name.lower() for name in read_shard(folder, "columns")["name"]} <= {"alpha", "beta", "gamma", "delta"}


def test_lines_read_the_rows_as_the_command_does(dsae, model, tmp_path):
    (tmp_path / "x.csv").write_text(
        "who;kind;alpha;beta;gamma;delta\n" + "".join(f"p{i};k{i % 2};{i};1;0;2\n" for i in range(9))
    )
    given = ["--id-column", "who", "--label-column", "kind", "--delimiter", ";"]
    done = dsae("explore", model, tmp_path / "x.csv", "-o", tmp_path / "e", *given)
    assert done.code == 0, done.err
    said = {
        name: eval(line, {"dsae": dsae_})
        for name, line in read_shard(tmp_path / "e", "index")["python"].items()
        if name != "texts"
    }
    np.testing.assert_array_equal(said["array"][:, 0], np.arange(9))
    assert said["labels"].tolist() == [f"k{i % 2}" for i in range(9)]


def test_pictures_are_to_be_prepared_first(dsae, model, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"a picture")
    done = dsae("explore", model, tmp_path / "in", "-o", tmp_path / "e")
    assert done.code == 2
    assert (
        "in holds pictures, sounds or texts; the model takes rows of numbers. Make them as for training: " in done.err
    )


@each(option=["--labels", "--texts", "--ids"])
def test_other_lengths_are_refused(dsae, model, data, tmp_path, option):
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "short.txt").write_text("one\ntwo\n")
    done = dsae("explore", model, data, "-o", tmp_path / "e", option, tmp_path / "short.txt")
    assert done.code == 2
    assert f"{option[2:]} must be one for each of 40 rows, in their order; got 2." in done.err
    assert not (tmp_path / "e").exists()


def test_a_namer_that_fails_is_said(dsae, model, data, tmp_path):
    done = dsae("explore", model, data, "-o", tmp_path / "e", "--namer", f"{sys.executable} -c 'raise SystemExit(3)'")
    assert done.code == 2
    assert "must end with 0; it ended with 3" in done.err


def test_values_come_from_lines_arrays_and_lists(tmp_path):
    (tmp_path / "lines.txt").write_text("a\r\nb c\n\nd", "utf-8")
    lines = read_values(tmp_path / "lines.txt")
    assert (len(lines), lines[1], lines[2], lines[1:]) == (4, "b c", "", ["b c", "", "d"])
    assert list(lines) == ["a", "b c", "", "d"]
    assert lines[-1] == "d"
    np.save(tmp_path / "y.npy", np.arange(3))
    assert read_values(tmp_path / "y.npy").tolist() == [0, 1, 2]
    np.save(tmp_path / "z.npy", np.eye(2))
    (tmp_path / "z.json").write_text('{"a": 1}')
    for name in ("z.npy", "z.json"):
        with pytest.raises(ValueError, match=rf"\[explore\] .*{name} must hold"):
            read_values(tmp_path / name)
