"""NaN, what is masked, empty cells and NA: refused by name, or values that are not known."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.io
import scipy.sparse as sp
import torch
from tests.covering import each, pairs

from dsae.data import ArraySource, Batch, Known, as_source, check_rows, in_memory, open_rows, put, unknown
from dsae.data._statistics import Statistics

NAMES = [f"gene{i}" for i in range(6)]


@pytest.fixture(scope="module")
def holes():
    """Numbers far from zero, a third of which is missing; row 7 has none."""
    rng = np.random.default_rng(0)
    X = rng.normal(50, [1, 2, 3, 4, 5, 0], (70, 6)).astype(np.float32)
    X[rng.random(X.shape) < 1 / 3] = np.nan
    X[7] = np.nan
    return X


def counts(X):
    """The same holes in rows that are mostly zeros: what is not stored is known to be zero."""
    values = np.where(np.random.default_rng(1).random(X.shape) < 0.5, 0, X)
    return sp.csr_matrix(np.where(np.isnan(X), np.nan, values))


class Own:
    """A user's source, dense or CSR."""

    def __init__(self, X):
        self.X, self.n_features = X, X.shape[1]

    def __len__(self):
        return self.X.shape[0]

    def batches(self, batch_size, seed=None):
        for start in range(0, len(self), batch_size):
            yield self.X[start : start + batch_size]


def on_disk(X, folder):
    path = folder / "x.npz"
    if sp.issparse(X):
        sp.save_npz(path, X)
    else:
        np.savez(path, X)
    return open_rows(path)


@pairs(make=["memory", "own source", "file"], kind=["dense", "csr"])
def test_only_what_is_known_makes_the_moments(holes, make, kind, tmp_path, monkeypatch):
    X = counts(holes) if kind == "csr" else holes
    monkeypatch.setattr("dsae.data._entrance._AT_ONCE", 9)
    monkeypatch.setattr("dsae.data._reader._BYTES_AT_ONCE", 1 << 6)
    monkeypatch.setattr("dsae.data._check._AT_ONCE", 16)
    given = {"memory": lambda: X, "own source": lambda: Own(X), "file": lambda: on_disk(X, tmp_path)}[make]()
    source = as_source("fit", given, missing="mask")
    dense = (X.toarray() if kind == "csr" else X).astype(np.float64)
    mean, deviation = source.moments()
    np.testing.assert_allclose(mean, np.nanmean(dense, axis=0), rtol=1e-6)
    np.testing.assert_allclose(deviation, np.nanstd(dense, axis=0), rtol=1e-5, atol=1e-5)
    assert (source.min(), source.max()) == (np.nanmin(dense), np.nanmax(dense))
    known = source.known()
    np.testing.assert_array_equal(known.low, np.nanmin(dense, axis=0))
    np.testing.assert_array_equal(known.high, np.nanmax(dense, axis=0))
    assert (known.n_unknown, known.n_blank, known.first_blank) == (np.isnan(dense).sum(), 1, 7)
    spread = np.nansum((dense - np.nanmean(dense, axis=0)) ** 2, axis=1)
    if make == "memory":
        assert source.farthest().number == spread.argmax()
        assert source.farthest().share == pytest.approx(spread.max() / spread.sum(), rel=1e-4)


