"""Laws of the first pass: what it says equals a plain computation on all codes, however rows are cut into batches."""

import numpy as np
import pytest
from tests.covering import each
from tests.interpret.codes import cut, make_codes

from dsae.interpret import Histogram, LabelCounts, Summary
from dsae.interpret._kept import Kept, by_chance, by_size, sampled

LABELS = np.array(["a", None, "b", "c", np.nan], object)


def summed(codes, batch_size=64, labels=None, **options):
    summary = Summary(codes.shape[1], **options)
    for part, numbers in cut(codes, batch_size):
        summary.update(part, numbers, None if labels is None else labels[numbers])
    return summary


@each(kind=["relu", "signed", "full"], batch_size=[1, 37, 1000], threshold=[0.0, 0.5])
def test_it_equals_a_plain_computation(kind, batch_size, threshold):
    codes = make_codes(kind)
    summary = summed(codes, batch_size, threshold=threshold)
    on = np.abs(codes) > threshold
    values = codes.astype(np.float64)
    np.testing.assert_array_equal(summary.counts, on.sum(0))
    np.testing.assert_allclose(summary.sums, values.sum(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(summary.mean, values.mean(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(summary.rms, np.sqrt((values**2).mean(0)), rtol=1e-12)
    np.testing.assert_array_equal(summary.l0, np.bincount(on.sum(1), minlength=codes.shape[1] + 1))
    alive = on.any(0)
    np.testing.assert_allclose(summary.mean_on[alive], np.where(on, values, 0).sum(0)[alive] / on.sum(0)[alive])
    assert not alive[3]
    np.testing.assert_array_equal(np.isnan(summary.highest), ~alive)
    high, low = np.where(on, codes, -np.inf).max(0), np.where(on, codes, np.inf).min(0)
    np.testing.assert_array_equal(summary.highest[alive], high[alive])
    np.testing.assert_array_equal(summary.lowest[alive], low[alive])
    norms = np.arange(codes.shape[1])
    np.testing.assert_allclose(summary.energy(norms), (values**2).mean(0) * norms**2, rtol=1e-12)


@each(kind=["relu", "signed"], n_examples=[1, 12])
def test_the_strongest_rows_are_on_and_in_order(kind, n_examples):
    codes = make_codes(kind)
    strongest = summed(codes, 37, n_examples=n_examples).strongest
    for latent, values in enumerate(codes.T):
        order = np.argsort(-np.abs(values), kind="stable")
        order = order[values[order] != 0][:n_examples]
        rows, shown = strongest.of(latent)
        np.testing.assert_array_equal(rows, order)
        np.testing.assert_array_equal(shown, values[order])
    assert strongest.counts[3] == 0
    assert (strongest.rows[3] == -1).all()


def test_no_digit_depends_on_the_batches():
    codes, labels = make_codes("signed"), LABELS[np.arange(300) % 5]
    one, other = summed(codes, 300, labels), summed(codes, 7, labels)
    for name in ("counts", "sums", "squares", "highest", "lowest", "l0"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.histogram.counts, other.histogram.counts)
    np.testing.assert_array_equal(one.strongest.rows, other.strongest.rows)
    np.testing.assert_array_equal(one.labels.sums, other.labels.sums)


def test_labels_are_counted_and_rows_without_one_left_out():
    codes, labels = make_codes(), LABELS[np.arange(300) % 5]
    found = summed(codes, 64, labels).labels
    assert found.classes == ["a", "b", "c"]
    assert found.n_labelled == 180
    for i, label in enumerate(found.classes):
        some = codes[labels == label]
        assert found.n_rows[i] == len(some) == 60
        np.testing.assert_array_equal(found.fired[i], (some != 0).sum(0))
        np.testing.assert_allclose(found.sums[i], some.sum(0, dtype=np.float64))
    labelled = codes[[isinstance(label, str) for label in labels]]
    lift = found.rates / np.where((labelled != 0).any(0), (labelled != 0).mean(0), np.nan)
    np.testing.assert_allclose(found.lift, lift)


def test_a_latent_that_means_a_label_is_enriched_for_it():
    codes = np.zeros((100, 2), np.float32)
    labels = np.array(["x"] * 20 + ["y"] * 80, object)
    codes[2:20, 0], codes[90, 0], codes[3, 1] = 1, 1, 1
    labels_of = summed(codes, labels=labels).labels
    (best,) = labels_of.enriched(0)
    assert (best.label, best.count, best.n_rows) == ("x", 18, 20)
    assert best.rate == 0.9
    assert best.lift == pytest.approx(0.9 / 0.19)
    assert best.share == pytest.approx(18 / 19)
    fires, is_x = codes[:, 0] != 0, labels == "x"
    assert best.association == pytest.approx(np.corrcoef(fires, is_x)[0, 1])
    (once,) = labels_of.enriched(1)  # its lift is the largest there can be, its association is not
    assert once.lift == 5
    assert once.association < 0.25


def test_labels_of_two_types_have_an_order():
    summary = Summary(1)
    summary.update([[1.0], [1.0], [0.0]], labels=[3, "x", 3])
    assert summary.labels.classes == [3, "x"]


def test_bad_rows_are_refused():
    with pytest.raises(ValueError, match=r"\[update\] codes must have 3 columns, one per latent; got shape \(2, 2\)"):
        Summary(3).update(np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"labels must be one for each of 2 rows; got 3"):
        Summary(3).update(np.ones((2, 3)), labels=[1, 2, 3])
    none = np.zeros(0, np.int64)
    with pytest.raises(ValueError, match="at most 2 different ones for 16777216 latents"):
        LabelCounts(2**24).add(none, none, np.zeros(0), [1, 2, 3])


@each(kind=["relu", "signed"], scale=[1.0, 1e-30, 1e20])
def test_histograms_have_exact_edges_on_any_scale(kind, scale):
    codes = make_codes(kind) * np.float32(scale)
    histogram = summed(codes, 37).histogram
    for latent, values in enumerate(codes.T):
        edges = histogram.edges(latent)
        if not values.any():
            assert histogram.counts[latent].sum() == 0
            continue
        assert (np.diff(edges) > 0).all()
        assert edges[-1] > np.abs(values).max() >= edges[-2]
        assert edges[-1] / edges[-9] == pytest.approx(4)  # eight quarters of an octave
        for counts, sign in ((histogram.counts, 1), (histogram.negative, -1)):
            some = (sign * values)[sign * values > 0].astype(np.float64)
            expected = np.histogram(np.maximum(some, edges[0]), np.append(edges[:-1], np.nextafter(edges[-1], 0)))[0]
            if counts is None:
                assert kind == "relu"
                assert not some.size
            else:
                np.testing.assert_array_equal(counts[latent], expected)


def test_bins_move_when_a_larger_value_comes():
    first, second = Histogram(1), Histogram(1)
    values = np.float32([1e-6, 1, 1e6, 3e6])
    zeros = np.zeros(4, int)
    first.add(zeros, values)
    for value in values:
        second.add(zeros[:1], np.array([value]))
    np.testing.assert_array_equal(first.counts, second.counts)
    assert first.counts[0, 0] == 2  # what is too small for the bins is counted in the lowest


def test_quantiles_are_within_a_bin_of_the_exact_ones():
    values = np.random.default_rng(0).lognormal(0, 1, 5000).astype(np.float32)
    histogram = Histogram(2)
    histogram.add(np.zeros(5000, int), values)
    found = histogram.quantiles([0.2, 0.5, 0.8])
    np.testing.assert_allclose(found[0], np.quantile(values, [0.2, 0.5, 0.8]), rtol=0.02)
    assert np.isnan(found[1]).all()


@each(n=[1, 3], batch_size=[5, 2000], pending=[4, 10**6])
def test_the_best_are_kept_of_every_group(n, batch_size, pending, monkeypatch):
    monkeypatch.setattr("dsae.interpret._kept._LEAST_PENDING", pending)
    monkeypatch.setattr("dsae.interpret._kept._MOST_PENDING", pending)
    rng = np.random.default_rng(0)
    groups, rows = rng.integers(0, 9, 2000), np.arange(2000)
    values = rng.integers(1, 50, 2000).astype(np.float32)  # many ties
    kept = Kept(10, n)
    for start in range(0, 2000, batch_size):
        some = slice(start, start + batch_size)
        kept.add(groups[some], by_size(values[some]), rows[some], values[some])
    found = kept.result()
    for group in range(10):
        here = rows[groups == group]
        best = here[np.argsort(-values[here], kind="stable")][:n]
        np.testing.assert_array_equal(found.of(group)[0], best)
        np.testing.assert_array_equal(found.of(group)[1], values[best])


def test_chance_is_a_function_of_the_number_alone():
    numbers = np.arange(20_000)
    chosen = sampled(numbers, 20_000, 5000)
    assert 4700 < chosen.sum() < 5300
    np.testing.assert_array_equal(chosen[7000:], sampled(numbers[7000:], 20_000, 5000))
    assert sampled(numbers, 20_000, 20_000).all()
    assert 1000 < (chosen & sampled(numbers, 20_000, 5000, seed=1)).sum() < 1500
    shares = by_chance(numbers).astype(float) / 2**64
    assert abs(shares.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(shares[1:], shares[:-1])[0, 1]) < 0.05
