"""Dense layers are taken by torch's own modules as they are."""

import json
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.covering import each
from torch import nn

from dsae import interop
from dsae.config import CODE_ACTIVATIONS
from dsae.runtime import Runtime
from dsae.store import Inputs

K = {"topk": 3, "batchtopk": 3}


class TopK(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.k = k

    def forward(self, z):
        best, at = z.topk(self.k, dim=-1)
        return torch.zeros_like(z).scatter(-1, at, best.relu())


class Above(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.register_buffer("threshold", torch.zeros(n))

    def forward(self, z):
        return z * (z > self.threshold)


def built(steps):
    modules, width = [], 0
    for step in steps:
        match step["type"]:
            case "linear":
                width = step["out_features"]
                modules.append(nn.Linear(step["in_features"], width))
            case "topk":
                modules.append(TopK(step["k"]))
            case "batchtopk" | "jumprelu":
                modules.append(Above(width))
            case plain:
                kinds = {"identity": nn.Identity, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}
                modules.append(nn.Softmax(dim=-1) if plain == "softmax" else kinds[plain]())
    return nn.Sequential(*modules)


@each(code=CODE_ACTIVATIONS, live=[0.3, 1.0], widths=[(), (9, 7)])
def test_torch_loads_it_and_computes_the_same(make_model, tmp_path, code, live, widths):
    model = make_model(live=live, code_activation=code, k=K.get(code), hidden_layer_sizes=widths, block_size=4)
    runtime = Runtime(model)
    folder = interop.save(runtime, tmp_path / "out", "dense")
    told = json.loads((folder / "dense.json").read_text())
    module = nn.Sequential(OrderedDict((half, built(told[half])) for half in ("encoder", "decoder")))
    module.load_state_dict(load_file(folder / "dense.safetensors"))
    rows = np.random.default_rng(0).normal(size=(30, 12)).astype(np.float32)
    with torch.no_grad():
        codes = module.encoder(torch.from_numpy(rows))
        rebuilt = module(torch.from_numpy(rows))
    np.testing.assert_allclose(codes, runtime.encode(rows), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(codes != 0, runtime.encode(rows) != 0)
    np.testing.assert_allclose(rebuilt, runtime.reconstruct(rows), rtol=1e-5, atol=1e-5)


def test_names_are_told(make_model, tmp_path):
    model = make_model(n_outputs=2, model={"feature_names": list("abcdefghijkl"), "target_names": ["y", "z"]})
    told = json.loads((interop.save(model, tmp_path / "out", "dense") / "dense.json").read_text())
    assert told["feature_names"] == list("abcdefghijkl")
    assert told["output_names"] == ["y", "z"]


MEAN = np.ones(12, np.float32)


@each(
    {
        "settings, message": [
            ({"output_activation": "exp", "input_transform": "log1p"}, "no transform .* input_transform='log1p'"),
            ({"missing": "mask", "model": {"inputs": Inputs(MEAN, MEAN, MEAN)}}, "no NaN; .* missing='mask'"),
            (
                {"output_activation": "exp", "model": {"training": {"loss": "poisson"}}},
                "multiply by the total of a row, .* loss='poisson'",
            ),
        ]
    }
)
def test_what_cannot_be_said_is_refused(make_model, tmp_path, settings, message):
    with pytest.raises(ValueError, match=rf"^\[export\] dense layers .*{message}.* Export it to onnx"):
        interop.save(make_model(**settings), tmp_path / "out", "dense")
