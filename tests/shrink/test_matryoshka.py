"""The first latents reconstruct by themselves."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.arrays import native
from tests.covering import each, pairs

from dsae import DeepSparseAutoencoder
from dsae.config import AutoencoderConfig
from dsae.data import make_sparse_features
from dsae.metrics import fvu
from dsae.nn import Autoencoder
from dsae.ops import SparseRows
from dsae.shrink import Matryoshka

WIDTH, LATENTS, K = 12, 64, 4
WIDTHS = (8, 24)
SETTINGS = {"n_components": LATENTS, "hidden_layer_sizes": (), "density": 1.0, "shrink": "none", "max_iter": 20}


def rows(n=50):
    return torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(0))


@native
@pairs(
    code=["topk", "batchtopk", "jumprelu", "relu", "identity"],
    density=[1.0, 0.4],
    decoder=[(), (9,)],
    most=[0, 1],
    sparse=[False, True],
)
def test_it_is_the_loss_of_codes_whose_later_latents_are_zero(monkeypatch, code, density, decoder, most, sparse):
    monkeypatch.setattr("dsae.nn._codes.MOST_ENTRIES", most)
    k = None if code in ("relu", "identity") else K
    config = AutoencoderConfig(WIDTH, LATENTS, (), decoder, code_activation=code, k=k, density=density)
    model = Autoencoder(config, torch.Generator().manual_seed(0)).train()
    x = rows()
    given = SparseRows.of(sp.csr_matrix(x.numpy())) if sparse else x
    value = Matryoshka(WIDTHS, "mse").penalty(model, model.trace(given))
    value.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()

    codes = model.encode(x)
    wanted = 0.0
    for width in WIDTHS:
        first = codes * (torch.arange(LATENTS) < width)
        wanted = wanted + (model.decode(first) - x).square().mean()
    wanted.backward()
    torch.testing.assert_close(value, wanted, rtol=1e-4, atol=1e-6)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            scale = parameter.grad.abs().max().item()
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-3, atol=1e-5 * scale + 1e-7)


@each(code=["topk", "batchtopk", "jumprelu", "identity"])
def test_so_the_first_latents_reconstruct_better(code):
    X = make_sparse_features(1500, WIDTH, 30, n_trees=0, max_rate=0.3, random_state=0).X
    errors = []
    for widths in (None, (8, LATENTS)):
        k = None if code == "identity" else K
        dsa = DeepSparseAutoencoder(code_activation=code, k=k, matryoshka=widths, random_state=0, **SETTINGS).fit(X)
        codes = dsa.transform(X)
        codes[:, 8:] = 0
        errors.append(float(fvu(X, dsa.inverse_transform(codes))))
    assert errors[1] < 0.97 * errors[0]


def test_the_full_width_need_not_be_named():
    X, codes = rows(200).numpy(), []
    for widths in ((8, LATENTS), (8,)):
        settings = SETTINGS | {"max_iter": 2, "matryoshka": widths}
        codes.append(DeepSparseAutoencoder(code_activation="topk", k=K, random_state=0, **settings).fit_transform(X))
    np.testing.assert_array_equal(*codes)


@each(widths=[(24, 8), (8, 8), (0, 8), (8, LATENTS + 1), (8, 2.5)])
def test_widths_rise_up_to_that_of_the_code(widths):
    with pytest.raises(ValueError, match="matryoshka"):
        DeepSparseAutoencoder(code_activation="topk", k=K, matryoshka=widths, **SETTINGS).fit(rows().numpy())


def test_they_are_saved_with_the_model(tmp_path):
    dsa = DeepSparseAutoencoder(code_activation="topk", k=K, matryoshka=[8], **SETTINGS | {"max_iter": 1})
    folder = dsa.fit(rows().numpy()).save(tmp_path / "model")
    assert tuple(DeepSparseAutoencoder.load(folder).matryoshka) == (8,)
