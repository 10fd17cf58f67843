"""Outliers are found, with scikit-learn's signs."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.metrics import roc_auc_score
from tests.covering import each

import dsae
from dsae import DeepSparseAutoencoder, DSAOutlierDetector
from dsae.interpret import feature_importances


def table(n_rows=400, n_outliers=20, seed=0):
    """Rows on a plane, and some that are as large but off it."""
    plane, rng = np.random.default_rng(0).normal(size=(2, 6)), np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 2)) @ plane + 0.1 * rng.normal(size=(n_rows, 6))
    for column in X[:n_outliers].T:
        rng.shuffle(column)
    return X * np.logspace(-2, 3, 6), np.arange(n_rows) < n_outliers


X, OUTLYING = table()


@pytest.fixture(scope="module")
def detector():
    return DSAOutlierDetector(random_state=0).fit(X)


def test_rows_off_the_plane_are_found(detector):
    assert roc_auc_score(OUTLYING, -detector.score_samples(X)) > 0.9
    fresh, outlying = table(n_rows=200, seed=1)
    assert roc_auc_score(outlying, -detector.score_samples(fresh)) > 0.9


def test_a_row_scores_the_same_alone_and_among_others(detector):
    alone = np.concatenate([detector.score_samples(row[None]) for row in X[:40]])
    np.testing.assert_allclose(alone, detector.score_samples(X)[:40], rtol=1e-12)


def test_a_sparse_matrix_is_scored_as_its_rows_are_and_never_densified_whole(detector, monkeypatch):
    wanted, errors, rows = detector.score_samples(X), detector.explain(X), sp.csr_matrix(X)
    monkeypatch.setattr("dsae.estimators._usual._VALUES_AT_ONCE", 6 * 50)
    toarray = sp.csr_matrix.toarray

    def few(self, *rest, **more):
        assert self.shape[0] <= 50
        return toarray(self, *rest, **more)

    monkeypatch.setattr(sp.csr_matrix, "toarray", few)
    np.testing.assert_allclose(detector.score_samples(rows), wanted, rtol=1e-6)
    np.testing.assert_allclose(detector.explain(rows), errors, rtol=1e-5)


def test_signs_are_scikit_learns(detector):
    scores, decision = detector.score_samples(X), detector.decision_function(X)
    np.testing.assert_allclose(decision, scores - detector.offset_, rtol=1e-12)
    np.testing.assert_array_equal(detector.predict(X), np.where(decision < 0, -1, 1))
    assert scores[OUTLYING].mean() < scores[~OUTLYING].mean() < 0
    np.testing.assert_array_equal(DSAOutlierDetector(random_state=0).fit_predict(X), detector.predict(X))


@each(seed=[0, 1])
def test_errors_codes_and_neighbours_have_their_weights(seed):
    """Each is one on average over the rows of the fit, before it is weighed; only being far from others has an end."""
    detector = DSAOutlierDetector(n_estimators=2, random_state=seed).fit(X)
    distances = np.mean([usual.distances(X) for usual in detector._usual], axis=0)
    assert 5.5 < distances.mean() <= 6 * (1 + 1e-6)
    assert detector.explain(X).mean(axis=0) == pytest.approx(np.ones(6), rel=1e-6)


@each(contamination=[0.02, 0.1, 0.5])
def test_contamination_is_the_share_found(contamination):
    found = DSAOutlierDetector(n_estimators=2, contamination=contamination, random_state=0).fit_predict(X) == -1
    assert found.sum() == pytest.approx(contamination * len(X), abs=1)


def test_clean_rows_have_few_outliers_on_their_own():
    normal = np.random.default_rng(0).normal(size=(1000, 5))
    assert (DSAOutlierDetector(n_estimators=3, random_state=0).fit_predict(normal) == -1).mean() < 0.02


def test_the_units_of_the_features_do_not_matter(detector):
    other = DSAOutlierDetector(random_state=0).fit(X * np.logspace(2, -4, 6))
    np.testing.assert_allclose(other.score_samples(X * np.logspace(2, -4, 6)), detector.score_samples(X), rtol=0.05)


def test_the_feature_that_is_off_is_named(detector):
    odd = X[OUTLYING.size - 30 :].copy()
    odd[:, 4] += 8 * X[:, 4].std()
    shares = detector.explain(odd)
    assert shares.shape == odd.shape
    assert (shares.argmax(axis=1) == 4).mean() > 0.7


def test_a_constant_feature_that_moves_is_an_outlier():
    constant = np.column_stack([X, np.full(len(X), 3.0)])
    with pytest.warns(UserWarning, match="1 of 7 features are constant") as told:
        detector = DSAOutlierDetector(n_estimators=2, random_state=0).fit(constant)
    assert len(told) == 1
    moved = constant[100:101].copy()
    moved[0, 6] = 9.0
    assert detector.score_samples(moved) < detector.score_samples(constant).min()


def test_a_feature_that_no_sample_sees_move_is_no_reason_to_warn():
    seldom = np.column_stack([np.random.default_rng(0).normal(size=(1000, 3)), np.arange(1000) < 2])
    DSAOutlierDetector(n_estimators=2, random_state=0).fit(seldom)


def test_an_estimator_of_the_users_own_is_copied():
    own = DeepSparseAutoencoder(2, hidden_layer_sizes=(16,), density=0.5, max_iter=30, batch_size=32)
    detector = DSAOutlierDetector(own, n_estimators=2, random_state=0).fit(X)
    assert not hasattr(own, "runtime_")
    assert [member.config.n_components for member in detector.estimators_] == [2, 2]
    assert roc_auc_score(OUTLYING, -detector.score_samples(X)) > 0.85


def test_frames_and_sparse_rows():
    named = pd.DataFrame(X).add_prefix("sensor ")
    detector = DSAOutlierDetector(n_estimators=1, random_state=0).fit(named)
    assert list(detector.feature_names_in_) == list(named.columns)
    counts = sp.random(300, 40, 0.1, format="csr", dtype=np.float32, random_state=0)
    scores = DSAOutlierDetector(n_estimators=2, random_state=0).fit(counts).score_samples(counts)
    assert np.isfinite(scores).all()


def test_members_measure_no_importance_but_give_one(detector):
    for member in detector.estimators_:
        assert member.model.importance is None
        assert feature_importances(member).sum() == pytest.approx(1)
    alone = DeepSparseAutoencoder(2, hidden_layer_sizes=(), density=0.5, random_state=0).fit(X)
    assert alone.runtime_.model.importance is not None


def ring(n_rows=300, seed=0):
    """Rows around a circle in six features."""
    rng, plane = np.random.default_rng(seed), np.random.default_rng(0).normal(size=(2, 6))
    angle = rng.uniform(0, 2 * np.pi, n_rows)
    return np.column_stack([np.cos(angle), np.sin(angle)]) @ plane + 0.02 * rng.normal(size=(n_rows, 6))


def test_a_row_where_there_are_no_others_is_found():
    """The middle of a ring has the mean code and a small error: only its neighbours are far."""
    rows, middle = ring(), np.zeros((1, 6))
    detector = DSAOutlierDetector(random_state=0).fit(rows)
    assert detector.score_samples(middle) < np.quantile(detector.score_samples(ring(seed=1)), 0.02)


def holed(rows, share=0.2, seed=0):
    return np.where(np.random.default_rng(seed).random(rows.shape) < share, np.nan, rows)


def test_values_that_are_not_known_change_nothing_of_whole_rows(detector):
    other = DSAOutlierDetector(missing="mask", random_state=0).fit(X)
    np.testing.assert_array_equal(other.score_samples(X), detector.score_samples(X))


@each(kind=[np.asarray, sp.csr_matrix])
def test_rows_are_judged_by_what_is_known_of_them(kind):
    detector = DSAOutlierDetector(missing="mask", random_state=0).fit(holed(X))
    rows = kind(holed(X, seed=1))
    scores, shares = detector.score_samples(rows), detector.explain(rows)
    assert roc_auc_score(OUTLYING, -scores) > 0.75
    assert (shares[np.isnan(holed(X, seed=1))] == 0).all()
    assert (shares[~np.isnan(holed(X, seed=1))] > 0).all()
    with pytest.warns(UserWarning, match="No value is known of 1 rows, the first of which is row 1: .* means"):
        assert detector.predict(np.stack([X[0], np.full(6, np.nan)]))[1] == 1, "nothing is known against it"


def test_an_error_is_the_mean_of_those_that_are_known():
    """And the usual one, 1, where none is."""
    detector = DSAOutlierDetector(n_estimators=2, missing="mask", random_state=0).fit(holed(X))
    for member in detector._usual:
        errors = np.where(np.isnan(holed(X, seed=1)), np.nan, 3 * member.error)
        errors[0] = np.nan
        np.testing.assert_allclose(member._mean(errors), [1, *[3] * (len(X) - 1)], rtol=1e-9)


def test_features_are_judged_by_the_half_that_was_trained_on_whole_rows():
    detector = DSAOutlierDetector(n_estimators=4, random_state=0).fit(X)
    one, other = (member.errors(X.astype(np.float32)) for member in detector._usual if member.whole)
    np.testing.assert_allclose(detector.explain(X), (one + other) / 2, rtol=1e-9)


def test_codes_are_as_far_from_each_other_as_what_a_linear_decoder_makes_of_them():
    linear = DeepSparseAutoencoder(2, hidden_layer_sizes=(), density=1.0, shrink="none", max_iter=3)
    (member,) = DSAOutlierDetector(linear, n_estimators=1, random_state=0).fit(X)._usual
    codes = member.runtime.encode(member.squash(X))
    moved, made = (rows[1:] - rows[0] for rows in (codes @ member.metric, member.runtime.decode(codes)))
    np.testing.assert_allclose(np.square(moved).sum(1), np.square(made).sum(1), rtol=1e-6)


@each(own=[False, True])
def test_sparse_rows_and_estimators_of_ones_own_take_what_is_not_known(own):
    estimator = DeepSparseAutoencoder(2, hidden_layer_sizes=(8,), density=0.5, max_iter=3) if own else None
    detector = DSAOutlierDetector(estimator, n_estimators=2, missing="mask", random_state=0)
    for rows in (sp.csr_matrix(holed(X)), *([holed(X)] if own else [])):
        assert np.isfinite(detector.fit(rows).score_samples(rows)).all()


def test_nan_is_refused_unless_asked_for(detector):
    for call in (detector.score_samples, DSAOutlierDetector().fit):
        with pytest.raises(ValueError, match=r"X must be finite; it holds NaN.*missing="):
            call(holed(X))


def test_copies_of_a_row_are_its_neighbours_but_the_row_is_not():
    """A lone row far away is an outlier though it is in the sample with which it is compared; a crowd there is not."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 3)).astype(np.float32)
    rows[0] = 4
    usual = DSAOutlierDetector(n_estimators=3, random_state=0).fit(rows)._usual
    for member in usual:
        to_nearest = member._to_nearest(member.runtime.encode(member.squash(rows)))
        assert to_nearest[0] > np.median(to_nearest) > 0
    rows[1] = rows[0]
    for member in DSAOutlierDetector(n_estimators=3, random_state=0).fit(rows)._usual:
        assert len(member.neighbours) == 60
        assert member._to_nearest(member.runtime.encode(member.squash(rows[:1]))) < 1e-6 * member.nearest


