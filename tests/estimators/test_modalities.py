"""Encoders of an estimator of several modalities: what goes through them, and what they may be."""

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler
from tests.covering import each
from tests.estimators.test_multimodal import small, views

from dsae.data import JointSource
from dsae.features import ImageRows, TableRows, TextRows

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 255, (64, 4, 4)).astype(np.uint8)
WORDS = np.array(["red", "green", "blue apple", "pear tree"])[np.arange(64) % 4].tolist()
TABLE = pd.DataFrame({"u": RNG.normal(10, 5, 64), "v": RNG.normal(-3, 0.1, 64)})


class Sums(ImageRows):
    """An encoder of matrices, as sounds of one length are, whose rows are as wide as these."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return np.cumsum(X, axis=1, dtype=np.float32)

    def transform_present(self, X):
        return self.transform(X), np.ones(len(X), bool)


def short(modalities=None, **changes):
    return small(modalities, max_iter=2, **changes)


def test_a_matrix_goes_through_the_encoder_too():
    X = {"sum": PICTURES.reshape(64, 16).astype(np.float32), "word": WORDS}
    source = _rows({"sum": Sums(4), "word": TextRows("counts")}, X)
    np.testing.assert_array_equal(source.rows["sum"], np.cumsum(X["sum"], axis=1))
    with pytest.raises(ValueError, match=r"^\[fit\] image 0, counted from 0"):
        short({"sum": ImageRows(4), "word": TextRows("counts")}).fit(X)
    with pytest.raises(ValueError, match=r"^\[fit\] X has a modality 'wrd' that .* Did you mean 'word'"):
        short({"sum": None, "word": TextRows("counts")}).fit({"sum": X["sum"], "wrd": WORDS})


def _rows(modalities, X):
    from dsae.estimators._modalities import Modalities

    return Modalities(modalities).training_rows("fit", X)


def test_rows_of_several_lengths_are_refused():
    X = {"ragged": [[0.0] * 3, [0.0] * 4] * 8, "whole": np.zeros((16, 2))}
    with pytest.raises(ValueError, match=r"X\['ragged'\] must hold rows of one shape; got 3 values and 4 values"):
        short().fit(X)


def test_a_table_without_names_goes_through_its_encoder():
    mm = short({"table": TableRows(), "image": ImageRows(4)}).fit({"table": TABLE.to_numpy(), "image": PICTURES})
    assert set(mm.encoders_) == {"table", "image"}
    named = mm.encoders_["table"].transform(TABLE.to_numpy())
    np.testing.assert_array_equal(
        mm.transform({"table": TABLE.to_numpy()}), mm.transform({"table": (named.astype(np.float32), None)})
    )


def test_rows_that_are_encoded_need_their_encoder():
    fitted = ImageRows(4).fit(PICTURES)
    rows = fitted.transform(PICTURES)
    whole = short({"image": ImageRows(4), "word": TextRows("counts")}).fit({"image": PICTURES, "word": WORDS})
    words = TextRows("counts").fit(WORDS)
    for X in (
        {"image": (rows, None), "word": WORDS},
        JointSource({"image": rows, "word": words.transform(WORDS)}),
    ):
        mm = short({"image": fitted, "word": words}).fit(X)
        assert set(mm.encoders_) == {"image", "word"}
        np.testing.assert_array_equal(mm.transform({"image": PICTURES}), whole.transform({"image": PICTURES}))
    with pytest.raises(ValueError, match="not fitted to make them"):
        short({"image": fitted, "word": TextRows("counts")}).fit(X)
    with pytest.raises(ValueError, match="16 columns of its encoder"):
        short({"image": fitted, "word": words}).fit({"image": (rows[:, :9], None), "word": WORDS})


def test_a_fit_that_goes_on_keeps_the_vocabulary():
    mm = short({"image": ImageRows(4), "word": TextRows("counts")}, warm_start=True)
    mm.fit({"image": PICTURES, "word": WORDS})
    before = mm.encoders_["word"].vocabulary_
    others = [text.replace("red", "uno").replace("green", "dos") for text in WORDS]
    mm.fit({"image": PICTURES, "word": others})
    assert mm.encoders_["word"].vocabulary_ == before
    assert mm.n_iter_ == 4


@each(encoder=[StandardScaler(), ImageRows, 3])
def test_what_is_no_encoder_is_refused_before_training(encoder):
    with pytest.raises(TypeError, match="must be a transformer of dsae"):
        short({"image": encoder, "word": None}).fit(views())


@each(has=[np.ones(9, bool), np.ones((240, 2), bool)])
def test_each_row_is_there_or_not(has):
    X = views()
    with pytest.raises(ValueError, match="a bool for each of 240 rows"):
        short().fit({**X, "image": (X["image"], has)})