@each(kind=["dense", "csr"], size=[1, 8, 70])
def test_chunks_add_up_whatever_is_missing_in_each(holes, kind, size):
    X = holes.copy()
    X[:40, 2] = np.nan  # unknown at first
    X[:, 4] = np.nan  # never known
    rows = counts(X) if kind == "csr" else X
    whole, found = ArraySource(rows), Statistics(6)
    for start in range(0, 70, size):
        found.update(Batch.of(rows[start : start + size], np.arange(start, min(start + size, 70))))
    for ours, theirs in zip(found.moments(), whole.moments(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    known = Known(6)
    known.update(Batch.of(rows))
    assert known.columns.tolist() == [True, True, True, True, False, True]


@each(verb=[lambda X, **how: as_source("fit", X, **how), lambda X, **how: check_rows("fit", X, **how), in_memory])
@each(kind=[np.asarray, counts, lambda X: np.ma.masked_invalid(X), pd.DataFrame, torch.from_numpy, Batch.of])
def test_nan_is_refused_with_the_option_or_let_through(holes, verb, kind):
    given, call = kind(holes), verb if verb is not in_memory else lambda X, **how: in_memory("fit", X, **how)
    with pytest.raises(
        ValueError, match=r"^\[fit\] X must be finite; it holds NaN, first in row 0\. Fit with missing="
    ):
        call(given)
    with pytest.raises(ValueError, match=r"it holds NaN, first in row 0\. Impute or drop such values first\.$"):
        call(given, missing=None)
    found = call(given, missing="mask")
    rows = found.X if isinstance(found, ArraySource) else found
    rows = rows.toarray() if sp.issparse(rows) else rows
    np.testing.assert_array_equal(np.isnan(rows), np.isnan(holes))


def test_infinity_is_always_refused(holes, tmp_path):
    X = holes.copy()
    X[5, 1] = np.inf
    for given in (X, sp.csr_matrix(X), ArraySource(X)):
        with pytest.raises(
            ValueError, match=r"it holds infinity, or values beyond float32, first in row 5\. Impute or"
        ):
            as_source("fit", given, missing="mask")
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(ValueError, match=r"row 5, counted from 0, holds infinity, .* in column 1\. Impute or drop"):
        open_rows(tmp_path / "x.npy", missing="mask").read()


@each(
    {
        "given, dtype": [
            (np.ma.array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]]), np.float64),
            (np.ma.array(np.float32([[1, 2], [3, 4]]), mask=[[0, 1], [0, 0]]), np.float32),
            (np.ma.array([[True, False], [True, True]], mask=[[0, 1], [0, 0]]), np.float64),
            ([np.ma.array([1.0, 2.0], mask=[0, 1]), np.ma.array([3.0, 4.0])], np.float64),
            (np.ma.array(np.array([[1, 2], [3, 4]], object), mask=[[0, 1], [0, 0]]), np.float64),
            (pd.DataFrame({"a": pd.array([1, 3], "Int64"), "b": pd.array([None, 4], "Int64")}), np.float64),
            (pl.DataFrame({"a": [1, 3], "b": [None, 4]}), np.float64),
            ([[1, None], [3, 4]], np.float64),
        ]
    }
)
def test_what_is_masked_or_none_becomes_nan(given, dtype):
    rows = check_rows("fit", given, missing="mask")
    assert np.isnan(rows).tolist() == [[False, True], [False, False]]
    assert rows[:, 0].tolist() in ([1.0, 3.0], [1.0, 1.0])


def test_a_feature_that_float32_cannot_hold_is_named_although_values_are_missing(tmp_path):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.random(400), 1e9 + rng.random(400)])
    X[rng.random(X.shape) < 0.4] = np.nan
    X[0, 1] = np.nan
    with pytest.raises(ValueError, match=r"^\[fit\] Column 'b' must be centred"):
        as_source("fit", pd.DataFrame(X, columns=["a", "b"]), training=True, missing="mask")
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(ValueError, match=r"^\[fit\] Column 1 must be centred"):
        as_source("fit", open_rows(tmp_path / "x.npy"), missing="mask").moments()


def csv(X, path):
    cells = [["NA" if (i + j) % 2 else "" for j in range(6)] for i in range(len(X))]
    rows = [
        ",".join(cell if np.isnan(v) else repr(float(v)) for v, cell in zip(row, line, strict=True))
        for row, line in zip(X, cells, strict=True)
    ]
    path.write_text("\n".join([",".join(NAMES), *rows]) + "\n")


def svmlight(X, path):
    lines = [" ".join([f"{i}", *(f"{j + 1}:{v!r}" for j, v in enumerate(row.tolist()))]) for i, row in enumerate(X)]
    path.write_text("\n".join(lines) + "\n")


def h5ad(X, path):
    import anndata

    index = pd.Index([str(i) for i in range(len(X))], dtype=object)
    anndata.AnnData(X, pd.DataFrame(index=index), pd.DataFrame(index=pd.Index(NAMES, dtype=object))).write_h5ad(path)


WRITERS = {
    "x.npy": lambda X, path: np.save(path, X),
    "x.npz": lambda X, path: np.savez(path, X),
    "x.csv": csv,
    "x.tsv": lambda X, path: pd.DataFrame(X, columns=NAMES).to_csv(path, sep="\t", index=False),
    "x.csv.gz": lambda X, path: pd.DataFrame(X, columns=NAMES).to_csv(path, na_rep="null", index=False),
    "x.parquet": lambda X, path: pd.DataFrame(X, columns=NAMES).to_parquet(path),
    "x.feather": lambda X, path: pd.DataFrame(X, columns=NAMES).to_feather(path),
    "x.mtx": lambda X, path: scipy.io.mmwrite(path, sp.csr_matrix(X)),
    "x.svm": svmlight,
    "x.h5ad": h5ad,
    "x.h5": lambda X, path: __import__("h5py").File(path, "w").create_dataset("X", data=X).file.close(),
    "x.pt": lambda X, path: torch.save(torch.from_numpy(X), path),
}


