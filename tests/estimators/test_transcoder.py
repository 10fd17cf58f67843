"""A target may have other columns than the rows that it is predicted from."""

import re

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import covering, each

import dsae
from dsae import DeepSparseAutoencoder, metrics
from dsae.data import ArraySource, Batch, open_rows
from dsae.report import write_report

RNG = np.random.default_rng(0)
N_ROWS, WIDTH = 160, 12
BASE = RNG.normal(size=(N_ROWS, 3))
X = (BASE @ RNG.normal(size=(3, WIDTH)) + 0.1 * RNG.normal(size=(N_ROWS, WIDTH))).astype("f4")
CSR = sp.csr_matrix(np.where(RNG.random(X.shape) < 0.3, 1 + np.abs(X), 0).astype("f4"))
MADE = (BASE @ RNG.normal(size=(3, 30))).astype("f4")
# how a step is computed: by panels, on matrices, by autograd, on sparse rows
STEPS = {
    "panels": {"density": 0.5, "shrink": "random"},
    "matrices": {"density": 1.0, "shrink": "none"},
    "dictionary": {"density": 1.0, "shrink": "none", "code_activation": "topk", "k": 3, "hidden_layer_sizes": ()},
    "thresholds": {"density": 0.9, "code_activation": "jumprelu", "k": 3, "hidden_layer_sizes": ()},
    "nested": {"density": 1.0, "shrink": "none", "matryoshka": (2, 4)},
    "penalties": {"density": 0.8, "contractive": 1e-3, "l1": 1e-3, "l2": 1e-5},
    "stagewise": {"density": 0.8, "schedule": "stagewise"},
}


def small(**changes):
    how = {"n_components": 6, "hidden_layer_sizes": (16,), "max_iter": 30, "batch_size": 32, "learning_rate_init": 0.02}
    return DeepSparseAutoencoder(**(how | {"density": 0.8, "random_state": 0} | changes))


def written_out(rows):
    return rows.toarray() if sp.issparse(rows) else rows


@covering(kind=["dense", "csr"], step=list(STEPS), n_outputs=[1, 5, 30], sparse_target=[False, True], by="step")
def test_a_target_of_any_width_is_predicted(kind, step, n_outputs, sparse_target):
    rows = X if kind == "dense" else CSR
    target = (written_out(rows) @ RNG.normal(size=(WIDTH, n_outputs))).astype("f4")
    target = sp.csr_matrix(target * (target > 0)) if sparse_target else target
    dsa = small(**{"max_iter": 15} | STEPS[step]).fit(rows, target=target)
    predicted = dsa.inverse_transform(dsa.transform(rows))
    assert predicted.shape == (N_ROWS, n_outputs)
    np.testing.assert_array_equal(predicted, dsa.runtime_.reconstruct(rows))
    assert dsa.score(rows, target=target) > 0.2
    assert dsa.score(rows, target=target) == pytest.approx(1 - metrics.fvu(written_out(target), predicted), rel=1e-4)


@each(verb=["fit", "partial_fit"])
def test_a_target_is_centred_and_scaled_by_itself(verb):
    """What it is measured in changes nothing but that."""
    unit, zero = np.geomspace(0.01, 100, 30), np.linspace(-50, 50, 30)
    predicted = [
        getattr(small(scale=True, max_iter=5), verb)(X, target=target).runtime_.reconstruct(X)
        for target in (MADE, MADE * unit + zero)
    ]
    np.testing.assert_allclose((predicted[1] - zero) / unit, predicted[0], rtol=1e-2, atol=2e-2)
    in_hundreds = small(max_iter=5).fit(X, target=MADE * 1e4).runtime_.reconstruct(X)
    np.testing.assert_allclose(
        in_hundreds / 1e4, small(max_iter=5).fit(X, target=MADE).runtime_.reconstruct(X), rtol=1e-3, atol=1e-6
    )


def test_losses_are_in_the_unit_of_the_target():
    dsa = small().fit(X, target=1e4 * MADE)
    last = dsa.history_[-1]
    assert last["loss"] < 10
    assert last["fvu"] == pytest.approx(1 - dsa.score(X, target=1e4 * MADE), abs=0.1)


