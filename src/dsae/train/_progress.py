"""Progress bar; silent without a terminal."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

_SHOWN = {"fvu": "fvu {:.4g}", "l0": "l0 {:.3g}", "dead": "dead {:.1%}"}


class ProgressLine:
    """Shows epoch, error, what the code does, density, samples per second and time left on stderr.

    Parameters
    ----------
    n_steps : int
        Of the whole training.
    verbose : int
        0 is silent; so is any level where stderr is not a terminal.
    """

    def __init__(self, n_steps: int, verbose: int) -> None:
        console = Console(stderr=True)
        self._shown = bool(verbose) and console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[status]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not self._shown,
        )
        self._task = self._progress.add_task("fit", total=n_steps, status="")

    def __enter__(self) -> ProgressLine:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self) -> None:
        """Count one mini-batch."""
        if self._shown:
            self._progress.advance(self._task)

    def skip(self, n_steps: int) -> None:
        """Start from a number of mini-batches done before."""
        self._progress.advance(self._task, n_steps)

    def epoch(self, stage: str, row: dict) -> None:
        """Show the newest history row."""
        if not self._shown:
            return
        validation = f" validation {row['validation_loss']:.4g}" if "validation_loss" in row else ""
        more = "".join(f" {_SHOWN[name].format(row[name])}" for name in _SHOWN if name in row)
        status = f"loss {row['loss']:.4g}{more}{validation} density {row['density']:.3f}"
        status += f" {row['samples_per_second']:,.0f}/s"
        self._progress.update(self._task, description=f"{stage} epoch {row['epoch']}", status=status)
