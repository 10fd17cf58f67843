"""A network takes rows and CSR through its layers as numpy does, in any number and on any number of threads."""

import itertools
import re

import numpy as np
import pytest
import scipy.sparse as sp
from tests.arrays import floats, native
from tests.covering import each, pairs
from tests.kernels import oracle as _numpy

from dsae import kernels
from dsae.config import ACTIVATIONS
from dsae.topology import Topology


def topology(rng, shape, density, block_size=1):
    """A random topology; above density 0 its first row is full, and one in the middle is empty."""
    mask = rng.random((-(-shape[0] // block_size), shape[1])) < density
    if 0 < density < 1:
        mask[0], mask[mask.shape[0] // 2] = True, False
    return Topology.from_mask(np.repeat(mask, block_size, axis=0)[: shape[0]], block_size)


def close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-4)


@each(activation=ACTIVATIONS)
def test_activations_are_their_formulas(rng, activation):
    for width, n_rows, scale in itertools.product((1, 16, 37, 300), (0, 1, 19), (1, 100)):
        got = scale * floats(rng, n_rows, width)
        got[rng.random(got.shape) < 0.2] = 0
        expected, thresholds = got.copy(), np.abs(floats(rng, width))
        kernels.activate(got, ACTIVATIONS[activation].kernel, 4, thresholds)
        _numpy.activate(expected, ACTIVATIONS[activation], 4, thresholds)
        np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-37)


@each(activate=[kernels.activate, _numpy.activate])
def test_topk_activation_gives_ties_to_the_lower_index(activate):
    for sign, k, expected in ((1, 2, [0, 2, 2, 0, 0]), (1, 9, [1, 2, 2, 2, 0]), (-1, 2, [0, 0, 0, 0, 1])):
        z = sign * np.array([[1, 2, 2, 2, -1]], np.float32)
        activate(z, ACTIVATIONS["topk"].kernel, k, None)
        assert z.tolist() == [expected]


def networks(rng, live, activation=ACTIVATIONS["relu"], block_size=1):
    """The same three layers in both implementations."""
    both = kernels.Network(), _numpy.Network()
    for n_out, n_in in ((70, 50), (33, 70), (9, 33)):
        t = topology(rng, (n_out, n_in), live, block_size)
        layer = (t.indptr, t.indices, floats(rng, t.nnz), floats(rng, n_out))
        thresholds = np.abs(floats(rng, n_out))
        for network in both:
            network.add(*layer, n_in, activation.kernel, 4, thresholds, block_size)
    return both


@pairs(share=[0.0, 0.02, 0.3, 1.0], live=[0.0, 0.1, 1.0], block_size=[1, 4, 8])
def test_network_takes_rows_and_csr_through_its_layers(rng, live, share, block_size):
    network, plain = networks(rng, live, block_size=block_size)
    for (begin, end), n_rows in itertools.product(((0, 3), (0, 1), (1, 3)), (0, 1, 2, 17, 64, 65, 1000)):
        width = (50, 70)[begin]
        rows = floats(rng, n_rows, width) * (rng.random((n_rows, width)) < share)
        csr = sp.csr_matrix(rows)
        got, from_csr, expected = np.full((3, n_rows, (70, 33, 9)[end - 1]), np.nan, np.float32)
        assert network.run(begin, end, rows, got)
        assert network.run_csr(begin, end, csr.indptr, csr.indices, csr.data, from_csr)
        assert plain.run(begin, end, rows, expected)
        close(got, expected)
        close(from_csr, expected)
        plain.run_csr(begin, end, csr.indptr, csr.indices, csr.data, from_csr)
        close(from_csr, expected)


@each(activation=ACTIVATIONS.values())
def test_network_activates_rows_and_panels_alike(rng, activation):
    network, plain = networks(rng, 0.3, activation)
    for n_rows in (1, 40):
        rows = floats(rng, n_rows, 50)
        got, expected = np.full((2, n_rows, 9), np.nan, np.float32)
        network.run(0, 3, rows, got)
        plain.run(0, 3, rows, expected)
        close(got, expected)


@each(bad=[np.nan, np.inf, -np.inf])
def test_network_says_where_numbers_are_not_finite(rng, bad):
    for n_rows, network in itertools.product((1, 17, 300), networks(rng, 0.3)):
        rows, out = floats(rng, n_rows, 50), np.empty((n_rows, 9), np.float32)
        rows[-1, -1] = bad
        csr = sp.csr_matrix(rows)
        assert not network.run(0, 3, rows, out)
        assert not network.run_csr(0, 3, csr.indptr, csr.indices, csr.data, out)


def network_outputs():
    """What a layer large enough to be shared out makes of batches of all sizes."""
    rng = np.random.default_rng(0)
    t, network = topology(rng, (700, 800), 0.6), kernels.Network()
    network.add(t.indptr, t.indices, floats(rng, t.nnz), floats(rng, 700), 800, ACTIVATIONS["relu"].kernel, 0, None)
    for n_rows in (1, 16, 40, 200):
        out = np.empty((n_rows, 700), np.float32)
        network.run(0, 1, floats(rng, n_rows, 800), out)
        yield out


@native
def test_the_bits_do_not_depend_on_the_number_of_threads():
    torch = pytest.importorskip("torch")
    results, before = [], torch.get_num_threads()
    try:
        for n in (1, 2, 3, 7):
            torch.set_num_threads(n)
            results.append(b"".join(out.tobytes() for out in network_outputs()))
    finally:
        torch.set_num_threads(before)
    assert len(set(results)) == 1


def network_calls(rng):
    """Right arguments of every method of a network that takes 5 columns to 4, by name."""
    t, rows, out = topology(rng, (4, 5), 0.5), floats(rng, 3, 5), floats(rng, 3, 4)
    w = {"indptr": t.indptr, "indices": t.indices, "values": floats(rng, t.nnz)}
    csr = sp.csr_matrix(rows)
    x = {"indptr": csr.indptr, "indices": csr.indices, "values": csr.data}
    return {
        "add": {**w, "bias": floats(rng, 4), "n_in": 5, "activation": 1, "k": 0, "thresholds": None},
        "run": {"begin": 0, "end": 1, "rows": rows, "out": out},
        "run_csr": {"begin": 0, "end": 1, **x, "out": out},
    }


MISFITS = [
    ("add", {"n_in": 1}, "[Network] Expected indices in [0, 1); got one outside."),
    ("add", {"indptr": np.array([0, 3, 1, 3, 8], np.int32)}, "[Network] Expected indptr to rise from 0"),
    (
        "add",
        {"bias": np.zeros(3, np.float32)},
        "[Network] Expected indptr.size - 1 = 3, the number of groups of rows; got 4.",
    ),
    ("add", {"values": np.zeros(1, np.float32)}, "[Network] Expected values.size = "),
    ("run", {"end": 2}, "[run] Expected layers within [0, 1); got 0:2."),
    ("run", {"begin": 1}, "[run] Expected layers within [0, 1); got 1:1."),
    ("run", {"begin": -1}, "[run] Expected layers within [0, 1); got -1:1."),
    (
        "run",
        {"rows": np.zeros((3, 4), np.float32)},
        "[run] Expected rows.shape[1] = 5, the width of the first layer",
    ),
    (
        "run",
        {"rows": np.zeros((3, 5))},
        "[run] Expected rows to be a C-contiguous 2-D float32 array; got 2-D float64.",
    ),
    ("run", {"out": np.zeros((2, 4), np.float32)}, "[run] Expected out.shape[0] = 3, the number of rows; got 2."),
    ("run", {"out": np.zeros((3, 5), np.float32)}, "[run] Expected out.shape[1] = 4, the width of the last layer"),
    ("run_csr", {"indptr": np.array([0, 9, 1, 15], np.int32)}, "[run_csr] Expected indptr to rise from 0"),
    ("run_csr", {"indices": np.full(15, 5, np.int32)}, "[run_csr] Expected indices in [0, 5); got one outside."),
    ("run_csr", {"values": np.zeros(1, np.float32)}, "[run_csr] Expected values.size = 15"),
]


@native
@each(name=["add", "run", "run_csr"])
def test_network_refuses_what_does_not_fit(rng, name):
    right = network_calls(rng)
    network = kernels.Network()
    if name != "add":
        network.add(**right["add"])
    for method, change, message in MISFITS:
        if method == name:
            with pytest.raises(ValueError, match=re.escape(message)):
                getattr(network, name)(**{**right[name], **change})


@native
def test_network_refuses_a_layer_that_does_not_follow():
    network, layer = kernels.Network(), network_calls(np.random.default_rng(0))["add"]
    network.add(**layer)
    with pytest.raises(ValueError, match=re.escape("Expected n_in = 4, what the layer before gives; got 5.")):
        network.add(**layer)
