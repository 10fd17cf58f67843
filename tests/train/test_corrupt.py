"""Noise and masks belong to rows and epochs: they are the same in any batch, from any source, after any restart."""

import re

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.arrays import native
from tests.covering import covering, each, pairs
from tests.train.runs import Killed, StoppedError, data, same, train

from dsae import DeepSparseAutoencoder, ops
from dsae.config import TrainConfig
from dsae.data import ArraySource, Batch, open_rows
from dsae.ops import SparseRows
from dsae.train import Checkpoints, _loop, _train_step
from dsae.train._corrupt import Corruption
from dsae.train._step import AutogradStep

RNG = np.random.default_rng(0)
N_ROWS, WIDTH = 60, 50
DENSE = (1 + RNG.random((N_ROWS, WIDTH))).astype(np.float32)
SPARSE = sp.csr_matrix(DENSE * (RNG.random((N_ROWS, WIDTH)) < 0.06))
ROWS = {"dense": DENSE, "csr": SPARSE}
MEAN, SPREAD = DENSE.mean(0), DENSE.std(0)


def corruption(mean=MEAN, spread=SPREAD, seed=0, **settings):
    return Corruption(TrainConfig(**settings), seed, mean, spread, torch.device("cpu"))


def written_out(x):
    return x.dense(torch.zeros(0)).numpy() if isinstance(x, SparseRows) else x.numpy()


def seen(batch, epoch=0, **settings):
    return written_out(corruption(**settings).part(batch, epoch).x)


@pairs(
    {"kind, noise": [("dense", 0.0), ("dense", 0.5), ("csr", 0.0)]}, mask=[0.0, 0.4, (0.1, 0.9)], rescale=[False, True]
)
def test_what_a_row_shows_depends_on_no_other_row(kind, noise, mask, rescale):
    """Nor on its place in the batch."""
    how = {"noise": noise, "mask": mask, "mask_rescale": rescale}
    source, order = ArraySource(ROWS[kind]), np.random.default_rng(1).permutation(N_ROWS)
    whole = seen(source.rows, **how)
    np.testing.assert_array_equal(seen(source.rows[order], **how), whole[order])
    for batch in source.batches(7, seed=3):
        np.testing.assert_array_equal(seen(batch, **how), whole[batch.numbers])
    for rank in range(3):
        for batch in source.batches(16, seed=3, rank=rank, world=3):
            np.testing.assert_array_equal(seen(batch, **how), whole[batch.numbers])
    if noise or mask:
        assert (seen(source.rows, epoch=1, **how) != whole).any()
        assert (seen(source.rows, seed=1, **how) != whole).any()


def test_rows_of_a_file_show_what_they_show_in_memory(tmp_path):
    np.save(tmp_path / "x.npy", DENSE)
    how = {"noise": 0.3, "mask": (0.0, 0.8)}
    whole = seen(ArraySource(DENSE).rows, **how)
    stream = open_rows(tmp_path / "x.npy")
    numbers = []
    for batch in stream.batches(16, seed=5):
        np.testing.assert_array_equal(seen(batch, **how), whole[batch.numbers])
        numbers += batch.numbers.tolist()
    assert sorted(numbers) == list(range(N_ROWS))


def test_a_sparse_row_hides_the_values_that_it_would_hide_written_out():
    how = {"mask": (0.2, 0.7), "mask_rescale": False, "mean": np.zeros(WIDTH, np.float32)}
    sparse, dense = (seen(Batch.of(rows), **how) for rows in (SPARSE, SPARSE.toarray()))
    np.testing.assert_array_equal(sparse, dense)


@pairs(kind=["dense", "csr"], mask=[0.3, (0.0, 0.8), (0.5, 0.5)])
def test_the_share_of_hidden_values_is_the_one_asked_for(kind, mask):
    rows = np.ones((400, 500), np.float32)
    rows = sp.csr_matrix(rows * (RNG.random(rows.shape) < 0.05)) if kind == "csr" else rows
    mean = np.zeros(500, np.float32)
    given = corruption(mean=mean, mask=mask, mask_rescale=False).part(Batch.of(rows), 0)
    stored = written_out(given.target) != 0
    hidden = 1 - (written_out(given.x) != 0).sum(1) / stored.sum(1)
    low, high = mask if isinstance(mask, tuple) else (mask, mask)
    assert hidden.mean() == pytest.approx((low + high) / 2, abs=0.03)
    slack = 0.12 if kind == "dense" else 0.5
    assert low - slack <= hidden.min()
    assert hidden.max() <= high + slack
    if low < high:
        assert np.ptp(hidden) > 0.6 * (high - low)


@each(kind=["dense", "csr"])
def test_the_target_is_the_whole_row(kind):
    given = corruption(mask=0.5).part(Batch.of(ROWS[kind]), 0)
    np.testing.assert_array_equal(written_out(given.target), written_out(ops.given_of(ROWS[kind]).x))
    assert not given.weighted


