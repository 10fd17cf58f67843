"""A topology is a set of edges; every operation on it is that operation on a mask."""

import itertools

import numpy as np
import pytest
import scipy.stats
from tests.arrays import LAYERS
from tests.covering import each, pairs

from dsae.topology import Layer, Rewiring, Topology, erdos_renyi, inactive_edges, promising_edges, weakest

SHAPES = [(1, 1), (1, 7), (40, 129), (0, 4), (4, 0)]
DENSITIES = [0.0, 0.3, 1.0]
WIDE = {"shape, density": [*LAYERS["shape, density"], ((1, 7), 0.3), ((3, 5000), 0.3)]}


def make_mask(shape, density, seed=0):
    return np.random.default_rng(seed).random(shape) < density


def mask_of(topology):
    mask = np.zeros(topology.shape, bool)
    mask[topology.rows, topology.indices] = True
    return mask


def is_well_formed(topology):
    n_out, n_in = topology.shape
    assert topology.indptr.dtype == topology.indices.dtype == np.int32
    assert topology.indptr.shape == (n_out + 1,)
    assert topology.indptr[0] == 0
    assert topology.indptr[-1] == topology.nnz
    assert np.all(np.diff(topology.flat) > 0)
    assert topology.nnz == 0 or topology.indices.max() < n_in
    return True


@each(shape=SHAPES)
def test_a_mask_comes_back(shape):
    for density in DENSITIES:
        mask = make_mask(shape, density)
        topology = Topology.from_mask(mask)
        assert is_well_formed(topology)
        np.testing.assert_array_equal(mask_of(topology), mask)
        assert topology.nnz == mask.sum()
        assert topology.size == mask.size
        assert topology.is_full == mask.all()
        assert topology.density == (mask.mean() if mask.size else 1.0)


@each(shape=SHAPES)
def test_edges_in_any_order_are_the_same_topology(shape):
    for density in DENSITIES:
        mask = make_mask(shape, density)
        rows, cols = np.nonzero(mask)
        order = np.random.default_rng(1).permutation(rows.size)
        topology = Topology.from_edges(shape, rows[order], cols[order])
        assert is_well_formed(topology)
        np.testing.assert_array_equal(mask_of(topology), mask)


@each(shape=SHAPES)
def test_full_and_empty(shape):
    full, empty = Topology.full(shape), Topology.empty(shape)
    assert is_well_formed(full)
    assert is_well_formed(empty)
    assert full.is_full
    assert mask_of(full).all()
    assert empty.nnz == 0


@each(shape=SHAPES)
def test_the_transpose_is_the_masks_and_knows_its_slots(shape):
    for density in DENSITIES:
        mask = make_mask(shape, density)
        topology = Topology.from_mask(mask)
        transposed, slots = topology.transpose
        assert is_well_formed(transposed)
        assert transposed.shape == shape[::-1]
        np.testing.assert_array_equal(mask_of(transposed), mask.T)
        np.testing.assert_array_equal(topology.rows[slots], transposed.indices)
        np.testing.assert_array_equal(topology.indices[slots], transposed.rows)
        assert topology.transpose[0] is transposed


@pairs(LAYERS)
def test_rewiring_is_set_arithmetic(shape, density):
    for dropped, grown in itertools.product((0.0, 0.4, 1.0), (0.0, 0.3, 1.0)):
        mask, rng = make_mask(shape, density), np.random.default_rng(2)
        drop_mask = mask & (rng.random(shape) < dropped)
        grow_mask = (~mask | drop_mask) & (rng.random(shape) < grown)

        rewiring = Topology.from_mask(mask).rewire(drop_mask[mask], Topology.from_mask(grow_mask))

        new = rewiring.new
        assert is_well_formed(new)
        np.testing.assert_array_equal(mask_of(new), (mask & ~drop_mask) | grow_mask)
        weights = rng.normal(size=shape).astype(np.float32)
        moved = rewiring.move(weights[mask])
        assert moved.dtype == np.float32
        np.testing.assert_array_equal(moved, np.where(grow_mask, 0, weights)[mask_of(new)])


def test_rewiring_without_growth_only_drops():
    topology = Topology.from_mask(make_mask((5, 8), 0.5))
    drop = np.arange(topology.nnz) % 3 == 0
    rewiring = topology.rewire(drop)
    np.testing.assert_array_equal(rewiring.source, np.flatnonzero(~drop))


def test_an_edge_dropped_and_grown_at_once_counts_as_new():
    topology = Topology.full((2, 2))
    rewiring = topology.rewire(np.array([True, False, False, False]), Topology.from_mask([[1, 0], [0, 0]]))
    assert rewiring.source.tolist() == [-1, 1, 2, 3]
    assert rewiring.move(np.ones(4, np.float32)).tolist() == [0, 1, 1, 1]


