"""Names of features from files of their own, and names that travel with rows."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.feature_extraction.text import CountVectorizer
from tests.covering import each

from dsae import DeepSparseAutoencoder, DSAFeatureSelector, DSAOutlierDetector
from dsae.data import ids_of, named_rows, open_rows, read_names, write_rows
from dsae.interpret import CodeIndex
from dsae.report import collect

WORDS = ["moon", "earth", "a, b"]


@each(
    {
        "name, text": [
            ("words.txt", "moon\nearth\na, b\n"),
            ("words.names", "\ufeffmoon\r\nearth\r\na, b"),
            ("words.json", json.dumps(WORDS)),
            ("words.json", json.dumps({"earth": 1, "a, b": 2, "moon": 0})),
            ("words.csv", 'word\nmoon\nearth\n"a, b"\n'),
            ("words.csv", 'index,word\n0,moon\n1,earth\n2,"a, b"\n'),
            ("words.tsv", "gene\tword\nx\tmoon\ny\tearth\nz\ta, b\n"),
        ]
    }
)
def test_names_are_read_from_lines_columns_and_json(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert read_names(f"{path}:word" if name.endswith("tsv") else path) == WORDS
    with gzip.open(f"{path}.gz", "wt", encoding="utf-8") as file:
        file.write(text)
    assert read_names(f"{path}.gz:word" if name.endswith("tsv") else f"{path}.gz") == WORDS


@each(
    {
        "name, text, message": [
            ("words.txt", "", r"words\.txt must hold names of features; it is empty"),
            ("words.json", "{", r"words\.json must be JSON; it is not"),
            ("words.json", "[" * 10**5, r"words\.json must be JSON; it is not"),
            ("words.json", '{"a": 1}', r"must hold a list of names, or an object from names to column numbers"),
            ("words.json", "[1, 2]", r"must hold a list of names"),
            ("words.txt", "x\n\ny\n", r"words\.txt must hold a name for every feature; line 2 is blank"),
            ("words.txt", "x\ny\nx\n", r"words\.txt must hold different names; 'x' is in line 1 and in line 3"),
            ("words.json", '["x", "x"]', r"must hold different names; 'x' is in entry 1 and in entry 2"),
            ("words.csv", "word\nx\n\nx\n", r"must hold different names; 'x' is in line 2 and in line 4"),
            ("words.csv", "a,b\nx,y\n", r"must say which column holds the names \(a, b\); give words\.csv:a, say"),
            ("words.csv", "a,b\nx\n", r"must have 2 fields in every line"),
            ("words.csv", "a\n", r"must hold a line of column names and names of features; got 1 lines"),
            ("words.csv:c", "a,b\nx,y\n", r"has no column 'c'; it has a, b"),
        ]
    }
)
def test_other_files_are_refused(tmp_path, name, text, message):
    (tmp_path / name.partition(":")[0]).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_names(tmp_path / name)


def test_a_missing_file_and_other_bytes_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"\[read\] .*none\.txt does not exist"):
        read_names(tmp_path / "none.txt")
    (tmp_path / "x.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match="must hold names in UTF-8"):
        read_names(tmp_path / "x.txt")


def test_files_without_names_get_them(tmp_path):
    write_rows(tmp_path / "x.npz", sp.csr_matrix(np.eye(3, dtype=np.float32)))
    assert open_rows(tmp_path / "x.npz", feature_names=WORDS).load().column_names == WORDS
    with pytest.raises(ValueError, match=r"feature_names of .*x\.npz must hold 3 names, one per feature; got 2"):
        open_rows(tmp_path / "x.npz", feature_names=WORDS[:2])


@pytest.fixture(scope="module")
def documents():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["moon", "earth", "orbit", "goal", "ice", "puck"], 12)) for _ in range(30)]
    words = CountVectorizer()
    counts = words.fit_transform(texts).astype(np.float32)
    return named_rows(counts, words.get_feature_names_out(), ids=[f"doc-{i}" for i in range(30)])


def small(**given):
    return DeepSparseAutoencoder(
        n_components=2, hidden_layer_sizes=(5,), density=0.6, max_iter=2, random_state=0, **given
    )


def test_a_vocabulary_and_ids_go_through_every_verb(documents, tmp_path):
    vocabulary = ["earth", "goal", "ice", "moon", "orbit", "puck"]
    dsa = small().fit(documents)
    assert dsa.feature_names_in_.tolist() == dsa.runtime_.model.feature_names == vocabulary
    assert DeepSparseAutoencoder.load(dsa.save(tmp_path / "m")).feature_names_in_.tolist() == vocabulary
    np.testing.assert_array_equal(dsa.transform(documents), dsa.runtime_.encode(documents))
    np.testing.assert_array_equal(dsa.runtime_.encode(documents), dsa.runtime_.encode(documents.X))
    shown = collect(dsa.runtime_.model, documents)
    assert {row["called"] for row in shown["worst"]} <= {f"doc-{i}" for i in range(30)}
    assert {feature["name"] for feature in shown["worst"][0]["features"]} <= set(vocabulary)
    index = CodeIndex(documents, model=dsa)
    assert index.ids[index.nearest(documents, 1).rows[:3, 0]].tolist() == ["doc-0", "doc-1", "doc-2"]
    detector = DSAOutlierDetector(n_estimators=1, random_state=0).fit(documents)
    selector = DSAFeatureSelector(small(), n_features_to_select=2).fit(documents)
    assert detector.feature_names_in_.tolist() == selector.feature_names_in_.tolist() == vocabulary
    assert selector.transform(documents).shape == (30, 2)
    assert detector.score_samples(documents).shape == (30,)


def test_a_data_frames_index_names_its_rows_unless_it_counts_them():
    frame = pd.DataFrame({"x": [1.0, 2.0]}, index=["a", "b"])
    assert ids_of(frame).tolist() == named_rows(frame).rows.ids.tolist() == ["a", "b"]
    assert ids_of(frame.reset_index(drop=True)) is None
    assert named_rows(frame, ["y"], ids=[3, 4]).rows.ids.tolist() == [3, 4]


def test_names_must_be_as_many_as_there_are(documents):
    with pytest.raises(ValueError, match="feature_names must hold 6 names, one per feature; got 3"):
        named_rows(documents.X, WORDS)
    with pytest.raises(ValueError, match="ids must be as many as the 30 rows; got 2"):
        named_rows(documents.X, ids=["a", "b"])


def test_rows_with_names_may_have_values_that_are_not_known():
    X = np.random.default_rng(0).normal(size=(20, 4))
    X[3, 1] = np.nan
    rows = named_rows(X, list("abcd"), ids=range(20))
    dsa = DeepSparseAutoencoder(2, hidden_layer_sizes=(4,), density=0.5, max_iter=1, random_state=0, missing="mask")
    assert np.isfinite(dsa.fit(rows).transform(rows)).all()
    assert CodeIndex(rows, model=dsa).ids.tolist() == list(range(20))
    with pytest.raises(ValueError, match=r"\[fit\] X must be finite; it holds NaN, first in row 3"):
        small().fit(rows)


def test_names_are_not_taken_for_a_file_that_has_its_own(tmp_path):
    write_rows(tmp_path / "x.csv", np.eye(2, dtype=np.float32), ["left", "right"])
    assert open_rows(tmp_path / "x.csv", feature_names=["left", "right"]).column_names == ["left", "right"]
    with pytest.raises(ValueError, match=r"x\.csv names its features itself \(left, right, ...\)"):
        open_rows(tmp_path / "x.csv", feature_names=["up", "down"])
    with pytest.raises(IsADirectoryError, match="must be a file of names; got a folder"):
        read_names(tmp_path)
