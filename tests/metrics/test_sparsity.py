"""Laws of density and code activity."""

import numpy as np
import pytest
from tests.covering import each

from dsae import metrics
from dsae.config import CODE_ACTIVATIONS
from dsae.topology import Layer, Topology


@pytest.fixture
def codes():
    rng = np.random.default_rng(0)
    codes = np.maximum(rng.normal(0, 1, (100, 6)), 0).astype(np.float32)
    codes[:, 2] = 0
    codes[:, 4] = 3
    return codes


@each(batch=[1, 7, 64])
def test_activity_does_not_depend_on_batches(codes, batch):
    whole, streamed = metrics.CodeActivity(), metrics.CodeActivity()
    whole.update(codes)
    for start in range(0, 100, batch):
        streamed.update(codes[start : start + batch])
    assert streamed.result() == whole.result()
    np.testing.assert_array_equal(streamed.rates, whole.rates)


def test_activity_follows_its_definitions(codes):
    fired = codes > 0
    assert metrics.mean_l0(codes) == pytest.approx(fired.sum(axis=1).mean())
    np.testing.assert_allclose(metrics.activation_rates(codes), fired.mean(axis=0))
    assert metrics.dead_latents(codes) == 1
    activity = metrics.CodeActivity()
    activity.update(codes)
    l0 = fired.sum(axis=1)
    result = activity.result()
    assert result["constant_latents"] == 2
    assert result["median_l0"] == np.quantile(l0, 0.5, method="inverted_cdf")
    assert result["p90_l0"] == np.quantile(l0, 0.9, method="inverted_cdf")


def test_negative_codes_fire(codes):
    assert metrics.mean_l0(-codes) == metrics.mean_l0(codes)


@each(activation=CODE_ACTIVATIONS)
def test_every_activation_has_a_threshold(activation):
    threshold = metrics.firing_threshold(activation, 8)
    assert 0 <= threshold < 1
    assert (threshold > 0) == (activation in ("sigmoid", "softmax"))


def test_equal_softmax_and_undecided_sigmoid_do_not_fire():
    assert metrics.mean_l0(np.full((3, 8), 1 / 8), metrics.firing_threshold("softmax", 8)) == 0
    assert metrics.mean_l0(np.full((3, 8), 0.5), metrics.firing_threshold("sigmoid", 8)) == 0


def test_bad_codes_are_refused():
    activity = metrics.CodeActivity()
    with pytest.raises(ValueError, match="No codes"):
        activity.result()
    with pytest.raises(ValueError, match="must be 2-D"):
        activity.update(np.zeros(3))
    activity.update(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="3 wide as before"):
        activity.update(np.zeros((2, 4)))


def test_an_empty_batch_changes_nothing(codes):
    activity = metrics.CodeActivity()
    activity.update(codes[:0])
    assert activity.n_samples == 0
    activity.update(codes)
    activity.update(codes[:0])
    assert activity.n_samples == 100


def test_density_is_the_live_share():
    layers = {
        "encoder.0": Layer(Topology.from_mask(np.eye(4)), np.ones(4, np.float32), np.zeros(4, np.float32)),
        "decoder.0": Layer(Topology.full((4, 4)), np.ones(16, np.float32), np.zeros(4, np.float32)),
    }
    assert metrics.densities(layers) == {"encoder.0": 0.25, "decoder.0": 1.0}