@each(name=list(WRITERS))
def test_every_format_gives_its_missing_values(holes, name, tmp_path):
    path = tmp_path / name
    WRITERS[name](holes, path)
    options = {"n_features": 6} if name == "x.svm" else {}
    with pytest.raises(
        ValueError, match=r"holds NaN or an empty cell in column \d.*Set missing=\"mask\" \(--missing mask"
    ):
        open_rows(path, **options).read()
    rows = open_rows(path, missing="mask", **options).read()
    rows = rows.toarray() if sp.issparse(rows) else rows
    np.testing.assert_array_equal(rows, holes)
    source = as_source("fit", open_rows(path, **options), missing="mask")
    batches = [batch.rows for batch in source.batches(16, seed=0)]
    assert sum(np.isnan(rows.data if sp.issparse(rows) else rows).sum() for rows in batches) == np.isnan(holes).sum()
    exact = [batch.rows for batch in open_rows(path, missing="mask", **options).chunks(exact=True)]
    assert sum(len(rows) if not sp.issparse(rows) else rows.shape[0] for rows in exact) == 70


@each(dtype=[np.float64, np.float32, np.float16, object])
@each(
    kind=[
        np.array,
        np.asfortranarray,
        lambda X: np.ma.masked_where(pd.isna(X), X),
        lambda X: pd.DataFrame(X, index=[f"r{i}" for i in range(len(X))], columns=list("abc")),
        lambda X: pl.DataFrame(X.astype(np.float64), schema=list("abc")),
        lambda X: torch.from_numpy(X.astype(np.float32)),
    ]
)
def test_known_values_keep_their_bits_and_rows_their_kind(kind, dtype):
    X = np.array([[0.1, np.nan, 3], [np.nan, np.nan, -0.0], [1e-5, 7, 8]]).astype(dtype)
    given = kind(X)
    before = given.clone() if isinstance(given, torch.Tensor) else given.copy() if hasattr(given, "copy") else given
    at, columns = np.nonzero(pd.isna(X))
    found = put(given, at, columns, np.float32([11, 12, 13]))
    assert type(found) is type(given)
    if isinstance(given, pd.DataFrame):
        assert (found.dtypes == given.dtypes).all()
        pd.testing.assert_frame_equal(given, before)
        assert list(found.index) == list(given.index)
        found = found.to_numpy()
    elif isinstance(given, (np.ndarray, torch.Tensor)):
        assert found.dtype == given.dtype
    assert not np.ma.is_masked(found)
    wanted = np.where(pd.isna(X), 0, X).astype(
        np.float64 if dtype is object or isinstance(given, pl.DataFrame) else dtype
    )
    wanted = wanted.astype(np.float32) if isinstance(given, torch.Tensor) else wanted
    wanted[at, columns] = [11, 12, 13]
    made = np.asarray(found).astype(wanted.dtype)
    assert made.tobytes() == wanted.tobytes()


def test_columns_of_a_frame_change_only_where_something_was_missing():
    frame = pd.DataFrame(
        {
            "whole": np.array([1, 2, 3]),
            "holed": pd.array([4, None, 6], "Int64"),
            "flag": pd.array([True, None, False], "boolean"),
            "half": np.float32([0.1, np.nan, 0.3]),
        }
    )
    rows = check_rows("impute", frame, missing="mask")
    at, columns = unknown(rows)
    found = put(frame, at, columns, np.float32([4.5, 0.25, 0.75]))
    assert found.dtypes.astype(str).tolist() == ["int64", "Float64", "Float64", "float32"]
    assert found.loc[1].tolist() == [2, 4.5, 0.25, 0.75]
    assert found["half"].to_numpy()[[0, 2]].tobytes() == np.float32([0.1, 0.3]).tobytes()


@each(
    form=["csr", "csc", "coo", "lil", "bsr", "dok"], make=[sp.csr_matrix, sp.csr_array], dtype=[np.float32, np.float64]
)
def test_sparse_rows_stay_sparse(form, make, dtype):
    dense = np.array([[0, np.nan, 3.1], [np.nan, 0, 0], [0, np.nan, 8]])
    given = make(dense.astype(dtype)).asformat(form)
    at, columns = unknown(check_rows("impute", given, missing="mask"))
    found = put(given, at, columns, np.float32([5, 6, 7]))
    assert type(found) is type(given)
    assert found.dtype == dtype
    assert np.isnan(given.toarray()).sum() == 3, "the rows given are not changed"
    wanted = dense.astype(dtype)
    wanted[at, columns] = [5, 6, 7]
    np.testing.assert_array_equal(found.toarray(), wanted)
    assert found.tocsr().nnz == 5, "what is not stored is zero, and known"


def test_two_numbers_at_one_place_are_one():
    given = sp.coo_matrix(([1.0, np.nan, 2.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    at, columns = unknown(check_rows("impute", given, missing="mask"))
    np.testing.assert_array_equal(put(given, at, columns, np.float32([9])).toarray(), [[0, 9], [2, 0]])
