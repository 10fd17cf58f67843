"""Rows of several modalities, however what is missing in them is told."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae.data import Batch, JointSource, as_joint, never_together

RNG = np.random.default_rng(0)
IMAGE = RNG.random((6, 4)).astype(np.float32)
TEXT = sp.random(6, 5, 0.5, "csr", np.float32, RNG)
HAS = np.array([True, False, True, True, False, True])


def blank(rows):
    return np.where(HAS[:, None], rows, np.float32(np.nan))


@each(
    image=[
        blank(IMAGE),
        [row if has else None for row, has in zip(IMAGE, HAS, strict=True)],
        (IMAGE, HAS),
        pd.DataFrame(blank(IMAGE)),
        sp.csr_matrix(blank(IMAGE)),
    ]
)
def test_all_ways_to_lack_a_modality_are_one(image):
    source = as_joint("fit", {"image": image, "text": TEXT})
    np.testing.assert_array_equal(source.has("image"), HAS)
    assert source.has("text").all()
    (batch,) = source.batches(10)
    rows = batch.parts["image"]
    rows = rows.toarray() if sp.issparse(rows) else rows
    np.testing.assert_array_equal(rows, np.where(HAS[:, None], IMAGE, 0))
    assert sp.issparse(batch.parts["text"])
    np.testing.assert_array_equal(source.of("image").moments()[0], IMAGE[HAS].mean(0, dtype=np.float64).astype("f4"))


def test_a_sparse_matrix_is_not_densified_and_may_lack_rows():
    words = [TEXT[i] if has else None for i, has in enumerate(HAS)]
    source = as_joint("fit", {"image": IMAGE, "text": words})
    (batch,) = source.batches(10)
    assert sp.issparse(batch.parts["text"])
    np.testing.assert_array_equal(batch.parts["text"].toarray(), np.where(HAS[:, None], TEXT.toarray(), 0))


def test_batches_hold_every_row_once_with_what_belongs_to_it():
    source = as_joint("fit", {"image": blank(IMAGE), "text": TEXT})
    for seed in (None, 3):
        whole = Batch.stack(list(source.batches(4, seed)))
        order = np.argsort(whole.numbers)
        np.testing.assert_array_equal(whole.numbers[order], np.arange(6))
        np.testing.assert_array_equal(whole.present["image"][order], HAS)
        np.testing.assert_array_equal(whole.parts["text"][order].toarray(), TEXT.toarray())
    shares = [np.concatenate([b.numbers for b in source.batches(4, 3, rank, 2)]) for rank in (0, 1)]
    assert sorted(np.concatenate(shares).tolist()) == list(range(6))


def test_parts_of_a_split_are_the_rows():
    source = as_joint("fit", {"image": blank(IMAGE), "text": TEXT})
    kept, held = source.split(0.34, 0)
    assert (len(kept), len(held)) == (4, 2)
    numbers = np.concatenate([kept.numbers, held.numbers])
    assert sorted(numbers.tolist()) == list(range(6))
    np.testing.assert_array_equal(np.concatenate([kept.has("image"), held.has("image")]), HAS[numbers])


def test_mudata_gives_the_union_of_its_observations():
    anndata = pytest.importorskip("anndata")
    names = np.array(["a", "b", "c", "d"])
    rna = anndata.AnnData(IMAGE[:3], obs=pd.DataFrame(index=names[[2, 0, 1]]))
    protein = anndata.AnnData(TEXT[:2], obs=pd.DataFrame(index=names[[3, 1]]))
    source = as_joint("fit", SimpleNamespace(mod={"rna": rna, "protein": protein}, obs_names=names))
    assert source.has("rna").tolist() == [True, True, True, False]
    assert source.has("protein").tolist() == [False, True, False, True]
    np.testing.assert_array_equal(source.rows["rna"][:3], IMAGE[[1, 2, 0]])
    np.testing.assert_array_equal(source.rows["protein"][3].toarray(), TEXT[0].toarray())
    assert source.ids.tolist() == list(names)
    part = SimpleNamespace(mod={"rna": rna, "protein": protein[:0]}, obs_names=names[:3])
    assert list(as_joint("transform", part, ("rna", "protein")).parts) == ["rna"]


@each(
    {
        "inner, outer, what": [
            (["a", "a"], ["a", "b"], r"mod\['rna'\]"),
            (["a", "b"], ["b", "a", "b"], "MuData"),
        ]
    }
)
def test_an_observation_of_mudata_is_one_row(inner, outer, what):
    mod = {"rna": SimpleNamespace(obs_names=inner)}
    with pytest.raises(ValueError, match=rf"^\[fit\] {what} must name every observation differently; '[ab]' is there"):
        as_joint("fit", SimpleNamespace(mod=mod, obs_names=outer))


def test_anndata_is_one_modality_and_its_obsm_the_others():
    anndata = pytest.importorskip("anndata")
    cells = anndata.AnnData(TEXT, obsm={"protein": IMAGE})
    for names in (("rna", "protein"), ("protein", "rna")):
        source = as_joint("fit", cells, names)
        assert tuple(source.parts) == names
        np.testing.assert_array_equal(source.rows["protein"], IMAGE)
        np.testing.assert_array_equal(source.rows["rna"].toarray(), TEXT.toarray())
    assert set(as_joint("fit", cells).parts) == {"X", "protein"}


HOLED = IMAGE.copy()
HOLED[2, 1] = np.nan
REFUSED = {
    "lengths": ({"image": IMAGE, "text": TEXT[:5]}, {}, "as many rows; got image 6 and text 5"),
    "unknown": ({"imagee": IMAGE}, {"names": ("image", "text")}, "Did you mean 'image'"),
    "lacking": ({"image": IMAGE}, {"names": ("image", "text"), "training": True}, "must have the modality 'text'"),
    "width": ({"image": IMAGE}, {"widths": {"image": 5}}, "must have 5 columns, as in training; got 4"),
    "nothing": ({"image": blank(IMAGE)}, {}, "2 of 6 have none, the first of which is row 1"),
    "holes": ({"image": HOLED}, {}, "1 rows of 'image' hold NaN beside numbers, first in row 2"),
    "sparse holes": ({"image": sp.csr_matrix(HOLED)}, {}, "first in row 2"),
    "infinity": ({"image": np.where(IMAGE > 0.5, np.inf, IMAGE)}, {}, "infinity"),
    "empty": ({}, {}, "empty dict"),
    "all None": ({"image": None}, {}, "all are None"),
    "all NaN": ({"image": IMAGE * np.nan, "text": TEXT}, {}, "All rows of 'image' are missing"),
    "name": ({"a/b": IMAGE}, {}, "a name that a folder may have"),
}


@each({"X, how, message": REFUSED.values()})
def test_what_cannot_be_is_told_in_a_line(X, how, message):
    with pytest.raises(ValueError, match=r"^\[fit\]|^A modality") as found:
        as_joint("fit", X, **how)
    assert message in str(found.value)
    assert "\n" not in str(found.value)


@each(X=[IMAGE, "rows.csv", [1, 2], None])
def test_other_things_are_no_modalities(X):
    with pytest.raises(TypeError, match="rows by modality"):
        as_joint("fit", X)


def test_texts_need_an_encoder():
    with pytest.raises(TypeError, match="an encoder"):
        as_joint("fit", {"text": ["one", None, "two"]})


def test_pairs_that_never_meet_are_found():
    rows = dict.fromkeys("abc", IMAGE)
    source = JointSource(rows, {"a": HAS, "b": ~HAS})
    assert never_together(source) == [("a", "b")]
