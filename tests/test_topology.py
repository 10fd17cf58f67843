"""A topology is a set of edges; every operation on it is that operation on a mask."""

import numpy as np
import pytest

from dsae.topology import Layer, Topology, erdos_renyi

SHAPES = [(1, 1), (1, 7), (7, 1), (5, 8), (64, 33), (40, 129)]
DENSITIES = [0.0, 0.01, 0.3, 0.9, 1.0]


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


@pytest.mark.parametrize("shape", [*SHAPES, (0, 4), (4, 0)])
@pytest.mark.parametrize("density", DENSITIES)
def test_a_mask_comes_back(shape, density):
    mask = make_mask(shape, density)
    topology = Topology.from_mask(mask)
    assert is_well_formed(topology)
    np.testing.assert_array_equal(mask_of(topology), mask)
    assert topology.nnz == mask.sum()
    assert topology.size == mask.size
    assert topology.is_full == mask.all()
    assert topology.density == (mask.mean() if mask.size else 1.0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("density", DENSITIES)
def test_edges_in_any_order_are_the_same_topology(shape, density):
    mask = make_mask(shape, density)
    rows, cols = np.nonzero(mask)
    order = np.random.default_rng(1).permutation(rows.size)
    topology = Topology.from_edges(shape, rows[order], cols[order])
    assert is_well_formed(topology)
    np.testing.assert_array_equal(mask_of(topology), mask)


@pytest.mark.parametrize("shape", [*SHAPES, (0, 4), (4, 0)])
def test_full_and_empty(shape):
    full, empty = Topology.full(shape), Topology.empty(shape)
    assert is_well_formed(full)
    assert is_well_formed(empty)
    assert full.is_full
    assert mask_of(full).all()
    assert empty.nnz == 0


@pytest.mark.parametrize("shape", [*SHAPES, (0, 4), (4, 0)])
@pytest.mark.parametrize("density", DENSITIES)
def test_the_transpose_is_the_masks_and_knows_its_slots(shape, density):
    mask = make_mask(shape, density)
    topology = Topology.from_mask(mask)
    transposed, slots = topology.transpose
    assert is_well_formed(transposed)
    assert transposed.shape == shape[::-1]
    np.testing.assert_array_equal(mask_of(transposed), mask.T)
    np.testing.assert_array_equal(topology.rows[slots], transposed.indices)
    np.testing.assert_array_equal(topology.indices[slots], transposed.rows)
    assert topology.transpose[0] is transposed


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("dropped", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("grown", [0.0, 0.3, 1.0])
def test_rewiring_is_set_arithmetic_and_patches_the_transpose(shape, density, dropped, grown):
    mask, rng = make_mask(shape, density), np.random.default_rng(2)
    drop_mask = mask & (rng.random(shape) < dropped)
    grow_mask = (~mask | drop_mask) & (rng.random(shape) < grown)
    topology = Topology.from_mask(mask)
    topology.transpose  # noqa: B018  so that the new one is patched from it
    rows, cols = np.nonzero(grow_mask)
    order = rng.permutation(rows.size)

    rewiring = topology.rewire(drop_mask[mask], rows[order], cols[order])

    new = rewiring.new
    assert is_well_formed(new)
    np.testing.assert_array_equal(mask_of(new), (mask & ~drop_mask) | grow_mask)
    assert "transpose" in new.__dict__
    patched, patched_slots = new.transpose
    fresh, fresh_slots = Topology(new.shape, new.indptr, new.indices).transpose
    np.testing.assert_array_equal(patched.indptr, fresh.indptr)
    np.testing.assert_array_equal(patched.indices, fresh.indices)
    np.testing.assert_array_equal(patched_slots, fresh_slots)

    weights = rng.normal(size=shape).astype(np.float32)
    moved = rewiring.move(weights[mask], fill=-7)
    assert moved.dtype == np.float32
    expected = np.where(grow_mask, np.float32(-7), weights)
    np.testing.assert_array_equal(moved, expected[mask_of(new)])


def test_a_topology_without_a_known_transpose_does_not_make_one_when_rewired():
    topology = Topology.from_mask(make_mask((5, 8), 0.5))
    rewiring = topology.rewire(np.zeros(topology.nnz, bool), np.array([], int), np.array([], int))
    assert "transpose" not in rewiring.new.__dict__
    np.testing.assert_array_equal(rewiring.source, np.arange(topology.nnz))


def test_an_edge_dropped_and_grown_at_once_counts_as_new():
    topology = Topology.full((2, 2))
    rewiring = topology.rewire(np.array([True, False, False, False]), np.array([0]), np.array([0]))
    assert rewiring.source.tolist() == [-1, 1, 2, 3]
    assert rewiring.move(np.ones(4)).tolist() == [0, 1, 1, 1]


def test_a_topology_cannot_be_written_into():
    topology = Topology.full((2, 2))
    with pytest.raises(ValueError, match="read-only"):
        topology.indices[0] = 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Topology.from_mask(np.ones(3)), "Expected a 2-D mask"),
        (lambda: Topology.from_edges((2, 2), np.array([2]), np.array([0])), r"inside shape \(2, 2\)"),
        (lambda: Topology.from_edges((2, 2), np.array([0]), np.array([-1])), r"inside shape \(2, 2\)"),
        (lambda: Topology.from_edges((2, 2), np.array([0, 0]), np.array([1, 1])), "given twice"),
        (lambda: Topology.full((2**16, 2**15)), r"more than 2\*\*31 - 1 weights; lower density"),
    ],
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


@pytest.mark.parametrize(
    "shapes",
    [
        [(5, 8)],
        [(1000, 784), (30, 1000)],
        [(1, 1), (1, 9), (300, 200)],
        [(2, 2)] * 7,
        [(1024, 784), (256, 1024), (32, 256), (256, 32), (1024, 256), (784, 1024)],
    ],
)
@pytest.mark.parametrize("density", [1e-6, 0.01, 0.05, 1 / 3, 0.5, 0.9, 0.999, 1.0])
def test_erdos_renyi_gives_the_density_promised_and_no_layer_more_than_it_holds(shapes, density):
    counts = erdos_renyi(shapes, density)
    sizes = [n_out * n_in for n_out, n_in in shapes]
    assert sum(counts) == round(density * sum(sizes))
    assert all(0 <= count <= size for count, size in zip(counts, sizes, strict=True))


def test_erdos_renyi_keeps_small_layers_denser():
    wide, narrow = erdos_renyi([(1000, 784), (30, 1000)], 0.05)
    assert narrow / 30_000 > 5 * wide / 784_000


@pytest.mark.parametrize(
    ("indptr", "indices", "message"),
    [
        ([0, 1, 2], [0, 2**30], "inside shape"),
        ([0, 1, 2], [0, -1], "inside shape"),
        ([0, 2, 2], [1, 1], "rise strictly within each row"),
        ([0, 2, 2], [2, 0], "rise strictly within each row"),
        ([0, 2, 1], [0, 1], "indptr must have 3 numbers that rise from 0 to 2"),
        ([0, 2], [0, 1], "indptr must have 3 numbers"),
        ([0, 1, 3], [0, 1], "indptr must have 3 numbers"),
    ],
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
        topology.rewire(np.zeros(2, bool), np.array([0]), np.array([0]))
    with pytest.raises(ValueError, match="inside shape"):
        topology.rewire(np.zeros(2, bool), np.array([0]), np.array([2**30]))