def test_the_model_folder_keeps_both_widths_and_both_lists_of_names(tmp_path):
    import pandas as pd

    frame = pd.DataFrame(X, columns=[f"in{i}" for i in range(WIDTH)])
    target = pd.DataFrame(MADE, columns=[f"out{i}" for i in range(30)])
    dsa = small(max_iter=2).fit(frame, target=target)
    loaded = dsae.load(dsa.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.reconstruct(X), dsa.runtime_.reconstruct(X))
    assert (loaded.config.n_features, loaded.config.n_outputs) == (WIDTH, 30)
    assert loaded.model.feature_names == list(frame) == list(dsa.feature_names_in_)
    assert loaded.model.output_names == loaded.model.target_names == list(target)
    again = DeepSparseAutoencoder.load(tmp_path / "model")
    assert again.get_params() == dsa.get_params()
    assert again.score(frame, target=MADE) == dsa.score(frame, target=MADE)
    assert dsae.interpret.atoms(loaded).shape == (6, 30)


def test_training_goes_on_from_a_folder(tmp_path):
    whole, saved = small(), small()
    for chunk in (slice(0, 80), slice(80, None)):
        whole.partial_fit(X[chunk], target=MADE[chunk])
        saved.partial_fit(X[chunk], target=MADE[chunk])
        saved = DeepSparseAutoencoder.load(saved.save(tmp_path / "model"))
    np.testing.assert_array_equal(saved.runtime_.reconstruct(X), whole.runtime_.reconstruct(X))
    assert [row["fvu"] for row in saved.history_] == [row["fvu"] for row in whole.history_]


def test_warm_start_and_init_start_where_the_model_ended():
    first = small(warm_start=True).fit(X, target=MADE)
    score = first.score(X, target=MADE)
    for goes_on in (first, small(init=first.runtime_)):
        goes_on.set_params(max_iter=1, learning_rate_init=1e-6).fit(X, target=MADE)
        assert goes_on.score(X, target=MADE) == pytest.approx(score, abs=1e-3)


def test_rows_from_anywhere_may_have_a_target(tmp_path):
    class Own:
        n_features = WIDTH

        def __len__(self):
            return N_ROWS

        def batches(self, batch_size, seed=None):
            yield Batch.of(X, target=MADE)

    np.save(tmp_path / "x.npy", X)
    how = {"batch_size": N_ROWS, "max_iter": 3}
    wanted = small(**how).fit(X, target=MADE).runtime_.reconstruct(X)
    sources = [
        (Own(), {}),
        (ArraySource(X, target=MADE), {}),
        (open_rows(tmp_path / "x.npy"), {"target": MADE}),
        ((Batch.of(X, target=MADE) for _ in range(9)), {"n_steps": 3}),
    ]
    for rows, given in sources[:3]:
        np.testing.assert_allclose(
            small(**how).fit(rows, **given).runtime_.reconstruct(X), wanted, rtol=1e-2, atol=1e-2
        )
    rows, given = sources[3]
    assert small(**how).fit(rows, **given).runtime_.reconstruct(X).shape == MADE.shape


