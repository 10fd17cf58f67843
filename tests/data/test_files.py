"""Files of rows: what is written reads back, and what is damaged is refused by name."""

import io
import os
import re
import sys
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each
from tests.data.small import NAMES, ROWS, SPARSE, Standard

from dsae.data import open_rows, read_rows, write_rows


@each(kind=["npy", "npz", "csv"])
def test_dense_rows_read_back_bit_for_bit(tmp_path, kind):
    write_rows(tmp_path / f"x.{kind}", ROWS, NAMES)
    rows, names = read_rows(tmp_path / f"x.{kind}")
    np.testing.assert_array_equal(rows, ROWS)
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous
    assert rows.flags.writeable
    assert names == (NAMES if kind == "csv" else None)
    assert [file.name for file in tmp_path.iterdir()] == [f"x.{kind}"]


def test_csv_holds_the_shortest_digits_that_read_back(tmp_path):
    write_rows(tmp_path / "x.csv", np.array([[0.1, 1e-30, -2]], np.float32), ["a", "b", "c"])
    assert (tmp_path / "x.csv").read_text() == "a,b,c\n0.1,1e-30,-2.0\n"


def test_sparse_rows_read_back(tmp_path):
    write_rows(tmp_path / "x.npz", SPARSE)
    rows, names = read_rows(tmp_path / "x.npz")
    assert sp.isspmatrix_csr(rows)
    assert names is None
    np.testing.assert_array_equal(rows.toarray(), SPARSE.toarray())


@each(make=[sp.csc_matrix, sp.csr_array, sp.csc_array])
def test_the_kinds_of_scipy_matrix_that_become_csr(tmp_path, make):
    sp.save_npz(tmp_path / "x.npz", make(SPARSE))
    np.testing.assert_array_equal(read_rows(tmp_path / "x.npz")[0].toarray(), SPARSE.toarray())


def test_an_archive_gives_its_only_array_or_x_or_the_one_named(tmp_path):
    np.savez(tmp_path / "one.npz", anything=ROWS)
    np.savez(tmp_path / "two.npz", X=ROWS, y=ROWS[:, :1])
    assert read_rows(tmp_path / "one.npz")[0].shape == (7, 3)
    assert read_rows(tmp_path / "two.npz")[0].shape == (7, 3)
    assert read_rows(f"{tmp_path}/two.npz:y")[0].shape == (7, 1)
    with pytest.raises(ValueError, match=r"has no array 'z'; it has X, y"):
        read_rows(f"{tmp_path}/two.npz:z")
    np.savez(tmp_path / "none.npz", a=ROWS, b=ROWS)
    with pytest.raises(ValueError, match=r"got a, b\. Name one of several as .*none\.npz:KEY"):
        read_rows(tmp_path / "none.npz")


def test_csv_without_header_with_bom_blank_lines_and_crlf(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbf1,2\r\n\r\n3,4e2\r\n")
    rows, names = read_rows(tmp_path / "x.csv")
    assert rows.tolist() == [[1, 2], [3, 400]]
    assert names is None


def test_integers_and_booleans_become_floats(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[True, False]]))
    assert read_rows(tmp_path / "x.npy")[0].tolist() == [[1.0, 0.0]]


@each(
    {
        "text, message": [
            ("a,b\n1,2\n3,x\n", r"x\.csv column 'b' must be numbers, as '2' seems to be; got 'x'\."),
            ("1,2\n3,\n", r"row 1, counted from 0, holds NaN or an empty cell in column 1\."),
            (
                "a,b\n1,NA\n3,4\n",
                r"row 0, counted from 0, holds NaN or an empty cell in column 1 \('b'\)\. Set missing=",
            ),
            ("a,b\n1,2\n3\n", r"row 1, counted from 0, has 1 fields; the first has 2\."),
            ("a,b,c\n1,2\n3,4\n", r"row 0, counted from 0, has 2 fields; the first has 3\."),
            ("a,b\n", "holds no rows"),
            ("", "holds no rows"),
            ("a,b\n1_0,2\n", "got '1_0'"),
            ("a" * 200_000 + ",b\n1,2\n", r"x\.csv .* truncated or corrupt \(field larger than field limit"),
        ]
    }
)
def test_a_csv_that_is_no_table_of_numbers_is_pointed_at(tmp_path, text, message):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_rows(tmp_path / "x.csv")
    assert caught.type is ValueError


@each(make=[np.ascontiguousarray, np.asfortranarray], save=[np.savez, np.savez_compressed])
def test_archives_hold_arrays_of_either_order(tmp_path, save, make):
    save(tmp_path / "x.npz", X=make(ROWS))
    np.testing.assert_array_equal(read_rows(tmp_path / "x.npz")[0], ROWS)


@each(form=["csc", "coo", "bsr", "dia"])
def test_other_sparse_formats_become_csr(tmp_path, form):
    sp.save_npz(tmp_path / "x.npz", SPARSE.asformat(form))
    rows = read_rows(tmp_path / "x.npz")[0]
    assert sp.isspmatrix_csr(rows)
    np.testing.assert_array_equal(rows.toarray(), SPARSE.toarray())


