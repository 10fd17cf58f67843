"""`dsae fit` is the estimator: every parameter reaches it, and the folder is the estimator's."""

import inspect
import json
import re
import sys

import numpy as np
import pytest
from tests.covering import each

from dsae import DeepSparseAutoencoder, cli, load, store
from dsae.cli._options import parameters, settings
from dsae.config import AutoencoderConfig, TrainConfig, choices_of
from dsae.data import write_rows

QUICK = ["--n-components", 2, "--density", 0.5, "--max-iter", 2, "--random-state", 0]

# A value other than the default for every parameter, as typed and as it must arrive.
TYPED = {
    "n_components": ("7", 7),
    "hidden_layer_sizes": ("1024,256", (1024, 256)),
    "decoder_layer_sizes": ("9", (9,)),
    "activation": ("sigmoid", "sigmoid"),
    "code_activation": ("topk", "topk"),
    "output_activation": ("sigmoid", "sigmoid"),
    "loss": ("bce", "bce"),
    "input_transform": ("log1p", "log1p"),
    "missing": ("mask", "mask"),
    "density": ("encoder.0=0.05,decoder.1=0.1", {"encoder.0": 0.05, "decoder.1": 0.1}),
    "block_size": ("4", 4),
    "shrink": ("rigl", "rigl"),
    "init_topology": ("neighbours", "neighbours"),
    "zero_diagonal": (True, True),
    "l1": ("0.5", 0.5),
    "l2": ("1e-3", 1e-3),
    "matryoshka": ("2,7", (2, 7)),
    "contractive": ("0.1", 0.1),
    "target_rate": ("0.05", 0.05),
    "k": ("3", 3),
    "schedule": ("stagewise", "stagewise"),
    "init": ("folder", "folder"),
    "max_iter": ("3", 3),
    "batch_size": ("32", 32),
    "learning_rate_init": ("0.01", 0.01),
    "early_stopping": (True, True),
    "validation_fraction": ("0.2", 0.2),
    "n_iter_no_change": ("4", 4),
    "tol": ("0.001", 0.001),
    "scale": (True, True),
    "noise": ("0.5", 0.5),
    "mask": ("0.1,0.5", [0.1, 0.5]),
    "mask_rescale": (False, False),
    "emphasis": ("2", 2.0),
    "precision": ("float32", "float32"),
    "device": ("cpu", "cpu"),
    "random_state": ("5", 5),
    "verbose": ("0", 0),
}


@pytest.fixture
def received(monkeypatch, dsae, data, tmp_path):
    """Parameters that the estimator gets from a command line."""

    class ReceivedError(Exception):
        pass

    def receive(self, **parameters):
        raise ReceivedError(parameters)

    monkeypatch.setattr(DeepSparseAutoencoder, "__init__", receive)

    def run(*args):
        with pytest.raises(ReceivedError) as caught:
            cli.cli.main(
                ["fit", str(data), "-o", str(tmp_path / "m"), *map(str, args)],
                standalone_mode=False,
                obj={},
            )
        return caught.value.args[0]

    return run


def test_options_are_the_estimators_signature():
    """But for verbose, which only a terminal shows, and what other options of commands stand for."""
    signature = inspect.signature(DeepSparseAutoencoder).parameters
    defaults = {name: parameter.default for name, parameter in signature.items()}
    assert {parameter.name: parameter.default for parameter in parameters()} | {
        "verbose": 0,
        "warm_start": False,
        "checkpoint": None,
        "checkpoint_every": 10.0,
        "sparse_output": False,
        "distributed": False,
    } == defaults
    assert set(TYPED) == {parameter.name for parameter in parameters()}


def test_help_is_the_first_sentence_of_the_docstring():
    help_of = {parameter.name: parameter.help for parameter in parameters()}
    assert help_of["n_components"] == "Width of the code."
    assert help_of["l2"] == "Strength of the L2 penalty."
    assert help_of["max_iter"] == "Number of epochs."
    assert all(text[0] in "ABCDEFGHIJKLMNOPQRSTUVWXYZ01" and "`" not in text for text in help_of.values())


def test_choices_are_those_of_the_docstring():
    docstring = inspect.getdoc(DeepSparseAutoencoder)
    for name, choices in (choices_of(AutoencoderConfig) | choices_of(TrainConfig)).items():
        documented = re.search(rf"^{name} : \{{(.*)\}}", docstring, re.MULTILINE).group(1)
        assert set(documented.replace('"', "").split(", ")) | {"auto"} == set(choices) | {"auto"}, name


def test_every_parameter_reaches_the_estimator(received):
    args = []
    for name, (typed, _) in TYPED.items():
        flag = name.replace("_", "-")
        args += [f"--{flag}"] if typed is True else [f"--no-{flag}"] if typed is False else [f"--{flag}", typed]
    assert received(*args) == {name: value for name, (_, value) in TYPED.items()}