def test_errors_of_rows_are_those_from_the_target(tmp_path):
    dsa = small(max_iter=2).fit(X, target=MADE)
    np.save(tmp_path / "x.npy", X)
    apart = np.square(dsa.runtime_.reconstruct(X).astype(float) - MADE)
    for rows in (X, open_rows(tmp_path / "x.npy")):
        np.testing.assert_allclose(dsa.reconstruction_error(rows, True, target=MADE), apart, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(dsa.reconstruction_error(rows, target=MADE), apart.mean(1), rtol=1e-4)
        np.testing.assert_allclose(dsa.score_samples(rows, target=MADE), -apart.mean(1), rtol=1e-4)
    scale = MADE.std(0)
    np.testing.assert_allclose(dsa.score_samples(X, scale, target=MADE), -(apart / scale**2).mean(1), rtol=1e-4)
    found = metrics.evaluate(dsa.runtime_, X, target=MADE, batch_size=7)
    assert found["mse"] == pytest.approx(apart.mean(), rel=1e-5)


def test_holes_in_the_rows_do_not_hinder_a_whole_target():
    holed = np.where(RNG.random(X.shape) < 0.2, np.nan, X).astype("f4")
    dsa = small(missing="mask").fit(holed, target=MADE)
    assert dsa.score(holed, target=MADE) > 0.3
    with pytest.raises(ValueError, match=r"\[impute\] The model must reconstruct the 12 columns that it sees"):
        dsa.impute(holed)


def test_a_dense_twin_in_torch_predicts_the_same():
    import torch

    from dsae.train import fit_rows  # noqa: F401  torch's threads are set

    dsa = small(max_iter=2).fit(X, target=MADE)
    from dsae.nn import Autoencoder

    model = Autoencoder(dsa.runtime_.config)
    model.set_moments(torch.tensor(X.mean(0)), torch.ones(WIDTH), target=(torch.tensor(MADE.mean(0)), torch.ones(30)))
    model.set_layers(dsa.runtime_.layers)
    for twin in (model.eval(), model.to_dense().eval()):
        found = twin(torch.tensor(X)).detach().numpy()
        np.testing.assert_allclose(found, dsa.runtime_.reconstruct(X), rtol=1e-3, atol=1e-4)


@each(
    {
        "ask, message": [
            (
                lambda dsa: dsa.score(X),
                "[score] target must be given, as in fit: the model predicts 30 columns from the 12",
            ),
            (lambda dsa: dsa.score_samples(X), "[score_samples] target must be given, as in fit"),
            (lambda dsa: dsa.reconstruction_error(X), "[reconstruction_error] target must be given, as in fit"),
            (lambda dsa: dsa.recommend(X, 2), "[recommend] The model must reconstruct the 12 columns that it sees"),
            (lambda dsa: metrics.evaluate(dsa.runtime_, X), "[evaluate] target must be given, as in fit"),
            (
                lambda dsa: dsa.score(X, target=MADE[:, :5]),
                "[score] target must have 30 columns, those that the model predicts; got shape (160, 5).",
            ),
            (
                lambda dsa: metrics.evaluate(dsa.runtime_, X, target=X),
                "[evaluate] target must have 30 columns, those that the model predicts",
            ),
            (
                lambda dsa: dsa.score_samples(X, target=MADE[:3]),
                "[score_samples] target must have 160 rows, one for each",
            ),
            (
                lambda dsa: dsa.partial_fit(X, target=MADE[:, :5]),
                "[partial_fit] target must have 30 columns, as before; got 5.",
            ),
            (lambda dsa: dsa.partial_fit(X), "[partial_fit] target must have 30 columns, as before; got 12."),
            (
                lambda dsa: small().fit(X, target=MADE, validation=Batch.of(X, target=X)),
                "[fit] The target of validation must have 30 columns, as that of X; got 12.",
            ),
            (
                lambda dsa: small(init_topology="neighbours").fit(CSR, target=MADE),
                "[fit] init_topology='neighbours' needs a target of the features of X, 12; got 30 columns.",
            ),
            (
                lambda dsa: small().fit((Batch.of(X, target=made) for made in (MADE, MADE[:, :5])), n_steps=9),
                "[fit] target must have 30 columns, as the first target has; got shape (160, 5).",
            ),
        ]
    }
)
def test_what_cannot_be_is_refused(ask, message):
    dsa = small(max_iter=1).fit(X, target=MADE)
    with pytest.raises(ValueError, match=re.escape(message)):
        ask(dsa)


def test_there_is_no_report_of_rows_that_do_not_reconstruct_themselves(tmp_path):
    dsa = small(max_iter=1).fit(X, target=MADE)
    with pytest.raises(ValueError, match=r"\[write_report\] The model must reconstruct the 12 columns that it sees"):
        write_report(tmp_path / "report.html", dsa.runtime_.model, X)