def test_a_rewiring_reads_nothing_beyond_the_old_slots():
    topology = Topology.full((1, 3))
    rewiring = Rewiring(topology, topology, np.array([0, -5, 3], np.int32))
    assert rewiring.move(np.ones(3, np.float32)).tolist() == [1, 0, 0]


def dead_share(topology, share):
    return round(share * (topology.size - topology.nnz))


@pairs(WIDE)
def test_drawn_edges_are_inactive_distinct_repeatable_and_as_many_as_requested(shape, density):
    for share in (0.0, 0.001, 0.3, 1.0):
        topology = Topology.from_mask(make_mask(shape, density))
        n = dead_share(topology, share)
        drawn = inactive_edges(topology, n, np.random.default_rng(3))
        assert is_well_formed(drawn)
        assert drawn.nnz == n
        assert not (mask_of(drawn) & mask_of(topology)).any()
        again = inactive_edges(topology, n, np.random.default_rng(3))
        np.testing.assert_array_equal(again.indptr, drawn.indptr)
        np.testing.assert_array_equal(again.indices, drawn.indices)
        assert inactive_edges(topology, topology.size + 1, np.random.default_rng(3)).nnz == topology.size - topology.nnz


def test_another_seed_draws_other_edges():
    topology, rng = Topology.from_mask(make_mask((40, 129), 0.3)), np.random.default_rng(3)
    one, other = inactive_edges(topology, 500, rng), inactive_edges(topology, 500, rng)
    assert 0 < (mask_of(one) & mask_of(other)).sum() < 250


@pairs(shape=[(6, 11), (3, 300), (50, 2)], n=[1, 5, 60])
def test_every_dead_edge_and_every_pair_of_them_is_equally_likely(shape, n):
    """Chi-squared over edges, over the pair of an edge and its next, and over the number in the first row."""
    rng = np.random.default_rng(0)
    mask = np.zeros(shape, bool)
    mask[:2] = rng.random((2, shape[1])) < 0.5
    topology, dead = Topology.from_mask(mask), np.flatnonzero(~mask)
    n, repeats = min(n, dead.size - 1), 4000
    drawn = np.array([mask_of(inactive_edges(topology, n, rng)).flat[dead] for _ in range(repeats)])
    share = n / dead.size
    assert is_chance(drawn.sum(0), repeats * share, repeats * share * (1 - share))
    both = share * (n - 1) / (dead.size - 1)
    assert is_chance((drawn[:, :-1] & drawn[:, 1:]).sum(0), repeats * both, repeats * both * (1 - both))
    n_first = int((~mask[0]).sum())
    law = scipy.stats.hypergeom(dead.size, n_first, n)
    in_first = np.cumsum(np.bincount(drawn[:, :n_first].sum(1), minlength=n_first + 1)) / repeats
    assert np.abs(in_first - law.cdf(np.arange(n_first + 1))).max() < 2 / np.sqrt(repeats)


def is_chance(counts, mean, variance):
    """Whether the squared distances from the mean are what chance makes them, within five standard errors."""
    if variance == 0:
        return np.all(counts == mean)
    spread = ((counts - mean) ** 2).mean() / variance
    return abs(spread - 1) < 5 * np.sqrt(3 / counts.size) and abs(counts.mean() - mean) < 5 * np.sqrt(variance)


@pairs(WIDE)
def test_promising_edges_are_dead_and_have_the_largest_products(shape, density):
    for share in (0.0, 0.1, 0.5, 1.0):
        topology, rng = Topology.from_mask(make_mask(shape, density)), np.random.default_rng(5)
        rows, cols = (np.exp(rng.normal(0, 2, size)).astype(np.float32) for size in shape)
        rows[rng.random(rows.size) < 0.2] = 0
        cols[rng.random(cols.size) < 0.2] = 0
        n = round(share * topology.size)
        found = promising_edges(topology, rows, cols, n)
        assert is_well_formed(found)
        product, live, chosen = rows[:, None] * cols.astype(np.float64), mask_of(topology), mask_of(found)
        assert not (chosen & live).any()
        assert (product[chosen] > 0).all()
        assert chosen.sum() <= n
        left_out = product[~live & ~chosen].max(initial=0)
        above = product > left_out * 2 ** (2 / 64)
        np.testing.assert_array_equal(chosen & above, ~live & above)
        if share == 1:
            np.testing.assert_array_equal(chosen, ~live & (product > 0))
        elif topology.size > 1000 and density < 1:
            assert chosen.sum() + live[product >= product[chosen].min(initial=np.inf)].sum() > min(0.9 * n, n - 100)


@each(norm=[0.0, 1e-45, 1.0, 3e38, np.inf, np.nan])
def test_norms_of_any_size_can_be_compared(norm):
    norms = np.array([1, norm], np.float32)
    found = promising_edges(Topology.empty((2, 2)), norms, norms, 4)
    assert found.nnz == (4 if norm > 0 else 1)


