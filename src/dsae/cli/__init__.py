"""The command line: data to stdout or ``-o``, everything else to stderr, with meaningful exit codes.

Only click is imported here: a command imports what it needs when it runs, so that help appears at once.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from keyword import iskeyword
from typing import Any

import click

import dsae
from dsae.config import ENDINGS, did_you_mean

SUCCESS, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130  # as shells have them; 130 is 128 + SIGINT

COMMANDS = {
    "demo": "_demo",
    "demo-joint": "_demo_joint",
    "prepare": "_prepare",
    "fit": "_fit",
    "encode": "_encode",
    "decode": "_encode",
    "reconstruct": "_encode",
    "impute": "_encode",
    "translate": "_encode",
    "denoise": "_encode",
    "sample": "_sample",
    "interpolate": "_sample",
    "evaluate": "_encode",
    "fit-outliers": "_outliers",
    "score": "_rank",
    "neighbours": "_rank",
    "select": "_rank",
    "fit-recommender": "_recommend",
    "recommend": "_recommend",
    "compare": "_compare",
    "report": "_compare",
    "push": "_push",
    "export": "_exchange",
    "import": "_exchange",
    "explore": "_explore",
    "info": "_info",
}

_EPILOG = f"""Data files are {", ".join(ENDINGS)}, or folders of one format; "-" is standard input or output.

\b
Exit codes: 0 success, 1 the work failed, 2 wrong usage or bad input, 130 interrupted."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            hint = did_you_mean(cmd_name, COMMANDS)
            raise click.UsageError(f"No such command {cmd_name!r}.{hint}", ctx)
        # Only the module of the command that runs, so that most of them start without torch.
        name = cmd_name.replace("-", "_") + "_" * iskeyword(cmd_name)
        return getattr(import_module(f"dsae.cli.{COMMANDS[cmd_name]}"), name)


@click.group(cls=_Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(dsae.__version__, prog_name="dsae")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_obj
def cli(state: dict[str, Any], debug: bool) -> None:
    """Deep sparse autoencoders: train them, use them, compare them, explain them."""
    state["debug"] = debug


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(run(args))


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    args : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        0 success, 1 the work failed, 2 wrong usage or bad input, 130 interrupted.
    """
    state: dict[str, Any] = {"debug": False, "args": list(sys.argv[1:] if args is None else args)}
    with _short_warnings():
        try:
            result = cli.main(args, prog_name="dsae", standalone_mode=False, obj=state)
            sys.stdout.flush()
            return result if isinstance(result, int) else SUCCESS
        except Exception as error:
            if state["debug"]:
                traceback.print_exc()
            return _explain(error, distributed="--distributed" in state["args"])


def _explain(error: Exception, distributed: bool = False) -> int:
    if isinstance(error, click.Abort):
        click.echo("dsae: interrupted", err=True)
        return INTERRUPTED
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return MISUSED
    if isinstance(error, BrokenPipeError):
        # The reader of the output has closed it; python would report that again when it flushes at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    text: str | None = _one_line(error)
    if distributed and "RANK" in os.environ:  # one of several processes, which may all have it
        from dsae.train import spoken

        text = spoken(error, text)
    if text is not None:
        click.echo(f"dsae: {text}", err=True)
    misuse = (ValueError, TypeError, FileNotFoundError, click.ClickException)  # what the caller can mend
    return MISUSED if isinstance(error, misuse) else FAILED


def _one_line(error: Exception) -> str:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        message = f"{error.format_message()} See {error.ctx.command_path} --help."
    elif isinstance(error, click.ClickException):
        message = error.format_message()
    elif isinstance(error, MemoryError):
        message = f"out of memory. {error}"
    elif isinstance(error, (ValueError, TypeError, OSError, ImportError, ArithmeticError)):
        message = str(error)
    else:
        message = f"{type(error).__name__}: {error} (dsae --debug shows where)"
    return " ".join(message.split()) or type(error).__name__


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
    """Show warnings as one line each, the same one once; none ends training, which may take hours."""
    with warnings.catch_warnings():
        for category in (UserWarning, RuntimeWarning):
            warnings.simplefilter("default", category)
        warnings.showwarning = lambda message, *_, **__: click.echo(f"dsae: warning: {message}", err=True)
        yield