@each(kind=[np.asarray, sp.csr_matrix])
def test_a_detector_comes_back_from_its_folder(kind, tmp_path):
    rows = pd.DataFrame(X).add_prefix("x") if kind is np.asarray else kind(np.maximum(X, 0))
    detector = DSAOutlierDetector(n_estimators=2, contamination=0.1, random_state=0).fit(rows)
    back = DSAOutlierDetector.load(detector.save(tmp_path / "detector"))
    for verb in ("decision_function", "explain"):
        np.testing.assert_array_equal(getattr(back, verb)(rows), getattr(detector, verb)(rows))
    assert getattr(back, "feature_names_in_", [""])[0] == getattr(detector, "feature_names_in_", [""])[0]
    assert back.get_params() == detector.get_params()
    detector.save(tmp_path / "detector")
    with pytest.raises(
        ValueError, match=r"it holds an outlier detector\. Use it with dsae score, or in Python with DSAOutlierDetector"
    ):
        dsae.load(tmp_path / "detector")


def test_a_folder_that_is_no_detector_or_is_damaged_is_refused(detector, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"^\[save\] .* is not a detector's folder"):
        detector.save(tmp_path / "other")
    with pytest.raises(ValueError, match=r"^\[load\] .* has no detector.json"):
        DSAOutlierDetector.load(tmp_path / "other")
    folder = detector.save(tmp_path / "detector")
    head = folder / "detector.json"
    text = head.read_text()
    for change in ('"offset": ', '"nearest": ', '"n_components": ', '"missing": "error"', '"parameters": '):
        head.write_text(text.replace(change, change.replace('"', '"_', 1)))
        with pytest.raises(ValueError, match=r"^\[load\]"):
            DSAOutlierDetector.load(folder)
    head.write_text(text)
    weights = next((folder / "members").glob("3-*"))
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"^\[load\] .*truncated or corrupt"):
        DSAOutlierDetector.load(folder)