def test_sums_of_sparse_rows_stay_when_seen_values_are_rescaled():
    counts = SPARSE.copy()
    counts.data[:] = 1
    x = corruption(mask=0.5).part(Batch.of(counts), 0).x
    assert isinstance(x, SparseRows)
    assert x.values.size < 0.7 * counts.nnz
    sums, left = written_out(x).sum(1), np.diff(x.pattern.indptr) > 0
    np.testing.assert_allclose(sums[left], np.asarray(counts.sum(1)).ravel()[left], rtol=1e-6)


def test_a_hidden_value_is_the_mean_and_seen_ones_move_away_from_it():
    x = seen(Batch.of(DENSE), mask=0.5)
    hidden = np.isclose(x, MEAN, rtol=0, atol=1e-6)
    factor = WIDTH / (~hidden).sum(1, keepdims=True)
    np.testing.assert_allclose(x, np.where(hidden, MEAN, MEAN + factor * (DENSE - MEAN)), rtol=1e-5, atol=1e-5)
    plain = seen(Batch.of(DENSE), mask=0.5, mask_rescale=False)
    np.testing.assert_allclose(plain[~hidden], DENSE[~hidden], rtol=1e-6)


def test_noise_has_the_deviation_asked_for():
    rows = np.zeros((500, 400), np.float32)
    spread = np.linspace(1, 3, 400).astype(np.float32)
    noise = seen(Batch.of(rows), noise=0.5, mean=rows[0], spread=spread) / (0.5 * spread)
    assert abs(noise.mean()) < 0.01
    np.testing.assert_allclose(noise.std(0), 1, atol=0.2)
    assert (noise**4).mean() == pytest.approx(3, abs=0.1)
    products = np.corrcoef(noise.T) - np.eye(400)
    assert np.abs(products).max() < 0.3
    assert abs(products.mean()) < 0.002


@each(scale=[False, True])
def test_noise_is_in_units_of_the_datas_spread(scale):
    seen_by = []

    class Looking(AutogradStep):
        def gradients(self, given):
            seen_by.append((given.x - given.target).numpy())
            return super().gradients(given)

    X = (data(400) + 1) * np.geomspace(0.1, 100, 14)[RNG.permutation(14)].astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_train_step, "step_for", Looking)
        train(rows=X, noise=0.5, scale=scale, max_iter=2)
    found, deviation = np.concatenate(seen_by).std(0), X.std(0)
    np.testing.assert_allclose(found, 0.5 * (deviation if scale else np.sqrt((deviation**2).mean())), rtol=0.15)


@each(kind=["dense", "csr"])
def test_emphasis_weighs_what_is_hidden(monkeypatch, kind):
    monkeypatch.setattr(ops._rows, "DENSE_ABOVE", 2)
    rows = Batch.of(ROWS[kind])
    how = {"mask": 0.4, "mask_rescale": False, "mean": np.zeros(WIDTH, np.float32)}
    given = corruption(emphasis=3.0, **how).part(rows, 0)
    x, stored = written_out(given.x), written_out(given.target) != 0
    wanted = np.where(stored & (x == 0), 3, 1)
    weights = given.weights if kind == "dense" else given.with_weights(given.target).weights(torch.zeros(0))
    np.testing.assert_array_equal(weights.numpy(), wanted)
    assert given.size == wanted.sum()


def test_duplicates_in_a_sparse_row_are_one_value(monkeypatch):
    monkeypatch.setattr(ops._rows, "DENSE_ABOVE", 2)
    coo = SPARSE.tocoo()
    order = np.argsort(np.r_[coo.row, coo.row], kind="stable")
    values, columns = np.r_[coo.data / 2, coo.data / 2][order], np.r_[coo.col, coo.col][order]
    twice = sp.csr_matrix((values, columns, 2 * SPARSE.indptr), shape=SPARSE.shape)
    assert not twice.has_canonical_format
    for one, other in zip(
        *(vars(corruption(mask=0.4, emphasis=2.0).part(Batch.of(rows), 0)).items() for rows in (SPARSE, twice)),
        strict=True,
    ):
        if isinstance(one[1], SparseRows):
            np.testing.assert_array_equal(written_out(one[1]), written_out(other[1]))
        elif one[1] is not None:
            np.testing.assert_array_equal(one[1], other[1])


@native
@covering(
    {"kind, noise": [("dense", 0.0), ("dense", 0.5), ("csr", 0.0)]},
    mask=[0.3, (0.0, 0.8)],
    emphasis=[1.0, 0.5],
    schedule=["joint", "stagewise"],
    step=[3, 17],
)
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(tmp_path, kind, noise, mask, emphasis, schedule, step):
    how = {"noise": noise, "mask": mask, "emphasis": emphasis, "schedule": schedule, "max_iter": 8}
    how |= {"rows": ROWS[kind]}
    with pytest.raises(StoppedError):
        train(Killed(tmp_path / "run", step), **how)
    same(train(Checkpoints(tmp_path / "run"), **how), train(**how))


