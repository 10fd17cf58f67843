"""Short runs of training, stopped where a test wants, and what makes two of them the same."""

import numpy as np

from dsae.config import AutoencoderConfig, TrainConfig
from dsae.train import Checkpoints, fit_rows

TIMES = ("seconds", "samples_per_second")


class StoppedError(Exception):
    pass


class Killed(Checkpoints):
    """A checkpoint after the n-th step, and no further step."""

    def __init__(self, folder, n):
        super().__init__(folder)
        self.left = n

    def due(self):
        self.left -= 1
        return self.left == 0

    def write(self, state):
        super().write(state)
        raise StoppedError


def data(n_rows=90, n_features=14):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 3)) @ rng.normal(size=(3, n_features)) + 0.05 * rng.normal(size=(n_rows, n_features))
    return np.maximum(X, 0).astype(np.float32)


def train(checkpoints=None, rows=None, start=None, validation=None, **settings):
    fields = AutoencoderConfig.__dataclass_fields__
    model = {"n_components": 5, "hidden_layer_sizes": (9,), "density": 0.3}
    model |= {name: value for name, value in settings.items() if name in fields}
    how = {"max_iter": 7, "batch_size": 20, "learning_rate_init": 0.01}
    how |= {name: value for name, value in settings.items() if name not in fields}
    rows = data() if rows is None else rows
    config = AutoencoderConfig(n_features=rows.shape[1], **model)
    how = TrainConfig(**how)
    result = fit_rows(rows, config, how, start, seed=3, checkpoints=checkpoints, validation=validation)
    return result.model, result.history


def same(one, other):
    (model, history), (twin, other_history) = one, other
    assert list(model.layers) == list(twin.layers)
    for name in model.layers:
        for array, again in zip(_arrays(model.layers[name]), _arrays(twin.layers[name]), strict=True):
            np.testing.assert_array_equal(array, again)
    np.testing.assert_array_equal(model.threshold, twin.threshold)
    np.testing.assert_array_equal(model.importance, twin.importance)
    assert [_timeless(row) for row in history] == [_timeless(row) for row in other_history]
    seconds = [row["seconds"] for row in other_history]
    assert seconds == sorted(seconds)


def _arrays(layer):
    return layer.topology.indptr, layer.topology.indices, layer.values, layer.bias


def _timeless(row):
    return {key: value for key, value in row.items() if key not in TIMES}
