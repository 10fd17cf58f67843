"""A batch keeps together what belongs to its rows, and what is drawn for a row depends on the row alone."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each
from tests.data.samples import dense

from dsae.data import Batch, Field, Part, draws


def batch_of(n_rows, first=0):
    numbers = np.arange(first, first + n_rows)
    rows = np.repeat(numbers[:, None], 3, axis=1).astype(np.float32)
    parts = {"image": rows, "words": sp.csr_matrix(rows)}
    present = {"words": numbers % 2 == 0}
    return Batch(
        parts, numbers, present, ids=numbers.astype(str), target=sp.csr_matrix(rows), known=rows > 3, weight=rows[:, 0]
    )


def check(batch):
    """Every member tells the rows' numbers."""
    for values in (*batch.parts.values(), batch.target):
        np.testing.assert_array_equal(dense(values)[:, 0], batch.numbers)
    np.testing.assert_array_equal(batch.present["words"], batch.numbers % 2 == 0)
    np.testing.assert_array_equal(batch.ids, batch.numbers.astype(str))
    np.testing.assert_array_equal(batch.known[:, 0], batch.numbers > 3)
    np.testing.assert_array_equal(batch.weight, batch.numbers)
    assert batch.labels is None


@each(chosen=[slice(2, 5), slice(3, 3), np.array([6, 0, 1]), np.arange(7) % 3 == 0])
def test_what_is_chosen_takes_all_that_belongs_to_it(chosen):
    batch = batch_of(7)[chosen]
    np.testing.assert_array_equal(batch.numbers, np.arange(7)[chosen])
    assert batch.n_rows == len(batch.numbers)
    check(batch)


def test_stacked_batches_are_one_after_another():
    batch = Batch.stack([batch_of(3), batch_of(0, 3), batch_of(2, 3)])
    np.testing.assert_array_equal(batch.numbers, np.arange(5))
    check(batch)


def test_only_a_plain_table_has_rows():
    with pytest.raises(ValueError, match=r"several parts.*take one of image, words"):
        batch_of(2).rows  # noqa: B018
    rows = np.ones((2, 3), np.float32)
    assert Batch.of(rows).rows is rows


def test_draws_depend_on_seed_epoch_and_row_alone():
    numbers = np.random.default_rng(0).permutation(1000)
    found = draws(numbers, 5, 2)
    np.testing.assert_array_equal(found, draws(np.arange(1000), 5, 2)[numbers])
    np.testing.assert_array_equal(found[10:20], draws(numbers[10:20], 5, 2))
    others = [draws(numbers, seed, epoch) for seed, epoch in ((5, 3), (6, 2), (5, 0), (2, 5))]
    assert all(abs(np.corrcoef(found, other)[0, 1]) < 0.2 for other in others)
    assert ((found >= 0) & (found < 1)).all()
    assert 0.45 < found.mean() < 0.55


@each(
    {
        "make, message": [
            (lambda: Field("image", 0, 4, (3, 2)), r"Field 'image' must have a shape of as many values as columns 0:4"),
            (lambda: Field("image", 2, 2), "as many values"),
            (
                lambda: Part("dense", 3, fields=(Field("image", 0, 4),)),
                "Field 'image' must end within 3 columns; got 4",
            ),
            (lambda: Part("dense", 3, ["a"]), "must hold 3 names, one per column; got 1"),
            (lambda: Part("ragged", 3), "kind must be 'dense' or 'csr'; got 'ragged'"),
        ]
    }
)
def test_parts_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
