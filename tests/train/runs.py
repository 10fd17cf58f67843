"""Short runs of training, stopped where a test wants, and what makes two of them the same."""

import contextlib
import copy
import dataclasses
import os

import numpy as np
import torch

from dsae.config import AutoencoderConfig, TrainConfig
from dsae.train import Checkpoints, fit_rows
from dsae.train._between import ON_CODE
from dsae.train._objective import objective_of

TIMES = ("seconds", "samples_per_second")
# Steps whose gradients are compared with autograd's, where that is more than a test takes by itself: `make gradients`.
STEPS = int(os.environ.get("DSAE_STEPS", "0"))


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


@contextlib.contextmanager
def undone(run, learner):
    """A step in between leaves nothing in what activations and penalties on the code remember."""
    shrinkers = [shrinker for shrinker in learner.stage.shrinkers if isinstance(shrinker, ON_CODE)]
    held = [shrinker.state_dict() for shrinker in shrinkers], run.model.activations.state_dict()
    held = copy.deepcopy((*held, None if run.activity is None else run.activity.state_dict()))
    yield
    for shrinker, state in zip(shrinkers, held[0], strict=True):
        shrinker.load_state_dict(state, run.model.layers)
    run.model.activations.load_state_dict(held[1])
    if run.activity is not None:
        run.activity.load_state_dict(held[2])


def parameters_of(run):
    """Of the layers, of the loss, and the code's thresholds."""
    layers = [p for layer in run.model.layers.values() for p in (layer.values, layer.bias)]
    return [*layers, *run.model.activations.parameters()], list(run.model.extras.values())


def epochs(n_rows, batch_size, steps):
    """Of at least so many steps, or of `STEPS`."""
    return -(-max(steps, STEPS) // -(-n_rows // batch_size))


def exact_gradients(run, learner, given):
    """Autograd's, of the same step in float64."""
    twin = dataclasses.replace(run, model=copy.deepcopy(run.model).double())
    for parameter in twin.model.parameters():
        parameter.grad = None
    with undone(run, learner):
        objective_of(twin, learner.stage, None, in_float64(given))[1].backward()
    parameters, extras = parameters_of(twin)
    return [parameter.grad for parameter in [*parameters, *extras]]


def in_float64(given):
    """A batch whose dense numbers are float64."""
    exact = {name: getattr(given, name) for name in ("x", "target", "known", "weight")}
    found = {name: t.double() for name, t in exact.items() if isinstance(t, torch.Tensor)}
    return dataclasses.replace(given, **found)


_AS_NEAR = 4  # times as far from what is exact as autograd's float32


def check_gradients(found, parameters, extras=(), rounding=1e-5, exact=None):
    """Those of layers are autograd's to 1e-5 of the largest of a parameter, those of what the loss trains to 2e-3.

    Or to a ``rounding`` that allows for other instruction sets, unless `STEPS` were asked for. Where they are the small
    difference of large numbers, which float32 rounds, those that ``exact`` gives in float64 decide: they are as near
    to them, or about as near as autograd's.
    """
    for i, (got, parameter) in enumerate(zip(found, [*parameters, *extras], strict=True)):
        wanted = parameter.grad
        # by a dispersion torch's float32 takes one digamma from another, and loses digits that the kernel has
        share = 2e-3 if any(parameter is extra for extra in extras) else 1e-5 if STEPS else rounding
        apart, largest = ((got - wanted).abs().max().item(), wanted.abs().max().item())
        if apart <= share * largest:
            continue
        assert exact is not None, f"{apart:.3g} of {largest:.3g}, {tuple(got.shape)}"
        truth = exact()[i]
        own, other = ((numbers - truth).abs().max().item() for numbers in (got, wanted))
        said = f"{apart:.3g} of {largest:.3g}, {tuple(got.shape)}: {own:.3g} from what is exact, autograd {other:.3g}"
        assert own <= max(share * largest, _AS_NEAR * other), said


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
