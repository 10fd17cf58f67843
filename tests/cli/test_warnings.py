"""Warnings of a fit are lines on stderr, when they come."""

import warnings

from tests.covering import each

from dsae import DeepSparseAutoencoder, store
from dsae.data import write_rows

QUICK = ["--n-components", 2, "--density", 0.5, "--max-iter", 2, "--random-state", 0]


def test_warnings_are_shown_when_they_come_also_of_a_fit_that_fails(dsae, rows, tmp_path, monkeypatch):
    write_rows(tmp_path / "x.npy", rows)

    def fit(self, X, **more):
        for text in ("one", "two", "two"):
            warnings.warn(text, RuntimeWarning, stacklevel=1)
        raise ValueError("three")

    monkeypatch.setattr(DeepSparseAutoencoder, "fit", fit)
    done = dsae("fit", tmp_path / "x.npy", "-o", tmp_path / "m", *QUICK)
    assert (done.code, done.err) == (2, "dsae: warning: one\ndsae: warning: two\ndsae: three\n")


@each(small=[True, False])
def test_warnings_name_the_columns_of_a_file(dsae, rows, tmp_path, monkeypatch, small):
    rows[:, 1], rows[:, 2] = 0, 7
    write_rows(tmp_path / "x.csv", rows, ["alpha", "beta", "gamma", "delta"])
    write_rows(tmp_path / "twice.csv", rows[:, [0, 3, 0]], ["alpha", "delta", "alpha"])
    if not small:
        monkeypatch.setattr("dsae.data._stream._SMALL", 0)
    done = dsae("fit", tmp_path / "x.csv", "-o", tmp_path / "m", *QUICK)
    assert "dsae: warning: [fit] 2 of 4 features are constant (columns 'beta', 'gamma')" in done.err
    done = dsae("fit", tmp_path / "twice.csv", "-o", tmp_path / "m", "--test", tmp_path / "twice.csv", *QUICK)
    assert done.code == 0
    assert "dsae: warning: [fit] X must have columns of different names; got 'alpha' more than once." in done.err
    assert store.read(tmp_path / "m").feature_names is None
