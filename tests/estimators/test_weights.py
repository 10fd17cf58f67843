"""Rows count by their weights in fit, partial_fit and score, and may have a target of their own."""

import re

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from tests.covering import each

from dsae import DeepSparseAutoencoder, metrics
from dsae.data import ArraySource, Batch, open_rows

RNG = np.random.default_rng(0)
N_ROWS, WIDTH = 120, 12
X = (RNG.normal(size=(N_ROWS, 3)) @ RNG.normal(size=(3, WIDTH)) + 0.1 * RNG.normal(size=(N_ROWS, WIDTH))).astype("f4")
SPARSE = sp.csr_matrix(np.where(RNG.random(X.shape) < 0.05, 1 + np.abs(X), 0).astype("f4"))
WEIGHT = np.arange(N_ROWS) % 3
TWICE = np.repeat(np.arange(N_ROWS), WEIGHT)
KINDS = pytest.mark.parametrize("rows", [X, SPARSE], ids=["dense", "csr"])


def small(**changes):
    how = {"n_components": 3, "hidden_layer_sizes": (8,), "density": 0.5, "shrink": "random", "max_iter": 5}
    return DeepSparseAutoencoder(**(how | {"random_state": 0} | changes))


@KINDS
@each(verb=["fit", "partial_fit"])
def test_a_row_of_weight_two_is_two_rows_and_one_of_zero_none(rows, verb):
    """Where all are in one batch: of several, a row would meet others."""
    weighted, repeated = (small(scale=True) for _ in range(2))
    getattr(weighted, verb)(rows, sample_weight=WEIGHT)
    getattr(repeated, verb)(rows[TWICE])
    np.testing.assert_allclose(weighted.transform(rows), repeated.transform(rows), rtol=1e-3, atol=1e-4)
    losses = ([row["loss"] for row in dsa.history_] for dsa in (weighted, repeated))
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert np.abs(weighted.transform(rows) - small(scale=True).fit(rows).transform(rows)).max() > 0.01


@KINDS
def test_scores_and_errors_weigh_rows(rows):
    dsa = small().fit(rows)
    assert dsa.score(rows, sample_weight=WEIGHT) == pytest.approx(dsa.score(rows[TWICE]), rel=1e-6)
    source = ArraySource(rows, weight=WEIGHT.astype("f4"))
    wanted, found = metrics.evaluate(dsa.runtime_, rows[TWICE]), metrics.evaluate(dsa.runtime_, source)
    for name in ("mse", "fvu", "cosine", "squared_error_per_row"):
        assert found[name] == pytest.approx(wanted[name], rel=1e-6)
    found = metrics.evaluate(dsa.runtime_, rows, sample_weight=WEIGHT, batch_size=7)
    assert found["fvu"] == pytest.approx(wanted["fvu"], rel=1e-6)


def test_only_ratios_of_weights_matter():
    codes = [small().fit(X, sample_weight=w).transform(X) for w in (WEIGHT, 1024 * WEIGHT)]
    np.testing.assert_allclose(*codes, rtol=1e-5, atol=1e-6)


