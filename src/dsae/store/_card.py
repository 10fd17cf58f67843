"""The page beside a model that people, and hubs of models, read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsae.store._model import Model

# Metrics that a hub shows, as model folders call them, with or without the rows on which they were measured.
_SHOWN = {
    "fvu": "Variance unexplained",
    "mse": "Mean squared error",
    "loss": "Loss",
    "l0": "Active latents per row",
    "dead": "Dead latents, share",
}
_ROWS = {"train": "Training rows", "validation": "Validation rows", "test": "Test rows"}


def card(model: Model, license: str | None = None, address: str | None = None) -> str:
    """Markdown, with a head of YAML.

    Parameters
    ----------
    model : Model
    license : str, optional
        As hubs call it.
    address : str, optional
        From which the model is loaded, for the example.
    """
    c = model.config
    widths = "-".join(str(width) for width in (*c.encoder_widths, *c.decoder_widths[1:]))
    kind = "sparse-autoencoder" if c.code.sparse else "autoencoder"
    tags = ("dsae", kind, *(["dictionary-learning"] if c.code.sparse else []))
    facts = [
        f"- layers: {widths}, {c.activation} hidden, {c.code_activation} code, {c.output_activation} output",
        f"- weights: {model.nnz:,} non-zero, density {model.density:.4f}"
        + (f", in blocks of {c.block_size} outputs that share an input" if c.block_size > 1 else ""),
        *(f"- {name}: {value:.6g}" for name, value in model.metrics.items() if isinstance(value, int | float)),
    ]
    return page("A deep sparse autoencoder", tags, facts, "X", model.metrics, license, address)


def page(
    title: str,
    tags: Iterable[str],
    facts: Iterable[str],
    rows: str,
    metrics: Mapping[str, Any],
    license: str | None,
    address: str | None,
) -> str:
    """Markdown of a model, with a head of YAML, what is to be known, and how rows are encoded."""
    lines = [
        "---",  # from which a hub takes what it shows
        "library_name: dsae",
        "pipeline_tag: feature-extraction",
        *([] if license is None else [f"license: {license}"]),
        "tags:",
        *(f"- {tag}" for tag in tags),
        *_model_index(title, metrics),
        "---",
        f"# {title}",
        "",
        *facts,
        "",
        "```python",
        "import dsae",
        f'codes = dsae.load("{address or "this folder"}").encode({rows})  # needs numpy, no torch',
        "```",
        "",
    ]
    return "\n".join(lines)


def _model_index(title: str, metrics: Mapping[str, Any]) -> Iterator[str]:
    """The metrics as hubs read them: by the rows on which they were measured."""
    measured: dict[str, dict[str, float]] = {}
    for key, value in metrics.items():
        rows, _, name = key.rpartition("_")
        plain = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if name in _SHOWN and rows in ("", *_ROWS) and plain:
            measured.setdefault(rows or "train", {})[name] = value
    if not measured:
        return
    yield from ("model-index:", f"- name: {title}", "  results:")
    for rows, found in measured.items():
        yield from ("  - task:", "      type: feature-extraction", "    dataset:", "      type: unknown")
        yield from (f"      name: {_ROWS[rows]}", "    metrics:")
        for name, value in found.items():
            yield from (f"    - type: {name}", f"      name: {_SHOWN[name]}", f"      value: {_number(value)}")


def _number(value: float) -> str:
    """Six digits, as YAML 1.1 reads them: 1e-05 would be a text there."""
    digits, e, exponent = f"{value:.6g}".partition("e")
    return f"{digits}.0{e}{exponent}" if e and "." not in digits else f"{digits}{e}{exponent}"
