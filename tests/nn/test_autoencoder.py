import numpy as np
import pytest
import torch
from tests.covering import each

from dsae.config import CODE_ACTIVATIONS, LOSSES, AutoencoderConfig
from dsae.nn import Autoencoder, SparseLinear, target_nnz
from dsae.runtime import Runtime
from dsae.store import Model

CODES = sorted(CODE_ACTIVATIONS)


def config(code="identity", density=0.3, **changes):
    k = 3 if code in ("topk", "batchtopk", "jumprelu") else None
    settings = {"n_features": 20, "n_components": 6, "hidden_layer_sizes": (15,), "density": density}
    return AutoencoderConfig(**settings | {"code_activation": code, "k": k} | changes)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def test_the_formula_number_by_number():
    """h = s(W1 x + b1), x_hat = W2 s(W3 h + b3) + b2: one encoder layer, two decoder layers."""
    model = Autoencoder(
        AutoencoderConfig(
            n_features=10,
            n_components=4,
            decoder_layer_sizes=(7,),
            activation="sigmoid",
            code_activation="sigmoid",
            density=0.5,
        )
    )
    for layer in model.layers.values():
        torch.nn.init.normal_(layer.bias)
    W1, W3, W2 = (layer.to_dense().weight.detach().double().numpy() for layer in model.layers.values())
    b1, b3, b2 = (layer.bias.detach().double().numpy() for layer in model.layers.values())
    x = np.random.default_rng(0).normal(size=(5, 10))
    h = sigmoid(x @ W1.T + b1)
    x_hat = sigmoid(h @ W3.T + b3) @ W2.T + b2
    rows = torch.tensor(x, dtype=torch.float32)
    with torch.no_grad():
        np.testing.assert_allclose(model.encode(rows).numpy(), h, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(model(rows).numpy(), x_hat, rtol=1e-5, atol=1e-6)


def test_one_layer_decoder_with_sigmoid_output():
    model = Autoencoder(config("sigmoid", hidden_layer_sizes=(), output_activation="sigmoid", density=1.0))
    first, last = model.layers.values()
    W1, W2 = first.to_dense().weight.detach().numpy(), last.to_dense().weight.detach().numpy()
    x = np.random.default_rng(0).random((5, 20), np.float32)
    with torch.no_grad():
        np.testing.assert_allclose(model(torch.tensor(x)), sigmoid(sigmoid(x @ W1.T) @ W2.T), rtol=1e-4)


@each(density=[0.1, 0.3, 0.6, 1.0], code=CODES)
def test_the_runtime_equals_the_model(code, density):
    model = Autoencoder(config(code, density))
    rng = np.random.default_rng(1)
    X = rng.normal(3, 2, (70, 20)).astype(np.float32)
    model.set_moments(torch.tensor(X.mean(0)), torch.tensor(X.std(0)))
    with torch.no_grad():
        model.train()(torch.tensor(X) + 0.1)  # batchtopk learns its threshold, on none of the rows below
        model.eval()
        codes, back = model.encode(torch.tensor(X)).numpy(), model(torch.tensor(X)).numpy()
        decoded = model.decode(torch.tensor(codes)).numpy()
    runtime = Runtime(Model(model.config, model.to_layers(), model.threshold()))
    scale = np.abs(back).max()
    for got, wanted in [
        (runtime.encode(X), codes),
        (runtime.reconstruct(X), back),
        (runtime.decode(codes), decoded),
        (runtime.reconstruct(X[:1]), back[:1]),
    ]:
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5 * scale)


@each(code=CODES)
def test_layers_survive_the_way_out_and_back_whatever_the_centring(code):
    one, other = Autoencoder(config(code)), Autoencoder(config(code, 0.7))
    x = torch.randn(40, 20)
    one.set_moments(torch.randn(20), torch.rand(20) + 0.5)
    other.set_moments(torch.randn(20), torch.rand(20) + 0.5)
    one.train()(x + 0.1)
    other.set_layers(one.to_layers(), one.threshold())
    torch.testing.assert_close(other.eval()(x), one.eval()(x), rtol=1e-4, atol=1e-4)


