"""Training runs where it is told to, whatever torch's global state is."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from dsae import DeepSparseAutoencoder, ops
from dsae.config import AutoencoderConfig, TrainConfig
from dsae.data import ArraySource
from dsae.nn import Autoencoder
from dsae.topology import Topology
from dsae.train import fit as fit_model
from dsae.train import fit_rows, joint
from dsae.train._device import device_of, plain_torch

X = np.random.default_rng(0).random((90, 12), dtype=np.float32)
SPARSE = sp.csr_matrix(np.random.default_rng(0).random((90, 400), dtype=np.float32) * (np.arange(400) % 40 == 0))
# Between them: each stage, each kind of shrinker that draws or keeps something, and both kinds of rows.
FITS = {
    "tempered": (X, {"contractive": 0.01, "early_stopping": True}),
    "set, stagewise": (
        X,
        {"shrink": "set", "schedule": "stagewise", "l1": 0.1, "code_activation": "sigmoid", "max_iter": 6},
    ),
    "rigl, jumprelu": (X, {"shrink": "rigl", "code_activation": "jumprelu", "k": 2, "scale": True}),
    "granet, batchtopk": (SPARSE, {"shrink": "granet", "code_activation": "batchtopk", "k": 2}),
    "none, softmax": (X, {"shrink": "none", "density": 1.0, "code_activation": "softmax", "target_rate": 0.4}),
}


@contextlib.contextmanager
def default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def default_device(name):
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


STATES = {
    "float64": default_dtype,
    "device cpu": lambda: default_device("cpu"),
    "device meta": lambda: default_device("meta"),
    "with a device": lambda: torch.device("meta"),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "deterministic": deterministic,
}


def everything(rows, settings):
    """Weights, codes and rows of a fit and of two partial fits."""
    parameters = {"hidden_layer_sizes": (8,), "density": 0.3, "max_iter": 3, "batch_size": 30, "random_state": 0}
    dsa = DeepSparseAutoencoder(3, **(parameters | settings))
    found = []
    for learn in (dsa.fit, dsa.partial_fit, dsa.partial_fit):
        learn(rows)
        found += [array for layer in dsa.runtime_.model.layers.values() for array in (layer.topology.flat, *layer[1:])]
    return [*found, dsa.transform(rows), dsa.inverse_transform(dsa.transform(rows)), dsa.feature_importances_]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("fit", FITS)
def test_the_global_state_of_torch_changes_nothing(fit):
    rows, settings = FITS[fit]
    wanted = everything(rows, settings)
    for name, state in STATES.items():
        with state():
            got = everything(rows, settings)
            assert torch.get_default_dtype() == (torch.float64 if name == "float64" else torch.float32)
            assert torch.is_grad_enabled() == (name not in ("no_grad", "inference_mode"))
            assert torch.get_default_device().type == ("meta" if name in ("device meta", "with a device") else "cpu")
        for one, other in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)


def in_a_thread(call):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(timeout=600)


def test_fits_that_overlap_leave_torch_as_it_was():
    """Two threads, of which the first to begin is the first to end."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    first, second = plain_torch(), plain_torch()
    try:
        with default_dtype(), ThreadPoolExecutor(1) as pool:
            first.__enter__()
            pool.submit(second.__enter__).result(timeout=600)
            assert pool.submit(ops.most_threads).result(timeout=600) == 3
            first.__exit__(None, None, None)
            assert pool.submit(torch.get_num_threads).result(timeout=600) == 1
            assert torch.get_default_dtype() == torch.float32, "one of them still trains"
            pool.submit(second.__exit__, None, None, None).result(timeout=600)
            assert torch.get_default_dtype() == torch.float64
        assert [torch.get_num_threads(), in_a_thread(torch.get_num_threads)] == [3, 3]
    finally:
        torch.set_num_threads(before)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("fit", FITS)
def test_the_verbs_of_other_devices_train_as_well(fit, monkeypatch):
    """Plain torch in place of the kernels: what a GPU runs, on the CPU."""
    rows, settings = FITS[fit]
    native = everything(rows, settings | {"device": "cpu"})
    for place in ("dsae.ops", "dsae.ops._autograd", "dsae.ops._adam"):
        monkeypatch.setattr(f"{place}.is_native", lambda tensor: False)
    monkeypatch.setattr("dsae.ops._native.spmm", None)
    twin = everything(rows, settings)
    assert [array.shape for array in twin[-3:]] == [array.shape for array in native[-3:]]
    errors = [
        float(np.square(np.asarray(found[-2]) - (rows.toarray() if sp.issparse(rows) else rows)).mean())
        for found in (native, twin)
    ]
    assert errors[1] < 1.5 * errors[0]


def test_auto_is_the_cpu_where_there_is_no_gpu_or_it_would_not_pay(monkeypatch):
    small, large = (AutoencoderConfig(n_features=n, n_components=512, hidden_layer_sizes=()) for n in (50, 1024))
    found = {}
    for there in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        found[there] = [device_of("auto", config).type for config in (small, large)]
    assert found == {False: ["cpu", "cpu"], True: ["cpu", "cuda"]}
    assert [device_of(name, small).type for name in ("cpu", "cuda")] == ["cpu", "cuda"]


@pytest.mark.parametrize("verb", ["fit", "partial_fit"])
def test_a_device_that_is_not_there_is_refused(verb, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device, message in (("cuda", "needs a GPU"), ("gpu", "device must be one of auto, cpu, cuda")):
        with pytest.raises(ValueError, match=message):
            getattr(DeepSparseAutoencoder(2, hidden_layer_sizes=(), device=device), verb)(X)


def test_a_topology_is_copied_to_a_device_once():
    t = Topology.from_mask(np.eye(4))
    like = torch.zeros((), device="meta")
    assert ops._copies.flat(t, like.device) is ops._copies.flat(t, like.device)
    assert ops._copies.edges(t, like.device)[1].device.type == "meta"
    assert ops._copies.flat(t, torch.device("cpu")).tolist() == [0, 5, 10, 15]


def test_a_copy_made_in_inference_mode_serves_training():
    t = Topology.from_mask(np.eye(4))
    values = torch.ones(4, dtype=torch.float64, requires_grad=True)
    with torch.inference_mode():
        ops.dense(values, t)
    ops.dense(values, t).square().sum().backward()
    assert values.grad.tolist() == [2.0] * 4


def test_a_model_in_double_precision_is_trained_by_the_function_beneath():
    config = AutoencoderConfig(n_features=12, n_components=3, hidden_layer_sizes=(8,), density=0.4)
    train = TrainConfig(max_iter=3, batch_size=30, shrink="set")
    model = Autoencoder(config, torch.Generator().manual_seed(0)).double()
    counts = {name: layer.nnz for name, layer in model.layers.items()}
    with torch.no_grad():
        history, _ = fit_model(model, ArraySource(X.astype(np.float64)), joint(config, train, counts, 0), train)
    assert history[-1]["loss"] < history[0]["loss"]
    assert {name: layer.nnz for name, layer in model.layers.items()} == counts


def test_rows_are_trained_by_the_device_that_is_named():
    config = AutoencoderConfig(n_features=12, n_components=3, hidden_layer_sizes=(8,), density=0.4)
    models = [fit_rows(X, config, TrainConfig(max_iter=2), device=device).model for device in ("auto", "cpu")]
    for one, other in zip(*(model.layers.values() for model in models), strict=True):
        np.testing.assert_array_equal(one.values, other.values)
