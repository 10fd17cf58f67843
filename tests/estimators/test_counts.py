"""What users hear of counts that are none, and what is chosen for them."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

from dsae import DeepSparseAutoencoder

COUNTS = np.random.default_rng(0).poisson(2.0, (60, 8)).astype(np.float32)
SMALL = {"n_components": 2, "hidden_layer_sizes": (6,), "density": 0.5, "max_iter": 2, "random_state": 0}


def fit(X, **settings):
    return DeepSparseAutoencoder(**(SMALL | settings)).fit(X)


@pytest.mark.parametrize(
    ("loss", "output", "transform"),
    [
        ("mse", "identity", "none"),
        ("bce", "sigmoid", "none"),
        ("poisson", "exp", "log1p"),
        ("nb", "exp", "log1p"),
        ("multinomial", "softmax", "log1p"),
    ],
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
    with pytest.raises(ValueError, match="missing='mask' is for losses without totals, mse and bce; got loss='nb'"):
        fit(COUNTS, loss="nb", missing="mask")
    with pytest.raises(ValueError, match="input_transform must be one of none, log1p, lognormalize; got 'log'"):
        fit(COUNTS, loss="poisson", input_transform="log")


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_negative_counts_are_refused(kind):
    with pytest.raises(ValueError, match=r"loss='nb' needs X in \[0, inf\); got values from -1 to .* neither centred"):
        fit(kind(COUNTS - 1), loss="nb")
    dsa = fit(kind(COUNTS), loss="poisson")
    for verb in (dsa.transform, dsa.reconstruction_error, dsa.score):
        with pytest.raises(ValueError, match="must hold counts, 0 or more, as log1p takes them; got -1"):
            verb(kind(COUNTS - 1))


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_fractions_are_taken_with_a_warning(kind):
    with pytest.warns(UserWarning, match=r"loss='poisson' is for counts; X holds fractions, such as 1\.\d+"):
        fit(kind(np.log1p(COUNTS)), loss="poisson")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(kind(COUNTS), loss="poisson")


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_rows_without_counts_are_counted(kind):
    rows = COUNTS.copy()
    rows[[3, 40]] = 0
    with pytest.warns(UserWarning, match="2 of 60 rows hold no count and were left out"):
        dsa = fit(kind(rows), loss="multinomial")
    assert np.isfinite(dsa.transform(kind(rows))).all()
    assert (dsa.runtime_.reconstruct(kind(rows))[[3, 40]] == 0).all()
    fit(kind(rows), loss="poisson")


def test_deviances_have_no_scale():
    dsa = fit(COUNTS, loss="poisson")
    with pytest.raises(ValueError, match=r"\[score_samples\] scale is for squared errors; .* loss='poisson'"):
        dsa.score_samples(COUNTS, scale=np.ones(8))
