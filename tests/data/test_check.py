"""One check stands between the user's data and everything else."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae.data import as_source, check_rows

ROWS = np.arange(12, dtype=np.float64).reshape(4, 3)
NULLABLE = pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": [1.0, 2.0], "c": pd.array([True, False], "boolean")})
SPARSE = sp.csr_matrix(np.eye(3))


@each(
    given=[
        ROWS,
        ROWS.tolist(),
        ROWS.astype(int),
        np.asfortranarray(ROWS),
        ROWS[::-1][::-1],
        ROWS.astype(">f8"),
        pd.DataFrame(ROWS, columns=["a", "b", "c"]),
    ]
)
def test_dense_rows_become_contiguous_float32(given):
    rows = check_rows("encode", given, 3)
    assert isinstance(rows, np.ndarray)
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous
    np.testing.assert_array_equal(rows, ROWS)


@each(kind=["csr", "csc", "coo", "lil"])
@each(make=[sp.csr_matrix, sp.csr_array])
def test_sparse_rows_become_csr_with_sorted_int32_indices(make, kind):
    dense = np.diag([1.0, 2.0, 3.0])
    rows = check_rows("encode", make(dense).asformat(kind), 3)
    assert rows.format == "csr"
    assert rows.dtype == np.float32
    assert rows.indices.dtype == rows.indptr.dtype == np.int32
    np.testing.assert_array_equal(rows.toarray(), dense)


def test_long_indices_are_shortened():
    wide = SPARSE.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    rows = check_rows("encode", wide, 3)
    assert rows.indices.dtype == rows.indptr.dtype == np.int32


def test_more_non_zeros_than_32_bits_count_are_refused():
    """Without room for them: each array is one number, seen many times."""
    many = sp.csr_matrix((1, 3), dtype=np.float32)
    many.data, many.indices = (np.broadcast_to(one, 2**31) for one in (np.float32(1), np.int64(1)))
    many.indptr = np.array([0, 2**31])
    with pytest.raises(
        ValueError, match=r"^\[fit\] X must have fewer than 2\^31 .*got 2147483648 non-zeros.*partial_fit"
    ):
        check_rows("fit", many)


@each(dtype=[bool, np.int8])
def test_duplicates_of_narrow_numbers_add_up_as_numbers(dtype):
    value = dtype(100)
    given = sp.csr_matrix((1, 2), dtype=dtype)
    given.data, given.indices, given.indptr = np.full(2, value), np.array([1, 1]), np.array([0, 2])
    assert check_rows("fit", given).toarray().tolist() == [[0, 2 * float(value)]]


TIMES = pd.DataFrame({"size": [1.0], "day": pd.to_datetime(["2020-01-01"])})


@each(
    {
        "given, message": [
            (TIMES, r"got times in column 'day'\. Turn them into numbers first, such as days"),
            (TIMES.astype(object).to_numpy(), r"got times such as Timestamp\('2020-01-01 00:00:00'\)"),
            (np.zeros((2, 2), "m8[s]"), r"got times of dtype timedelta64\[s\]"),
            (pd.DataFrame({"a": [1.0], "b": pd.to_timedelta(["1s"])}), "got times in column 'b'"),
            (np.ma.array(ROWS, mask=ROWS == 4), r"be finite; it holds NaN, first in row 1\. Fit with missing="),
            ([np.ma.array(row, mask=row == 4) for row in ROWS], "holds NaN, first in row 1"),
        ]
    }
)
def test_times_and_masked_values_are_refused_by_name(given, message):
    with pytest.raises((ValueError, TypeError), match=rf"^\[fit\] X must .*{message}"):
        check_rows("fit", given)


class Described:
    """Rows that must be computed first, as a lazy frame's or a distributed array's."""

    def compute(self):
        return ROWS


class Dataset:
    """Named arrays over common dimensions, as xarray's."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("cannot directly convert an xarray.Dataset into a numpy array")

    def compute(self):
        return self

    def to_dataframe(self):
        return pd.DataFrame(ROWS)


class Chunked(Described):
    """A distributed array of dense or sparse chunks, as dask's."""

    def __init__(self, chunk):
        self.chunk, self.shape, self.dtype = chunk, chunk.shape, chunk.dtype

    def __array__(self, dtype=None, copy=None):
        return self.chunk if isinstance(self.chunk, np.ndarray) else np.array(self.chunk, dtype=object)


