"""Trainings by several processes for the tests: python -m tests.train.ranks FOLDER 2:CASE,CASE 3:CASE.

Torch takes seconds to start, so all ranks are forked from one process that has, and a case costs its steps alone. Each
case has a process group of its own.
"""

import json
import os
import pickle
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
import torch.distributed as dist

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
    "rate": {"code_activation": "sigmoid", "target_rate": 0.1},
    "dead topk": {**_TOPK, "k": 1, "n_components": 12, "hidden_layer_sizes": (), "dead_after": 40},
    "matryoshka noise": {"matryoshka": (2, 5), "noise": 0.2},
    "early": {"early_stopping": True, "n_iter_no_change": 2},
    "early rate": {"early_stopping": True, "code_activation": "sigmoid", "target_rate": 0.1},
    "missing": {"rows": _holed, "mask": (0, 0.5), "mask_rescale": False, "missing": "mask"},
    "weights rate": {"rows": _weighted, "code_activation": "sigmoid", "target_rate": 0.1, "shrink": "granet"},
    "target": {"rows": _aimed, "n_outputs": 9},
    "counts": {"rows": _counts, "loss": "nb", "input_transform": "log1p", "output_activation": "exp"},
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
    how = {"max_iter": 4, "batch_size": BATCH, "learning_rate_init": 0.01} | given
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
    how = TrainConfig(max_iter=6, batch_size=BATCH, learning_rate_init=0.01, **given)
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


def other_settings(rank, folder):
    return train({"l2": 0.25 if rank else 0.5})


def other_data(rank, folder):
    return train({"rows": lambda: rows() + np.float32(rank)})


def other_length(rank, folder):
    return train({"rows": lambda: rows(N_ROWS - rank)})


def other_version(rank, folder):
    import dsae

    before, dsae.__version__ = dsae.__version__, f"{rank}.5"
    try:
        with among_ranks(True, {}):
            raise AssertionError
    finally:
        dsae.__version__ = before


def other_parameters(rank, folder):
    from dsae import DeepSparseAutoencoder

    dsa = DeepSparseAutoencoder(3, batch_size=20 + rank, max_iter=1, random_state=0, distributed=True)
    dsa.fit(rows())


def too_few_rows(rank, folder):
    return train({"rows": lambda: rows(1)})


def fails(rank, folder):
    """One rank cannot read its rows any more."""
    with among_ranks(True, {}):
        step = _train_step._of_all

        def failing(run, learner, stepper, given):
            if rank == 1 and learner.step == STOP:
                raise OSError("part 7 is gone")
            return step(run, learner, stepper, given)

        _train_step._of_all = failing
        try:
            train({})
        finally:
            _train_step._of_all = step


def hangs(rank, folder):
    """One rank does not answer; the other waits as long as it was told to."""
    if rank == 1:
        time.sleep(4)
    return train({})


def dies(rank, folder):
    """Without a word; the last case of its processes."""
    step = _train_step._of_all

    def dying(run, learner, stepper, given):
        if rank == 1 and learner.step == STOP:
            os._exit(9)
        return step(run, learner, stepper, given)

    _train_step._of_all = dying
    return train({})


def estimator(rank, folder):
    """With rank 0's seed, since none is given."""
    from dsae import DeepSparseAutoencoder

    told = []
    dsa = DeepSparseAutoencoder(3, hidden_layer_sizes=(6,), density=0.5, max_iter=3, batch_size=20, distributed=True)
    dsa.fit(rows(), on_epoch=lambda row: told.append(row["epoch"]) or row["epoch"] == 2)
    dsa.save(folder / f"estimator{rank}")
    values = np.concatenate([layer.values for layer in dsa.runtime_.model.layers.values()])
    return {
        "values": values,
        "told": told,
        "history": dsa.history_,
        "kept": "distributed" in dsa.runtime_.model.training["given"],
    }


def stream(rank, folder):
    """Each rank reads its own files of a folder."""
    from dsae import DeepSparseAutoencoder, data
    from dsae.data import _stream

    if rank == 0:
        (folder / "rows").mkdir(exist_ok=True)
        for i, part in enumerate(np.array_split(rows(303), 4)):
            np.save(folder / "rows" / f"{i}.npy", part)
    dist.barrier()
    source = data.open_rows(folder / "rows")
    read, opened = [], _stream.StreamSource._kept

    def kept(self, chunks):
        for batch in opened(self, chunks):
            read.append(batch.n_rows)
            yield batch

    _stream.StreamSource._kept = kept
    try:
        how = {"max_iter": 2, "batch_size": 64, "random_state": 0, "code_activation": "batchtopk", "k": 2}
        dsa = DeepSparseAutoencoder(4, hidden_layer_sizes=(6,), density=0.5, distributed=True, **how).fit(source)
    finally:
        _stream.StreamSource._kept = opened
    values = np.concatenate([layer.values for layer in dsa.runtime_.model.layers.values()])
    return {"values": values, "read": sum(read), "threshold": dsa.runtime_.model.threshold, "history": dsa.history_}


def command(rank, folder):
    """What `kills.fit` trains, undisturbed."""
    from tests.train import kills

    from dsae.cli import run

    np.save(folder / f"X{rank}.npy", rows(kills.N_ROWS))
    os.environ["RANK"] = str(rank)
    return run(["fit", str(folder / f"X{rank}.npy"), "-o", str(folder / "model"), "--distributed", *kills.HOW])


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
_WRONG = (other_settings, other_data, other_length, other_version, other_parameters, too_few_rows, fails, hangs)
WRONG = {case.__name__: case for case in _WRONG}
_OTHERS = (joint, ends, stops, goes_on, estimator, stream, command, traffic, dies)
CASES = {**EXACT, **FLOAT, **WRONG, **{case.__name__: case for case in _OTHERS}}


def run_cases(folder, **plan):
    """What every rank made of each case, or the text of its error, and how the processes ended.

    Parameters
    ----------
    folder : Path
    **plan
        ``of_2=[...]``: the cases of two ranks.
    """
    told = [f"{name.removeprefix('of_')}:{','.join(cases)}" for name, cases in plan.items()]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.train.ranks", str(folder), *told]
    subprocess.run(command, env=env, cwd=Path(__file__).parents[2], check=True, timeout=500)
    found = {}
    for size in (int(part.partition(":")[0]) for part in told):
        of = [pickle.loads((folder / f"{size}.{rank}.pickle").read_bytes()) for rank in range(size)]
        found[size] = {name: [each.get(name) for each in of] for name in of[0]}
        found[size]["codes"] = json.loads((folder / f"{size}.json").read_text())
    return found


def main(folder, *plan):
    """Fork the ranks of one number after the other: torch is imported once."""
    for part in plan:
        size, _, names = part.partition(":")
        children = []
        for rank in range(int(size)):
            child = os.fork()
            if not child:
                _rank(rank, int(size), Path(folder), names.split(","))
                os._exit(0)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        (Path(folder) / f"{size}.json").write_text(json.dumps(codes))


def _rank(rank, size, folder, names):
    found = {}
    for number, name in enumerate(names):
        os.environ["DSAE_TIMEOUT"] = "2" if name == "hangs" else "60"
        how = {"rank": rank, "world_size": size, "timeout": timedelta(seconds=60)}
        dist.init_process_group("gloo", init_method=f"file://{folder}/group{size}.{number}", **how)
        try:
            with among_ranks(True, {}):
                found[name] = CASES[name](rank, folder)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
        (folder / f"{size}.{rank}.pickle").write_bytes(pickle.dumps(found))
        if dist.is_initialized():
            dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
