"""What the documentation shows is run as written."""

import doctest
import os
import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import dsae

ROOT = Path(__file__).parents[2]
MODULES = [module.name for module in pkgutil.walk_packages(dsae.__path__, "dsae.") if module.name != "dsae._kernels"]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_give_what_they_show(name):
    module = import_module(name)
    names = {} if name.startswith("dsae.cli") else {"np": import_module("numpy"), "torch": import_module("torch")}
    failures, _ = doctest.testmod(module, extraglobs=names, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failures == 0


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(path, tmp_path):
    environment = os.environ | {"DSAE_EPOCHS": "50", "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, path], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_there_are_examples_to_run():
    assert {path.stem for path in EXAMPLES} >= {"noise", "digits", "text_counts", "torch_module"}


def test_the_readme_runs_as_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(block, "README.md", "exec"), {})
    explained, weights = map(float, capsys.readouterr().out.split())
    assert explained > 0.8
    assert weights < 5000


@pytest.mark.parametrize("path", ["docs/format.md", "examples/noise.py", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_files_the_readme_points_to_exist(path):
    assert (ROOT / path).is_file()
    assert len((ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines()) <= 60
