"""The stub says what the extension has; numpy in its place, or the oracle of the tests, has the same."""

import ast
import inspect
from pathlib import Path

import pytest
from tests.arrays import native
from tests.covering import each
from tests.kernels import oracle, oracle_bf16

import dsae
from dsae import kernels
from dsae.kernels import reference

STUB = Path(dsae.__file__).with_name("_kernels.pyi")


def functions():
    """Names of arguments of every function of the stub."""
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    return {f.name: [a.arg for a in f.args.args] for f in tree.body if isinstance(f, ast.FunctionDef)}


@native
def test_the_stub_is_the_one_that_nanobind_writes():
    stubgen = pytest.importorskip("nanobind.stubgen")
    from dsae import _kernels

    generator = stubgen.StubGen(_kernels)
    generator.put(_kernels)
    assert ast.dump(ast.parse(generator.get())) == ast.dump(ast.parse(STUB.read_text(encoding="utf-8"))), "make stub"


@each(name=functions())
def test_numpy_takes_the_same_arguments(name):
    twin = next(getattr(of, name) for of in (reference, oracle, oracle_bf16) if hasattr(of, name))
    assert list(inspect.signature(twin).parameters) == functions()[name]
    assert getattr(kernels, name).__doc__


@native
def test_threads_can_be_set_for_a_while():
    before = kernels.threads()
    held = kernels.set_threads(before + 1)
    assert kernels.threads() == before + 1
    assert kernels.set_threads(held) == before + 1
    assert kernels.threads() == before


@native
def test_kept_memory_can_be_freed():
    array = kernels.aligned((1 << 20,))
    array[...] = 1
    del array
    kernels.clear_cache()
    assert kernels.aligned((1 << 20,)).size == 1 << 20


@native
def test_blocks_can_be_sized_for_another_cache():
    machine = kernels.l2_bytes()
    assert 1 << 18 <= machine <= 1 << 21
    assert kernels.set_l2_bytes(1 << 19) == machine
    assert kernels.l2_bytes() == 1 << 19
    assert kernels.set_l2_bytes(0) == 1 << 19
    assert kernels.l2_bytes() == machine
