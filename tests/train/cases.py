"""What ranks train in the tests, and one process does in their place."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch

from dsae import ops
from dsae.config import AutoencoderConfig, JointConfig, TrainConfig
from dsae.data import ArraySource, JointSource
from dsae.train import Checkpoints, _fit, _joint, _loop, _stages, _train_step, _world, among_ranks, fit_joint, fit_rows

N_ROWS, BATCH = 91, 30  # one row is left for the last batch of an epoch: then there is none for the second rank
STOP = 9  # the step after which an interrupted run ends


def rows(n_rows=N_ROWS, n_features=14):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 3)) @ rng.normal(size=(3, n_features)) + 0.05 * rng.normal(size=(n_rows, n_features))
    return np.maximum(X, 0).astype(np.float32)


def _holed():
    X = rows()
    X[np.random.default_rng(1).random(X.shape) < 0.2] = np.nan
    return X


def _weighted():
    return ArraySource(rows(), weight=np.random.default_rng(2).integers(0, 3, N_ROWS).astype(np.float32))


def _aimed():
    return ArraySource(rows(), target=rows(n_features=9)[:, ::-1].copy())


def _counts():
    return np.random.default_rng(3).poisson(2 * rows()).astype(np.float32)


def _unit():
    return np.clip(rows() / 3, 0, 1)


def _words():
    return sp.csr_matrix(_counts() * (rows() > 0.5))


def _sparse():
    X = rows(n_features=40)
    X[np.random.default_rng(4).random(X.shape) < 0.9] = 0
    return sp.csr_matrix(X)


_TOPK = {"code_activation": "topk", "k": 2, "n_components": 8}
# Settings whose steps on two ranks are those of one process: only the order of sums differs.
SAME = {
    **{f"{shrink}": {"shrink": shrink} for shrink in ("tempered", "granet", "rigl", "set")},
    "granet topk": {"shrink": "granet", **_TOPK},
    "rigl mask": {"shrink": "rigl", "mask": 0.3},
    **{f"{shrink} topk mask": {"shrink": shrink, "mask": (0.1, 0.5), **_TOPK} for shrink in ("tempered", "set")},
    "saliency l1 l2": {"shrink": "saliency", "l1": 0.05, "l2": 1e-3},
    "gradient blocks": {"shrink": "gradient", "block_size": 4, "hidden_layer_sizes": (12,)},
    "magnitude stagewise": {"shrink": "magnitude", "schedule": "stagewise", "max_iter": 6},
    "batchtopk": {**_TOPK, "code_activation": "batchtopk", "rows": lambda: rows() - 0.2},
    "jumprelu": {**_TOPK, "code_activation": "jumprelu"},
    "rate": {
        "code_activation": "sigmoid",
        "target_rate": 0.1,
        "rows": _unit,
        "loss": "bce",
        "output_activation": "sigmoid",
    },
    "dead topk": {**_TOPK, "k": 1, "n_components": 12, "hidden_layer_sizes": (), "dead_after": 40},
    "matryoshka noise": {"matryoshka": (2, 5), "noise": 0.2},
    "early": {"early_stopping": True, "n_iter_no_change": 2, "max_iter": 5},
    "early rate": {"early_stopping": True, "max_iter": 4, "code_activation": "softmax", "target_rate": 0.1},
    "missing": {"rows": _holed, "mask": (0, 0.5), "mask_rescale": False, "missing": "mask"},
    "weights rate": {"rows": _weighted, "code_activation": "sigmoid", "target_rate": 0.1, "shrink": "granet"},
    "target": {"rows": _aimed, "n_outputs": 9},
    "counts": {"rows": _counts, "loss": "nb", "input_transform": "log1p", "output_activation": "exp"},
    "words": {"rows": _words, "loss": "poisson", "input_transform": "log1p", "output_activation": "exp"},
    "shares": {
        "rows": _counts,
        "loss": "multinomial",
        "output_activation": "softmax",
        "shrink": "none",
        "density": 1.0,
    },
    "sparse": {"rows": _sparse, "shrink": "granet"},
}


def settings_of(name):
    return dict(SAME[name])


class Seen:
    """The topologies of a run, step by step."""

    def __init__(self):
        self.steps = []

    def __enter__(self):
        self._step = _loop.train_step

        def step(run, learner, given):
            found = self._step(run, learner, given)
            self.model, layers = run.model, run.model.layers.values()
            self.steps.append([array.copy() for layer in layers for array in _edges(layer.topology)])
            return found

        _loop.train_step = step
        return self

    def __exit__(self, *error):
        _loop.train_step = self._step


def _edges(topology):
    return topology.indptr, topology.indices


class Double:
    """Everything in float64, by plain torch, so that rounding decides about no edge."""

    def __enter__(self):
        self._start, self._joint, self._given = _fit.start_model, _joint.start_model, ops.given_of
        self._of_parts = _joint.Joint
        _joint.Joint = lambda *given: self._of_parts(*given).double()
        self._extras = _fit.start_extras
        _fit.start_extras = lambda model, *given: (self._extras(model, *given), model.double())
        _fit.start_model = lambda *given: self._start(*given).double()
        _joint.start_model = lambda *given: self._joint(*given).double()
        ops.given_of = self._of

    def _of(self, *given):
        found = self._given(*given)
        exact = {name: getattr(found, name) for name in ("x", "target", "known", "weight")}
        return replace(found, **{name: t.double() for name, t in exact.items() if isinstance(t, torch.Tensor)})

    def __exit__(self, *error):
        _fit.start_model, _joint.start_model, ops.given_of = self._start, self._joint, self._given
        _joint.Joint, _fit.start_extras = self._of_parts, self._extras


def train(given, checkpoints=None):
    """What a run comes to, as arrays."""
    given = dict(given)
    X, dead_after = given.pop("rows", rows)(), given.pop("dead_after", None)
    _world.OVERLAPPED = given.pop("overlapped", 1 << 18)
    fields = AutoencoderConfig.__dataclass_fields__
    model = {"n_components": 5, "hidden_layer_sizes": (9,), "density": 0.3}
    model |= {name: given.pop(name) for name in list(given) if name in fields}
    how = {"max_iter": 3, "batch_size": BATCH, "learning_rate_init": 0.01} | given
    config = AutoencoderConfig(n_features=X.shape[1], **model)
    kept = _stages.dead_after
    _stages.dead_after = kept if dead_after is None else lambda config: dead_after
    try:
        with Seen() as seen:
            result = fit_rows(X, config, TrainConfig(**how), seed=3, checkpoints=checkpoints)
    finally:
        _stages.dead_after = kept
    return _found(result, seen)


def _found(result, seen):
    # the model that was trained: what is kept of it is float32
    arrays = {name: t.detach().numpy().copy() for name, t in seen.model.named_parameters()}
    beside = {"importance": getattr(result.model, "importance", None)}
    history = [
        {key: v for key, v in row.items() if key not in ("seconds", "samples_per_second")} for row in result.history
    ]
    return {"arrays": arrays, **beside, "history": history, "steps": seen.steps, "stopped": result.interrupted}


def exact(name):
    def case(rank, folder):
        with Double():
            return train(settings_of(name))

    return case


def train_joint(**given):
    parts = {"a": rows(), "b": rows(n_features=8)[:, ::-1].copy(), "c": rows(n_features=6)}
    rng = np.random.default_rng(5)
    source = JointSource(parts, {"b": rng.random(N_ROWS) < 0.4, "c": rng.random(N_ROWS) < 0.7})
    of = {name: AutoencoderConfig(X.shape[1], 5, (9,), density=0.4) for name, X in parts.items()}
    config = JointConfig(of, dict.fromkeys(of, "mse"), modality_dropout=0.5)
    how = TrainConfig(max_iter=5, batch_size=BATCH, learning_rate_init=0.01, **given)
    with Seen() as seen:
        return _found(fit_joint(source, config, how, seed=3), seen)


def joint(rank, folder):
    with Double():
        return train_joint(shrink="granet")


def native(**given):
    return lambda rank, folder: train(given)


def ends(rank, folder):
    return train({"rows": lambda: rows(1025), "batch_size": 256, "max_iter": 2})


def goes_on(rank, folder):
    """What another number of ranks has left is taken up."""
    with Double():
        return train({"shrink": "granet"}, Checkpoints(Path(folder) / "run"))


def stops(rank, folder):
    """Rank 1 is asked to stop after some steps: both do, after the same one."""
    step = _train_step._of_all

    def asking(run, learner, stepper, given):
        run.interrupt.asked = rank == 1 and learner.step == STOP
        return step(run, learner, stepper, given)

    _train_step._of_all = asking
    try:
        with Double():
            return train({"shrink": "granet"}, Checkpoints(Path(folder) / "run", 1e9))
    finally:
        _train_step._of_all = step


def traffic(rank, folder):
    """Bytes of steps at the final density, beside live parameters and those of the dense twin."""
    taken = []
    with among_ranks(True, {}) as world:
        step = type(world).step

        def counting(world, *given):
            before = world.traffic
            found = step(world, *given)
            taken.append(world.traffic - before)
            return found

        type(world).step = counting
        try:
            found = train({"shrink": "random", "density": 0.05, "hidden_layer_sizes": (300,), "max_iter": 1})
        finally:
            type(world).step = step
    layers = {name: array.size for name, array in found["arrays"].items()}
    return {"bytes": taken, "live": sum(layers.values())}


EXACT = {name: exact(name) for name in SAME}
FLOAT = {
    "float tempered": native(shrink="tempered"),
    "float set": native(shrink="set"),
    "float overlapped": native(shrink="set", overlapped=0, n_components=8, code_activation="topk", k=2),
    "float dense": native(shrink="none", density=1.0, hidden_layer_sizes=(300,)),
    "float sparse": native(rows=_sparse, shrink="set"),
}
