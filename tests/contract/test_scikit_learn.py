"""scikit-learn's own checks, and what they do not ask for."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr
from sklearn.utils.estimator_checks import check_estimator
from tests.covering import each

from dsae import DeepSparseAutoencoder, DSAFeatureSelector, DSAOutlierDetector, DSARecommender

X = np.random.default_rng(0).random((60, 8)).astype(np.float32)
SMALL = {"n_components": 4, "hidden_layer_sizes": (12,), "density": 0.5, "max_iter": 2, "random_state": 0}
TOPK = {"code_activation": "topk", "k": 2}
FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}


def small(**changes):
    return DeepSparseAutoencoder(**SMALL | changes)


ESTIMATORS = [
    DeepSparseAutoencoder(max_iter=3),
    DeepSparseAutoencoder(missing="mask", max_iter=2),
    DSAOutlierDetector(n_estimators=3),
    DSAOutlierDetector(n_estimators=1, missing="mask"),
    DSAFeatureSelector(DeepSparseAutoencoder(max_iter=2, random_state=0)),
    DSARecommender(n_neighbours=3),
]


def beyond_rounding(estimator):
    """Sums of repeated rows and of weighted ones differ in their last digits, which 100 steps of Adam make four."""
    if type(estimator) is not DeepSparseAutoencoder:
        return {}
    kinds = ("dense", "sparse")
    return {f"check_sample_weight_equivalence_on_{kind}_data": beyond_rounding.__doc__ for kind in kinds}


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_the_estimators_keep_the_contract(estimator):
    results = check_estimator(estimator, expected_failed_checks=beyond_rounding(estimator), on_skip=None)
    assert sum(result["status"] == "passed" for result in results) > 30


@each(estimator=ESTIMATORS)
def test_the_page_of_a_notebook_shows_the_estimator(estimator):
    assert type(estimator).__name__ in estimator_html_repr(estimator)


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("estimator", [small(), DSAFeatureSelector(small(), n_features_to_select=3)])
def test_frames_come_out_as_asked(estimator, frame):
    given = FRAMES[frame]({f"gene {j}": column for j, column in enumerate(X.T)})
    transformer = clone(estimator).set_output(transform=frame).fit(given)
    out = transformer.transform(given)
    assert isinstance(out, FRAMES[frame])
    assert list(out.columns) == list(transformer.get_feature_names_out())
    assert list(transformer.feature_names_in_) == list(given.columns)
    np.testing.assert_array_equal(out.to_numpy(), clone(estimator).fit(X).transform(X))


@pytest.mark.parametrize("estimator", [small(), DSAFeatureSelector(small()), DSAOutlierDetector(n_estimators=1)])
def test_names_are_those_of_the_last_fit(estimator):
    named = clone(estimator).fit(pd.DataFrame(X).add_prefix("gene "))
    assert named.feature_names_in_[1] == "gene 1"
    assert not hasattr(named.fit(X), "feature_names_in_")


def test_sparse_output_is_the_same_codes():
    dense, sparse = small(**TOPK).fit(X), small(**TOPK, sparse_output=True).fit(X)
    codes = sparse.transform(X)
    assert codes.format == "csr"
    assert codes.nnz <= 2 * len(X)
    np.testing.assert_array_equal(codes.toarray(), dense.transform(X))
    np.testing.assert_allclose(sparse.inverse_transform(codes), dense.inverse_transform(codes.toarray()), rtol=1e-5)
    pipeline = make_pipeline(sparse, LogisticRegression()).fit(X, X[:, 0] > 0.5)
    assert pipeline.predict(X).shape == (60,)


def test_metadata_reaches_the_transformer():
    with config_context(enable_metadata_routing=True):
        dsa = small(**TOPK).set_transform_request(k=True)
        pipeline = make_pipeline(dsa, "passthrough").fit(X)
        assert ((pipeline.transform(X, k=1) != 0).sum(axis=1) <= 1).all()
    assert (pipeline.transform(X) != 0).sum(axis=1).max() == 2


class Recorder:
    """A callback as scikit-learn's protocol has it."""

    def __init__(self, stop_after=99):
        self.calls, self.scores, self.stop_after = [], [], stop_after

    def setup(self, estimator, context):
        self.calls.append("setup")

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.calls.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.calls.append(f"end {context.task_name}")
        self.scores.append(fitted_estimator.score(X))
        return context.task_name == "epoch" and context.task_id + 1 >= self.stop_after

    def teardown(self, estimator, context):
        self.calls.append("teardown")


