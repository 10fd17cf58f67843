"""A damaged file is named; a fault of our own stays one, with its traceback."""

import errno

import numpy as np
import pytest
from tests.covering import each

from dsae.data import _errors, open_rows, write_rows, writing
from dsae.data._errors import DamagedError, explained, from_library, library

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)
FAULTS = [AttributeError("no such thing"), TypeError("not this"), IndexError("beyond"), ZeroDivisionError("zero")]


@pytest.fixture
def path(tmp_path):
    write_rows(tmp_path / "x.npy", ROWS)
    return tmp_path / "x.npy"


@each(fault=FAULTS, place=["open", "read"])
def test_a_fault_of_a_reader_is_no_damage_to_its_file(path, monkeypatch, fault, place):
    def fail(*_, **__):
        raise fault

    source = None if place == "open" else open_rows(path)
    monkeypatch.setattr(f"dsae.data._arrays.{'check_real' if place == 'open' else 'NpyReader._rows'}", fail)
    with pytest.raises(type(fault)) as caught:
        open_rows(path) if source is None else source.read()
    assert caught.value is fault
    assert [note for note in fault.__notes__ if str(path) in note]
    del fault.__notes__


@each(error=[KeyError("X"), RuntimeError("no"), EOFError(), OSError("broken")])
def test_what_a_library_raises_is_damage(path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("numpy.load", fail)
    why = " ".join(str(error).split()) or "EOFError"
    with pytest.raises(ValueError, match=rf"^\[read\] .*x\.npy must be a whole \.npy file; .* \({why}\)\. Write it"):
        open_rows(path)


@each(error=[OSError(errno.EACCES, "denied"), MemoryError("large"), ImportError("missing")])
def test_what_is_not_of_the_content_passes_a_library(error):
    with pytest.raises(type(error)) as caught, library():
        raise error
    assert caught.value is error


def test_items_of_a_library_end_as_they_do():
    def items():
        yield 1
        raise KeyError("lost")

    found = []
    with pytest.raises(DamagedError, match="lost"):
        found.extend(from_library(items()))
    assert list(from_library(iter([1, 2]))) == [1, 2]


def test_damage_that_is_found_here_is_told_with_the_file():
    with (
        pytest.raises(
            ValueError, match=r"^\[read\] x\.h5 must be a whole \.h5 file; it is truncated or corrupt \(odd\)"
        ),
        explained("x.h5", ".h5"),
    ):
        raise DamagedError("odd")


def test_a_library_is_left_with_one_error():
    """Scopes within one another do not tell of damage to a damage."""
    with pytest.raises(DamagedError, match="first"), library(), library():
        raise KeyError("first") from None
    assert issubclass(_errors.ChangedError, OSError)


def _write_half(path):
    with writing(path, 4, ["a", "b", "c"]) as writer:
        writer.write(ROWS[:2])
        raise OSError("no network")


def test_an_error_of_who_reads_is_none_of_the_file_that_is_written(tmp_path):
    with pytest.raises(OSError, match=r"^no network$"):
        _write_half(tmp_path / "y.npy")
    assert not list(tmp_path.iterdir())
