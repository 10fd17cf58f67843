"""Tables of results are lists of runs that can be stopped and gone on with."""

import json
from importlib import import_module

import pytest
from tests.covering import each

from experiments import run

tables = each(table=(*run.TABLES, *run.TASKS))


@tables
def test_a_table_is_a_list_of_distinct_runs_with_seeds(table):
    jobs = import_module(f"experiments.tables.{table}").jobs()
    keys = [run._key(job) for job in jobs]
    assert len(set(keys)) == len(keys) > 1
    assert all("seed" in job and json.loads(run._key(job)) == job for job in jobs)


@tables
def test_a_table_has_a_title_of_its_own(table):
    titles = [import_module(f"experiments.tables.{name}").TITLE for name in (*run.TABLES, *run.TASKS)]
    assert titles.count(import_module(f"experiments.tables.{table}").TITLE) == 1


class _Table:
    """Stands for experiments.tables.methods; run 2 fails while ``broken``."""

    TITLE, ALONE = "a table", True

    def __init__(self):
        self.broken, self.ran = True, []

    def jobs(self):
        return [{"seed": seed} for seed in range(4)]


@pytest.fixture
def table(monkeypatch, tmp_path):
    module = _Table()

    def in_a_process(name, job, cores):
        module.ran.append(job["seed"])
        return "it broke" if module.broken and job["seed"] == 2 else {"error": 0.5 * job["seed"], "run_seconds": 1}

    monkeypatch.setattr(run, "import_module", lambda name: module)
    monkeypatch.setattr(run, "_in_a_process", in_a_process)
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results")
    return module


def test_a_stopped_table_goes_on_where_it_was(table, tmp_path):
    path = tmp_path / "methods.jsonl"
    with pytest.raises(SystemExit, match="methods: it broke"):
        run._run_table("methods", path)
    assert table.ran == [0, 1, 2]
    assert [row["job"]["seed"] for row in _published(tmp_path)] == [0, 1], "the others are yet to be run"
    path.write_text(path.read_text() + '{"job": {"seed": 3}, "resu')  # killed while writing
    table.broken, table.ran = False, []
    run._run_table("methods", path)
    assert table.ran == [2, 3]
    rows = _published(tmp_path)
    assert [(row["job"]["seed"], row["result"]["error"]) for row in rows] == [(0, 0), (1, 0.5), (2, 1), (3, 1.5)]


def test_seeds_can_be_run_one_by_one(table, tmp_path):
    table.broken = False
    for seeds in ((3,), (0, 2), ()):
        run._run_table("methods", tmp_path / "methods.jsonl", seeds)
    assert table.ran == [3, 0, 2, 1]
    assert [row["job"]["seed"] for row in _published(tmp_path)] == [0, 1, 2, 3]


def test_a_seed_is_published_whole_or_not_at_all(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results")
    jobs = [{"shrink": shrink, "seed": seed} for seed in (0, 1) for shrink in ("set", "rigl")]
    done = {run._key(job): {"job": job, "result": {}} for job in jobs[:3]}
    run._write("methods", jobs, done, {})
    assert [row["job"] for row in _published(tmp_path)] == jobs[:2]
    (tmp_path / "results" / "methods.json").unlink()
    run._write("methods", jobs, {run._key(jobs[0]): {"job": jobs[0], "result": {}}}, {})
    assert not (tmp_path / "results" / "methods.json").exists()


def _published(folder):
    return json.loads((folder / "results" / "methods.json").read_text())["rows"]


def test_what_joint_models_were_to_reach_is_told_of_each_bar(tmp_path):
    joint = import_module("experiments.tables.joint")
    scores = {f"{a}>{b}": 0.95 for a, b in joint.PAIRS} | {"map": 0.8, "agreement": 0.9, "weights": 9, "fit_seconds": 4}
    scores |= {f"probe {name}": 0.995 for name in ("image", "audio", "both")}
    results = {job["method"]: dict(scores) for job in joint.jobs() if job["seed"] == 0}
    results |= {name: dict(scores) for name in joint.PEERS}
    results["dense twin, 10 epochs"]["fit_seconds"] = 9
    results["dsae, 30 epochs"]["real"] = {"image": 0.99}
    reached = joint.render(
        [{"job": {"method": name, "seed": 0}, "result": result} for name, result in results.items()], tmp_path
    )
    assert reached.count("| met |") == 11
    worse = [
        ("dsae, 30 epochs", "image>text", 0.89),  # below .90, and more than 4 points below the dense twin
        ("dsae, half missing", "audio>image", 0.7),
        ("dense twin, 10 epochs", "fit_seconds", 7),
        ("MoPoE, 30 epochs", "fit_seconds", 3),
    ]
    for method, key, value in worse:
        results[method][key] = value
    page = joint.render(
        [{"job": {"method": name, "seed": 0}, "result": result} for name, result in results.items()], tmp_path
    )
    assert page.count("**missed**") == 7  # with them, the mean of the pairs falls behind MoPoE's
