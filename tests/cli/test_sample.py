"""Rows that a model makes, from the command line."""

import json

import numpy as np
import pytest
from tests.cli.conftest import NAMES

from dsae import load, store
from dsae.data import open_rows, write_rows
from dsae.sampling import fit_sampler

FIT = ("--n-components", "2", "--hidden-layer-sizes", "6", "--density", "0.7", "--max-iter", "2", "--random-state", "0")


@pytest.fixture
def maker(make_model, tmp_path, rows):
    """A model folder with a sampler, which draws any two numbers."""
    sampler = fit_sampler(rows[:, :2], n_components=2)
    model = make_model(4, 2, hidden_layer_sizes=(6,), live=0.7, model={"feature_names": NAMES, "sampler": sampler})
    return store.write(tmp_path / "maker", model)


def test_samples_are_those_of_python_and_their_novelty_is_said(dsae, maker, tmp_path):
    done = dsae("sample", maker, "-n", "5000", "--random-state", "3", "--temperature", "0.9", "-o", tmp_path / "x.npy")
    assert done.code == 0
    assert done.err.startswith("dsae: Mixture(2 numbers, from 40 codes, novelty ")
    wanted = load(maker).sample(5000, random_state=3, temperature=0.9)
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), wanted, rtol=1e-5, atol=1e-6)
    assert dsae("sample", maker, "-n", "3").text.splitlines()[0] == ",".join(NAMES)


def test_rows_between_two_files(dsae, maker, tmp_path, rows):
    for name, some in (("a", rows[:3]), ("b", rows[3:6])):
        write_rows(tmp_path / f"{name}.csv", some, NAMES)
    done = dsae("interpolate", maker, tmp_path / "a.csv", tmp_path / "b.csv", "-n", "5", "-o", tmp_path / "y.csv")
    assert (done.code, done.err) == (0, "")
    wanted = load(maker).interpolate(rows[:3], rows[3:6], 5).reshape(15, 4)
    np.testing.assert_allclose(open_rows(tmp_path / "y.csv").read(), wanted, rtol=1e-4, atol=1e-5)


def test_info_and_the_report_tell_the_novelty(dsae, maker, model, data, tmp_path):
    facts = json.loads(dsae("info", maker, "--json").text)
    assert (facts["sampler"], facts["sampler_novelty"]) == ("mixture", load(maker).model.sampler.novelty)
    assert "sampler_novelty" not in json.loads(dsae("info", model, "--json").text)
    for folder, told in ((maker, True), (model, False)):
        assert dsae("report", folder, data, "-o", tmp_path / "report.html").code == 0
        assert ("Novelty of samples" in (tmp_path / "report.html").read_text()) == told


def test_fit_learns_to_sample(dsae, data, tmp_path):
    done = dsae("fit", data, "-o", tmp_path / "m", *FIT, "--sampler", "neighbours")
    assert done.code == 0
    assert "dsae: Neighbours(2 numbers, from 40 codes, novelty " in done.err
    assert load(tmp_path / "m").sample(4).shape == (4, 4)
    assert "train_fvu" in load(tmp_path / "m").model.metrics, "and is evaluated as ever"


def test_a_sampler_that_the_code_cannot_have_is_refused_before_training(dsae, data, tmp_path):
    done = dsae(
        "fit", data, "-o", tmp_path / "m", *FIT, "--code-activation", "topk", "--k", "1", "--sampler", "mixture"
    )
    assert done.code == 2
    assert '[fit_sampler] kind must be "neighbours" for topk codes' in done.err
    assert not (tmp_path / "m").exists()
    assert "Did you mean 'mixture'" in dsae("fit", data, "-o", tmp_path / "m", "--sampler", "mixtures").err


def test_a_model_without_a_sampler_names_the_remedy(dsae, model):
    done = dsae("sample", model, "-n", "3")
    assert done.code == 2
    assert (
        "[sample] The model must have a sampler; it has none. Fit one: fit_sampler(X) of the estimator, or dsae fit"
        in done.err
    )


@pytest.mark.parametrize("kind", ["npy", "txt"])
def test_labels_of_a_file_are_probed_and_made_rows_measured(dsae, maker, tmp_path, rows, kind):
    X = np.tile(rows, (5, 1))
    write_rows(tmp_path / "x.csv", X, NAMES)
    labels = (X[:, 0] > 0).astype(int)
    if kind == "npy":
        np.save(tmp_path / "y.npy", labels)
    else:
        (tmp_path / "y.txt").write_text("\n".join("ab"[label] for label in labels))
    given = ("--labels", tmp_path / f"y.{kind}", "--generation", "--train", tmp_path / "x.csv")
    done = dsae("evaluate", maker, tmp_path / "x.csv", *given, "--json")
    assert (done.code, done.err) == (0, "")
    facts = json.loads(done.text)
    assert facts["n_labels"] == len(facts["by_label"]) == 2
    assert 0 <= facts["linear_probe"] <= 1
    assert facts["frechet"] > 0
    assert facts["novelty"] is None, "these rows are those of --train"
    assert facts["novelty_of_codes"] == load(maker).model.sampler.novelty
    assert "knn probe" in dsae("evaluate", maker, tmp_path / "x.csv", *given).text


def test_labels_that_do_not_belong_to_the_rows_are_refused(dsae, maker, data, tmp_path):
    np.save(tmp_path / "y.npy", np.zeros((40, 2)))
    done = dsae("evaluate", maker, data, "--labels", tmp_path / "y.npy")
    assert done.code == 2
    assert "y.npy must hold one label for each row; got an array of shape (40, 2)" in done.err
    np.save(tmp_path / "y.npy", np.zeros(39))
    assert (
        "one label for each of 40 rows; got shape (39,)"
        in dsae("evaluate", maker, data, "--labels", tmp_path / "y.npy").err
    )
    (tmp_path / "z.npy").write_bytes(b"no array")
    assert "z.npy must be a .npy file of labels" in dsae("evaluate", maker, data, "--labels", tmp_path / "z.npy").err
    assert "--train is for --generation" in dsae("evaluate", maker, data, "--train", data).err


def test_noise_is_taken_out_by_a_model_that_was_trained_for_it(dsae, make_model, model, data, tmp_path, rows):
    done = dsae("denoise", model, data)
    assert done.code == 2
    assert "[denoise] The model must be trained on rows with noise" in done.err
    trained = store.write(tmp_path / "d", make_model(4, 2, model={"training": {"noise": 1.0}, "feature_names": NAMES}))
    assert dsae("denoise", trained, data, "-o", tmp_path / "y.npy").code == 0
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), load(trained).reconstruct(rows), rtol=1e-4, atol=1e-5)