def test_a_share_is_a_number_or_a_pair(received, dsae):
    assert received("--mask", "0.3")["mask"] == 0.3
    result = dsae("fit", "x.csv", "-o", "m", "--mask", "some")
    assert "must be a number, or two between a comma, such as 0,0.8; got 'some'." in result.err


def test_what_is_not_given_is_left_to_the_estimator(received):
    assert received() == {"verbose": 1}
    assert received("--no-scale", "--density", "0.1") == {"verbose": 1, "scale": False, "density": 0.1}


def test_the_command_line_wins_over_the_file(received, tmp_path):
    (tmp_path / "run.toml").write_text(
        'shrink = "set"\nscale = true\nhidden_layer_sizes = [8]\nverbose = 0\n[density]\n"encoder.0" = 0.5\n'
    )
    assert received("--config", tmp_path / "run.toml", "--shrink", "rigl", "--no-scale") == {
        "verbose": 0,
        "shrink": "rigl",
        "scale": False,
        "hidden_layer_sizes": [8],
        "density": {"encoder.0": 0.5},
    }


@each(option=["--max-iter", "--learning-rate-init"])
def test_a_number_or_auto(dsae, received, data, tmp_path, option):
    assert received(option, "auto")[option[2:].replace("-", "_")] == "auto"
    done = dsae("fit", data, "-o", tmp_path / "m", option, "Auto")
    assert done.code == 2
    assert "must be a number, or auto; got 'Auto'. Did you mean 'auto'?" in done.err


def test_ids_are_not_looked_for_in_rows_without_columns(dsae, data, rows, tmp_path):
    write_rows(tmp_path / "named.csv", np.c_[np.arange(len(rows)), rows].astype("f4"), ["n", *"abcd"])
    np.save(tmp_path / "nameless.npy", rows)
    ids = ("--id-column", "n")
    done = dsae("fit", tmp_path / "named.csv", "-o", tmp_path / "m", "--test", tmp_path / "nameless.npy", *ids, *QUICK)
    assert done.code == 0, done.err
    done = dsae("neighbours", tmp_path / "m", tmp_path / "named.csv", tmp_path / "nameless.npy", *ids)
    assert done.code == 0, done.err


def test_an_unknown_key_in_the_file_is_refused(tmp_path):
    (tmp_path / "run.toml").write_text("densty = 0.5\n")
    with pytest.raises(ValueError, match=r"run\.toml has no setting 'densty'\. Did you mean 'density'\?"):
        settings(str(tmp_path / "run.toml"), {})


def test_a_missing_config_file_is_bad_input(dsae, data, tmp_path):
    done = dsae("fit", data, "-o", tmp_path / "m", "--config", tmp_path / "gone.toml")
    assert done.code == 2
    assert done.err == f"dsae: {tmp_path}/gone.toml does not exist. Check the path.\n"
    (tmp_path / "run.toml").touch()
    done = dsae("fit", data, "-o", tmp_path / "m", "--config", tmp_path / "runn.toml")
    assert done.code == 2
    assert done.err == f"dsae: {tmp_path}/runn.toml does not exist. Did you mean 'run.toml'?\n"
    done = dsae("fit", data, "-o", tmp_path / "m", "--config", tmp_path)
    assert done.err == f"dsae: {tmp_path} cannot be read: Is a directory. Name a TOML file.\n"


def test_fit_writes_the_estimators_model(dsae, data, rows, tmp_path):
    done = dsae("fit", data, "-o", tmp_path / "m", "--test", data, "--json", *QUICK)
    assert (done.code, done.err) == (0, "")
    same = DeepSparseAutoencoder(n_components=2, density=0.5, max_iter=2, random_state=0).fit(rows)
    model = store.read(tmp_path / "m")
    np.testing.assert_array_equal(load(tmp_path / "m").encode(rows), same.transform(rows))
    assert model.feature_names == ["alpha", "beta", "gamma", "delta"]
    facts = json.loads(done.text)
    assert facts["test_fvu"] == facts["train_fvu"] == pytest.approx(1 - same.score(rows))
    assert model.metrics["test_fvu"] == facts["test_fvu"]
    assert facts["epochs"] == 2


def test_the_summary_is_a_table_without_json(dsae, data, tmp_path):
    done = dsae("fit", data, "-o", tmp_path / "m", *QUICK)
    assert "train fvu" in done.text
    assert f"{tmp_path}/m" in done.text


def test_fit_goes_on_from_a_model(dsae, model, data, tmp_path):
    done = dsae("fit", data, "-o", tmp_path / "new", *QUICK, "--init", model, "--hidden-layer-sizes", 6, "--json")
    assert done.code == 0, done.err


