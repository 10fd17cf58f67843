"""A configuration is checked when it is made, and is the same in Python, JSON and TOML."""

import json
import math

import numpy as np
import pytest
from tests.covering import each

from dsae.config import AutoencoderConfig, TrainConfig, read_toml


def make(**changes):
    return AutoencoderConfig(**{"n_features": 20, "n_components": 4, "hidden_layer_sizes": (10, 6), **changes})


@each(
    config=[
        make(),
        make(hidden_layer_sizes=()),
        make(decoder_layer_sizes=(7,), activation="sigmoid", output_activation="sigmoid"),
        make(decoder_layer_sizes=()),
        make(code_activation="topk", k=2, density=0.25),
        make(density={"encoder.0": 0.1, "decoder.2": 0.5}),
    ]
)
def test_json_round_trip(config):
    assert AutoencoderConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_the_decoder_mirrors_the_encoder_unless_told():
    assert make().decoder_widths == (4, 6, 10, 20)
    assert make(decoder_layer_sizes=(8,)).decoder_widths == (4, 8, 20)
    assert make(decoder_layer_sizes=()).decoder_widths == (4, 20)


def test_layers_and_what_follows_them():
    config = make(code_activation="softmax", output_activation="sigmoid")
    assert config.layer_shapes == {
        "encoder.0": (10, 20),
        "encoder.1": (6, 10),
        "encoder.2": (4, 6),
        "decoder.0": (6, 4),
        "decoder.1": (10, 6),
        "decoder.2": (20, 10),
    }
    assert config.activations == {
        "encoder.0": "relu",
        "encoder.1": "relu",
        "encoder.2": "softmax",
        "decoder.0": "relu",
        "decoder.1": "relu",
        "decoder.2": "sigmoid",
    }


def test_numbers_of_numpy_become_pythons():
    config = make(n_features=np.int64(20), hidden_layer_sizes=np.array([10]), density=np.float32(0.5))
    assert json.loads(json.dumps(config.to_dict()))["hidden_layer_sizes"] == [10]


def test_replace_checks_again():
    assert make().replace(n_components=9).n_components == 9
    with pytest.raises(ValueError, match="n_components must be a whole number"):
        make().replace(n_components=0)


