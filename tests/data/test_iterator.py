"""Rows that come once."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.covering import each, pairs

from dsae.data import Batch, IteratorSource

rng = np.random.default_rng(0)
X = rng.normal(size=(1000, 3)).astype(np.float32)


def pieces(X, sizes=(7, 64, 1, 20)):
    start = 0
    for size in itertools.cycle(sizes):
        if start >= X.shape[0]:
            return
        yield X[start : start + size]
        start += size


def endless():
    for i in itertools.count():
        yield np.full((10, 3), i, np.float32)


def all_rounds(source, batch_size):
    found = []
    while not source.exhausted:
        found.append(list(source.batches(batch_size, seed=len(found))))
    return found


@pairs(n_steps=[1, 7, 250, 1234], batch_size=[1, 3, 40], kind=["dense", "csr", "tensor"])
def test_every_row_comes_once_and_in_order_in_steps_of_one_size(n_steps, batch_size, kind):
    make = {"dense": np.asarray, "csr": sp.csr_matrix, "tensor": torch.tensor}[kind]
    source = IteratorSource("fit", map(make, pieces(X)), n_steps, batch_size)
    batches = [batch for found in all_rounds(source, batch_size) for batch in found]
    n = min(len(X), n_steps * batch_size)
    got = [batch.rows.toarray() if kind == "csr" else batch.rows for batch in batches]
    np.testing.assert_array_equal(np.concatenate(got), X[:n])
    np.testing.assert_array_equal(np.concatenate([batch.numbers for batch in batches]), np.arange(n))
    assert {batch.n_rows for batch in batches[:-1]} <= {batch_size}
    assert source.n_given == len(batches) == min(n_steps, -(-len(X) // batch_size))
    assert source.ended == (n_steps * batch_size > len(X))


@each(n_steps=[1, 99, 200, 260, 1001, 5051])
def test_an_iterator_without_an_end_gives_as_many_steps_as_were_asked_in_rounds(n_steps):
    source = IteratorSource("fit", endless(), n_steps, 2)
    rounds = all_rounds(source, 2)
    assert sum(map(len, rounds)) == n_steps
    assert len(rounds) == source.n_rounds
    assert max(map(len, rounds)) * 2 == len(source)


def test_no_more_is_read_than_a_step_needs():
    read = []
    source = IteratorSource("fit", (read.append(i) or batch for i, batch in enumerate(endless())), 4, 5)
    all_rounds(source, 5)
    assert len(read) == 2


def test_moments_are_those_of_the_first_rows_and_samples_of_the_newest():
    source = IteratorSource("fit", endless(), 10_000, 10)
    first = np.concatenate([batch for batch, _ in zip(endless(), range(820), strict=False)])
    np.testing.assert_allclose(source.moments()[0], first.mean(axis=0), rtol=1e-6)
    for _ in range(30):
        list(source.batches(10, seed=0))
    newest = source.sample(50, np.random.default_rng(0)).rows
    assert (newest >= 6000 - 16_384 / 10).all()
    again = np.concatenate([batch.rows for batch in source.batches(100)])
    assert again[-1, 0] == 5999
    assert len(again) <= 1 << 14


@each(
    {
        "batches, message": [
            ([], "gave none"),
            ([np.zeros((0, 3))], "gave none"),
            ([np.zeros((2, 3)), np.zeros((2, 4))], "must have 3 columns, as the first batch has"),
            ([np.zeros((2, 3)), np.full((2, 3), np.nan)], "must be finite"),
            ([np.zeros(3)], "must be 2-D"),
        ]
    }
)
def test_what_is_wrong_with_a_batch_is_said(batches, message):
    with pytest.raises(ValueError, match=message):
        all_rounds(IteratorSource("fit", batches, 10, 2), 2)


def test_targets_and_weights_stay_with_their_rows():
    given = [Batch.of(rows, target=-rows, weight=np.abs(rows[:, 0])) for rows in pieces(X)]
    batches = [batch for found in all_rounds(IteratorSource("fit", given, 40, 25), 25) for batch in found]
    assert sum(batch.n_rows for batch in batches) == 1000
    for batch in batches:
        np.testing.assert_array_equal(batch.target, -batch.rows)
        np.testing.assert_array_equal(batch.weight, np.abs(batch.rows[:, 0]))


def test_a_target_has_a_row_for_each():
    with pytest.raises(ValueError, match="target of a batch must be as many as its 5 rows; got 4"):
        IteratorSource("fit", [Batch.of(np.zeros((5, 3)), target=np.zeros((4, 3)))], 1, 5)