@KINDS
def test_weights_go_with_the_rows_that_are_held_out(rows):
    """Rows of weight 0 decide nothing, whatever they hold."""
    other = rows.copy()
    other[WEIGHT == 0] = other[WEIGHT == 0] * 100
    how = {"early_stopping": True, "validation_fraction": 0.3}
    losses = [
        [(row["loss"], row["validation_loss"]) for row in small(**how).fit(some, sample_weight=WEIGHT).history_]
        for some in (rows, other)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_rows_to_validate_on_have_weights_and_targets_of_their_own():
    target = X[:, ::-1].copy()
    batch = Batch.of(X, target=target, weight=WEIGHT.astype("f4"))
    whole = small().fit(X, target=target, validation=batch).history_
    some = Batch.of(X[TWICE], target=target[TWICE])
    twice = small().fit(X, target=target, validation=some).history_
    losses = ([row["validation_loss"] for row in history] for history in (whole, twice))
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_rows_to_validate_on_are_to_give_what_the_others_are():
    batch = Batch.of(X, target=X)
    with pytest.raises(ValueError, match=r"validation must have a target, as X has; .*Batch\.of\(rows, target="):
        small().fit(X, target=X, validation=X)
    with pytest.raises(ValueError, match=r"validation must have a target, as X has"):
        small().fit((Batch.of(X, target=X) for _ in range(9)), n_steps=2, validation=X)
    with pytest.raises(ValueError, match="validation must have no target where X has none"):
        small().fit(X, validation=batch)
    rates = np.clip(X, 0, 1)
    with pytest.raises(ValueError, match=r"loss='bce' needs the target of validation in \[0, 1\]"):
        small(loss="bce").fit(X, target=rates, validation=batch)


@each(
    {
        "target, message": [
            (np.where(X > 1, np.nan, X), "target must be finite; it holds NaN, first in row .* Impute or drop"),
            ("a", "target must be rows, not the path of a file; got 'a'"),
            (X[0], r"target must be 2-D"),
        ]
    }
)
def test_what_is_wrong_with_a_target_is_said_of_it(target, message):
    with pytest.raises((TypeError, ValueError), match=message):
        small(missing="mask").fit(X, target=target)


@each(verb=["fit", "partial_fit"])
def test_weights_and_targets_of_a_file_are_those_of_its_rows(tmp_path, verb):
    np.save(tmp_path / "x.npy", X)
    beside = {"sample_weight": WEIGHT, "target": X[:, ::-1]}
    one, other = (
        getattr(small(batch_size=N_ROWS), verb)(rows, **beside) for rows in (X, open_rows(tmp_path / "x.npy"))
    )
    np.testing.assert_allclose(one.transform(X), other.transform(X), rtol=1e-3, atol=1e-4)
    assert one.score(open_rows(tmp_path / "x.npy"), **beside) == pytest.approx(one.score(X, **beside), rel=1e-6)


@KINDS
@each(schedule=["joint", "stagewise"])
def test_a_target_is_what_is_predicted(rows, schedule):
    """And `y` is not: pipelines pass labels there."""
    target = rows[:, np.arange(WIDTH)[::-1]]
    dsa = small(max_iter=150, learning_rate_init=0.01, schedule=schedule, density=1.0).fit(
        rows, np.arange(N_ROWS), target=target
    )
    assert dsa.score(rows, target=target) > 0.6
    assert dsa.score(rows, target=target) > dsa.score(rows) + 0.3
    whole = target.toarray() if sp.issparse(target) else target
    assert dsa.score(rows, target=target) == pytest.approx(
        1 - metrics.fvu(whole, dsa.runtime_.reconstruct(rows)), rel=1e-5
    )


def test_clean_rows_are_learned_from_noisy_ones():
    noisy = X + RNG.normal(size=X.shape).astype("f4")
    dsa = small(max_iter=100, learning_rate_init=0.01).fit(noisy, target=X)
    assert dsa.score(noisy, target=X) > small(max_iter=100, learning_rate_init=0.01).fit(noisy).score(noisy, target=X)


@KINDS
@each(verb=["fit", "partial_fit"])
def test_outputs_start_at_the_mean_of_the_target(rows, verb):
    """However far it is from that of the rows."""
    target = rows.toarray() + 1000 * np.arange(1, WIDTH + 1) if sp.issparse(rows) else rows + 1000
    dsa = getattr(small(max_iter=1, learning_rate_init=1e-9), verb)(rows, target=target.astype("f4"))
    np.testing.assert_allclose(dsa.runtime_.reconstruct(rows).mean(0), target.mean(0), rtol=1e-2)


def test_a_target_has_to_suit_the_loss():
    with pytest.raises(
        ValueError, match=r"\[fit\] loss='bce' needs target in \[0, 1\]; got values from .*Rescale target\."
    ):
        small(loss="bce").fit((X > 0).astype("f4"), target=X)
    with pytest.raises(
        ValueError, match=r"\[fit\] target is for losses without totals, mse and bce; got loss='poisson'"
    ):
        small(loss="poisson").fit((X > 0).astype("f4"), target=(X < 0).astype("f4"))


def test_weights_are_routed_to_the_step_that_asks_for_them():
    with config_context(enable_metadata_routing=True):
        dsa = small().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipeline = make_pipeline(MaxAbsScaler(), dsa).fit(X, sample_weight=WEIGHT)
        scaled = MaxAbsScaler().fit_transform(X)
        np.testing.assert_array_equal(
            pipeline.transform(X), small().fit(scaled, sample_weight=WEIGHT).transform(scaled)
        )


@each(
    {
        "beside, error, message": [
            (
                {"sample_weight": np.ones(7)},
                ValueError,
                "sample_weight must have 120 numbers, one for each row of X; got shape",
            ),
            (
                {"sample_weight": -np.ones(N_ROWS)},
                ValueError,
                "sample_weight must hold finite numbers of at least 0; got",
            ),
            (
                {"sample_weight": np.full(N_ROWS, np.nan)},
                ValueError,
                "sample_weight must hold finite numbers of at least",
            ),
            (
                {"sample_weight": np.zeros(N_ROWS)},
                ValueError,
                "sample_weight must be above 0 for some row; got zeros alone.",
            ),
            ({"sample_weight": ["heavy"] * N_ROWS}, TypeError, "sample_weight must hold numbers; got list."),
            (
                {"target": X[:7]},
                ValueError,
                "target must have 120 rows, one for each row of X; got shape (7, 12).",
            ),
            ({"target": np.full_like(X, np.nan)}, ValueError, "target must be finite"),
        ]
    },
    verb=["fit", "partial_fit", "score"],
)
def test_what_does_not_fit_the_rows_is_refused(verb, beside, error, message):
    dsa = small().fit(X)
    with pytest.raises(error, match=re.escape(f"[{verb}] {message}")):
        getattr(dsa, verb)(X, **beside)


def test_rows_without_lasting_numbers_get_weights_with_their_batches():
    class Own:
        n_features = WIDTH

        def __len__(self):
            return N_ROWS

        def batches(self, batch_size, seed=None):
            yield Batch.of(X, weight=WEIGHT.astype("f4"))

    with pytest.raises(TypeError, match=r"\[fit\] Rows in memory or in files can be given a target and sample_weight"):
        small().fit(Own(), sample_weight=WEIGHT)
    own = small(batch_size=N_ROWS).fit(Own())
    np.testing.assert_allclose(
        own.transform(X), small().fit(X, sample_weight=WEIGHT).transform(X), rtol=1e-3, atol=1e-4
    )
