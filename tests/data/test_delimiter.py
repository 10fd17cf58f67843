"""Fields and records of text: quotation marks mean something only where a field begins."""

import csv
import io

import numpy as np
import pytest
from tests.covering import each

from dsae.data import open_rows
from dsae.data._delimiter import Quotes, split

CELLS = ["a", '5" pipe', '"', '""', 'x""y"', "a,b", "line\nbreak", "", "tab\t", '"quoted"', "end\r\n", "; |"]


def records(text, delimiter):
    """Lines put together as a reader does."""
    found, quotes, held = [], Quotes(delimiter), b""
    for line in text.encode().splitlines(keepends=True):
        held += line
        if not quotes.open_after(line):
            found, held = [*found, held], b""
    return [*found, held] if held else found


@each(delimiter=[",", "\t", ";", "|"])
def test_records_are_those_of_pythons_csv(delimiter):
    rng = np.random.default_rng(0)
    for _ in range(200):
        rows = [[CELLS[i] for i in rng.integers(len(CELLS), size=3)] for _ in range(4)]
        text = io.StringIO()
        csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
        found = records(text.getvalue(), delimiter)
        assert [next(csv.reader([record.decode()], delimiter=delimiter)) for record in found] == rows


@each(
    {
        "text, n": [
            ('5" pipe,1\n6" pipe,2\n', 2),
            ('a"b,"c\nd"\n', 1),
            ('"a""\nb",1\n', 1),
            ('"a\nb\nc\n', 1),
            ('x ""\ny\n', 2),
        ]
    }
)
def test_marks_within_a_field_mean_nothing(text, n):
    assert len(records(text, ",")) == n


@each(
    {
        "line, fields": [
            ('"a b"  c', ["a b", "c"]),
            ('5" pipe', ['5"', "pipe"]),
            ('"say ""hi""" 2', ['say "hi"', "2"]),
            (" 1\t2 ", ["1", "2"]),
        ]
    }
)
def test_white_space_splits_outside_of_marks(line, fields):
    assert split(line, "white space") == fields


@each(
    {
        "name, text, names, ids": [
            ("x.txt", '"gene one" "b"\n"r1" 1 2\n"r2" 3 4\n', ["gene one", "b"], ["r1", "r2"]),
            ("x.dat", '"a"  "b"\n1  2\n3 4\n', ["a", "b"], None),
            ("x.csv", 'name,a,b\n5" pipe,1,2\n"6"" pipe",3,4\n', ["a", "b"], ['5" pipe', '6" pipe']),
            ("x.tsv", 'name\ta\tb\nan "x"\t1\t2\n3" y\t3\t4\n', ["a", "b"], ['an "x"', '3" y']),
        ]
    }
)
def test_tables_with_marks_are_read(tmp_path, name, text, names, ids):
    pytest.importorskip("pyarrow")
    (tmp_path / name).write_text(text)
    source = open_rows(tmp_path / name).load()
    assert source.column_names == names
    assert source.X.tolist() == [[1, 2], [3, 4]]
    assert source.rows.ids is None if ids is None else source.rows.ids.tolist() == ids


@each(
    {
        "encoding, message": [
            ("klingon", r"encoding must be one that Python knows; got 'klingon'"),
            ("base64", "encoding must be one that Python knows"),
            ("ascii", r"must be text in ascii; got other bytes\. Say by encoding"),
            ("utf-16", "must be text in utf-16"),
        ]
    }
)
def test_an_encoding_that_the_file_does_not_have(tmp_path, encoding, message):
    pytest.importorskip("pyarrow")
    (tmp_path / "x.csv").write_text("ä,b\n1,2\n")
    with pytest.raises(ValueError, match=rf"^\[read\] .*x\.csv:? {message}"):
        open_rows(tmp_path / "x.csv", encoding=encoding)


def test_a_mark_that_is_not_closed_is_shown(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "x.csv").write_text('name,x\na,1\n"b,2\nc,3\n')
    with pytest.raises(ValueError, match=r"x\.csv .*the quotation mark that begins a field of .*b,2.* is not closed"):
        open_rows(tmp_path / "x.csv")
