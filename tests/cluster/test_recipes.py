"""The scripts of the guide: their syntax, and training by two groups of processes as by two machines."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.covering import each

from dsae import load
from dsae.data import write_rows

PAGE = Path(__file__).parents[2] / "docs" / "user" / "machines.md"
SCRIPTS = dict(re.findall(r'^```sh title="([^"]+)"\n(.*?)^```', PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE))


@each(name=SCRIPTS)
def test_scripts_are_bash(name):
    done = subprocess.run(["bash", "-n"], input=SCRIPTS[name], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_this_check_can_fail():
    broken = SCRIPTS["train.slurm"].replace("' &", "&")
    done = subprocess.run(["bash", "-n"], input=broken, capture_output=True, text=True)
    assert done.returncode != 0


def test_the_job_asks_for_what_it_uses():
    job = SCRIPTS["train.slurm"]
    assert re.findall(r"^#SBATCH --(\S+?)=", job, re.MULTILINE)[:4] == [
        "job-name",
        "nodes",
        "ntasks-per-node",
        "cpus-per-task",
    ]
    assert job.startswith("#!/bin/bash\n#SBATCH")  # Slurm reads its options before the first command alone


def test_two_machines_train_one_model(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "rows").mkdir()
    rows = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    for part in range(2):
        write_rows(tmp_path / "rows" / f"{part}.npy", rows[300 * part : 300 * (part + 1)])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # torchrun of this environment, which need not be on the path
    script = SCRIPTS["node.sh"].replace("torchrun ", f"{sys.executable} -m torch.distributed.run ", 1)
    script = script.replace("--n-components 16 --hidden-layer-sizes 64", "--n-components 2 --hidden-layer-sizes 6")
    given = {"NODES": "2", "PROCESSES": "1", "MASTER": f"127.0.0.1:{port}", "OMP_NUM_THREADS": "1"}
    groups = [
        subprocess.Popen(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=os.environ | given | {"NODE": str(node)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for node in range(2)
    ]
    try:
        ends = [group.communicate(timeout=120) for group in groups]
    finally:
        for group in groups:  # with all that it has started
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group.pid, signal.SIGKILL)
    assert [group.returncode for group in groups] == [0, 0], "\n".join(err for _, err in ends)
    runtime = load(tmp_path / "model")
    assert runtime.encode(rows).shape == (600, 2)
    assert len(runtime.model.history) == 5
