"""Several processes that train together make the model that one would make."""

import contextlib
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import pytest
import torch
from tests.cluster.recipes import SCRIPTS
from tests.train import cases, kills, mishaps, ranks

from dsae import DeepSparseAutoencoder, cli, ops
from dsae.train import LostRankError, _loop, _train_step
from dsae.train._lost import tell_failure
from dsae.train._meeting import _roll
from dsae.train._world import Outcome, _live

OTHERS = ["joint", "ends", "estimator", "stream", "joint_stream", "command", "traffic", "stops", "misread"]
TWO = [*cases.EXACT, *cases.FLOAT, *OTHERS, *mishaps.WRONG, "dies"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the ranks made of every case, and their folder."""
    folder = tmp_path_factory.mktemp("ranks")
    return ranks.run_cases(folder, of_2=TWO, of_3=["ends", "goes_on"]) | {"folder": folder}


@pytest.fixture(scope="module")
def two(found):
    """That of two ranks."""
    return found[2]


def alone(name):
    return ranks.CASES[name](0, None)


def alike(one, other, rtol=1e-12):
    """The same edges after every step, and weights and figures up to rounding."""
    assert len(one["steps"]) == len(other["steps"])
    for edges, others in zip(one["steps"], other["steps"], strict=True):
        for array, again in zip(edges, others, strict=True):
            np.testing.assert_array_equal(array, again)
    assert list(one["arrays"]) == list(other["arrays"])
    for name, array in one["arrays"].items():
        np.testing.assert_allclose(array, other["arrays"][name], rtol=rtol, atol=rtol, err_msg=name)
    if one["importance"] is not None:
        np.testing.assert_allclose(one["importance"], other["importance"], rtol=1e-5)
    for row, again in zip(one["history"], other["history"], strict=True):
        numbers, others = (
            {k: v for k, v in of.items() if k not in ("densities", "stage", "losses")} for of in (row, again)
        )
        assert numbers == pytest.approx(others, rel=1e-6, abs=1e-9)
        assert row["densities"] == again["densities"]
        assert row.get("losses", {}) == pytest.approx(again.get("losses", {}), rel=1e-9)


@pytest.mark.parametrize("name", [*cases.EXACT, "joint"])
def test_two_ranks_make_the_steps_of_one_process(two, name):
    first, second = two[name]
    assert not isinstance(first, str), first
    for array, again in zip(first["arrays"].values(), second["arrays"].values(), strict=True):
        np.testing.assert_array_equal(array, again)
    alike(alone(name), first)


class Halves:
    """A batch in the two shares that two ranks would have."""

    def __init__(self, halves):
        self.halves = halves

    def __getattr__(self, name):
        return getattr(self.halves[0], name)


@contextlib.contextmanager
def adding_halves():
    """One process whose gradient is the sum of those of both shares of a batch, as ranks sum theirs."""
    batches, whole = _loop.batches_of, _train_step._of_all
    part = _loop.Run.__dict__["corruption"].func

    class Both:
        def __init__(self, corruption):
            self.corruption = corruption

        def part(self, batch, epoch):
            return Halves([self.corruption.part(batch[i::2], epoch) for i in (0, 1) if batch[i::2].n_rows])

        def __getattr__(self, name):
            return getattr(self.corruption, name)

    def of_both(run, learner, stepper, given):
        total, sums = None, np.zeros(4)
        for half in given.halves:
            loss, objective = stepper.gradients(half)
            n = half.rows_worth
            sums += n * loss, n * objective, n, half.n_rows
            _, places, live = zip(*_live(stepper.held, learner.optimizer), strict=True)
            flat = torch.cat([gradient.reshape(-1) for gradient in live]).mul_(n)
            total = flat if total is None else total.add_(flat)
        for take, gradient, piece in zip(
            places, live, total.div_(sums[2]).split([g.numel() for g in live]), strict=True
        ):
            take(piece.view_as(gradient))
        return Outcome(sums[0] / sums[2], sums[1] / sums[2], int(sums[3]), sums[2], {}, False)

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(_train_step, "_of_all", of_both)
        patches.setattr(_loop.Run, "corruption", property(lambda run: Both(part(run))))
        yield
    assert _loop.batches_of is batches
    assert _train_step._of_all is whole


@pytest.mark.parametrize("name", cases.FLOAT)
def test_two_ranks_are_one_process_that_adds_two_halves_bit_for_bit(two, name):
    as_ranks = ops.Alone()
    as_ranks.written_out = False  # as all rows say, whatever a batch may
    with adding_halves(), ops.among(as_ranks):
        wanted = alone(name)
    for found in two[name]:
        assert not isinstance(found, str), found
        for edges, others in zip(wanted["steps"], found["steps"], strict=True):
            for array, again in zip(edges, others, strict=True):
                np.testing.assert_array_equal(array, again)
        for array, again in zip(wanted["arrays"].values(), found["arrays"].values(), strict=True):
            np.testing.assert_array_equal(array, again)


def test_rows_that_do_not_divide_end_on_two_and_on_three(found):
    wanted = alone("ends")["history"]
    for one in (*found[2]["ends"], *found[3]["ends"]):
        assert not isinstance(one, str), one
        assert [row["loss"] for row in one["history"]] == pytest.approx([row["loss"] for row in wanted], rel=0.02)
        assert [row["density"] for row in one["history"]] == [row["density"] for row in wanted]


def test_any_number_of_ranks_goes_on_from_a_checkpoint(found, tmp_path):
    whole = alone("granet")
    for one in found[2]["stops"]:
        assert one["stopped"]
        assert len(one["steps"]) == cases.STOP
    shutil.copytree(found["folder"] / "run", tmp_path / "run")
    with pytest.warns(UserWarning, match="written by a run on 2 processes, which goes on on 1: "):
        by_one = ranks.CASES["goes_on"](0, tmp_path)
    for one in (by_one, *found[3]["goes_on"]):
        assert not isinstance(one, str), one
        alike({**whole, "steps": whole["steps"][cases.STOP :]}, one)


def test_each_rank_reads_its_share_of_a_folder(two):
    first, second = two["stream"]
    assert first["history"] == second["history"]
    for name in ("values", "threshold"):
        np.testing.assert_array_equal(first[name], second[name])
    most = 303 * (1 + 2 + 1)  # for the moments, in two epochs, and for the thresholds
    assert most < first["read"] + second["read"] < 1.2 * most


def test_each_rank_reads_its_share_of_rows_of_several_modalities(two):
    first, second = two["joint_stream"]
    assert not isinstance(first, str), first
    assert first["history"] == second["history"]
    np.testing.assert_array_equal(first["values"], second["values"])
    most = 303 * 6  # two epochs, and passes over each modality before; 3,272 if each rank read all of them
    assert first["read"] + second["read"] < most


def test_a_step_sends_its_live_weights_alone(two):
    for one in two["traffic"]:
        assert one["bytes"] == [4 * one["live"] + 24] * len(one["bytes"])


def test_the_estimator_is_the_same_everywhere_and_rank_0_speaks_and_writes(two, found):
    first, second = two["estimator"]
    np.testing.assert_array_equal(first["values"], second["values"])
    assert first["history"] == second["history"]
    assert (first["told"], second["told"]) == ([1, 2], [])
    assert not first["kept"]
    assert [(found["folder"] / f"estimator{rank}").exists() for rank in (0, 1)] == [True, False]


MESSAGES = {
    "other_settings": r"ValueError: \[fit\] Rank 1 must have the settings and data of rank 0: l2 is 0.25, not 0.5\. St",
    "other_data": r"ValueError: \[fit\] Rank 1 must have the settings and data of rank 0: the data's sha256 is ",
    "other_length": r"ValueError: \[fit\] Rank 1 must .*: the data's n_samples is 90, not 91; the data's sha256 is ",
    "other_files": r"ValueError: \[fit\] Rank 1 must have the data of rank 0: number of rows is 90, not 60\. Let every",
    "other_version": r"ValueError: \[fit\] Rank 1 must have the versions of rank 0: dsae is '1.5', not '0.5'\. Install",
    "other_parameters": r"ValueError: \[fit\] Rank 1 must have the parameters of rank 0: batch_size is 21, not 20\. S",
    "too_few_rows": r"ValueError: \[fit\] X must have a row for each of the 2 processes; it has 1\.$",
}


@pytest.mark.parametrize("name", MESSAGES)
def test_what_differs_is_named_on_all_ranks(two, name):
    first, second = two[name]
    assert re.match(MESSAGES[name], first)
    assert first == second


def test_who_fails_is_named_on_all_ranks(two):
    first, second = two["fails"]
    assert second == "OSError: part 7 is gone"
    steps = f"[fit] Training among several processes ended after {cases.STOP - 1} steps: "
    assert first.startswith(
        f"LostRankError: {steps}rank 1 failed with OSError: part 7 is gone. Start all processes again"
    )


def test_a_rank_that_is_lost_or_late_ends_the_others(two):
    late, _ = two["hangs"]
    assert late.startswith("LostRankError: [fit] Training among several processes ended after 0 steps: ")
    lost, gone = two["dies"]
    assert gone is None
    assert lost.startswith(
        "LostRankError: [fit] Training among several processes ended after 8 steps: a process is gone or "
    )
    assert two["codes"] == [0, 9]


def test_alone_it_says_how_to_start():
    with pytest.raises(ValueError, match=r"processes that were started together; .* torchrun --nproc-per-node 2"):
        DeepSparseAutoencoder(3, distributed=True).fit(cases.rows())
    with pytest.raises(ValueError, match="distributed must be True or False"):
        DeepSparseAutoencoder(3, distributed=2).fit(cases.rows())
    with pytest.raises(ValueError, match=r"\[partial_fit\] distributed=True is for fit"):
        DeepSparseAutoencoder(3, distributed=True).partial_fit(cases.rows())


def test_what_all_ranks_find_is_said_once(two):
    first, second = two["misread"]
    assert (first["code"], second["code"]) == (2, 2)
    assert re.fullmatch(
        r"dsae: \[read\] \S+nan\.npy must hold finite numbers; row 3, .*\n", first["said"] + second["said"]
    )


def test_processes_that_start_again_do_not_meet_those_that_are_gone():
    store = torch.distributed.HashStore()
    for name, value in (("0", "a"), ("1", "b"), ("2", "c"), ("roll", "a,b,c"), ("go a,b,c", "")):
        store.set(f"dsae {name}", value)
    with ThreadPoolExecutor(3) as pool:
        rolls = list(pool.map(lambda rank: _roll(store, rank, 3, timedelta(seconds=300)), range(3)))
    assert len(set(rolls)) == 1
    assert set(rolls[0].split(",")).isdisjoint("abc")
    with pytest.raises(RuntimeError, match=r"2 processes have not met within 0\.1 s"):
        _roll(torch.distributed.HashStore(), 1, 2, timedelta(seconds=0.1))
    tell_failure(store, 0, ValueError("x.npy is empty."), attempt="0")
    with pytest.raises(
        LostRankError, match=r"ended after 0 steps: rank 0 failed with ValueError: x\.npy is empty\. Start"
    ):
        _roll(store, 1, 2, timedelta(seconds=300))


def test_the_kth_of_all_ranks_is_found_by_its_digits():
    class Among(ops.Alone):  # as if the others had no number
        size = 2

    rng = np.random.default_rng(0)
    for dtype in (torch.float32, torch.float64):
        for k in (1, 3, 30):
            z = torch.from_numpy(rng.normal(size=(6, 20))).to(dtype).pow(3)
            wanted = z.flatten().sort(descending=True).values[k * 6 - 1].clamp(min=0) if k * 6 <= z.numel() else 0
            with ops.among(Among()):
                assert float(ops.kth_over_ranks(z, k, 6)) == float(wanted)


def test_processes_of_one_command_make_the_model_of_ranks_though_one_is_killed(found, tmp_path):
    assert found[2]["command"] == [0, 0]
    kills.fit(tmp_path / "killed", kill=0, step=7, command=kills.PROCESSES)
    assert kills.same(found["folder"], tmp_path / "killed")
    assert not (tmp_path / "killed" / "model.checkpoint").exists()


def test_two_machines_make_the_model_of_ranks_though_one_is_killed(found, tmp_path):
    assert found[2]["command"] == [0, 0]
    kills.fit_on_two_machines(tmp_path / "killed", SCRIPTS["node.sh"], kill=1, step=7)
    assert kills.same(found["folder"], tmp_path / "killed")


def test_processes_of_one_machine_run_the_same_command(monkeypatch, capsys):
    from torch.distributed.launcher import api

    started = []

    class Launch:
        def __init__(self, config, program):
            started.append((config.nproc_per_node, config.max_restarts, program))

        def __call__(self, *command):
            started.append(command)

    monkeypatch.setattr(api, "elastic_launch", Launch)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    how = ["fit", "X.npy", "-o", "model", "--l2", "0.5"]
    assert cli.run([*how, "--processes", "3"]) == 0
    assert cli.run([*how, "--processes=2", "--resume"]) == 0
    same = ("-m", "dsae", *how)
    assert started == [
        (3, 0, sys.executable),
        (*same, "--distributed"),
        (2, 3, sys.executable),
        (*same, "--resume", "--distributed"),
    ]
    assert cli.run(["fit", "-", "-o", "model", "--processes", "2"]) == 2
    assert "--processes needs rows that each process can read; got standard input" in capsys.readouterr().err
