"""Section on one layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from page.common import COLOURS, OURS, Bar, figure, log_log, median, ratio, save, shapes, short, table

TITLE = "One layer, forward and backward"
PEERS = ("SparseLab", "SparseProp")
BLOCKS = "dsae, 8 x 1 blocks"
ORDER = (BLOCKS, "dense float32", "dense bfloat16", "torch CSR", *PEERS)
AGAINST_PEERS = 3
# (n_in, n_out, density, against whom, how many times faster)
TARGETS = (
    (4096, 4096, 0.2, "dense float32", 1.7),
    (4096, 4096, 0.05, "dense float32", 7),
    (4096, 4096, 0.01, "dense float32", 25),
    (4096, 4096, 0.05, "dense bfloat16", 2),
    (20000, 2000, 0.05, "dense float32", 5),
)
TEXT = """
Rows in, rows out: packing into panels, the bias, the gradients of input, weights and bias and all of autograd are
counted; the blocks are *structured*: eight outputs share their inputs ([blocks](design/blocks.md)), as many weights,
other edges. Each cell is the median in milliseconds and, in brackets, how many times as long as dsae it takes. All
others have the same random edges and values; before anything is timed each one's output and input gradient is compared
with the dense layer's. bfloat16 stands for weights, activations and gradients in bfloat16. torch CSR is `W @ x.T`,
`W.T @ dy.T` with a transpose that is ready and never refreshed, and `sampled_addmm` for the weights' gradient; autograd
cannot do this, so its own cost is left out there, in favour of torch CSR.

"""
WHY = """
A sparse product costs its live weights plus what does not depend on them: the panels are packed and unpacked, and each
output is written once. With few live weights that fixed part is what is left, so the lines flatten to the left.
SparseLab and SparseProp transpose activations at every layer and load and store an output for every live weight. A
dense layer pays for the zeros and knows no density. Wide inputs cost more per weight, because a panel (256 bytes for
each input feature) has to fit the L2 cache of a core to be read at its speed.
"""


def bars(part: dict[str, Any]) -> list[Bar]:
    """Against the peers everywhere, against dense torch at five points."""
    found = []
    against = [(row, _faster_peer(row)) for row in part["rows"]]
    known = [(value, row) for row, value in against if value is not None]
    if known:
        least, row = min(known, key=lambda pair: pair[0])
        where = f"least, at {row['n_in']} → {row['n_out']}, density {row['density']:g}"
        found.append(Bar(f"layer, against the faster of {' and '.join(PEERS)} ({where})", least, AGAINST_PEERS))
    for n_in, n_out, density, name, bar in TARGETS:
        for row in part["rows"]:
            if (row["n_in"], row["n_out"], row["density"]) == (n_in, n_out, density):
                found.append(Bar(f"layer {n_in} → {n_out}, density {density:g}, against {name}", ratio(row, name), bar))
    return found + _of_blocks(part)


def _of_blocks(part: dict[str, Any]) -> list[Bar]:
    """Of the layer 4096 → 4096 at density 0.05; structured, so beside the others and not in their place."""
    for row in part["rows"]:
        if (row["n_in"], row["n_out"], row["density"]) == (4096, 4096, 0.05) and BLOCKS in row["ms"]:
            gain, peer = 1 / ratio(row, BLOCKS), _faster_peer(row)
            name = "layer 4096 → 4096, density 0.05, structured 8 x 1 blocks"
            return [
                Bar(f"{name}, against single weights", gain, 1.8),
                Bar(f"{name}, against dense float32", gain * ratio(row, "dense float32"), 13),
                *([] if peer is None else [Bar(f"{name}, against the faster peer", gain * peer, 3)]),
            ]
    return []


def _faster_peer(row: dict[str, Any]) -> float | None:
    return min((ratio(row, peer) for peer in PEERS if peer in row["ms"]), default=None)


def render(part: dict[str, Any], images: Path) -> str:
    """Text, one table per shape, plot."""
    blocks = [TEXT, _plot(part, images), WHY]
    for (n_in, n_out, batch), rows in shapes(part["rows"]).items():
        blocks.append(f"\n**{n_in} → {n_out}, batch {batch}**\n\n" + _table(rows))
    return "".join(blocks)


def _table(rows: list[dict[str, Any]]) -> str:
    names = [name for name in ORDER if name in rows[0]["ms"]]
    header = ("density", OURS, *names, f"faster peer / dsae (bar {AGAINST_PEERS}x)")
    return table(header, (_line(row, names) for row in rows))


def _line(row: dict[str, Any], names: list[str]) -> list[str]:
    others = [f"{short(median(row, name))} ({short(ratio(row, name))}x)" for name in names]
    peer = _faster_peer(row)
    verdict = "none installed" if peer is None else f"{short(peer)}x, {Bar('', peer, AGAINST_PEERS).verdict}"
    return [f"{row['density']:g}", short(median(row, OURS)), *others, verdict]


def _plot(part: dict[str, Any], images: Path) -> str:
    by_shape = shapes(part["rows"])
    made, axes = figure(len(by_shape), min(2, len(by_shape)))
    for ax, ((n_in, n_out, batch), rows) in zip(axes, by_shape.items(), strict=True):
        densities = [row["density"] for row in rows]
        for name in (OURS, *ORDER):
            if name in rows[0]["ms"]:
                ax.plot(densities, [median(row, name) for row in rows], color=COLOURS[name], label=name)
        log_log(ax, "density", "ms", f"{n_in} → {n_out}, batch {batch}", densities)
    return save(made, axes[0], images, "layer")