@each(
    {
        "changes, message": [
            ({"n_features": 0}, "n_features must be a whole number of at least 1; got 0."),
            ({"n_components": 2.5}, "n_components must be a whole number of at least 1; got 2.5."),
            ({"n_components": True}, "n_components must be a whole number of at least 1; got True."),
            ({"n_components": "4"}, "n_components must be a whole number of at least 1; got '4'."),
            ({"hidden_layer_sizes": (10, -1)}, "every width in hidden_layer_sizes must be a whole number"),
            ({"hidden_layer_sizes": "10"}, "every width in hidden_layer_sizes"),
            ({"decoder_layer_sizes": (0,)}, "every width in decoder_layer_sizes"),
            (
                {"activation": "rleu"},
                "activation must be one of identity, relu, sigmoid, softmax; got 'rleu'. Did you mean 'relu'?",
            ),
            ({"code_activation": "top-k", "k": 2}, "Did you mean 'topk'?"),
            ({"output_activation": "topk"}, "output_activation must be one of identity, relu, sigmoid, softmax"),
            ({"code_activation": "topk"}, "code_activation='topk' needs k, the non-zeros per code; got k=None."),
            ({"code_activation": "batchtopk"}, "needs k"),
            ({"code_activation": "topk", "k": 0}, "k must be a whole number of at least 1; got 0."),
            (
                {"code_activation": "topk", "k": 5},
                "k must be at most n_components, the width of the code; got k=5, n_components=4.",
            ),
            (
                {"k": 2},
                "k has a meaning for code_activation topk, batchtopk and jumprelu; got k=2 with 'identity'.",
            ),
            ({"block_size": 2}, "block_size must be one of 1, 4 and 8; got 2."),
            ({"block_size": "4"}, "block_size must be one of 1, 4 and 8; got '4'."),
            ({"density": 0}, "density must be a number in (0, 1]; got 0."),
            ({"density": 1.01}, "density must be a number in (0, 1]; got 1.01."),
            ({"density": -0.1}, "density must be a number in (0, 1]"),
            ({"density": math.nan}, "density must be a number in (0, 1]; got nan."),
            ({"density": "0.5"}, "density must be a number in (0, 1]; got '0.5'."),
            ({"density": True}, "density must be a number in (0, 1]; got True."),
            ({"density": None}, "density must be a number in (0, 1]; got None."),
            ({"density": {"encoder.0": 2}}, "density['encoder.0'] must be a number in (0, 1]; got 2."),
            ({"density": {"encodr.0": 0.5}}, "density has no setting 'encodr.0'. Did you mean 'encoder.0'?"),
        ]
    }
)
def test_what_is_no_architecture_is_refused(changes, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the message is compared whole below
        make(**changes)
    assert message in str(caught.value)


def test_unknown_and_missing_keys():
    with pytest.raises(ValueError, match=r"no setting 'n_component'\. Did you mean 'n_components'\?"):
        AutoencoderConfig.from_dict({"n_features": 3, "n_component": 2})
    with pytest.raises(ValueError, match=r"no setting 'zzz'\. Known: n_features, n_components,"):
        AutoencoderConfig.from_dict({"n_features": 3, "n_components": 2, "zzz": 1})
    with pytest.raises(ValueError, match="lacks n_features and n_components"):
        AutoencoderConfig.from_dict({})


@each(
    {
        "changes, message": [
            (
                {"shrink": "prune"},
                "shrink must be one of random, gradient, saliency, magnitude, tempered, set, rigl, granet, none; "
                "got 'prune'.",
            ),
            ({"shrink": ["set"]}, "shrink must be one of"),
            ({"loss": "mae"}, "loss must be one of mse, bce, poisson, nb, multinomial; got 'mae'. Did you mean 'mse'?"),
            ({"schedule": "stagewsie"}, "Did you mean 'stagewise'?"),
            ({"l1": -1}, "l1 must be a number in [0, inf); got -1."),
            ({"l1": math.inf}, "l1 must be a number in [0, inf); got inf."),
            ({"l2": "a"}, "l2 must be a number in [0, inf); got 'a'."),
            ({"contractive": math.nan}, "contractive must be"),
            ({"target_rate": 0.0}, "target_rate must be a number in (0, 1]; got 0.0."),
            ({"max_iter": 0}, "max_iter must be a whole number of at least 1; got 0."),
            ({"batch_size": 1.5}, "batch_size must be a whole number"),
            ({"n_iter_no_change": None}, "n_iter_no_change must be a whole number"),
            ({"learning_rate_init": 0}, "learning_rate_init must be a number in (0, inf); got 0."),
            ({"validation_fraction": 1.0}, "validation_fraction must be a number in (0, 0.9]; got 1.0."),
            ({"tol": -1e-9}, "tol must be"),
        ]
    }
)
def test_what_is_no_training_is_refused(changes, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the message is compared whole below
        TrainConfig(**changes)
    assert message in str(caught.value)


def test_toml_is_read_flat(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('shrink = "set"\nhidden_layer_sizes = [10, 6]\n[density]\n"encoder.0" = 0.5\n')
    allowed = ("shrink", "hidden_layer_sizes", "density")
    settings = read_toml(path, allowed)
    assert settings == {"shrink": "set", "hidden_layer_sizes": [10, 6], "density": {"encoder.0": 0.5}}
    settings.pop("shrink")
    assert make(**settings).density == {"encoder.0": 0.5}


def test_toml_is_refused_by_name(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("shrnk = 'set'")
    with pytest.raises(ValueError, match=r"run\.toml has no setting 'shrnk'\. Did you mean 'shrink'\?"):
        read_toml(path, ("shrink",))
    for content in (b"shrink", b"\xff"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"run\.toml is not valid TOML"):
            read_toml(path, ("shrink",))
