"""What users hear of counts that are none, and what is chosen for them."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae import DeepSparseAutoencoder

COUNTS = np.random.default_rng(0).poisson(2.0, (60, 8)).astype(np.float32)
SMALL = {"n_components": 2, "hidden_layer_sizes": (6,), "density": 0.5, "max_iter": 2, "random_state": 0}


def fit(X, **settings):
    return DeepSparseAutoencoder(**(SMALL | settings)).fit(X)


@each(
    {
        "loss, output, transform": [
            ("mse", "identity", "none"),
            ("bce", "sigmoid", "none"),
            ("poisson", "exp", "log1p"),
            ("nb", "exp", "log1p"),
            ("multinomial", "softmax", "log1p"),
        ]
    }
)
def test_output_and_transform_are_those_of_the_loss(loss, output, transform):
    config = fit(COUNTS / COUNTS.max() if loss in ("mse", "bce") else COUNTS, loss=loss).runtime_.config
    assert (config.output_activation, config.input_transform) == (output, transform)
    assert config.input_total == 0


def test_what_is_given_is_kept_and_wrong_pairs_are_refused():
    config = fit(COUNTS, loss="mse", output_activation="exp", input_transform="log1p").runtime_.config
    assert (config.output_activation, config.input_transform) == ("exp", "log1p")
    with pytest.raises(ValueError, match="loss='poisson' needs output_activation='exp'; got 'relu'"):
        fit(COUNTS, loss="poisson", output_activation="relu")
    with pytest.raises(ValueError, match="input_transform='log1p' needs an output that is not linear"):
        fit(COUNTS, input_transform="log1p")
    with pytest.raises(ValueError, match=r"emphasis is for losses of single values; got emphasis=2.0 with loss='mult"):
        fit(COUNTS, loss="multinomial", mask=0.2, emphasis=2.0)
    with pytest.raises(ValueError, match="input_transform must be one of none, log1p, lognormalize; got 'log'"):
        fit(COUNTS, loss="poisson", input_transform="log")


@each(kind=[np.asarray, sp.csr_matrix])
def test_negative_counts_are_refused(kind):
    with pytest.raises(ValueError, match=r"loss='nb' needs X in \[0, inf\); got values from -1 to .* neither centred"):
        fit(kind(COUNTS - 1), loss="nb")
    dsa = fit(kind(COUNTS), loss="poisson")
    for verb in (dsa.transform, dsa.reconstruction_error, dsa.score):
        with pytest.raises(ValueError, match="must hold counts, 0 or more, as log1p takes them; got -1"):
            verb(kind(COUNTS - 1))


@each(kind=[np.asarray, sp.csr_matrix])
def test_fractions_are_taken_with_a_warning(kind):
    with pytest.warns(UserWarning, match=r"loss='poisson' is for counts; X holds fractions, such as 1\.\d+"):
        fit(kind(np.log1p(COUNTS)), loss="poisson")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(kind(COUNTS), loss="poisson")


@each(kind=[np.asarray, sp.csr_matrix])
def test_rows_without_counts_are_counted(kind):
    rows = COUNTS.copy()
    rows[[3, 40]] = 0
    with pytest.warns(UserWarning, match="2 of 60 rows of X hold no count and were left out"):
        dsa = fit(kind(rows), loss="multinomial")
    assert np.isfinite(dsa.transform(kind(rows))).all()
    assert (dsa.runtime_.reconstruct(kind(rows))[[3, 40]] == 0).all()
    fit(kind(rows), loss="poisson")


@each(kind=[np.asarray, sp.csr_matrix], loss=["poisson", "nb", "multinomial"])
def test_rows_without_any_count_are_refused(kind, loss):
    with pytest.raises(ValueError, match=rf"loss='{loss}' needs counts above 0 in X; all values are 0"):
        fit(kind(np.zeros_like(COUNTS)), loss=loss)


@each(kind=[np.asarray, sp.csr_matrix])
def test_rows_to_validate_on_are_counts_too(kind):
    dsa = DeepSparseAutoencoder(**SMALL, loss="multinomial")
    with pytest.raises(ValueError, match=r"loss='multinomial' needs validation in \[0, inf\); got values from -\d"):
        dsa.fit(kind(COUNTS), validation=kind(-COUNTS[:20]))
    with pytest.raises(ValueError, match="needs counts above 0 in validation"):
        dsa.fit(kind(COUNTS), validation=kind(0 * COUNTS[:20]))
    with pytest.warns(UserWarning, match="is for counts; validation holds fractions"):
        dsa.fit(kind(COUNTS), validation=kind(COUNTS[:20] / 2))
    with pytest.warns(UserWarning, match="1 of 20 rows of validation hold no count"):
        dsa.fit(kind(COUNTS), validation=kind(COUNTS[:20] * (np.arange(20) > 0)[:, None]))
    assert np.isfinite([row["validation_loss"] for row in dsa.history_]).all()


def test_rows_to_validate_on_are_rates_too():
    rates = COUNTS / COUNTS.max()
    with pytest.raises(ValueError, match=r"loss='bce' needs validation in \[0, 1\]; .* Rescale validation"):
        DeepSparseAutoencoder(**SMALL, loss="bce").fit(rates, validation=2 * rates)


def test_deviances_have_no_scale():
    dsa = fit(COUNTS, loss="poisson")
    with pytest.raises(ValueError, match=r"\[score_samples\] scale is for squared errors; .* loss='poisson'"):
        dsa.score_samples(COUNTS, scale=np.ones(8))
