"""Output of commands: figures on stdout, and the files they write."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import click

from dsae.config import plain


def show(facts: Mapping[str, Any], as_json: bool, *, as_named: Container[str] = ()) -> None:
    """Facts as JSON or as aligned lines, on stdout; underscores are spaces but in names such as those of files."""
    if as_json:
        click.echo(json.dumps(plain(facts), indent=2))
    else:
        names = {name: name if name in as_named else name.replace("_", " ") for name in facts}
        click.echo(columns([[names[name], text(value)] for name, value in facts.items()]))


def show_table(table: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Facts of one kind about several things as JSON, or as a table with the names of the first."""
    if as_json:
        click.echo(json.dumps(plain(table), indent=2))
    else:
        cells = [[f"{v}" if type(v) is int else text(v) for v in row.values()] for row in table]
        click.echo(columns([[name.replace("_", " ") for name in table[0]], *cells]))


def text(value: Any) -> str:
    """A fact as a person reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of a table in aligned columns; numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(_padded(field, width, i) for i, (field, width) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    )


def _padded(field: str, width: int, column: int) -> str:
    return field.rjust(width) if column and field[:1].isdigit() else field.ljust(width)  # the first column holds names


def progress(label: str) -> Any:
    """A context of a bar on stderr, told how many rows are done, of how many; silent without a terminal.

    Until it is told, it moves to and fro.
    """
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    bar = Progress(
        label,
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    task = bar.add_task("", total=None)

    @contextmanager
    def shown() -> Any:
        with bar:
            yield lambda n, total: bar.update(task, completed=n, total=total)

    return shown()


def watched(label: str, source: Any, output: str = "") -> Any:
    """A source whose batches and chunks move a bar; none where they are written to the terminal that it is on."""
    if output == "-" and sys.stdout.isatty():
        return source
    return _Watched(source, lambda: progress(label))


def telling(told: Callable[[int, int], object], source: Any) -> Any:
    """A source whose batches and chunks move a bar that is there already."""
    return _Watched(source, lambda: nullcontext(told))


class _Watched:
    def __init__(self, source: Any, bar: Callable[[], Any]) -> None:
        self._source, self._bar = source, bar

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def __len__(self) -> int:
        return len(self._source)

    def batches(self, *args: Any, **kwargs: Any) -> Any:
        return self._moved(self._source.batches(*args, **kwargs))

    def chunks(self, *args: Any, **kwargs: Any) -> Any:
        return self._moved(self._source.chunks(*args, **kwargs))

    def _moved(self, parts: Iterable[Any]) -> Iterator[Any]:
        done = 0
        with self._bar() as told:
            for part in parts:
                yield part
                done += part.n_rows
                told(done, len(self._source))
