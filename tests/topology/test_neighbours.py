"""Units read and write what their features occur with, and no more edges exist than asked for."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae import DeepSparseAutoencoder
from dsae.data import make_ratings
from dsae.topology import neighbour_edges

X = make_ratings(400, 60, per_user=8, n_groups=6, random_state=0)


def rng():
    return np.random.default_rng(0)


@each(n_units=[1, 7, 60, 90], share=[0.05, 0.3, 1.0], form=[sp.csr_matrix, sp.csr_matrix.toarray])
def test_edges_are_as_many_as_asked_for(n_units, share, form):
    counts = round(share * 60 * n_units), round(0.5 * share * 60 * n_units) or 1
    into, out = neighbour_edges(form(X), n_units, counts, rng())
    assert (into.shape, out.shape) == ((n_units, 60), (60, n_units))
    assert (into.nnz, out.nnz) == counts


def test_units_of_the_most_frequent_features_read_their_nearest():
    into, out = neighbour_edges(X, 10, (50, 120), rng())
    G = (X.T @ X).toarray()
    anchors = np.argsort(-G.diagonal(), kind="stable")[:10]
    like = G / np.sqrt(G.diagonal())
    for unit, anchor in enumerate(anchors):
        chosen = into.indices[into.indptr[unit] : into.indptr[unit + 1]]
        assert anchor in chosen
        assert like[anchor, chosen].min() >= np.sort(like[anchor])[-5] - 1e-6
    for j in range(60):
        chosen = out.indices[out.indptr[j] : out.indptr[j + 1]]
        assert like[j, anchors[chosen]].min() >= np.sort(like[j, anchors])[-2] - 1e-6


def test_edges_that_do_not_come_out_even_are_spread():
    into, out = neighbour_edges(X, 10, (53, 134), rng())
    assert set(into.fan_in) == {5, 6}
    assert set(out.fan_in) == {2, 3}


@each(n_units=[10, 60])
def test_no_path_leads_back(n_units):
    into, out = neighbour_edges(X, n_units, (300, 400), rng(), zero_diagonal=True)
    paths = sp.csr_matrix((np.ones(out.nnz), out.indices, out.indptr), shape=out.shape) @ sp.csr_matrix(
        (np.ones(into.nnz), into.indices, into.indptr), shape=into.shape
    )
    assert not paths.diagonal().any()
    assert out.nnz > 100


def test_values_that_are_not_known_count_as_zeros():
    holed = X.toarray()
    holed[holed == 0] = np.nan
    for one, other in zip(
        neighbour_edges(holed, 8, (60, 90), rng()), neighbour_edges(X, 8, (60, 90), rng()), strict=True
    ):
        np.testing.assert_array_equal(one.indices, other.indices)


SETTINGS = {"hidden_layer_sizes": (), "density": 0.2, "shrink": "random", "max_iter": 1, "random_state": 0}


def test_training_starts_from_these_edges():
    dsa = DeepSparseAutoencoder(20, init_topology="neighbours", **SETTINGS).fit(X)
    counts = tuple(layer.topology.nnz for layer in dsa.runtime_.layers.values())
    wanted = neighbour_edges(X, 20, counts, np.random.default_rng(0))
    found = [layer.topology for layer in dsa.runtime_.layers.values()]
    nearest = [set(zip(t.rows.tolist(), t.cols.tolist(), strict=True)) for t in (*found, *wanted)]
    assert len(nearest[0] & nearest[2]) > 0.8 * counts[0]
    assert dsa.density_ == pytest.approx(0.2, abs=0.01)


@each(hidden=[(), (30,), (30, 25)])
def test_any_depth_and_method_keeps_the_density(hidden):
    given = SETTINGS | {"hidden_layer_sizes": hidden, "shrink": "rigl"}
    dsa = DeepSparseAutoencoder(10, init_topology="neighbours", **given).fit(X)
    assert dsa.density_ == pytest.approx(0.2, abs=0.01)
    again = DeepSparseAutoencoder(10, init_topology="neighbours", **given).fit(X)
    np.testing.assert_array_equal(dsa.transform(X), again.transform(X))


def test_outputs_of_a_deep_model_read_units_of_its_last_layer():
    """Whose features are the most frequent ones, too, whatever the width of the first."""
    dsa = DeepSparseAutoencoder(
        10, init_topology="neighbours", **SETTINGS | {"hidden_layer_sizes": (30, 25), "density": 0.3}
    )
    dsa.set_params(decoder_layer_sizes=(14,))
    last = list(dsa.fit(X).runtime_.layers.values())[-1].topology
    wanted = neighbour_edges(X, 14, (14, last.nnz), rng())[1]
    assert last.shape == wanted.shape
    assert np.isin(last.flat, wanted.flat).mean() > 0.8


def test_with_a_zero_diagonal_no_feature_reaches_itself():
    dsa = DeepSparseAutoencoder(60, init_topology="neighbours", zero_diagonal=True, **SETTINGS).fit(X)
    runtime = dsa.runtime_
    nothing = runtime.reconstruct(np.zeros((1, 60), np.float32))
    alone = runtime.reconstruct(np.eye(60, dtype=np.float32))
    np.testing.assert_allclose(np.diag(alone), nothing[0], atol=1e-6)
    assert np.abs(alone - nothing).max() > 1e-3


def test_sparse_weights_give_the_edges_to_start_from():
    edges = sp.csr_matrix(np.where(np.random.default_rng(0).random((5, 60)) < 0.2, 1.0, 0.0))
    first, last = edges.copy(), edges.T.tocsr()
    last.data[:] = 0  # edges that start at zero
    given = SETTINGS | {"density": {"encoder.0": first.nnz / 300, "decoder.0": last.nnz / 300}}
    dsa = DeepSparseAutoencoder(5, init=[(first, np.zeros(5)), (last, np.zeros(60))], **given).fit(X)
    for layer, matrix in zip(dsa.runtime_.layers.values(), (first, last), strict=True):
        matrix.sort_indices()
        np.testing.assert_array_equal(layer.topology.indices, matrix.indices)


@each(
    {
        "given, message": [
            ({"init_topology": "near"}, "init_topology must be one of random, neighbours, principal; got 'near'"),
            ({"zero_diagonal": True}, "zero_diagonal=True needs init_topology='neighbours' and shrink='random'"),
            ({"zero_diagonal": "no"}, "zero_diagonal must be True or False; got 'no'"),
            ({"init_topology": "neighbours", "block_size": 4}, "init_topology='neighbours' needs block_size=1; got 4"),
            (
                {"init_topology": "neighbours", "zero_diagonal": True, "hidden_layer_sizes": (8,)},
                r"zero_diagonal=True needs hidden_layer_sizes=\(\); got \(8,\)",
            ),
        ]
    }
)
def test_bad_settings_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        DeepSparseAutoencoder(5, **SETTINGS | given).fit(X)