@pytest.mark.parametrize("schedule", ["joint", "stagewise"])
def test_callbacks_hear_of_every_epoch(schedule):
    recorder = Recorder()
    dsa = small(max_iter=6, schedule=schedule).set_callbacks(recorder).fit(X)
    epochs = ["begin epoch", "end epoch"] * 6
    assert recorder.calls == ["setup", "begin fit", *epochs, "end fit", "teardown"]
    assert recorder.scores[-1] == recorder.scores[-2] == dsa.score(X)
    assert len(set(recorder.scores)) > 3, "each epoch has a model of its own"


@pytest.mark.parametrize("schedule", ["joint", "stagewise"])
@pytest.mark.filterwarnings("ignore:Training was stopped after epoch 2")
def test_a_callback_ends_the_training(schedule):
    dsa = small(max_iter=6, schedule=schedule).set_callbacks(Recorder(stop_after=2)).fit(X)
    assert dsa.n_iter_ == 2


def test_callbacks_change_nothing():
    watched = small(max_iter=3).set_callbacks(Recorder()).fit(X)
    np.testing.assert_array_equal(watched.transform(X), small(max_iter=3).fit(X).transform(X))


@pytest.mark.filterwarnings("ignore:Training was stopped after epoch 2")
def test_a_run_that_goes_on_from_a_checkpoint_tells_callbacks_of_what_is_left(tmp_path):
    class Stop(Recorder):
        def on_fit_task_begin(self, estimator, context, *, X=None):
            super().on_fit_task_begin(estimator, context, X=X)
            if self.calls.count("begin epoch") == 3:
                raise RuntimeError("stop")

    kept = {"max_iter": 6, "batch_size": 16, "checkpoint": tmp_path / "run", "checkpoint_every": 0}
    with pytest.raises(RuntimeError, match="stop"):
        small(**kept).set_callbacks(Stop()).fit(X)
    recorder = Recorder()
    dsa = small(**kept).set_callbacks(recorder).fit(X)
    assert recorder.calls.count("end epoch") == 5, "the newest checkpoint is of the last step of the second epoch"
    assert recorder.scores[-1] == small(max_iter=6, batch_size=16).fit(X).score(X)
    assert not list(tmp_path.iterdir())
    small(**kept).set_callbacks(Recorder(stop_after=2)).fit(X)
    assert dsa.n_iter_ == 6
    assert not list(tmp_path.iterdir()), "a run that a callback ends has come to its end"


def test_callbacks_are_torn_down_when_training_fails():
    recorder = Recorder()
    with pytest.raises(FloatingPointError):
        small(learning_rate_init=1e30, max_iter=20).set_callbacks(recorder).fit(X)
    assert recorder.calls[-1] == "teardown"


def test_an_older_scikit_learn_has_no_callbacks_and_needs_none(fresh):
    script = f"""
import sys
import sklearn.neighbors  # which has callbacks of its own
sys.modules["sklearn.callback"] = None
import numpy as np
from dsae import DeepSparseAutoencoder
old = DeepSparseAutoencoder(**{SMALL!r}).fit(np.random.default_rng(0).random((30, 6)))
assert not hasattr(old, "set_callbacks")
assert old.n_iter_ == {SMALL["max_iter"]}
"""
    run = fresh(script)
    assert run.returncode == 0, run.stderr


def test_sparse_rows_in_sparse_codes_out():
    rows = sp.csr_matrix(np.where(X > 0.7, X, 0))
    assert sp.issparse(small(**TOPK, sparse_output=True).fit_transform(rows))
