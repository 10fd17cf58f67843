"""The page beside a model that people, and hubs of models, read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dsae.store._model import Model


def card(model: Model) -> str:
    """Markdown, with a head of YAML."""
    c = model.config
    widths = "-".join(str(width) for width in (*c.encoder_widths, *c.decoder_widths[1:]))
    kind = "sparse-autoencoder" if c.code.sparse else "autoencoder"
    lines = [
        "---",  # from which a hub takes what it shows
        "library_name: dsae",
        "pipeline_tag: feature-extraction",
        "tags:",
        *(f"- {tag}" for tag in ("dsae", kind, *(["dictionary-learning"] if c.code.sparse else []))),
        "---",
        "# A deep sparse autoencoder",
        "",
        f"- layers: {widths}, {c.activation} hidden, {c.code_activation} code, {c.output_activation} output",
        f"- weights: {model.nnz:,} non-zero, density {model.density:.4f}"
        + (f", in blocks of {c.block_size} outputs that share an input" if c.block_size > 1 else ""),
        *(f"- {name}: {value:.6g}" for name, value in model.metrics.items() if isinstance(value, int | float)),
        "",
        "```python",
        "import dsae",
        'codes = dsae.load("this folder").encode(X)  # needs numpy, no torch',
        "```",
        "",
    ]
    return "\n".join(lines)
