"""Damaged files of every format are read or refused by name; `make fuzz` tries thousands."""

from tests.covering import each
from tests.data import fuzz


@each(format=fuzz.FORMATS)
def test_damaged_files_are_refused_by_name(format):
    assert fuzz.run(format, 25) == []


def test_what_does_not_name_its_file_is_found(tmp_path):
    def refuse(*_, **__):
        raise ValueError("no")

    def fail(*_, **__):
        raise KeyError("X")

    assert fuzz.attempt(refuse, tmp_path, {}, tmp_path) == "does not name the file: no"
    assert fuzz.attempt(fail, tmp_path, {}, tmp_path) == "KeyError: 'X'"
