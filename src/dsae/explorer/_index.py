"""What the page must know before it draws anything, and what it says was left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dsae.config import plain
from dsae.explorer import _latents, _media, _stored
from dsae.explorer._collect import Measured
from dsae.explorer._given import MOST_LABELS
from dsae.explorer._latents import Atoms
from dsae.explorer._media import Media
from dsae.explorer._stored import StoredRows
from dsae.explorer._view import View


def sampled(
    view: View, found: Measured, stored: StoredRows, rows: np.ndarray, atoms: Atoms, media: Media, small: bool
) -> list[str]:
    """What was left out or drawn at random, in sentences; ``small`` where there was room for fewer rows than asked."""
    said = [f"Rates, sums, histograms and the strongest rows are of all {found.n_rows:,} rows."]
    if rows.size < found.n_rows:
        why = "Pictures of more would not fit. " if small else ""
        said.append(
            f"{rows.size:,} of {found.n_rows:,} rows are stored; {found.n_rows - rows.size:,} are counted, but cannot "
            f"be opened. {why}Stored are the worst rows, a random sample, and examples, the strongest first."
        )
    n_pairs = found.details.codes.shape[0]
    if n_pairs < found.n_rows:
        said.append(f"Latents that fire together are counted in {n_pairs:,} rows drawn at random.")
    if not atoms.similar.exact:
        said.append(
            "Neighbours by cosine were sought among the nearest by random projections; some may be missed. The cosines "
            "are exact."
        )
    if stored.n_cut:
        said.append(f"{stored.n_cut:,} texts are cut after {stored.longest:,} characters.")
    if found.labels.merged:
        said.append(f"{MOST_LABELS} labels are told apart; {found.labels.merged:,} others are one.")
    if media.n_sounds:
        said.append(f"{media.n_sounds:,} of {rows.size:,} stored rows can be heard.")
    if not view.one_decoder:
        said.append(
            "The decoder has several layers: what a latent writes is its effect at the mean code, for a step of its "
            "usual size."
        )
    elif not view.exact:
        said.append("What a latent writes is the weights of the decoder, in front of its output's activation.")
    if not view.exact_reads:
        said.append(
            "The encoder has several layers or transforms its input: what a latent reads is its gradient at the mean "
            "row."
        )
    elif view.joint:
        said.append("What a latent reads is that of rows that have all modalities.")
    return said


def index(
    view: View,
    found: Measured,
    media: Media,
    title: str,
    *,
    n_stored: int,
    decoder: bool,
    has: Mapping[str, bool],
) -> dict[str, Any]:
    """Counts, what there is, and how shards are cut.

    Parameters
    ----------
    view : View
    found : Measured
    media : Media
    title : str
    n_stored : int
        Rows.
    decoder : bool
        Whether the page can decode codes.
    has : mapping of str to bool
        Whether there are names and texts.
    """
    kinds, rates = media.kinds(), media.rates()
    modalities = [
        {
            "name": name,
            "kind": kinds[name],
            "first": view.spans[name].start,
            "n_features": of.config.n_features,
            "shape": media.shapes[name].shape if name in media.shapes else None,
            "rate": rates[name],
            "encoder_layers": len(of.config.encoder_widths) - 1,
            "decoder_layers": len(of.config.decoder_widths) - 1,
            "output": of.config.output_activation,
            "loss": of.loss,
            "low": media.low.get(name),
            "high": media.high.get(name),
        }
        for name, of in view.models.items()
    ]
    counts = found.summary.labels
    labels = None
    if found.label_of is not None:
        names = found.labels.names()
        n = np.zeros(len(names), np.int64)
        if counts is not None:
            n[[int(label) for label in counts.classes]] = counts.n_rows
        labels = {"names": names, "counts": n.tolist(), "beside": found.labels.beside}
    has_rows = found.mean is not None
    return plain(
        {
            "schema": 1,
            "title": title,
            "n_latents": view.n_latents,
            "n_rows": found.n_rows,
            "n_features": view.n_features,
            "n_stored": n_stored,
            "n_bins": _latents.N_BINS,
            "has_rows": has_rows,
            "per": {"latents": _latents.PER_SHARD, "rows": _stored.PER_SHARD, "sounds": _media.PER_SHARD},
            "threshold": view.threshold,
            "signed": view.signed and found.summary.histogram.negative is not None,
            "modalities": modalities,
            "exact": view.exact,
            "one_layer": view.one_decoder,
            "exact_reads": view.exact_reads,
            "error": view.error,
            "decoder": decoder,
            "labels": labels,
            "has": {
                "ids": found.ids is not None,
                "labels": labels is not None,
                "sounds": media.n_sounds > 0,
                "pictures": bool(media.shapes) and has_rows,
                **has,
                "presence": view.joint,
            },
            "map": {"latents": True, "rows": True},
        }
    )


def moments(view: View, found: Measured, atoms: Atoms) -> dict[str, Any]:
    """What is known of each feature."""
    unknown = np.full(view.n_features, np.nan)
    content: dict[str, Any] = {
        "mean": unknown if found.mean is None else found.mean,
        "spread": unknown if found.variance is None else np.sqrt(found.variance),
        "error": unknown if found.feature_errors is None else found.feature_errors,
        "base": atoms.base,
        **({"reads_base": atoms.spread} if view.relative.any() else {}),
        "bias": view.bias,
    }
    dispersion = view.dispersion()
    if dispersion is not None:
        content["dispersion"] = dispersion
    fill = view.fill()
    if fill is not None:
        content["fill"] = fill
    table = None if view.joint else view.runtime.model.table
    if table is not None:
        scale, mean = np.zeros(view.n_features), np.zeros(view.n_features)
        for column, span in table.spans:
            if column.is_measured:
                scale[span], mean[span] = column.scale, column.mean
        content["unit"] = {"mean": mean, "scale": scale}
    return content
