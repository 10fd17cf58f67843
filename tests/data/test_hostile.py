"""Thousands of damaged files of every kind: an error that names the file, or rows; nothing else.

In a process of its own, as a crash would end this one; see hostile.py.
"""

import subprocess
import sys
from pathlib import Path

import pytest

N_CASES = 500


@pytest.mark.parametrize("kind", ["npy", "npz", "csv", "mtx", "parquet", "arrow", "h5ad"])
def test_damaged_files_are_refused_or_read(tmp_path, kind):
    command = [sys.executable, "-W", "error", Path(__file__).with_name("hostile.py"), kind, tmp_path, str(N_CASES)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr[-3000:]
