"""Texts become rows of weights, and their words with the largest weights again; the vocabulary is plain JSON."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from tests.covering import covering, each

from dsae import DeepSparseAutoencoder
from dsae.features import TextRows, from_json

TEXTS = ["one two three", "zwei drei vier", "Three, four; five", "six 7 acht", "", "two two two drei"]


@covering(
    weights=("tfidf", "counts", "hashing"),
    joined={"analyzer, ngrams": [("word", (1, 1)), ("word", (1, 2)), ("char", (2, 3)), ("char_wb", (1, 3))]},
    max_features=(None, 8),
    by="weights",
)
def test_it_is_kept_as_json_bit_for_bit(weights, analyzer, ngrams, max_features):
    texts = TextRows(weights, analyzer=analyzer, ngrams=ngrams, max_features=max_features).fit([*TEXTS, None])
    again = from_json(texts.to_json())
    assert type(again) is TextRows
    assert again.get_params() == texts.get_params() == clone(texts).get_params()
    rows, same = texts.transform([*TEXTS, "new words", None]), again.transform([*TEXTS, "new words", None])
    assert sp.issparse(rows)
    assert (rows.dtype, rows.shape) == (np.float32, (8, texts.n_features))
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(rows, part), getattr(same, part))
    assert again.to_json() == texts.to_json()
    assert again.get_feature_names_out().tolist() == texts.get_feature_names_out().tolist()
    assert len(set(texts.get_feature_names_out())) == texts.n_features
    assert weights != "hashing" or texts.n_features == (max_features or 1 << 18)


@each(weights=["tfidf", "counts"], analyzer=["word", "char_wb"], dense=[False, True])
def test_the_words_of_a_text_come_back_in_the_order_of_their_weights(weights, analyzer, dense):
    texts = TextRows(weights, analyzer=analyzer, ngrams=(1, 2), n_words=1000).fit(TEXTS)
    rows = texts.transform(TEXTS)
    names, back = texts.get_feature_names_out(), texts.inverse_transform(rows.toarray() if dense else rows)
    for row, words in zip(rows.toarray(), back, strict=True):
        assert set(words) == set(names[row > 0])
        found = [row[list(names).index(word)] for word in words]
        assert found == sorted(found, reverse=True)
    assert back[4] == []
    short = TextRows(weights, analyzer=analyzer, ngrams=(1, 2), n_words=2).fit(TEXTS).inverse_transform(rows)
    assert short == [words[:2] for words in back]


def test_a_file_of_words_can_be_read():
    assert TextRows().to_bytes(["three", "thé"]) == "three thé\n".encode()
    letters = TextRows(analyzer="char_wb", ngrams=(1, 3))
    assert letters.to_bytes([" th", "hre", "th", "t", " ", "ee "]) == b"th hre ee\n"
    assert letters.to_bytes("as it is") == b"as it is\n"


def test_weights_are_those_of_scikit_learn():
    pattern = r"(?u)\b\w+\b"
    expected = TfidfVectorizer(token_pattern=pattern).fit_transform(TEXTS)
    np.testing.assert_allclose(TextRows().fit_transform(TEXTS).toarray(), expected.toarray(), rtol=1e-6)


def test_an_empty_text_is_known_and_none_is_missing():
    texts = TextRows().fit(TEXTS)
    given = ["", None, float("nan"), pd.NA, "two"]
    found = texts.encode(given)
    assert found.present.tolist() == texts.present(given).tolist() == [True, False, False, False, True]
    assert found.rows.getnnz(axis=1).tolist() == [0, 0, 0, 0, 1]
    assert texts.inverse_transform(np.full((1, texts.n_features), np.nan)) == [None]


def test_texts_come_from_files_bytes_and_columns(tmp_path):
    (tmp_path / "a.txt").write_text("two drei", "utf-8")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "mark.txt").write_bytes(b"\xef\xbb\xbftwo drei")
    texts = TextRows().fit(TEXTS)
    expected = texts.transform(["two drei"]).toarray()
    for given in ([tmp_path / "a.txt"], [b"two drei"], [tmp_path / "mark.txt"], pd.Series(["two drei"])):
        np.testing.assert_array_equal(texts.transform(given).toarray(), expected)
    np.testing.assert_array_equal(texts.transform(pa.array(["two drei", None])).toarray()[:1], expected)
    assert texts.present([tmp_path / "empty.txt"]).tolist() == [True]
    assert texts.transform([tmp_path / "empty.txt"]).nnz == 0
    assert texts.transform([]).shape == (0, texts.n_features)


@each({"content, message": [(b"caf\xe9", r"must be text in UTF-8; byte 3 is 0xe9"), (None, "does not exist")]})
def test_a_bad_file_is_named_and_loses_nothing(content, message, tmp_path):
    path = tmp_path / f"{message[:4]}.txt"
    if content is not None:
        path.write_bytes(content)
    for verb in (TextRows().fit, TextRows().fit(TEXTS).transform):
        with pytest.raises(ValueError, match=rf"^\[(fit|transform)\] {path} {message}"):
            verb(["two", path])
    lenient = TextRows(on_error="missing").fit(["two", path])
    assert lenient.encode(["two", path]).present.tolist() == [True, False]
    with pytest.warns(UserWarning, match="1 of 2 texts could not be read"):
        assert lenient.transform_present(["two", path])[1].tolist() == [True, False]
    with pytest.warns(UserWarning, match="1 of 2 texts could not be read"):
        lenient.transform(["two", path])
    with pytest.raises(ValueError, match=r"^\[transform\] text 1, counted from 0, must be a string"):
        TextRows().fit(TEXTS).transform(["two", 3])


def test_hashed_words_do_not_come_back():
    texts = TextRows("hashing", max_features=16).fit(TEXTS)
    with pytest.raises(ValueError, match=r'\[inverse_transform\] Words must be known to come back; weights="hashing"'):
        texts.inverse_transform(texts.transform(TEXTS))


@each(
    {
        "settings, message": [
            ({"weights": "count"}, "Did you mean 'counts'"),
            ({"analyzer": "words"}, "Did you mean 'word'"),
            ({"ngrams": (2, 1)}, r"ngrams must be the shortest and the longest"),
            ({"ngrams": 3}, r"ngrams must be the shortest and the longest"),
            ({"max_features": 0}, "max_features must be a whole number"),
            ({"max_features": 1 << 40}, "max_features must be a number in"),
            ({"min_df": 1.5}, "min_df must be a number in"),
            ({"stop_words": "german"}, "stop_words must be one of english"),
            ({"n_words": 0}, "n_words must be"),
        ]
    }
)
def test_a_bad_setting_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TextRows(**settings).fit(TEXTS)


@each({"X": [[], ["", ""], [None], ["!?"]]})
def test_there_must_be_words_to_learn(X):
    with pytest.raises(ValueError, match=r"^\[fit\] X must hold texts with words to learn from; got \d texts"):
        TextRows().fit(X)


HOSTILE = ["<script>alert(1)</script>", "__proto__", "\x00", "\u202e", "a\nb", "'; DROP TABLE", "{{7*7}}", "x" * 9999]


def test_hostile_words_are_words():
    texts = TextRows("counts", analyzer="char", ngrams=(1, 1)).fit(HOSTILE)
    content = json.loads(texts.to_json())
    content["vocabulary"] = HOSTILE
    again = from_json(json.dumps(content))
    assert again.vocabulary_ == HOSTILE
    assert again.inverse_transform(np.eye(len(HOSTILE))) == [[word] for word in HOSTILE]
    assert from_json(again.to_json()).vocabulary_ == HOSTILE


def test_a_pipeline_learns_from_texts():
    dsa = DeepSparseAutoencoder(2, hidden_layer_sizes=(4,), density=0.5, max_iter=1, random_state=0)
    pipeline = make_pipeline(TextRows(), dsa).fit(TEXTS * 3)
    assert pipeline.transform(TEXTS).shape == (6, 2)
    assert len(pipeline.inverse_transform(pipeline.transform(TEXTS))) == 6
