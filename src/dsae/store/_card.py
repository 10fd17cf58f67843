"""The page beside a model that people, and hubs of models, read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dsae.store._model import Model


def card(model: Model) -> str:
    """Markdown, with a head of YAML."""
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
    return page("A deep sparse autoencoder", tags, facts, "X")


def page(title: str, tags: Iterable[str], facts: Iterable[str], rows: str) -> str:
    """Markdown of a model, with a head of YAML, what is to be known, and how rows are encoded."""
    lines = [
        "---",  # from which a hub takes what it shows
        "library_name: dsae",
        "pipeline_tag: feature-extraction",
        "tags:",
        *(f"- {tag}" for tag in tags),
        "---",
        f"# {title}",
        "",
        *facts,
        "",
        "```python",
        "import dsae",
        f'codes = dsae.load("this folder").encode({rows})  # needs numpy, no torch',
        "```",
        "",
    ]
    return "\n".join(lines)
