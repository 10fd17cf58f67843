"""Laws of the second pass."""

import numpy as np
import pytest
from tests.covering import each
from tests.interpret.codes import cut, make_codes

from dsae.interpret import Details, Summary


def read(codes, batch_size=64, **options):
    summary = Summary(codes.shape[1])
    for part, numbers in cut(codes, batch_size):
        summary.update(part, numbers)
    details = Details(summary, **options)
    for part, numbers in cut(codes, batch_size):
        details.update(part, numbers)
    return details


@each(kind=["relu", "signed", "full"], n_quantiles=[2, 5])
def test_examples_lie_within_their_quantile(kind, n_quantiles):
    codes = make_codes(kind, n=2000)
    details = read(codes, n_quantiles=n_quantiles, per_quantile=4)
    for latent, values in enumerate(codes.T):
        sizes = np.sort(np.abs(values[values != 0]))
        for q in range(n_quantiles):
            rows, shown = details.quantiles.of(details.group(latent, q))
            np.testing.assert_array_equal(values[rows], shown)
            assert len(set(rows.tolist())) == len(rows) == (4 if latent not in (3, 5) else len(rows))
            if latent == 5:  # a seventh of its values tie, so quantiles cannot be of equal size
                continue
            place = np.searchsorted(sizes, np.abs(shown)) / max(sizes.size, 1)
            assert ((place > q / n_quantiles - 0.05) & (place < (q + 1) / n_quantiles + 0.05)).all()


def test_the_examples_are_the_same_for_any_batches_and_others_for_another_seed():
    codes = make_codes(n=1000)
    one, other, seeded = read(codes, 1000), read(codes, 13), read(codes, seed=1)
    np.testing.assert_array_equal(one.quantiles.rows, other.quantiles.rows)
    np.testing.assert_array_equal(one.quantiles.values, other.quantiles.values)
    assert (one.quantiles.rows != seeded.quantiles.rows).mean() > 0.5


def test_latents_draw_rows_of_their_own():
    codes = np.ones((1000, 2), np.float32)
    details = read(codes, n_quantiles=1, per_quantile=20)
    assert len(set(details.quantiles.rows[0]) & set(details.quantiles.rows[1])) < 10


@each(sample_rows=[100, 10_000], batch_size=[17, 5000])
def test_the_codes_of_sampled_rows_are_kept(sample_rows, batch_size):
    codes = make_codes(n=1000)
    details = read(codes, batch_size, sample_rows=sample_rows)
    assert details.codes.shape == (len(details.numbers), 23)
    assert len(details.numbers) == 1000 if sample_rows > 1000 else 60 < len(details.numbers) < 140
    np.testing.assert_array_equal(details.codes.toarray(), codes[details.numbers])


def test_dense_codes_are_sampled_less(monkeypatch):
    monkeypatch.setattr("dsae.interpret._details._PAIRS_COUNTED", 2000 * 20**2)
    assert read(make_codes("full", n=5000)).sample_rows < 3000
    assert read(make_codes("relu", n=5000)).sample_rows > 3000


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match=r"\[Details\] n_quantiles must be a whole number of at least 1; got 0"):
        Details(Summary(2), n_quantiles=0)
