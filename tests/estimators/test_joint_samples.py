"""An estimator of several modalities that makes rows: from drawn joint codes, and between rows."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import NotFittedError
from tests.covering import each, pairs
from tests.estimators.test_multimodal import CLASSES, small, views

from dsae import MultimodalAutoencoder, load
from dsae.data import JointSource
from dsae.sampling import Mixture, Neighbours

X = views()
WIDTHS = {"image": 20, "sound": 15, "word": 8}
CODES = {
    "identity": {},
    "relu": {"code_activation": "relu"},
    "sigmoid": {"code_activation": "sigmoid"},
    "softmax": {"code_activation": "softmax"},
    "topk": {"code_activation": "topk", "k": 2},
}
MIXED = ("identity", "relu", "sigmoid")


@pytest.fixture(scope="module")
def fitted():
    """A model for each code; a test gets one of its own."""
    models = {}

    def fitted(code="identity"):
        if code not in models:
            models[code] = small(**CODES[code], max_iter=6).fit(X).runtime_.model
        return MultimodalAutoencoder.of(models[code])

    return fitted


@pairs(code=CODES, temperature=[0.5, 1.0, 2.0], place=["memory", "folder"], to=[None, "sound"])
def test_all_modalities_of_a_sample_are_made_of_one_code(fitted, tmp_path, code, temperature, place, to):
    kind = "mixture" if code in MIXED else "neighbours"
    mm = fitted(code).fit_sampler(X, kind, 4)
    assert isinstance(mm.sampler_, Mixture if kind == "mixture" else Neighbours)
    maker = mm if place == "memory" else load(mm.save(tmp_path / "model"))
    how = {"random_state": 0, "temperature": temperature}
    codes = mm.runtime_.sample_codes(30, **how)
    assert sp.issparse(codes) == (code == "topk")
    values = codes.toarray() if sp.issparse(codes) else codes
    assert code == "identity" or values.min() >= 0
    assert code not in ("sigmoid", "softmax") or values.max() <= 1
    assert code != "topk" or ((values > 0).sum(axis=1) <= 2).all()
    made = maker.sample(30, to, **how)
    made = made if to is None else {to: made}
    assert {name: rows.shape for name, rows in made.items()} == {
        name: (30, width) for name, width in WIDTHS.items() if to in (None, name)
    }
    for name, rows in made.items():
        np.testing.assert_array_equal(rows, mm.inverse_transform(codes, name))
        np.testing.assert_array_equal(rows, mm.sample(30, name, **how))


def test_samples_are_of_one_class_in_every_modality():
    mm = small().fit(X).fit_sampler(X, n_components=4)
    made = mm.sample(200, random_state=0)
    classes = [judge(made[name]) for name, judge in mm.judges(X, CLASSES).items()]
    assert np.mean([np.mean(some == classes[0]) for some in classes[1:]]) > 0.9
    assert set(classes[0]) == {0, 1, 2, 3}


def test_counts_are_made_with_the_mean_total_of_training():
    counts = {**X, "word": sp.csr_matrix(np.rint(5 * X["word"].toarray()) + np.eye(240, 8, dtype=np.float32))}
    mm = small(max_iter=2, loss={"word": "multinomial"}).fit(counts).fit_sampler(counts, n_components=2)
    totals = mm.sample(20, "word", random_state=0).sum(axis=1)
    np.testing.assert_allclose(totals, counts["word"].sum(axis=1).mean(), rtol=1e-4)


@each(code=["softmax", "topk"])
def test_a_mixture_of_codes_that_are_no_box_is_refused(fitted, code):
    with pytest.raises(ValueError, match=rf'\[fit_sampler\] kind must be "neighbours" for {code} codes'):
        fitted(code).fit_sampler(X)


def test_rows_in_pieces_that_lack_something_give_one_sampler(fitted, monkeypatch):
    monkeypatch.setattr("dsae.estimators._sampler.MOST_ROWS", 60)
    has = {"image": CLASSES != 2, "sound": np.arange(240) % 7 != 0}
    holed = {name: [row if at else None for row, at in zip(X[name], has[name], strict=True)] for name in has}
    mm = fitted()
    one = mm.fit_sampler({**X, **holed}, n_components=2).sampler_
    monkeypatch.setattr("dsae.estimators._sampler._ROWS_AT_ONCE", 7)
    other = mm.fit_sampler(JointSource(X, has), n_components=2).sampler_
    assert one.n_rows == other.n_rows == 60
    np.testing.assert_allclose(one.means, other.means, atol=1e-4)


def test_a_sampler_has_the_codes_of_rows_that_lack_something(fitted):
    mm = fitted()
    given = {"image": X["image"], "sound": [row if i % 3 else None for i, row in enumerate(X["sound"])]}
    codes = mm.fit_sampler(given, "neighbours").sampler_.codes
    np.testing.assert_array_equal(codes, mm.transform(given))
    assert not np.allclose(codes, mm.transform({"image": X["image"], "sound": X["sound"]}), atol=1e-3)


@each(on=["partial_fit", "fit", "warm start"])
def test_training_on_makes_a_sampler_outdated(fitted, tmp_path, on):
    mm = fitted()
    assert mm.sampler_ is None
    folder = mm.fit_sampler(X, n_components=2).save(tmp_path / "model")
    again = MultimodalAutoencoder.load(folder)
    assert repr(again.sampler_) == repr(mm.sampler_)
    again.set_params(max_iter=1, warm_start=on == "warm start")
    (again.partial_fit if on == "partial_fit" else again.fit)(X)
    assert again.sampler_ is None
    again.save(folder)
    assert not list(folder.glob("sampler-*.safetensors"))
    with pytest.raises(ValueError, match=r"^\[sample\] The model must have a sampler; it has none. Fit one"):
        load(folder).sample(3)


@pairs(given=[("image", "image"), ("image", "word"), ("all", "sound")], to=[None, "word"])
def test_what_lies_between_begins_and_ends_at_the_reconstructions(fitted, given, to):
    mm = fitted()
    a, b = (
        {name: rows[at] for name, rows in X.items() if which in (name, "all")}
        for which, at in zip(given, (slice(3), slice(3, 6)), strict=True)
    )
    way = mm.interpolate(a, b, n=5, to=to)
    way = way if to is None else {to: way}
    assert set(way) == ({to} if to else set(WIDTHS))
    middle = (mm.transform(a) + mm.transform(b)) / 2
    for name, rows in way.items():
        assert rows.shape == (3, 5, WIDTHS[name])
        for at, ends in ((0, a), (-1, b)):
            np.testing.assert_allclose(rows[:, at], mm.reconstruct(ends)[name], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(rows[:, 2], mm.inverse_transform(middle, name), rtol=1e-4, atol=1e-4)


def test_a_bad_call_says_what_was_expected(fitted):
    mm = fitted().fit_sampler(X, n_components=1)
    with pytest.raises(ValueError, match=r"^\[sample\] The model has no modality 'imge'. Did you mean 'image'"):
        mm.sample(3, "imge")
    with pytest.raises(ValueError, match=r"^\[interpolate\] The model has no modality 'x'. Known: image, sound, word"):
        mm.interpolate(X, X, to="x")
    with pytest.raises(ValueError, match=r"\[interpolate\] a and b must have as many rows; got 240 and 2"):
        mm.interpolate(X, {"image": X["image"][:2]})
    with pytest.raises(ValueError, match=r"\[with_sampler\] sampler must draw codes of 6 numbers"):
        mm.runtime_.with_sampler(small(n_components=4, max_iter=1).fit(X).fit_sampler(X, n_components=1).sampler_)
    for verb, arguments in (("fit_sampler", (X,)), ("sample", (3,)), ("interpolate", (X, X))):
        with pytest.raises(NotFittedError):
            getattr(small(), verb)(*arguments)