def test_rows_of_test_must_be_the_models(dsae, data, tmp_path):
    write_rows(tmp_path / "narrow.npy", np.ones((3, 3), np.float32))
    done = dsae("fit", data, "-o", tmp_path / "m", "--test", tmp_path / "narrow.npy", *QUICK)
    assert done.code == 2
    assert "[evaluate] X must have 4 columns" in done.err


def test_divergence_exits_1(dsae, data, tmp_path):
    done = dsae("fit", data, "-o", tmp_path / "m", *QUICK, "--max-iter", 50, "--learning-rate-init", 1e30)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert not (tmp_path / "m").exists()


def test_without_torch_the_way_to_get_it_is_said(dsae, data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    done = dsae("fit", data, "-o", tmp_path / "m", *QUICK)
    assert done.code == 1
    assert done.err.startswith("dsae: ")
    assert 'pip install "dsae[train]"' in done.err


def test_rows_of_ones_own_stop_early(dsae, data, tmp_path):
    quick = [*QUICK, "--max-iter", 5]
    done = dsae("fit", data, "-o", tmp_path / "m", *quick, "--validation", data, "--json")
    assert done.code == 0
    assert json.loads(done.text)["validation_fvu"] == json.loads(done.text)["train_fvu"]
    assert all("validation_loss" in row for row in store.read(tmp_path / "m").history)


def test_a_bad_test_file_is_refused_before_training(dsae, data, tmp_path, monkeypatch):
    from dsae.estimators import DeepSparseAutoencoder

    monkeypatch.setattr(DeepSparseAutoencoder, "fit", lambda *a: pytest.fail("trained first"))
    narrow = tmp_path / "narrow.npy"
    np.save(narrow, np.zeros((3, 2), np.float32))
    for test, message in ((tmp_path / "none.npy", "does not exist"), (narrow, "as many as DATA")):
        done = dsae("fit", data, "-o", tmp_path / "m", "--test", test, *QUICK)
        assert done.code == 2
        assert message in done.err


def test_a_folder_in_the_way_is_told_before_training(dsae, data, tmp_path, monkeypatch):
    from dsae.estimators import DeepSparseAutoencoder

    monkeypatch.setattr(DeepSparseAutoencoder, "fit", lambda *a: pytest.fail("trained first"))
    (tmp_path / "thesis.tex").write_text("years of work")
    done = dsae("fit", data, "-o", tmp_path, *QUICK)
    assert done.code == 2
    assert "exists and is not a model folder" in done.err


def test_rows_of_test_that_are_not_finite_cost_no_model(dsae, data, rows, tmp_path, monkeypatch):
    rows[3, 1] = np.nan
    np.save(tmp_path / "te.npy", rows)
    command = ["fit", data, "-o", tmp_path / "m", "--test", tmp_path / "te.npy", *QUICK]
    done = dsae(*command)
    assert done.code == 2
    assert "te.npy must hold finite numbers; row 3" in done.err
    assert not (tmp_path / "m").exists()  # found before any training

    monkeypatch.setattr("dsae.data._stream._SMALL", 0)
    done = dsae(*command)
    assert done.code == 2
    assert done.err.startswith(f"dsae: the model is in {tmp_path}/m; only its evaluation failed\ndsae: [read] ")
    model = store.read(tmp_path / "m")
    assert len(model.history) == 2
    assert "fit_seconds" in model.metrics
    assert not any(name.startswith(("train_", "test_")) for name in model.metrics)


@each(small=[True, False])
def test_fit_takes_a_folder_read_at_once_or_in_pieces(dsae, rows, tmp_path, monkeypatch, small):
    (tmp_path / "in").mkdir()
    for i in range(4):
        write_rows(tmp_path / "in" / f"{i}.parquet", rows[10 * i : 10 * i + 10], ["alpha", "beta", "gamma", "delta"])
    if not small:
        monkeypatch.setattr("dsae.data._stream._SMALL", 0)
    kinds = []
    fit = DeepSparseAutoencoder.fit
    monkeypatch.setattr(
        DeepSparseAutoencoder, "fit", lambda self, X, **more: kinds.append(type(X).__name__) or fit(self, X, **more)
    )
    done = dsae("fit", tmp_path / "in", "-o", tmp_path / "m", "--test", tmp_path / "in", *QUICK, "--json")
    assert (done.code, done.err) == (0, "")
    assert kinds == ["ArraySource" if small else "StreamSource"]
    assert store.read(tmp_path / "m").feature_names == ["alpha", "beta", "gamma", "delta"]
    assert json.loads(done.text)["train_fvu"] == json.loads(done.text)["test_fvu"]
