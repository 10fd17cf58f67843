"""Laws of settings that follow from the shape of the data."""

import math

from tests.covering import each

from dsae.config import AutoencoderConfig, automatic_epochs, automatic_widths
from dsae.config import _automatic as rule

SHAPES = [(100, 6, 6), (1_797, 64, 64), (11_314, 10_000, 57), (60_000, 784, 784), (30_000, 41_000, 2_000)]


def model(n_samples, n_features, density=0.05, n_components=4):
    widths = automatic_widths((n_samples, n_features), n_components, "identity")
    return AutoencoderConfig(
        n_features=n_features, n_components=n_components, hidden_layer_sizes=widths, density=density
    )


@each({"n_samples, n_features, stored": SHAPES})
def test_a_default_fit_ends_in_time(n_samples, n_features, stored):
    """By the rule's own reckoning; measured times are in docs/design/shrinking.md."""
    config = model(n_samples, n_features)
    found = automatic_epochs(config, n_samples, stored, 256)
    n_steps = math.ceil(n_samples / 256) + rule._PROBE
    seconds = found * n_steps * rule._step_seconds(config, stored, 256)
    assert 1 <= found <= 100
    assert found == 1 or seconds <= min(600, max(20, 50 * rule._pca_seconds(config, n_samples, stored)))


@each(n_features=[784, 20_000])
def test_more_weights_never_have_more_epochs(n_features):
    """Of the same data, so that PCA takes the same."""
    found = [
        automatic_epochs(model(60_000, n_features, density), 60_000, n_features / 10, 256)
        for density in (0.02, 0.05, 0.2, 0.5)
    ]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1]


def test_large_data_have_ten_epochs_where_there_is_time():
    narrow = AutoencoderConfig(n_features=3000, n_components=4, hidden_layer_sizes=(32,), density=0.05)
    assert automatic_epochs(narrow, 120_000, 3000, 256) == 10


def test_small_data_have_a_hundred_epochs_and_a_step_is_never_left_out():
    assert automatic_epochs(model(100, 6), 100, 6, 256) == 100
    assert automatic_epochs(model(10**9, 10_000), 10**9, 10_000, 256) == 1


def test_what_a_layer_keeps_dense_counts_and_so_do_densities_by_layer():
    by_layer = model(60_000, 784, density={"encoder.0": 0.05})
    assert automatic_epochs(by_layer, 60_000, 784, 256) <= automatic_epochs(model(60_000, 784), 60_000, 784, 256)