def test_rows_of_dask_and_xarray():
    """Arrays that become numpy's are taken; of the others a message says how they do."""
    np.testing.assert_array_equal(as_source("fit", Chunked(ROWS)).X, ROWS)
    delayed = type("Delayed", (), {"__module__": "dask.delayed", "__getattr__": lambda self, name: self})
    for given, call in (
        (Chunked(sp.csr_matrix(ROWS)), "compute"),
        (Dataset(), "to_dataframe"),
        (delayed(), "compute"),
    ):
        with pytest.raises(
            TypeError, match=rf"^\[fit\] X must be rows; got {type(given).__name__}\. Give X\.{call}\(\)\.$"
        ):
            as_source("fit", given)


def test_what_must_be_computed_first_says_how():
    with pytest.raises(TypeError, match=r"^\[fit\] X must be rows; got Described\. Give X\.compute\(\)\.$"):
        check_rows("fit", Described())
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(ROWS)
    with pytest.raises(TypeError, match=r"got LazyFrame\. Give X\.collect\(\)\.$"):
        check_rows("fit", frame.lazy())
    np.testing.assert_array_equal(check_rows("fit", frame.lazy().collect()), ROWS)


UNIFORM = np.random.default_rng(0).random((1000, 3))


def far(offset, column=slice(None)):
    rows = UNIFORM.copy()
    rows[:, column] += offset
    return rows


@each(make=[np.asarray, sp.csr_matrix, pd.DataFrame])
@each({"offset, column": [(1e8, 0), (-1e12, 2)]})
def test_columns_that_float32_cannot_tell_from_their_mean_are_named(make, offset, column):
    with pytest.raises(
        ValueError, match=rf"^\[fit\] Column {column} must be centred: its values differ by 0\.2.* around"
    ):
        check_rows("fit", make(far(offset, column)), training=True)
    check_rows("transform", make(far(offset, column)))


def test_names_of_uncentred_columns_are_the_frames():
    frame = pd.DataFrame(far(1e9, 1), columns=["a", "b", "c"])
    with pytest.raises(ValueError, match="Column 'b' must be centred"):
        check_rows("fit", frame, training=True)
    whole = (UNIFORM * 1000).astype(np.int64) + 10**12
    with pytest.raises(ValueError, match="Column 0 must be centred"):
        check_rows("fit", whole, training=True)


@each(
    rows=[
        far(1e4),
        far(1e8).astype(np.float32),  # they have lost it already
        np.full((50, 2), 1e9),
        np.where(np.arange(1000)[:, None] == 5, 0, far(1e9) * 0 + 1e9),
        1.7e9 + 3600 * np.arange(1000.0)[:, None],
        10**7 + np.arange(1000)[:, None],
        np.where(UNIFORM < 0.99, 0, far(1e9)),
    ]
)
def test_columns_that_float32_can_tell_are_taken(rows):
    check_rows("fit", rows, training=True)


def test_duplicates_are_summed_and_the_callers_matrix_is_left_alone():
    given = sp.csr_matrix((np.ones(3, np.float32), np.array([2, 0, 2]), np.array([0, 3])), shape=(1, 3))
    rows = check_rows("encode", given)
    assert rows.toarray().tolist() == [[1, 0, 2]]
    assert rows.indices.tolist() == [0, 2]
    assert given.indices.tolist() == [2, 0, 2]


@each(
    {
        "given, message": [
            (np.zeros((32, 100)), r"X must have 3 columns, the model's input width; got shape \(32, 100\)\."),
            (np.zeros(3), r"must be 2-D.*got 1-D with shape \(3,\)\. Reshape your data: X\.reshape\(1, -1\)"),
            (np.zeros((2, 2, 3)), "got 3-D"),
            (5.0, "got 0-D"),
            (np.zeros((0, 3)), r"0 sample\(s\) \(shape=\(0, 3\)\) while a minimum of 1 is required"),
            ([], "1-D"),
            ([[]], r"0 feature\(s\) \(shape=\(1, 0\)\)"),
            ([[0, 1, np.nan]], "holds NaN, first in row 0"),
            ([[0, 1, 2], [0, np.inf, 2]], "infinity, or values beyond float32, first in row 1"),
            ([[0, 1, 1e300]], "beyond float32"),
            ([["a", "b", "c"]], "must hold numbers; got dtype <U1"),
            ([[1, 2], [3]], "must be a table; got rows of different lengths"),
            ([[{}, None, 3]], "must hold numbers; got dtype object"),
            ([[1j, 2, 3]], "real numbers"),
            (sp.csr_matrix([[1j, 2, 3]]), "real numbers; got dtype complex128. Complex data not supported"),
            (sp.csr_array([[1j, 2, 3]]), "real numbers"),
            (NULLABLE, "holds NaN, first in row 1. Fit with missing="),
            (NULLABLE.to_numpy(object), "holds NaN, first in row 1. Fit with missing="),
            (NULLABLE.astype({"c": object}).assign(c="x"), "must hold numbers; got dtype object"),
            (sp.csr_matrix((2, 4)), "3 columns"),
            (sp.csr_matrix(np.array([[0, 0, 0], [0, np.nan, 0]])), "NaN, first in row 1"),
            (sp.csr_matrix((0, 3)), r"0 sample\(s\)"),
        ]
    }
)
@each(verb=["encode", "fit"])
def test_what_is_refused_is_said(verb, given, message):
    with pytest.raises((ValueError, TypeError), match=rf"^\[{verb}\] .*{message}"):
        check_rows(verb, given, 3)