@each(size=[1, 2, 7, 1000])
def test_the_weakest_are_the_first_of_a_stable_sort(size):
    for share, levels in itertools.product((0.0, 0.3, 0.5, 1.0), (1, 3, 10**6)):
        rng = np.random.default_rng(4)
        scores = (rng.integers(-levels, levels + 1, size) / 3).astype(np.float32)
        scores[rng.random(size) < 0.1] = rng.choice(np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42]))
        n = round(share * size)
        np.testing.assert_array_equal(
            np.flatnonzero(weakest(scores, n)), np.sort(np.argsort(scores, kind="stable")[:n])
        )


def test_an_update_leaves_nothing_behind_on_the_topologies():
    topology = Topology.from_mask(make_mask((40, 129), 0.3))
    bare = set(topology.__dict__)
    grown = inactive_edges(topology, 100, np.random.default_rng(0))
    rewiring = topology.rewire(weakest(np.ones(topology.nnz, np.float32), 100), grown)
    assert set(topology.__dict__) == set(rewiring.new.__dict__) == set(grown.__dict__) == bare


def test_a_topology_cannot_be_written_into():
    topology = Topology.full((2, 2))
    with pytest.raises(ValueError, match="read-only"):
        topology.indices[0] = 1


@each(
    {
        "make, message": [
            (lambda: Topology.from_mask(np.ones(3)), "Expected a 2-D mask"),
            (lambda: Topology.from_edges((2, 2), np.array([2]), np.array([0])), r"inside shape \(2, 2\)"),
            (lambda: Topology.from_edges((2, 2), np.array([0]), np.array([-1])), r"inside shape \(2, 2\)"),
            (lambda: Topology.from_edges((2, 2), np.array([0, 0]), np.array([1, 1])), "given twice"),
            (lambda: Topology.full((2**16, 2**15)), r"more than 2\*\*31 - 1 weights; lower density"),
        ]
    }
)
def test_what_is_no_topology_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_layer_is_a_matrix():
    mask = make_mask((4, 6), 0.5)
    weights = np.where(mask, np.random.default_rng(0).normal(size=mask.shape), 0).astype(np.float32)
    layer = Layer(Topology.from_mask(mask), weights[mask], np.zeros(4, np.float32))
    np.testing.assert_array_equal(layer.to_dense(), weights)
    np.testing.assert_array_equal(layer.to_csr().toarray(), weights)


@each(
    shapes=[
        [(5, 8)],
        [(1000, 784), (30, 1000)],
        [(1, 1), (1, 9), (300, 200)],
        [(2, 2)] * 7,
        [(1024, 784), (256, 1024), (32, 256), (256, 32), (1024, 256), (784, 1024)],
    ]
)
def test_erdos_renyi_gives_the_density_promised_and_no_layer_more_than_it_holds(shapes):
    sizes = [n_out * n_in for n_out, n_in in shapes]
    for density in (1e-6, 0.05, 1 / 3, 0.9, 1.0):
        counts = erdos_renyi(shapes, density)
        assert sum(counts) == round(density * sum(sizes))
        assert all(0 <= count <= size for count, size in zip(counts, sizes, strict=True))


def test_erdos_renyi_keeps_small_layers_denser():
    wide, narrow = erdos_renyi([(1000, 784), (30, 1000)], 0.05)
    assert narrow / 30_000 > 5 * wide / 784_000


@each(
    {
        "indptr, indices, message": [
            ([0, 1, 2], [0, 2**30], "inside shape"),
            ([0, 1, 2], [0, -1], "inside shape"),
            ([0, 2, 2], [1, 1], "rise strictly within each row"),
            ([0, 2, 2], [2, 0], "rise strictly within each row"),
            ([0, 2, 1], [0, 1], "indptr must have 3 numbers that rise from 0 to 2"),
            ([0, 2], [0, 1], "indptr must have 3 numbers"),
            ([0, 1, 3], [0, 1], "indptr must have 3 numbers"),
        ]
    }
)
def test_edges_that_kernels_could_not_follow_are_refused(indptr, indices, message):
    with pytest.raises(ValueError, match=message):
        Topology((2, 3), np.array(indptr), np.array(indices))


def test_empty_rows_and_falling_indices_across_rows_are_fine():
    topology = Topology((5, 3), np.array([0, 0, 2, 2, 3, 3]), np.array([1, 2, 0]))
    assert topology.nnz == 3


def test_a_topology_does_not_lock_its_callers_arrays():
    indptr, indices = np.array([0, 1], np.int32), np.array([0], np.int32)
    Topology((1, 1), indptr, indices)
    indices[0] = 0


def test_growing_what_lives_is_refused():
    topology = Topology.from_mask([[1, 0, 1]])
    with pytest.raises(ValueError, match="an edge may appear once"):
        topology.rewire(np.zeros(2, bool), Topology.from_mask([[1, 0, 0]]))
    with pytest.raises(ValueError, match=r"\[rewire\] grown must have shape \(1, 3\); got \(3, 1\)"):
        topology.rewire(np.zeros(2, bool), Topology.empty((3, 1)))
