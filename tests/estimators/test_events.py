"""Hooks hear of every epoch and of some steps; rows of one's own decide when to stop."""

import inspect
import os
import signal

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae import DeepSparseAutoencoder
from dsae.data import ArraySource
from dsae.train import Checkpoints

RNG = np.random.default_rng(0)
X = RNG.random((90, 6)).astype(np.float32)


def small(**changes):
    settings = {"hidden_layer_sizes": (5,), "density": 0.5, "max_iter": 4, "batch_size": 20, "random_state": 0}
    return DeepSparseAutoencoder(3, **settings | changes)


@each(schedule=["joint", "stagewise"])
def test_hooks_hear_of_every_epoch_and_of_every_nth_step(schedule):
    epochs, steps = [], []
    dsa = small(schedule=schedule, max_iter=6).fit(X, on_epoch=epochs.append, on_step=steps.append, every=2)
    assert epochs == dsa.history_
    assert [row["step"] for row in steps] == list(range(2, 31, 2))
    assert [row["epoch"] for row in steps] == [1 + (row["step"] - 1) // 5 for row in steps]
    told = {"step", "epoch", "stage", "loss", "learning_rate"}
    assert all(told <= set(row) <= told | {"fvu"} for row in steps)
    assert schedule == "stagewise" or all("fvu" in row for row in steps)
    assert [row["stage"] for row in steps] == [dsa.history_[row["epoch"] - 1]["stage"] for row in steps]
    assert all(np.isfinite(row["loss"]) for row in steps)


def test_every_step_has_the_losses_that_make_the_epochs():
    steps = []
    dsa = small().fit(X, on_step=steps.append, every=1)
    weights = [20, 20, 20, 20, 10]
    for row, losses in zip(dsa.history_, np.reshape([step["loss"] for step in steps], (4, 5)), strict=True):
        assert row["loss"] == pytest.approx(np.average(losses, weights=weights))


def test_hooks_change_nothing_and_are_not_kept():
    one, other = small().fit(X), small().fit(X, on_epoch=lambda row: row.clear(), on_step=lambda row: row.clear())
    np.testing.assert_array_equal(one.transform(X), other.transform(X))
    assert len(other.history_[0]) == len(one.history_[0])
    assert set(vars(one)) == set(vars(other))


@each(answer=[None, 0, False, "no"])
def test_only_true_ends_the_training(answer):
    assert small().fit(X, on_epoch=lambda row: answer).n_iter_ == 4
    for true in (True, np.True_):
        dsa = small(shrink="set").fit(X, on_epoch=lambda row, true=true: true if row["epoch"] == 2 else np.False_)
        assert (dsa.n_iter_, dsa.interrupted_) == (2, False)


@each(schedule=["joint", "stagewise"])
def test_a_model_stopped_above_its_density_says_so(schedule):
    dsa = small(schedule=schedule, max_iter=10)
    with pytest.warns(
        UserWarning, match=r"stopped after epoch 2, .* density (1|0\.\d+) rather than 0\.5\d*\. "
    ) as told:
        dsa.fit(X, on_epoch=lambda row: row["epoch"] == 2)
    assert f"density {dsa.density_:.4g} rather" in str(told[0].message)
    assert (len(told), dsa.n_iter_) == (1, 2)
    whole = small(schedule=schedule, max_iter=10).fit(X, on_epoch=lambda row: row["epoch"] == 10)
    assert whole.density_ < dsa.density_


def test_ctrl_c_is_an_attribute():
    def interrupt(row):
        if row["step"] == 7:
            os.kill(os.getpid(), signal.SIGINT)

    dsa = small()
    with pytest.warns(RuntimeWarning, match="interrupted in epoch 2"):
        dsa.fit(X, on_step=interrupt, every=1)
    assert (dsa.interrupted_, dsa.n_iter_) == (True, 2)
    assert dsa.fit(X).interrupted_ is False
    assert dsa.partial_fit(X).interrupted_ is False


def test_checkpoints_of_ones_own_stay_until_they_are_removed(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run", every=0)
    dsa = small(checkpoint=checkpoints).fit(X)
    assert checkpoints.exists
    np.testing.assert_array_equal(dsa.transform(X), small().fit(X).transform(X))
    checkpoints.remove()
    assert not list(tmp_path.iterdir())


@each(every=[0, -1, 2.5, "3"])
@each(verb=["fit", "partial_fit"])
def test_every_must_be_a_whole_number(verb, every):
    with pytest.raises(ValueError, match="every must be a whole number"):
        getattr(small(), verb)(X, on_step=print, every=every)


def test_hooks_hear_of_chunks_of_any_length(tmp_path):
    """Steps are counted over all of them, also after loading; a chunk is an epoch, and no answer ends it."""
    epochs, steps = [], []
    hooks = {"on_epoch": lambda row: epochs.append(row) or True, "on_step": steps.append, "every": 2}
    dsa = small()
    for chunk in (X[:50], X[50:60]):
        dsa.partial_fit(chunk, **hooks)
    dsa.save(tmp_path / "model")
    dsa = DeepSparseAutoencoder.load(tmp_path / "model").partial_fit(X, **hooks)
    assert epochs == dsa.history_
    assert [row["step"] for row in steps] == [2, 4, 6, 8]
    assert [row["epoch"] for row in steps] == [1, 2, 3, 3]


def grouped(rng, groups, n=30):
    """Rows that differ little within a group."""
    return np.repeat(rng.normal(size=(groups, 6)), n, axis=0) + 0.05 * rng.normal(size=(groups * n, 6))


FORMS = {
    "rows": np.asarray,
    "frame": pd.DataFrame,
    "sparse": sp.csr_matrix,
    "source": lambda X: ArraySource(X.astype("f4")),
}


@each(form=FORMS)
def test_the_given_rows_decide_when_to_stop_and_which_weights_stay(form):
    train, held_out = grouped(RNG, 4), grouped(RNG, 4)
    settings = {"max_iter": 60, "learning_rate_init": 0.05, "n_iter_no_change": 3, "shrink": "random"}
    dsa = small(**settings).fit(FORMS[form](train), validation=FORMS[form](held_out))
    losses = [row["validation_loss"] for row in dsa.history_]
    assert len(losses) < 60
    assert losses[-1] > min(losses)
    error = np.square(dsa.inverse_transform(dsa.transform(held_out)) - held_out).mean()
    assert error == pytest.approx(min(losses), rel=1e-3)


def test_all_rows_of_x_are_trained_on():
    seen = []
    small(early_stopping=True).fit(X, validation=X[:10], on_step=seen.append, every=1)
    assert len(seen) == 4 * 5, "90 rows in batches of 20; a random share would have left 81"


def test_other_rows_to_validate_on_are_another_run(tmp_path):
    kept = {"checkpoint": Checkpoints(tmp_path / "run", 0), "max_iter": 3}
    small(**kept).fit(X, validation=X[:20])
    with pytest.raises(ValueError, match=r"the data's validation was '[0-9a-f]+' and is '[0-9a-f]+'"):
        small(**kept).fit(X, validation=X[:21])


@each(
    {
        "validation, message": [
            (X[:, :5], r"^\[fit\] validation must have 6 columns, as many as X; got 5\."),
            (
                pd.DataFrame(X, columns=list("abcdfe")),
                r"^\[fit\] validation must have the columns of X, .* got 'f' for 'e'",
            ),
            (np.full((3, 6), np.nan), r"^\[fit\] validation must be finite"),
            ("a", r"^\[fit\] validation must be rows, not the path of a file; got 'a'"),
        ]
    }
)
def test_rows_that_do_not_fit_are_refused_before_training(validation, message):
    with pytest.raises((TypeError, ValueError), match=message):
        small().fit(pd.DataFrame(X, columns=list("abcdef")), validation=validation)


def test_the_hooks_are_arguments_of_fit_and_no_parameters():
    """So that an estimator can be pickled, cloned and searched over."""
    arguments = {"validation", "on_epoch", "on_step", "every"}
    assert arguments <= set(inspect.signature(DeepSparseAutoencoder.fit).parameters)
    assert arguments - {"validation"} <= set(inspect.signature(DeepSparseAutoencoder.partial_fit).parameters)
    assert not arguments & set(small().get_params())