def test_a_file_that_the_system_does_not_give_is_told(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", ROWS)
    monkeypatch.setattr(
        "builtins.open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
    )
    with pytest.raises(OSError, match=r"^\[read\] .*x\.npy cannot be read: Permission denied\.$"):
        open_rows(tmp_path / "x.npy")


def test_text_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "x.csv").write_bytes("größe\n1\n".encode("latin-1"))
    with pytest.raises(ValueError, match="must be UTF-8 text"):
        read_rows(tmp_path / "x.csv")


@each(method=[zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_of_an_archive_is_refused(tmp_path, method):
    """Or read as it was: some bits of bzip2 and LZMA mean nothing."""
    array, rows, messages = io.BytesIO(), np.tile(ROWS, (300, 1)), []
    np.save(array, rows)
    with zipfile.ZipFile(tmp_path / "x.npz", "w", method) as archive:
        archive.writestr("X.npy", array.getvalue())
    content = bytearray((tmp_path / "x.npz").read_bytes())
    places = range(35, len(content) - 100, 41)
    for place in places:
        damaged = content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]
        (tmp_path / "x.npz").write_bytes(damaged)
        try:
            np.testing.assert_array_equal(read_rows(tmp_path / "x.npz")[0], rows)
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 0.8 * len(places)
    assert all(re.match(r"\[read\] .*x\.npz must be a whole \.npz file", message) for message in messages)


@each(kind=["npy", "npz"])
def test_a_file_cut_short_anywhere_is_refused(tmp_path, kind):
    whole = tmp_path / f"x.{kind}"
    write_rows(whole, ROWS)
    content = whole.read_bytes()
    for length in range(0, len(content), 7):
        whole.write_bytes(content[:length])
        with pytest.raises(ValueError, match=rf"\[read\] .*x\.{kind} "):
            read_rows(whole)


def test_a_header_that_promises_too_much_is_refused_before_memory_is_asked_for(tmp_path):
    with open(tmp_path / "x.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**4)})
    with pytest.raises(ValueError, match="truncated or corrupt"):
        read_rows(tmp_path / "x.npy")


def test_pickled_objects_are_never_loaded(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    for kind in ("npy", "npz:arr_0"):
        with pytest.raises(ValueError, match=r"Python objects in dtype|allow_pickle=False"):
            read_rows(f"{tmp_path}/x.{kind}")


@each(array=[np.array([["a"]]), np.array([[1j]]), np.zeros((2, 2), "f4,i4")])
def test_arrays_of_anything_but_real_numbers_are_refused(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ValueError, match="must hold real numbers; got dtype"):
        read_rows(tmp_path / "x.npy")


@each(
    damage=[
        {"indices": np.array([99], np.int32)},
        {"indices": np.array([-1], np.int32)},
        {"indptr": np.array([0, 5], np.int32)},
        {"shape": np.array([2, 2, 2])},
        {"shape": np.array([-1, 2])},
        {"format": np.array(b"bsr")},
        {"format": np.array(3)},
        {"data": np.array(["x"])},
    ]
)
def test_a_damaged_sparse_matrix_is_refused(tmp_path, damage):
    whole = {
        "format": np.array(b"csr"),
        "shape": np.array([1, 2]),
        "data": np.ones(1, np.float32),
        "indices": np.array([1], np.int32),
        "indptr": np.array([0, 1], np.int32),
    }
    np.savez(tmp_path / "x.npz", **whole)
    assert read_rows(tmp_path / "x.npz")[0].toarray().tolist() == [[0, 1]]
    np.savez(tmp_path / "x.npz", **{**whole, **damage})
    with pytest.raises(ValueError, match=r"x\.npz"):
        read_rows(tmp_path / "x.npz")


def test_unknown_endings_and_missing_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"x\.xlsx must end in \.npy, \.npz, .*\.pth, or be a folder .*; got '\.xlsx'"):
        read_rows("x.xlsx")
    with pytest.raises(ValueError, match="got 'no ending'"):
        write_rows(tmp_path / "x", ROWS)
    with pytest.raises(FileNotFoundError, match=r"\[read\] .*gone\.npy does not exist"):
        read_rows(tmp_path / "gone.npy")
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(ValueError, match=r"pipe\.npy must be a file"):
        read_rows(tmp_path / "pipe.npy")


@each(kind=["npy", "npz", "csv"])
def test_standard_streams_carry_every_kind(monkeypatch, kind):
    monkeypatch.setattr(sys, "stdout", Standard())
    write_rows("-", ROWS, NAMES, format=kind)
    content = sys.stdout.buffer.getvalue()
    monkeypatch.setattr(sys, "stdin", Standard(content))
    rows, names = read_rows("-")
    np.testing.assert_array_equal(rows, ROWS)
    assert names == (NAMES if kind == "csv" else None)


def test_standard_output_carries_a_sparse_matrix(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Standard())
    write_rows("-", SPARSE, format="npz")
    monkeypatch.setattr(sys, "stdin", Standard(sys.stdout.buffer.getvalue()))
    np.testing.assert_array_equal(read_rows("-")[0].toarray(), SPARSE.toarray())


@each(place=["x.npz:X", "-"])
def test_an_array_has_no_column_of_ids(tmp_path, monkeypatch, place):
    np.savez(tmp_path / "x.npz", X=ROWS)
    monkeypatch.setattr("sys.stdin", Standard((tmp_path / "x.npz").read_bytes()))
    with pytest.raises(ValueError, match=r"id_column has no meaning for \.npz; leave id_column='cell' out"):
        open_rows(place if place == "-" else tmp_path / place, "cell")
