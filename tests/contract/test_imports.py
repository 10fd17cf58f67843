"""Using a model needs no torch, help needs nothing at all, and the top of the package is small."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from tests.covering import each

import dsae
from dsae import store

SRC = Path(dsae.__file__).parent
TORCH = ("torch",)
HEAVY = ("torch", "sklearn", "scipy", "numpy", "rich", "safetensors")


def imported_by(code, names, *args):
    """Which of the modules ``names`` a fresh interpreter holds after ``code``."""
    ask = f"\nimport sys; print(*[name for name in {names!r} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code + ask, *map(str, args)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr.split()


@pytest.fixture
def folder(make_model, tmp_path):
    return store.write(tmp_path / "model", make_model(n_features=4, hidden_layer_sizes=(6,), live=0.7))


def test_this_check_can_fail():
    assert imported_by("import sys; sys.modules['torch'] = sys", TORCH) == ["torch"]
    assert "sklearn" in imported_by("import sklearn.base, rich", HEAVY)


def test_importing_the_package_imports_nothing_heavy():
    assert imported_by("import dsae", HEAVY) == []


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["fit", "--help"], ["compare", "--help"]])
def test_help_imports_nothing_heavy(args):
    assert imported_by(f"from dsae.cli import run; assert run({args}) == 0", HEAVY) == []


def test_a_model_runs_without_torch(folder):
    code = "import dsae, numpy, sys; dsae.load(sys.argv[1]).reconstruct(numpy.ones((3, 4)))"
    assert imported_by(code, ("torch", "sklearn", "rich"), folder) == []


def test_models_go_to_other_libraries_and_back_without_torch(make_model, tmp_path):
    folder = store.write(tmp_path / "model", make_model(n_features=4, code_activation="topk", k=2))
    code = (
        "import sys; from dsae import interop; interop.save(sys.argv[1], sys.argv[2], 'saelens');"
        "interop.load(interop.save(interop.load(sys.argv[2]), sys.argv[3], 'sparsify'))"
    )
    assert imported_by(code, ("torch", "sklearn"), folder, tmp_path / "saelens", tmp_path / "sparsify") == []


USES = {
    "outliers of a table": "dsae.DSAOutlierDetector(random_state=0).fit(X).predict(X)",
    "a report": "write_report('own.html', dsae.load('model').model, X)",
    "info": "assert run(['info']) == 0",
    **{
        f"{command} of a model": f"assert run(['{command}', 'model', {more}]) == 0"
        for command, more in {
            "info": "",
            "encode": "'x.npy', '-o', 'codes.npy'",
            "decode": "'codes.npy'",
            "reconstruct": "'x.npy'",
            "evaluate": "'x.npy'",
            "report": "'x.npy', '-o', 'report.html'",
            "explore": "'x.npy', '-o', 'explorer'",
        }.items()
    },
}


def test_what_uses_a_model_needs_no_torch(folder, monkeypatch):
    """One after another in one interpreter, which says what brought torch."""
    monkeypatch.chdir(folder.parent)
    code = "import sys, numpy, dsae; from dsae.cli import run; from dsae.report import write_report\n"
    code += "X = numpy.random.default_rng(0).random((30, 4)); numpy.save('x.npy', X)\n"
    code += "".join(f"{use}\nassert 'torch' not in sys.modules, {what!r}\n" for what, use in USES.items())
    assert "torch" not in imported_by(code, TORCH)


def test_no_module_imports_another_packages_private_module():
    """A leading underscore means: for this package alone. What others need has a public name in its ``__init__``."""
    private = re.compile(r"^\s*(?:from|import) dsae\.(\w+)\.(?:\w+\.)*_\w+", re.MULTILINE)
    assert private.search("    from dsae.nn._linear import move")[1] == "nn"  # this check can fail
    modules = {file.relative_to(SRC): file.read_text(encoding="utf-8") for file in SRC.rglob("*.py")}
    reached = [
        f"{file}: {found[0].strip()}"
        for file, text in modules.items()
        for found in private.finditer(text)
        if found[1] != file.parts[0]
    ]
    assert not reached, "\n".join(reached)


def test_the_top_of_the_package_is_small():
    assert len(dsae.__all__) <= 13
    assert set(dsae.__all__) <= set(dir(dsae))


@each(name=dsae._HOMES)
def test_every_public_name_resolves_and_stays(name):
    """Also the second time: importing its home must not put something else in its place."""
    home = import_module(dsae._HOMES[name])
    assert getattr(dsae, name) is getattr(home, name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'dsae' has no attribute 'Autoencodr'"):
        dsae.Autoencodr  # noqa: B018
