"""Exit codes mean something, and an error is one line."""

import os

import click
import pytest
from tests.covering import each

from dsae.cli import COMMANDS, cli, main
from dsae.cli._options import OneOf


def one_line(done, message):
    assert done.err.startswith("dsae: ")
    assert done.err.count("\n") == 1
    assert message in done.err
    assert done.out == b""


@each(command=COMMANDS)
def test_every_command_explains_itself(dsae, command):
    done = dsae(command, "--help")
    assert done.code == 0
    assert done.text.startswith(f"Usage: dsae {command}")
    assert command in dsae("--help").text


def test_every_choice_knows_its_neighbours():
    context = click.Context(cli)
    parameters = [parameter for name in COMMANDS for parameter in cli.get_command(context, name).params]
    choices = [parameter.type for parameter in parameters if isinstance(parameter.type, click.Choice)]
    assert len(choices) > 10
    assert all(isinstance(choice, OneOf) for choice in choices)


def test_every_command_that_takes_rows_is_told_their_ids():
    context = click.Context(cli)
    names = {name: {parameter.name for parameter in cli.get_command(context, name).params} for name in COMMANDS}
    takers = {name for name, known in names.items() if known & {"data", "train", "a", "rows"}}
    assert set(COMMANDS) - takers == {"demo", "demo-joint", "import", "info", "prepare", "push", "sample"}
    assert all("id_column" in names[name] for name in takers)


def test_help_names_the_exit_codes(dsae):
    assert "Exit codes: 0 success, 1 the work failed, 2 wrong usage or bad input, 130" in dsae("-h").text


def test_nothing_asked_is_wrong_usage(dsae):
    done = dsae()
    assert done.code == 2
    assert "Usage: dsae" in done.err


@each(
    {
        "args, message": [
            (["prune"], "No such command 'prune'"),
            (["encode"], "Missing argument 'MODEL'. See dsae encode --help."),
            (["fit", "data.npy"], "Missing option '-o'"),
            (
                ["fit", "data.npy", "-o", "m", "--densty", "1"],
                "No such option '--densty'. (Did you mean one of: '--density'",
            ),
            (["fit", "data.npy", "-o", "m", "--shrink", "prune"], "'prune' is not one of 'random', 'gradient'"),
            (["fit", "data.npy", "-o", "m", "--density", "a=b"], "such as encoder.0=0.05; got 'a=b'"),
            (["fit", "data.npy", "-o", "m", "--hidden-layer-sizes", "3;4"], "such as 1024,256; got '3;4'"),
            (["encode", "nowhere", "data.npy"], "[load] nowhere is not a model folder: it has no config.json."),
            (["info", "nowhere"], "[load] nowhere is not a model folder"),
            (["evaluate", "{model}", "gone.npy"], "[read] gone.npy does not exist; check the path."),
            (["evaluate", "{model}", "data.xls"], "data.xls must end in .npy, .npz, .csv"),
            (["decode", "{model}", "{data}"], "X must have 2 columns, the code's width; got 4 in "),
            (["encode", "{model}", "{data}", "-o", "x.pdf"], "[write] x.pdf must end in"),
            (["fit", "gone.npy", "-o", "{new}"], "[read] gone.npy does not exist"),
            (["fit", "{data}", "-o", "{new}", "--density", "2"], "density must be a number in (0, 1]; got 2.0."),
            (["fit", "{data}", "-o", "{folder}"], "exists and is not a model folder"),
        ]
    }
)
def test_wrong_usage_and_bad_input_exit_2(dsae, model, data, tmp_path, args, message):
    places = {"model": model, "data": data, "new": tmp_path / "new", "folder": data.parent}
    done = dsae(*(arg.format(**places) for arg in args))
    assert done.code == 2
    one_line(done, message)


def test_a_place_that_cannot_be_written_exits_1(dsae, model, data):
    for args in (
        ["encode", model, data, "-o", data / "codes.npy"],
        ["fit", data, "-o", data / "model"],
        ["compare", data, "-o", data / "folder"],
        ["report", model, data, "-o", data / "report.html"],
    ):
        done = dsae(*args)
        assert done.code == 1
        one_line(done, "cannot be")


@each(
    {
        "error, code, message": [
            (MemoryError("12 GiB"), 1, "dsae: out of memory. 12 GiB"),
            (FloatingPointError("the loss\nis NaN"), 1, "dsae: the loss is NaN"),
            (KeyError("w"), 1, "dsae: KeyError: 'w' (dsae --debug shows where)"),
            (TypeError("wrong"), 2, "dsae: wrong"),
            (ImportError("no torch"), 1, "dsae: no torch"),
            (KeyboardInterrupt(), 130, "dsae: interrupted"),
        ]
    }
)
def test_what_goes_wrong_inside_is_one_line_too(dsae, model, monkeypatch, error, code, message):
    def fail(_):
        raise error

    monkeypatch.setattr("dsae.store.read", fail)
    done = dsae("info", model)
    assert done.code == code
    assert done.err.strip() == message


def test_debug_shows_the_traceback(dsae):
    done = dsae("--debug", "info", "nowhere")
    assert done.code == 2
    assert "Traceback" in done.err
    assert done.err.endswith("dsae: [load] nowhere is not a model folder: it has no config.json.\n")


@pytest.mark.filterwarnings("default:deprecated thing")
def test_a_warning_is_one_line_on_stderr(dsae, model, monkeypatch):
    import warnings

    from dsae import store

    def read(folder, read=store.read):
        warnings.warn("deprecated thing", RuntimeWarning, stacklevel=2)
        return read(folder)

    monkeypatch.setattr(store, "read", read)
    assert dsae("info", model, "--json").err == "dsae: warning: deprecated thing\n"


def test_main_exits_with_the_code_and_leaves_the_environment_alone(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    before = dict(os.environ)
    with pytest.raises(SystemExit) as caught:
        main(["nothing"])
    assert caught.value.code == 2
    assert os.environ == before
