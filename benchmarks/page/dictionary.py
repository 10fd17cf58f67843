"""Section on trainers of dictionaries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from page.common import Bar, short, table

TITLE = "Dictionaries"
NAMES = {
    "dsae 1": "dsae, density 1",
    "dsae 0.1": "dsae, density 0.1, fixed",
    "torch": "torch, a loop with dense products and fused Adam",
    "SAELens": "SAELens",
    "sparsify": "sparsify",
}
# name, against, at most so many times its time
BARS = (("dsae 1", "SAELens", 1.0), ("dsae 1", "sparsify", 1.0), ("dsae 0.1", "sparsify", 0.5))


def bars(part: dict[str, Any]) -> list[Bar]:
    """Our steps beside those of the peers, for the first case."""
    ms = part["rows"][0]["ms"]
    return [
        Bar(f"Dictionary, {NAMES[ours]}: a step beside {peer}'s", _step(ms, ours) / _step(ms, peer), bar, "", False)
        for ours, peer, bar in BARS
        if peer in ms
    ]


def render(part: dict[str, Any], images: Path) -> str:
    """A table for each case."""
    return "".join(map(_case, part["rows"])) + _peers(part["versions"])


def _case(row: dict[str, Any]) -> str:
    ms = row["ms"]
    text = f"""
One step, everything counted: {row["rows"]:,} rows of {row["features"]} features, {row["latents"]:,} latents, top
{row["k"]}, batches of {row["batch"]}, {row["threads"]} thread. Trainers take turns of {row["steps"]} steps, each in a
process of its own. Processor time is what counts on a machine that does other things.

"""
    head = ("trainer", "ms a step", "processor, ms", "beside dsae at density 1")
    lines = [
        [NAMES[name], short(times["median"]), short(times["processor"]), f"{_step(ms, name) / _step(ms, 'dsae 1'):.2f}"]
        for name, times in ms.items()
    ]
    return text + table(head, lines)


def _step(ms: dict[str, dict[str, float]], name: str) -> float:
    return ms[name]["processor"]


def _peers(versions: dict[str, str]) -> str:
    if not versions:
        return "\nThe peers were not installed.\n"
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"""
Peers: {listed}. SAELens at its defaults, among them AuxK, clipped gradients and counts of firings; its sparse
activations do not run on a CPU. sparsify with Adam, whose backward leaves zeros out as dsae's does. dsae counts the
ends of epochs, too. What the codes are worth: docs/results.md.
"""