DAMAGES = {
    "a row that ends before the arrays": ("indptr", [0, -1, 2, 3]),
    "rows that fall": ("indptr", [0, 2, 1, 3]),
    "a row far beyond the arrays": ("indptr", [0, 1, 10**8, 3]),
    "rows that end beyond the arrays": ("indptr", [0, 1, 2, 10**8]),
    "rows that do not begin": ("indptr", [1, 1, 2, 3]),
    "too few rows": ("indptr", [0, 3]),
    "a column beyond": ("indices", [0, 1, 10**8]),
    "a column before": ("indices", [-1, 1, 2]),
    "fewer values than indices": ("data", [1.0]),
}


@each(damage=DAMAGES, kind=["csr float32", "csr float64", "csc float32", "bsr float32"])
def test_a_matrix_that_scipy_would_read_beyond_is_refused(kind, damage):
    layout, dtype = kind.split()
    given, (name, values) = SPARSE.asformat(layout).astype(dtype), DAMAGES[damage]
    was = getattr(given, name)
    setattr(given, name, np.array(values, was.dtype).reshape(-1, *was.shape[1:]))
    with pytest.raises(ValueError, match=rf"^\[fit\] X must have an indptr .*got a {layout} matrix .* Rebuild it"):
        check_rows("fit", given)


def test_one_row_is_looked_at_too():
    for name, values in (("indptr", [0, 10**8]), ("indptr", [0, -1]), ("indices", [3]), ("indices", [-1])):
        row = SPARSE[:1].astype(np.float32)
        setattr(row, name, np.array(values, np.int32))
        with pytest.raises(ValueError, match=r"^\[transform\] X must have an indptr"):
            check_rows("transform", row)


@pytest.mark.filterwarnings("ignore:Sparse")
@each(layout=["csr", "csc", "bsr", "bsc", "coo"])
def test_sparse_tensors_of_every_layout_stay_sparse(layout):
    torch = pytest.importorskip("torch")
    size = {"blocksize": (2, 3)} if layout[0] == "b" else {}
    tensor = torch.arange(24.0).reshape(4, 6).to_sparse(layout=getattr(torch, f"sparse_{layout}"), **size)
    rows = check_rows("fit", tensor)
    assert rows.format == "csr"
    np.testing.assert_array_equal(rows.toarray(), np.arange(24.0).reshape(4, 6))


def test_without_a_width_any_width_goes():
    assert check_rows("fit", ROWS).shape == (4, 3)


def test_what_keeps_its_rows_in_an_attribute_is_sent_there():
    holder = SimpleNamespace(X=sp.csr_matrix(np.eye(3, dtype=np.float32)))
    with pytest.raises(TypeError, match=r"^\[fit\] X must be rows; got SimpleNamespace\. Give its X\.$"):
        check_rows("fit", holder)
    assert check_rows("fit", holder.X).shape == (3, 3)


def _broken_list(X):
    X.rows[1] = [0, 99]
    X.data[1] = [1.0, 2.0]


@each(
    {
        "form, damage": [
            ("coo", lambda X: X.row.__setitem__(0, 99)),
            ("coo", lambda X: X.col.__setitem__(0, 99)),
            ("coo", lambda X: X.col.__setitem__(0, -1)),
            ("coo", lambda X: setattr(X, "data", X.data[:-1])),
            ("lil", _broken_list),
        ]
    }
)
def test_indices_beyond_the_shape_of_a_matrix_are_refused(form, damage):
    X = sp.coo_matrix(np.eye(4, dtype=np.float32)).asformat(form)
    damage(X)
    with pytest.raises(ValueError, match=r"^\[fit\] X must have .* of shape \(4, 4\)"):
        check_rows("fit", X)