def test_layers_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="layers must be"):
        Autoencoder(config()).set_layers(Autoencoder(config(n_components=5)).to_layers())


@each(density=[0.01, 0.2, {"encoder.0": 0.1, "decoder.1": 0.5}])
def test_layers_have_the_edges_that_the_density_asks(density):
    c = config(density=density)
    model = Autoencoder(c)
    assert {name: layer.nnz for name, layer in model.layers.items()} == target_nnz(c)
    if isinstance(density, float):
        assert abs(model.nnz - density * 780) <= 4


@each(loss=[name for name, loss in LOSSES.items() if not loss.counts])
def test_losses_are_means_over_samples_and_features(loss):
    model = Autoencoder(config(output_activation="sigmoid"))
    x = torch.rand(9, 20)
    x_hat = model(x).detach().numpy().astype(np.float64)
    X = x.numpy()
    wanted = {
        "mse": np.mean((X - x_hat) ** 2),
        "bce": -np.mean(X * np.log(x_hat) + (1 - X) * np.log(1 - x_hat)),
    }
    assert model.trace(x).loss(loss).item() == pytest.approx(wanted[loss], rel=1e-5)


def test_a_linear_output_is_compared_in_scaled_units():
    model = Autoencoder(config())
    model.set_moments(torch.full((20,), 2.0), torch.full((20,), 3.0))
    x = torch.randn(9, 20)
    wanted = ((model(x) - x) / 3).square().mean()
    torch.testing.assert_close(model.trace(x).loss("mse"), wanted)


@each(
    {
        "code, hidden, output, density": [
            *((code, "relu", "identity", 0.3) for code in CODES),
            ("topk", "sigmoid", "sigmoid", 1.0),
            ("identity", "softmax", "relu", 0.6),
            ("relu", "identity", "softmax", 0.1),
            ("relu", "relu", "exp", 0.3),
        ]
    }
)
def test_the_dense_module_is_the_same_map(code, hidden, output, density):
    model, dense = with_dense(code, density, hidden, output)
    assert not any(isinstance(module, SparseLinear) for module in dense.modules())
    x = torch.randn(7, 20)
    torch.testing.assert_close(dense(x), model(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(dense.encode(x), model.encode(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(dense.decode(model.encode(x)), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # torch's own
@each(
    {
        "code, hidden, output, sparse": [
            ("topk", "relu", "identity", True),
            ("batchtopk", "sigmoid", "exp", True),
            ("jumprelu", "softmax", "sigmoid", False),
        ]
    }
)
def test_a_model_and_its_dense_module_can_be_exported(code, hidden, output, sparse):
    model, dense = with_dense(code, 0.3, hidden, output)
    batch = torch.export.Dim("batch", min=2)
    x = torch.randn(7, 20)
    exported = torch.export.export(model if sparse else dense, (x,), dynamic_shapes=({0: batch},)).module()
    for rows in (x, torch.randn(30, 20)):
        torch.testing.assert_close(exported(rows), model(rows), rtol=1e-4, atol=1e-5)


def with_dense(code, density, hidden, output):
    settings = {"activation": hidden, "output_activation": output, "decoder_layer_sizes": (9, 11)}
    model = Autoencoder(config(code, density, **settings), torch.Generator().manual_seed(0)).eval()
    model.set_moments(torch.randn(20), torch.rand(20) + 0.5)
    return model, model.to_dense()


def test_the_dense_module_is_a_copy_that_can_be_trained():
    model = Autoencoder(config("batchtopk"))
    dense, x = model.to_dense(), torch.randn(7, 20)
    assert dense.training
    dense(x).square().sum().backward()
    with torch.no_grad():
        for parameter in dense.parameters():
            parameter.zero_()
    assert all(layer.values.grad is None and layer.values.abs().sum() > 0 for layer in model.layers.values())
    assert model.activations[1].n_updates == 0
