import pytest
import torch
from tests.covering import each

from dsae import ops
from dsae.nn import ACTIVATIONS
from dsae.nn._activations import BatchTopK, JumpReLU, activation

NAMES = sorted(ACTIVATIONS)
N_ROWS, WIDTH, K = 20, 12, 3


def make(name):
    return activation(name, WIDTH, K)


@each(training=[True, False], name=NAMES)
def test_rows_and_panels_agree(name, training):
    module = make(name).train(training)
    z = torch.randn(N_ROWS, WIDTH)
    on_rows = module(z, N_ROWS)
    on_panels = ops.unpack(ops.on_features(lambda t: module(t, N_ROWS), ops.pack(z)))
    torch.testing.assert_close(on_rows, on_panels)


@each(name=NAMES)
def test_in_use_a_row_does_not_depend_on_the_others(name):
    module = make(name)
    z = torch.randn(N_ROWS, WIDTH)
    module(z, N_ROWS)
    module.eval()
    torch.testing.assert_close(module(z)[:1], module(z[:1]))


@each(name=NAMES)
def test_tangent_is_the_directional_derivative(name):
    module = make(name).double().eval()
    z, t, eps = torch.randn(N_ROWS, WIDTH).double(), torch.randn(N_ROWS, WIDTH).double(), 1e-6
    code = module(z)
    slope = (module(z + eps * t) - module(z - eps * t)) / (2 * eps)
    smooth = ((module(z + 2 * eps * t) != 0) == (module(z - 2 * eps * t) != 0)).all(1)
    torch.testing.assert_close(module.tangent(code, t)[smooth], slope[smooth], rtol=1e-4, atol=1e-6)
    assert smooth.float().mean() > 0.8


def test_topk_keeps_at_most_k_of_each_row():
    z = torch.randn(N_ROWS, WIDTH)
    code = make("topk")(z)
    assert ((code != 0).sum(1) <= K).all()
    best = z.topk(K).values.relu()
    torch.testing.assert_close(code.sum(1), best.sum(1))


def test_batchtopk_keeps_k_per_row_on_average_and_follows_a_threshold():
    module = BatchTopK(WIDTH, K)
    for _ in range(200):
        z = torch.randn(256, WIDTH)
        assert (module(z, 256) != 0).sum() == K * 256
    module.eval()
    assert abs((module(z) != 0).sum(1).float().mean() - K) < 0.3


def test_batchtopk_ignores_the_lanes_left_over():
    module = BatchTopK(WIDTH, K)
    panels = ops.pack(torch.randn(5, WIDTH))
    panels.tensor[:, :, 5:] = 100.0
    assert (ops.unpack(ops.on_features(lambda t: module(t, 5), panels)) != 0).sum() == K * 5


def test_jumprelu_threshold_learns_through_its_rectangle():
    module = JumpReLU(1, bandwidth=0.5)
    with torch.no_grad():
        module.log_threshold.fill_(0.0)
    z = torch.tensor([[1.2], [0.9], [3.0]])
    (gradient,) = torch.autograd.grad(module(z).sum(), module.log_threshold)
    # two values lie within 0.25 of the threshold 1, each contributes -threshold / bandwidth
    torch.testing.assert_close(gradient, torch.tensor([-4.0]))
    assert module.l0(z).item() == pytest.approx(2 / 3)
    (gradient,) = torch.autograd.grad(module.l0(z), module.log_threshold)
    torch.testing.assert_close(gradient, torch.tensor([-4 / 3]))  # the same two, a mean over three rows
