"""Ranking metrics are their definitions, and the first items are those of a full sort."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae.metrics import largest, ndcg_at_k, ranking, recall_at_k, without


@each(width=[1, 5, 63, 64, 65, 700, 5000], n=[1, 3, 20], ties=[False, True], n_rows=[1, 7])
def test_the_largest_are_those_of_a_stable_sort(width, n, ties, n_rows):
    n = min(n, width)
    rng = np.random.default_rng(0)
    scores = rng.integers(-2, 3, (n_rows, width)).astype(np.float32) if ties else rng.normal(size=(n_rows, width))
    scores[:, rng.permutation(width)[: (width - n) // 3]] = -np.inf
    columns, values = largest(scores, n)
    wanted = np.argsort(-scores, axis=1, kind="stable")[:, :n]
    np.testing.assert_array_equal(columns, wanted)
    np.testing.assert_array_equal(values, np.take_along_axis(scores, wanted, axis=1))


def plain_recall(items, truth, k):
    wanted = set(np.flatnonzero(truth))
    return len(wanted & set(items[:k].tolist())) / min(k, len(wanted)) if wanted else np.nan


def plain_ndcg(items, truth, k):
    wanted = set(np.flatnonzero(truth))
    gain = sum(1 / np.log2(place + 2) for place, item in enumerate(items[:k].tolist()) if item in wanted)
    ideal = sum(1 / np.log2(place + 2) for place in range(min(k, len(wanted))))
    return gain / ideal if wanted else np.nan


@each(k=[1, 4, 10], form=[np.asarray, sp.csr_matrix, sp.coo_matrix])
def test_recall_and_ndcg_are_their_definitions(k, form):
    rng = np.random.default_rng(1)
    truth = (rng.random((30, 12)) < 0.3).astype(np.float32)
    truth[3] = 0
    items = np.stack([rng.permutation(12)[:10] for _ in truth])
    for metric, plain in ((recall_at_k, plain_recall), (ndcg_at_k, plain_ndcg)):
        wanted = [plain(row, held_out, k) for row, held_out in zip(items, truth, strict=True)]
        np.testing.assert_allclose(metric(items, form(truth), k), wanted)
        assert np.isnan(metric(items, form(truth), k)[3])


def test_stored_zeros_are_no_held_out_items():
    truth = sp.csr_matrix(np.float32([[1, 1, 0]]))
    truth.data[0] = 0
    assert recall_at_k(np.array([[0]]), truth, 1) == 0
    assert recall_at_k(np.array([[1]]), truth, 1) == 1


def test_a_perfect_ranking_scores_one_and_seen_items_are_passed_over():
    rng = np.random.default_rng(2)
    all_items = rng.random((50, 40)) < 0.3
    seen = all_items & (rng.random((50, 40)) < 0.5)
    held_out = all_items & ~seen
    found = ranking(
        lambda rows: all_items[: rows.shape[0]], sp.csr_matrix(seen), sp.csr_matrix(held_out), 5, rows_at_once=50
    )
    assert found["recall@5"] == found["ndcg@5"] == 1
    assert found["n_rows"] == (held_out.sum(axis=1) > 0).sum()
    part = held_out & (np.arange(40) % 2 == 0)
    asked = part.any(axis=1)  # whose rows alone a model is given
    rows = [sp.csr_matrix(items[asked]) for items in (seen, part, held_out & ~part)]
    left = ranking(lambda some: all_items[asked][: some.shape[0]], *rows[:2], 5, exclude=rows[2], rows_at_once=50)
    assert left["recall@5"] == left["ndcg@5"] == 1
    assert left["n_rows"] == asked.sum() < 50


def test_batches_change_nothing():
    rng = np.random.default_rng(3)
    X, held_out = (sp.csr_matrix(rng.random((40, 30)) < 0.2) for _ in range(2))
    W = rng.normal(size=(30, 30))
    for exclude in (None, sp.csr_matrix(rng.random((40, 30)) < 0.3)):
        how = {"k": 5, "exclude": exclude}
        whole, pieces = (ranking(lambda rows: rows @ W, X, held_out, rows_at_once=n, **how) for n in (1000, 7))
        assert whole == pytest.approx(pieces)


def test_excluded_items_have_no_score():
    scores = without(np.ones((2, 3)), sp.csr_matrix([[1, 0, 0], [0, 0, 0]]), None, sp.csr_matrix([[0, 0, 1]]))
    np.testing.assert_array_equal(np.isinf(scores), [[True, False, True], [False, False, True]])


@each(
    {
        "call, error, message": [
            (
                lambda: recall_at_k(np.zeros((2, 3), int), np.zeros((3, 4))),
                ValueError,
                "[recall_at_k] items must have 3 rows",
            ),
            (
                lambda: ndcg_at_k(np.zeros((3, 3), int), np.zeros((3, 4)), 4),
                ValueError,
                "at least k=4 items; got shape (3, 3)",
            ),
            (lambda: recall_at_k(np.array([["a"]]), np.zeros((1, 4)), 1), TypeError, "Use names=False."),
            (
                lambda: ranking(None, np.eye(3), np.eye(4)),
                ValueError,
                "[ranking] held_out must have the shape of X, (3, 3)",
            ),
            (lambda: ranking(None, np.eye(3), np.zeros((3, 3))), ValueError, "[ranking] held_out must have items"),
        ]
    }
)
def test_bad_calls_say_what_was_expected(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
