"""A topology of blocks is a topology of their edges, of which a group of rows has the same."""

import copy
import pickle

import numpy as np
import pytest
from tests.covering import each, pairs

from dsae.topology import (
    Layer,
    Topology,
    inactive_edges,
    promising_edges,
    random_topology,
    weakest,
    weakest_blocks,
)

SHAPES = [(1, 1), (3, 7), (8, 7), (40, 129), (45, 33), (0, 4), (4, 0)]
DENSITIES = [0.0, 0.3, 1.0]
SIZES = [4, 8]


def make(shape, density, block_size, seed=0):
    n_groups = -(-shape[0] // block_size)
    mask = np.random.default_rng(seed).random((n_groups, shape[1])) < density
    mask = np.repeat(mask, block_size, axis=0)[: shape[0]]
    return Topology.from_mask(mask, block_size), mask


def mask_of(topology):
    mask = np.zeros(topology.shape, bool)
    mask[topology.rows, topology.cols] = True
    return mask


@pairs(shape=SHAPES, density=DENSITIES, block_size=SIZES)
def test_a_mask_comes_back(shape, density, block_size):
    topology, mask = make(shape, density, block_size)
    np.testing.assert_array_equal(mask_of(topology), mask)
    assert topology.nnz == topology.rows.size == mask.sum()
    assert topology.density == (mask.mean() if mask.size else 1.0)
    assert topology.is_full == mask.all()
    assert np.unique(topology.flat).size == topology.nnz
    np.testing.assert_array_equal(topology.fan_in, mask.sum(1))
    per_group = np.add.reduceat(mask.sum(1), np.arange(0, shape[0], block_size)) if shape[0] else []
    np.testing.assert_array_equal(np.diff(topology.starts), per_group)


def test_a_block_is_active_where_any_of_its_edges_is():
    mask = np.zeros((9, 3), bool)
    mask[[1, 5, 8], [0, 2, 1]] = True
    np.testing.assert_array_equal(
        mask_of(Topology.from_mask(mask, 4)), np.repeat([[1, 0, 0], [0, 0, 1], [0, 1, 0]], [4, 4, 1], axis=0)
    )


@pairs(shape=SHAPES, block_size=SIZES)
def test_full_and_empty(shape, block_size):
    full, empty = Topology.full(shape, block_size), Topology.empty(shape, block_size)
    assert full.is_full
    assert mask_of(full).all()
    assert not full.is_matrix or not full.size
    assert empty.nnz == 0
    assert Topology.full(shape).is_matrix


@pairs(shape=SHAPES, density=DENSITIES, block_size=SIZES)
def test_edges_one_by_one_and_their_transpose_know_their_slots(shape, density, block_size):
    topology, mask = make(shape, density, block_size)
    edges, slots = topology.edges
    np.testing.assert_array_equal(mask_of(edges), mask)
    np.testing.assert_array_equal(topology.flat[slots], edges.flat)
    assert edges.edges[0] is edges
    transposed, slots = topology.transpose
    np.testing.assert_array_equal(mask_of(transposed), mask.T)
    np.testing.assert_array_equal(topology.rows[slots], transposed.cols)
    np.testing.assert_array_equal(topology.cols[slots], transposed.rows)


@pairs(shape=SHAPES, density=DENSITIES, block_size=SIZES, dropped=[0.0, 0.4, 1.0], grown=[0.0, 0.5])
def test_rewiring_is_set_arithmetic(shape, density, block_size, dropped, grown):
    topology, mask = make(shape, density, block_size)
    rng = np.random.default_rng(1)
    drop = rng.random(topology.n_blocks) < dropped
    new_blocks = inactive_edges(topology, round(grown * (topology.size - topology.nnz)), rng)
    rewiring = topology.rewire(drop, new_blocks)
    gone = topology.like(*topology.rewire(~drop).new.__reduce__()[1][1:3])
    np.testing.assert_array_equal(mask_of(rewiring.new), (mask & ~mask_of(gone)) | mask_of(new_blocks))
    kept = rewiring.source >= 0
    np.testing.assert_array_equal(topology.flat[rewiring.source[kept]], rewiring.new.flat[kept])
    assert np.isin(rewiring.new.flat[~kept], new_blocks.flat).all()
    assert kept.sum() == topology.nnz - gone.nnz
    values = rng.random(topology.nnz, dtype=np.float32)
    moved = rewiring.move(values)
    np.testing.assert_array_equal(moved[kept], values[rewiring.source[kept]])
    assert not moved[~kept].any()


@pairs(shape=[(40, 33), (45, 33), (3, 50)], block_size=[1, *SIZES], share=[0.0, 0.1, 0.5, 1.0])
def test_the_number_of_edges_is_right_to_one_block(shape, block_size, share):
    rng = np.random.default_rng(0)
    topology = random_topology(shape, 0.3, rng, block_size)
    assert abs(topology.nnz - 0.3 * topology.size) < block_size
    n = round(share * (topology.size - topology.nnz))
    drawn = inactive_edges(topology, n, rng)
    assert abs(drawn.nnz - n) < block_size
    assert topology.joined(drawn).nnz == topology.nnz + drawn.nnz
    n = round(share * topology.nnz)
    scores = rng.random(topology.nnz, dtype=np.float32)
    assert abs(topology.nnz - topology.rewire(weakest_blocks(topology, scores, n)).new.nnz - n) < block_size


def test_the_weakest_blocks_have_the_smallest_sums():
    topology = Topology.full((10, 3), 4)
    scores = np.arange(topology.nnz, 0, -1, dtype=np.float32)
    chosen = weakest_blocks(topology, scores, 10)
    sums = [part.sum(1) for part in topology.by_block(scores)]
    np.testing.assert_array_equal(topology.block_scores(scores), np.concatenate([sums[0], 2 * sums[1]]))
    np.testing.assert_array_equal(chosen, [False] * 5 + [True] * 4)  # three blocks of two edges, one of four
    single = random_topology((10, 30), 0.4, np.random.default_rng(0))
    scores = np.random.default_rng(1).random(single.nnz, dtype=np.float32)
    np.testing.assert_array_equal(weakest_blocks(single, scores, 30), weakest(scores, 30))


@pairs(shape=[(40, 60), (45, 33)], block_size=SIZES, share=[0.05, 0.5, 1.0])
def test_promising_blocks_are_inactive_and_have_the_largest_sums_of_products(shape, block_size, share):
    topology, mask = make(shape, 0.3, block_size)
    rng = np.random.default_rng(2)
    out, into = rng.random(shape[0], dtype=np.float32), rng.random(shape[1], dtype=np.float32)
    found = promising_edges(topology, out, into, round(share * topology.size))
    assert found.block_size == block_size
    assert not (mask_of(found) & mask).any()
    products = topology.group_sums(out)[:, None] * into
    inactive = ~mask[::block_size]
    chosen = mask_of(found)[::block_size]
    if (inactive & ~chosen).any() and chosen.any():
        # compared in 64ths of an octave, each factor rounded down
        assert products[chosen].min() * 2 ** (2 / 64) >= products[inactive & ~chosen].max()


@pairs(shape=SHAPES, block_size=SIZES, into=[1, 4, 8])
def test_a_layer_in_other_blocks_is_the_same_map(shape, block_size, into):
    topology, _ = make(shape, 0.3, block_size)
    rng = np.random.default_rng(3)
    layer = Layer(topology, rng.random(topology.nnz, dtype=np.float32), np.zeros(shape[0], np.float32))
    other = layer.in_blocks(into)
    assert other.topology.block_size == into
    np.testing.assert_array_equal(other.to_dense(), layer.to_dense())
    expected = np.zeros(shape, np.float32)
    expected[topology.rows, topology.cols] = layer.values
    np.testing.assert_array_equal(layer.to_dense(), expected)


@each(copied=[copy.deepcopy, copy.copy, lambda t: pickle.loads(pickle.dumps(t)), Topology.bare])
def test_a_copy_keeps_its_blocks(copied):
    topology, mask = make((13, 9), 0.4, 4)
    other = copied(topology)
    assert other.block_size == 4
    np.testing.assert_array_equal(mask_of(other), mask)


@each(block_size=[0, 2, 16, 4.5, True, "4"])
def test_other_sizes_are_refused(block_size):
    with pytest.raises(ValueError, match=r"block_size must be one of 1, 4 and 8; got "):
        Topology((4, 1), np.zeros(2, np.int32), np.zeros(0, np.int32), block_size)


def test_what_is_no_topology_of_blocks_is_refused():
    with pytest.raises(ValueError, match="indptr must have 3 numbers that rise from 0 to 0"):
        Topology((9, 4), np.zeros(4, np.int32), np.zeros(0, np.int32), 8)
    with pytest.raises(ValueError, match=r"\[rewire\] grown must have block_size 4; got 8"):
        Topology.empty((8, 3), 4).rewire(np.zeros(0, bool), Topology.empty((8, 3), 8))
