"""What the documentation shows is run as written."""

import ast
import doctest
import itertools
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from tests.covering import each

import dsae
from dsae.cli import run

ROOT = Path(__file__).parents[2]
HOME = Path(dsae.__file__).parents[1]
MODULES = [
    ".".join(path.relative_to(HOME).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((HOME / "dsae").rglob("*.py"))
    if re.search(r">>> (?!.*\+SKIP)", path.read_text("utf-8"))
]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
GUIDE = sorted((ROOT / "docs" / "user").glob("*.md"))
REFERENCE = sorted((ROOT / "docs" / "api").glob("*.md"))
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)
EPOCHS = re.compile(r"""(?<=max_iter=)\d{2,3}\b|(?<="max_iter": )\d{2,3}\b|(?<=range\()60\b""")
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")
PLAINEST = os.environ.get("DSAE_ISA") == "baseline"  # as `make numerical` has it
PUBLIC = re.compile(r"^(?:(?: {4})?from \S+ import \w+ as|class|def) ([A-Za-z]\w*)", re.MULTILINE)


@pytest.mark.parametrize("package", sorted({name.rpartition(".")[0] for name in MODULES}))
def test_docstring_examples_give_what_they_show(package):
    bare = {} if package == "dsae.cli" else {"np": import_module("numpy"), "torch": import_module("torch")}
    for name in MODULES:
        if name.rpartition(".")[0] == package:
            found = doctest.testmod(import_module(name), extraglobs=bare, optionflags=doctest.NORMALIZE_WHITESPACE)
            assert found.failed == 0, name
            assert found.attempted > 0, name


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(path, tmp_path, monkeypatch, capsys):
    """With fewer epochs than they have."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DSAE_EPOCHS", "2")
    code = EPOCHS.sub("2", path.read_text("utf-8"))
    exec(compile(code, path.name, "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out


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


@each(path=["docs/format.md", "examples/noise.py", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_files_the_readme_points_to_exist(path):
    assert (ROOT / path).is_file()
    assert len((ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines()) <= 90


@pytest.mark.parametrize("path", GUIDE, ids=lambda path: path.stem)
def test_the_guide_runs_as_written(path, tmp_path, monkeypatch, capfd):
    """Blocks with a title are files; a block of text is what the block before it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    names, printed = {}, ""
    blocks = BLOCK.findall(path.read_text("utf-8"))
    if PLAINEST and not any(
        is_rough(number) for of, _, text in blocks if of == "text" for number in NUMBER.findall(text)
    ):
        pytest.skip("it shows no figure that depends on the processor")
    for language, title, code in blocks:
        if title:
            Path(title).write_text(code, "utf-8")
        elif language == "text":
            assert agrees(code, printed), f"{path.name} shows\n{code}but this is printed:\n{printed}"
        else:
            {"python": run_python, "sh": run_shell}[language](code, names)
            printed = capfd.readouterr().out


def run_python(code, names):
    exec(compile(code, "<guide>", "exec"), names)


def run_shell(code, _):
    for line in code.splitlines():
        words = shlex.split(line)
        if words[0] == "dsae" and not {"|", "||", ">"} & set(words):
            assert run(words[1:]) == 0, line
        elif words[0] != "pip":
            subprocess.run(line, shell=True, check=True, timeout=3600)


def agrees(shown, printed):
    """The same words and numbers; a last line of dots stands for the rest.

    A trained figure depends on the processor, on torch's code path and on the number of threads. So a decimal of one or
    two digits need only be near, and in the same order to others that are far from it; one of more digits is exact.
    """
    wanted, lines = shown.splitlines(), printed.splitlines()
    if wanted[-1] == "...":
        del wanted[-1], lines[len(wanted) :]
    wanted, lines = "\n".join(wanted), "\n".join(line.rstrip() for line in lines)
    numbers = [NUMBER.findall(text) for text in (wanted, lines)]
    if NUMBER.sub("#", wanted) != NUMBER.sub("#", lines):
        return False
    pairs = list(zip(*numbers, strict=True))
    rough = [(float(one), float(other)) for one, other in pairs if is_rough(one)]
    return (
        all(one == other for one, other in pairs if not is_rough(one))
        and all(near(one, other) for one, other in rough)
        and all(near(a, b) or (a < b) == (c < d) for (a, c), (b, d) in itertools.combinations(rough, 2))
    )


def is_rough(number):
    return "." in number and len(number.lstrip("-0.").replace(".", "")) <= 2


def near(one, other):
    return other == pytest.approx(one, rel=0.25)


@each(
    {
        "shown, printed, same": [
            ("FVU 0.20\n", "FVU 0.205\n", True),
            ("FVU 0.20\n", "FVU 0.26\n", False),
            ("FVU 0.20\nFVU 0.26\n", "FVU 0.241\nFVU 0.235\n", False),
            ("FVU 0.20\nFVU 0.21\n", "FVU 0.21\nFVU 0.20\n", True),
            ("density 0.1998\n", "density 0.1999\n", False),
            ("FVU 0.20\n", "MSE 0.20\n", False),
            ("2,048 weights\n", "2,049 weights\n", False),
            ("one\n...\n", "one\ntwo\n", True),
            ("one\n", "one\ntwo\n", False),
        ]
    }
)
def test_what_the_guide_shows_can_be_wrong(shown, printed, same):
    assert agrees(shown, printed) is same


def test_design_notes_name_tests_that_there_are():
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    there = {name for path in files for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)}
    notes = "".join(path.read_text("utf-8") for path in (ROOT / "docs" / "design").glob("*.md"))
    named = set(re.findall(r"`([\w/]*\btest_\w+(?:\.py)?)`", notes))
    assert len(named) > 30
    paths = "\n".join(path.as_posix() for path in files)
    assert [name for name in named if name not in there and f"/{name}\n" not in paths + "\n"] == []


def test_there_is_a_guide_to_run():
    assert {path.stem for path in GUIDE} >= {
        "start",
        "sparse_data",
        "streams",
        "density",
        "report",
        "pipelines",
        "command_line",
        "deployment",
    }
    assert {path.stem for path in REFERENCE} >= {"dsae", "data", "metrics", "interpret", "nn", "shrink", "train"}


@each(path=REFERENCE)
def test_the_reference_has_every_public_name(path):
    """Of a package those that it exports, but for those that other packages of dsae use; of a module its classes."""
    name = path.stem if path.stem == "dsae" else f"dsae.{path.stem}"
    module = import_module(name)
    listed = set(re.findall(r"^ +- (\w+)$", path.read_text("utf-8"), re.MULTILINE))
    exported = set(PUBLIC.findall(Path(module.__file__).read_text("utf-8")))
    if hasattr(module, "__path__"):
        assert listed <= exported
        assert exported - listed <= used_elsewhere(name)
        return
    own = {name for name, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__}
    classes = {name for name in own if isinstance(vars(module)[name], type) and not name.startswith("_")}
    assert listed == exported or classes <= listed <= own


def used_elsewhere(package):
    """Names that other packages of dsae import from this one."""
    home, last = HOME.joinpath(*package.split(".")), package.rpartition(".")[2]
    return {name for path, owner, name in used_names() if owner in (package, last) and home not in path.parents}


@cache
def used_names():
    """``(file, package, name)`` of every import, and ``(file, object, attribute)``."""
    found = []
    for path in (HOME / "dsae").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                found += [(path, node.module, alias.name) for alias in node.names]
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found.append((path, node.value.id, node.attr))
    return found
