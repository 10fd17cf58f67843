"""Trainings by several processes for the tests: python -m tests.train.ranks FOLDER 2:CASE,CASE 3:CASE.

Torch takes seconds to start, so all ranks are forked from one process that has, and a case costs its steps alone. A
process group serves until a case breaks it.
"""

import json
import os
import pickle
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist
from tests.train import cases, mishaps, shared
from tests.train.mishaps import IN_A_HURRY

import dsae.cli._fit
import dsae.estimators
import dsae.metrics  # noqa: F401  here once, not in every rank
from dsae import ops
from dsae.train import among_ranks

_OTHERS = (cases.joint, cases.ends, cases.stops, cases.goes_on, cases.traffic, mishaps.misread, mishaps.dies)
_OTHERS = (*_OTHERS, shared.estimator, shared.stream, shared.joint_stream, shared.command)
CASES = {**cases.EXACT, **cases.FLOAT, **mishaps.WRONG, **{case.__name__: case for case in _OTHERS}}


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
    subprocess.run(command, env=env, cwd=Path(__file__).parents[2], check=True, timeout=1500)
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
        hurried = name in IN_A_HURRY
        os.environ["DSAE_TIMEOUT"] = "5" if hurried else "300"
        if hurried and dist.is_initialized():  # a group keeps the time that it began with
            dist.destroy_process_group()
        if not dist.is_initialized():
            how = {"rank": rank, "world_size": size, "timeout": timedelta(seconds=300)}
            dist.init_process_group("gloo", init_method=f"file://{folder}/group{size}.{number}", **how)
        if name == names[-1]:  # which may end this process
            _write(folder, size, rank, found)
        try:
            with among_ranks(True, {}):
                found[name] = CASES[name](rank, folder)
                ops.ranks().gather(None)  # what only one of them ends is an error of all
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    _write(folder, size, rank, found)
    if dist.is_initialized():
        dist.destroy_process_group()


def _write(folder, size, rank, found):
    (folder / f"{size}.{rank}.pickle").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
