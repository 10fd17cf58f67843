"""What is counted as cost."""

import numpy as np
import pytest

from dsae import metrics
from dsae.topology import Layer, Topology


@pytest.fixture
def layers():
    def layer(mask):
        topology = Topology.from_mask(mask)
        return Layer(topology, np.ones(topology.nnz, np.float32), np.zeros(topology.shape[0], np.float32))

    return {"encoder.0": layer([[1, 0, 0], [0, 1, 1]]), "decoder.0": layer(np.ones((3, 2)))}


def test_weights_are_counted_with_and_without_biases(layers):
    assert metrics.nnz(layers) == metrics.multiply_adds(layers) == 9
    assert metrics.parameters(layers) == 14


def test_memory_counts_indices_of_sparse_layers_only(layers):
    sparse = 4 * (3 + 2) + 4 * (3 + 3)
    full = 4 * (6 + 3)
    assert metrics.bytes_in_memory(layers) == sparse + full


def test_disk_counts_every_file(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "sub" / "b").write_bytes(b"123")
    assert metrics.bytes_on_disk(tmp_path) == 8
    assert metrics.bytes_on_disk(tmp_path / "a") == 5


def test_time_is_the_median_of_the_calls_after_the_first(monkeypatch):
    ticks = iter([0.0, 5.0, 10.0, 11.0, 20.0, 22.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    calls = []
    assert metrics.seconds_per_call(lambda: calls.append(1), repeats=3) == 2.0
    assert len(calls) == 4
