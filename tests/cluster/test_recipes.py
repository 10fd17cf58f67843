"""The syntax of the guide's scripts; tests/train/test_world.py runs the one for several machines."""

import re
import subprocess

from tests.cluster.recipes import SCRIPTS
from tests.covering import each


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
