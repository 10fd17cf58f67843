"""Which processes meet, and by what they sum: nccl where each has a GPU to itself, which fakes stand for here."""

import pytest
import torch
import torch.distributed as dist
from tests.covering import covering, each

from dsae.train import _meeting, _world
from dsae.train._world import World

BOTH = "cpu:gloo,cuda:nccl"


@covering(there=[True, False], nccl=[True, False], gpus=[1, 2, 4], beside=["1", "2"], rank=["0", "1"])
def test_nccl_is_taken_where_each_process_has_a_gpu(monkeypatch, there, nccl, gpus, beside, rank):
    taken = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus if there else 0)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(dist, "is_nccl_available", lambda: nccl)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", beside)
    monkeypatch.setenv("LOCAL_RANK", rank)
    wanted = there and nccl and gpus >= int(beside)
    assert _meeting._backend() == (BOTH if wanted else "gloo")
    assert taken == ([int(rank)] if wanted else [])


@each(backend=["gloo", BOTH])
def test_processes_meet_with_it(monkeypatch, backend):
    opened, store = [], dist.HashStore()
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "here", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DSAE_TIMEOUT", "7")
    monkeypatch.setattr(_meeting, "rendezvous", lambda *how, **more: iter([(store, 0, 1)]))
    monkeypatch.setattr(_meeting, "_backend", lambda: backend)
    monkeypatch.setattr(_meeting, "_GROUPS", {})
    monkeypatch.setattr(_meeting, "World", lambda *group: ("world", *group))
    monkeypatch.setattr(dist, "init_process_group", lambda *how, **more: opened.append((how, more)))
    assert _meeting.world_of(True) == ("world",)
    ((how, more),) = opened
    assert (how, more["rank"], more["world_size"]) == ((backend,), 0, 1)
    assert more["timeout"].total_seconds() == 7


def test_a_group_that_is_open_gets_one_for_the_cpu_beside_it(monkeypatch):
    made = []
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "new_group", lambda **how: made.append(how["backend"]) or "by cpu")
    monkeypatch.setattr(_meeting, "_GROUPS", {})
    monkeypatch.setattr(_meeting, "World", lambda *group: ("world", *group))
    assert [_meeting.world_of(True), _meeting.world_of(True)] == [("world", "by cpu")] * 2
    assert made == ["gloo"]


class OnGpu(torch.Tensor):
    """A tensor that says that it is on a GPU."""

    @property
    def device(self):
        return torch.device("cuda", 0)

    def cpu(self):
        return self.as_subclass(torch.Tensor).clone()


class Work:
    def wait(self):
        pass


@pytest.fixture
def sums(monkeypatch):
    """What is summed: by which group, and whether on the GPU; every sum is twice what this rank has."""
    found = []

    def all_reduce(tensor, how=None, group="all", async_op=False):
        found.append(("gpu" if isinstance(tensor, OnGpu) else "cpu", group))
        tensor.as_subclass(torch.Tensor).mul_(2)
        return Work() if async_op else None

    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    return found


def world(monkeypatch, backend, size=2):
    monkeypatch.setattr(dist, "get_backend_config", lambda: backend)
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(dist, "get_world_size", lambda: size)
    return World("by cpu")


@each(backend=["gloo", BOTH, "nccl"], place=["cpu", "gpu"])
def test_tensors_are_summed_where_they_are_by_nccl_alone(monkeypatch, sums, backend, place):
    sums.clear()
    values = torch.arange(4.0)
    tensor = values.clone().as_subclass(OnGpu) if place == "gpu" else values.clone()
    summed = world(monkeypatch, backend).sum(tensor)
    assert summed is tensor
    assert summed.tolist() == [0, 2, 4, 6]
    on_gpu = place == "gpu" and "nccl" in backend
    assert sums == [("gpu", None) if on_gpu else ("cpu", "by cpu")]


class LayerOfValues:
    def __init__(self, values):
        self.values, self.nnz = values, values.numel()


class Given:
    rows_worth, n_rows = 3.0, 3


@each(backend=["gloo", BOTH], place=["cpu", "gpu"])
def test_sums_of_large_layers_start_early_where_their_tensors_are_summed(monkeypatch, sums, backend, place):
    sums.clear()
    monkeypatch.setattr(_world, "OVERLAPPED", 4)
    kind = OnGpu if place == "gpu" else torch.Tensor
    first, small, large = layers = [LayerOfValues(torch.ones(n).as_subclass(kind)) for n in (9, 2, 6)]
    for layer in layers:
        layer.values.grad = torch.full_like(layer.values, 0.5)
    here = world(monkeypatch, backend, size=3)
    finished = here.starting(layers, Given)
    for number in (2, 1, 0):
        finished(number)
    early = place == "cpu" or backend == BOTH
    assert sums == [(place, None if place == "gpu" else "by cpu")] * early
    assert here.traffic == 24 * early
    assert [part.tolist() for part, _ in here._early.values()] == [[3.0] * 6] * early
    assert here.starting([first, small], Given) is None  # nothing goes backward below the first
    among_many = world(monkeypatch, backend, size=17)  # whose sums have twice the messages of those of nine
    assert among_many.starting([first, large], Given) is None
    assert world(monkeypatch, backend, size=9).starting([first, large], Given) is not None


@each(backend=["gloo", BOTH])
def test_two_ranks_on_gpus_do_not_send_by_the_cpu(monkeypatch, sums, backend):
    sums.clear()
    flat = torch.ones(3).as_subclass(OnGpu)
    world(monkeypatch, backend)._begun(flat)()
    assert (sums, flat.tolist()) == ([("gpu", None) if backend == BOTH else ("cpu", "by cpu")], [2, 2, 2])


def test_two_ranks_exchange_what_they_have_under_names_of_their_own(monkeypatch):
    sent, got = [], {0: torch.full((3,), 2.0), 4: torch.full((2,), 5.0)}
    monkeypatch.setattr(dist, "isend", lambda *how: sent.append((how[0].clone(), *how[1:])) or Work())
    monkeypatch.setattr(dist, "irecv", lambda other, peer, group, tag: other.copy_(got[tag]) is None or Work())
    here = world(monkeypatch, "gloo")
    flat, part = torch.ones(3), torch.ones(2)
    ends = [here._begun(part, 4), here._begun(flat)]
    assert (part.tolist(), flat.tolist()) == ([1, 1], [1, 1, 1])  # not before they end
    for end in ends:
        end()
    assert (part.tolist(), flat.tolist(), here.traffic) == ([6, 6], [3, 3, 3], 20)
    assert [how[1:] for how in sent] == [(1, "by cpu", 4), (1, "by cpu", 0)]


@each(size=[1, 3])
def test_other_numbers_of_ranks_sum_as_one(monkeypatch, sums, size):
    sums.clear()
    flat = torch.ones(3)
    world(monkeypatch, "gloo", size)._begun(flat)()
    assert (sums, flat.tolist()) == ([("cpu", "by cpu")], [2, 2, 2])