def test_a_mask_goes_on_in_pieces_as_in_one_run(tmp_path):
    settings = {"n_components": 4, "hidden_layer_sizes": (9,), "density": 0.3, "mask": 0.4, "noise": 0.2}
    whole = DeepSparseAutoencoder(**settings, random_state=0)
    for _ in range(3):
        whole.partial_fit(DENSE)
    pieces = DeepSparseAutoencoder(**settings, random_state=0).partial_fit(DENSE)
    for i in range(2):
        pieces = DeepSparseAutoencoder.load(pieces.save(tmp_path / str(i))).set_params(random_state=0)
        pieces.partial_fit(DENSE)
    np.testing.assert_array_equal(whole.transform(DENSE), pieces.transform(DENSE))


@each(kind=["dense", "csr"])
def test_validation_rows_are_whole(monkeypatch, kind):
    taken = {True: [], False: []}
    objective_of = _loop.objective_of

    class Looking(AutogradStep):
        def gradients(self, given):
            taken[True].append(given.target is None)
            return super().gradients(given)

    monkeypatch.setattr(_train_step, "step_for", Looking)
    monkeypatch.setattr(
        _loop, "objective_of", lambda r, s, e, g: taken[False].append(g.target is None) or objective_of(r, s, e, g)
    )
    train(rows=ROWS[kind], validation=ROWS[kind], early_stopping=True, mask=0.5, max_iter=2)
    assert not any(taken[True])
    assert all(taken[False])
    assert taken[False]


def test_no_batch_of_sparse_rows_is_written_out(monkeypatch):
    def refuse(self, *given):
        raise AssertionError("a batch was written out")

    monkeypatch.setattr(SparseRows, "dense", refuse)
    for schedule in ("joint", "stagewise"):
        for emphasis in (1.0, 2.0):
            train(rows=SPARSE, mask=(0.0, 0.8), emphasis=emphasis, schedule=schedule, max_iter=6)


def test_without_noise_and_mask_rows_are_given_as_they_are():
    for rows in ROWS.values():
        given = corruption().part(Batch.of(rows), 0)
        assert given.target is given.known is given.weight is None
        numbers, own = (given.x.values, rows.data) if sp.issparse(rows) else (given.x.numpy(), rows)
        assert np.shares_memory(numbers, own)


@each(verb=["fit", "partial_fit"])
def test_noise_on_sparse_rows_is_refused(verb):
    dsa = DeepSparseAutoencoder(4, noise=0.5)
    with pytest.raises(ValueError, match=re.escape(f"[{verb}] noise must be 0 for sparse rows") + ".*Use mask"):
        getattr(dsa, verb)(SPARSE)


@each(
    {
        "settings, message": [
            ({"noise": -1}, "noise must be a number in [0, inf); got -1."),
            ({"mask": 1.0}, "mask must be a number in [0, 1); got 1.0."),
            (
                {"mask": (0.5, 0.2)},
                "mask must be a share, or a pair (low, high) of them, the lower first; got (0.5, 0.2).",
            ),
            ({"mask": (0.1, 0.2, 0.3)}, "mask must be a share, or a pair (low, high) of them; got (0.1, 0.2, 0.3)."),
            ({"mask": "half"}, "mask must be a number in [0, 1); got 'half'."),
            ({"mask": (-0.1, 0.5)}, "every share in mask must be a number in [0, 1); got -0.1."),
            ({"mask_rescale": "no"}, "mask_rescale must be True or False; got 'no'."),
            ({"mask": 0.5, "emphasis": -2}, "emphasis must be a number in [0, inf); got -2."),
            ({"emphasis": 2.0}, "emphasis weighs masked values and needs mask above 0; got emphasis=2.0."),
        ]
    }
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        DeepSparseAutoencoder(4, **settings).fit(DENSE)


def test_emphasis_is_of_values_that_are_predicted():
    with pytest.raises(ValueError, match="emphasis weighs masked values of rows that are their own target"):
        DeepSparseAutoencoder(4, mask=0.5, emphasis=2.0).fit(DENSE, target=DENSE[:, ::-1])


def test_settings_are_kept_in_the_model_folder(tmp_path):
    dsa = DeepSparseAutoencoder(4, mask=[0.1, np.float32(0.5)], emphasis=2, max_iter=1).fit(DENSE)
    loaded = DeepSparseAutoencoder.load(dsa.save(tmp_path / "model"))
    assert list(loaded.mask) == [0.1, 0.5]
    assert loaded.emphasis == 2
    loaded.fit(DENSE)
