"""Runs of ranks of which one differs from the others, fails, or is gone."""

import contextlib
import io
import os
import time

import numpy as np
import torch.distributed as dist
from tests.train.cases import N_ROWS, STOP, rows, train
from tests.train.shared import as_torchrun

from dsae import ops
from dsae.train import _train_step, among_ranks


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


def other_files(rank, folder):
    """One rank sees a file more, as where a listing is old."""
    from dsae import DeepSparseAutoencoder, data

    own = folder / f"files{rank}"
    own.mkdir()
    for part in range(2 + rank):
        np.save(own / f"{part}.npy", rows(30))
    DeepSparseAutoencoder(3, max_iter=1, random_state=0, distributed=True).fit(data.open_rows(own))


KEPT = []


def fails(rank, folder):
    """One rank cannot read its rows any more, and something still holds the ranks of an earlier fit."""
    with among_ranks(True, {}):
        KEPT.append(ops.ranks())
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
    """One rank does not answer before the other has given up, which waits as long as it was told to."""
    given_up, deadline = folder / "hangs.0", time.monotonic() + 300
    while rank == 1 and not given_up.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    try:
        return train({})
    finally:
        (folder / f"hangs.{rank}").touch()


def dies(rank, folder):
    """Without a word; the last case of its processes."""
    step = _train_step._of_all

    def dying(run, learner, stepper, given):
        if rank == 1 and learner.step == STOP:
            os._exit(9)
        return step(run, learner, stepper, given)

    _train_step._of_all = dying
    return train({})


def misread(rank, folder):
    """All find the same NaN in their rows: what each says; the folder of the model is for rank 0 alone to look at."""
    from dsae.cli import run

    told, store = [None], None
    if rank == 0:
        X = rows()
        X[3, 4] = np.nan
        np.save(folder / "nan.npy", X)
        store = dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
        told = [store.port]
    dist.broadcast_object_list(told)
    agent = {"TORCHELASTIC_USE_AGENT_STORE": "True", "MASTER_ADDR": "localhost", "MASTER_PORT": str(told[0])}
    with as_torchrun(rank, **agent), contextlib.redirect_stderr(io.StringIO()) as said:
        output = folder / ("nan.npy" if rank else "none")
        code = run(["fit", str(folder / "nan.npy"), "-o", str(output), "--n-components", "2", "--distributed"])
    dist.barrier()  # the store is rank 0's
    return {"code": code, "said": said.getvalue()}


_WRONG = (other_settings, other_data, other_length, other_files, other_version, other_parameters, too_few_rows)
WRONG = {case.__name__: case for case in (*_WRONG, fails, hangs)}
IN_A_HURRY = {"hangs"}  # cases whose ranks wait for one another for 5 seconds
