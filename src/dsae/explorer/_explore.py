"""An explorer of a model: a folder that opens by double click."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae.config import plain, positive_int
from dsae.explorer import _latents, _media, _stored
from dsae.explorer._about import about, checks
from dsae.explorer._collect import Measured, Stream, ids_given, measured
from dsae.explorer._folder import Target
from dsae.explorer._given import MOST_LABELS, feature_names, lengths
from dsae.explorer._health import health
from dsae.explorer._latents import Atoms, Latents
from dsae.explorer._map import METHOD, layout
from dsae.explorer._media import Media
from dsae.explorer._stored import StoredRows, by_rank, chosen_rows
from dsae.explorer._view import View
from dsae.pages import explorer_page, explorer_views

Watch = Callable[[str], Callable[[int, int], None]]
_N_EXAMPLES = 12


def explore(
    model: Any,
    X: Any = None,
    folder: str | Path = "explorer",
    *,
    names: Any = None,
    labels: Any = None,
    texts: Any = None,
    ids: Any = None,
    image_shape: Any = None,
    audio: int | None = None,
    single: bool = False,
    codes: Any = None,
    n_rows: int = 20_000,
    latent_names: Mapping[int, str] | Callable[[list[dict[str, Any]]], Mapping[int, str]] | None = None,
    title: str | None = None,
    expressions: Mapping[str, str] | None = None,
    seed: int = 0,
    watch: Watch | None = None,
) -> Path:
    """Write a folder in which one finds out what a model's latents stand for; ``index.html`` opens by double click.

    Rows are read in two passes, and stored ones once more; nothing that has as many numbers as latents times rows is
    ever held. The page asks nothing of a network.

    Parameters
    ----------
    model : Model, Runtime, JointModel, JointRuntime, or a fitted estimator
        One that reconstructs what it sees.
    X : array-like, DataFrame, scipy sparse, a source or rows by modality
        Whatever the model's verbs take, files included; preferably not the training rows.
    folder : str or Path
        An explorer there is replaced.
    names : sequence of str, or mapping of str to sequence of str, optional
        Of the features; by modality for a model of several. By default those that model or rows have.
    labels : sequence, shape (n_samples,), optional
        Classes of the rows; None and NaN stand for none. By default those that travel with ``X``. The 255 most frequent
        are told apart.
    texts : sequence of str, shape (n_samples,), optional
        What each row is about, such as the document whose words were counted. Words that are names of features are
        marked where they make a latent fire.
    ids : sequence, shape (n_samples,), optional
        What rows are called; by default those that travel with ``X``, or numbers.
    image_shape : tuple of int, or mapping of str to tuple of int, optional
        (height, width) or (channels, height, width) if features are pixels. Models with encoders know it.
    audio : int, optional
        Samples per second, if rows are sounds. Models with encoders know it.
    single : bool
        Whether to write one file with everything inside, up to 20 MB.
    codes : source of CSR codes, optional
        In place of ``X``: an object with ``__len__``, ``n_features`` (the latents) and ``batches(batch_size)``, which
        gives the same CSR matrices each time. Errors, values and pictures are then not known.
    n_rows : int
        Rows that are stored, at most; strongest examples first, a random sample and the worst rows. The page says how
        many are left out.
    latent_names : mapping of int to str, or callable, optional
        Names of latents. A callable gets a dict for each latent (``latent``, ``rate``, ``writes``, ``labels``) and
        returns such a mapping. By default the most distinctive features a latent writes stand for it.
    title : str, optional
    expressions : mapping of str to str, optional
        Python expressions of ``"model"`` and ``"rows"``, which the page puts in the lines that repeat its numbers, and
        of an ``"array"`` of the rows, if some cannot be chosen from ``"rows"``.
    seed : int
        Of samples and maps.
    watch : callable, optional
        ``watch(what)`` gives a function that is told how many are done, of how many.

    Returns
    -------
    Path
        Of the folder.

    Raises
    ------
    ValueError
        If rows do not fit the model, labels, ids or texts are more or fewer than rows, names more or fewer than
        features, the folder holds something else, or a single file would be larger than 20 MB.
    TypeError
        If ``model`` is no trained model.
    OSError
        If the folder cannot be written.

    Examples
    --------
    >>> explore(model, X_test, "explorer", names=words, labels=y_test, texts=documents)   # doctest: +SKIP
    """
    positive_int("[explore] n_rows", n_rows)
    view = View(model)
    if (X is None) == (codes is None):
        raise ValueError("[explore] Either X or codes must be given; got both or neither.")
    source = None if X is None else view.source(X)
    if codes is not None and codes.n_features != view.n_latents:
        raise ValueError(
            f"[explore] codes must have {view.n_latents} columns, one per latent of the model; got {codes.n_features}."
        )
    target = Target(folder, single)
    stream = Stream(view, source, codes)
    ids = ids_given(X, source, ids)
    lengths(len(stream), labels=labels, texts=texts, ids=ids)
    media = Media(view, target, image_shape, audio, _fields(view, source))
    named, known = feature_names(view, names, source)
    if not known:
        named = media.pixels(named)
    watch = watch or (lambda what: lambda done, total: None)
    with target:
        found = measured(stream, labels, ids, _N_EXAMPLES, seed, watch("rows"))
        told = _write(view, target, stream, found, media, texts, n_rows, seed, watch)
        title = title or f"{view.n_latents:,} latents of {view.n_features:,} features"
        columns = told.latents.columns(_latent_names(latent_names, told.latents, found, named))
        target.write("columns", columns)
        target.write("features", {"name": named})
        target.write("moments", _moments(view, found, told.atoms))
        content = _index(view, found, told, media, title, named=known, single=single, expressions=expressions)
        target.write("index", content)
        if single:
            target.page(explorer_page(title, target.shards))
        else:  # a page is painted when its start is there
            target.page(explorer_page(title, apart=True))
            target.script("views", explorer_views())
    return target.path


class _Told:
    """What is left of writing, for the index."""

    def __init__(self, atoms: Atoms, latents: Latents, rows: np.ndarray, has_texts: bool) -> None:
        self.atoms, self.latents, self.rows, self.has_texts = atoms, latents, rows, has_texts


def _write(
    view: View,
    target: Target,
    stream: Stream,
    found: Measured,
    media: Media,
    texts: Any,
    n_rows: int,
    seed: int,
    watch: Watch,
) -> _Told:
    has_rows = stream.source is not None
    if has_rows:
        media.ranged(found.low, found.high)
    atoms = Atoms(view, found)
    latents = Latents(view, target, found, atoms, media)
    latents.write(watch("latents"))
    latents.labels()
    room = media.room() if has_rows else n_rows
    rows = chosen_rows(found, min(n_rows, room), seed)
    if has_rows:
        media.sounding(rows, by_rank(found))
    stored = StoredRows(view, target, found, rows, atoms.norms, atoms.base, texts, media)
    stored.write(stream, watch("stored rows"))
    held = sp.csr_matrix(sp.vstack(stored.codes, format="csr"))
    target.write("stored", {"row": rows, "n_on": np.diff(held.indptr), **stored.known()})
    by_size = sp.csr_matrix(held @ sp.diags(atoms.norms))
    placed = layout(atoms.rows, atoms.similar.latents, seed)
    placed[found.summary.counts == 0] = 0
    target.write("map", {"latents": placed, "rows": layout(by_size, seed=seed), "method": METHOD})
    target.write("health", health(view, found, atoms))
    checked = checks(view, *stored.checked(), stored.gap, seed)
    said = _sampled(view, found, stored, rows, atoms, media, room < n_rows)
    target.write("about", about(view, found, atoms, n_stored=rows.size, sampled=said, checked=checked))
    return _Told(atoms, latents, rows, texts is not None)


def _sampled(
    view: View, found: Measured, stored: StoredRows, rows: np.ndarray, atoms: Atoms, media: Media, small: bool
) -> list[str]:
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
    if not view.exact:
        said.append(
            "The decoder has several layers or an output that is not linear: what a latent writes is its effect at the "
            "mean code, for a step of its usual size."
        )
    if not view.exact_reads:
        said.append(
            "The encoder has several layers or transforms its input: what a latent reads is its gradient at the mean "
            "row."
        )
    elif view.joint:
        said.append("What a latent reads is that of rows that have all modalities.")
    return said


def _index(
    view: View,
    found: Measured,
    told: _Told,
    media: Media,
    title: str,
    *,
    named: bool,
    single: bool,
    expressions: Mapping[str, str] | None,
) -> dict[str, Any]:
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
        labels = {"names": names, "counts": n.tolist()}
    has_rows = found.mean is not None
    return plain(
        {
            "schema": 1,
            "title": title,
            "single": single,
            "n_latents": view.n_latents,
            "n_rows": found.n_rows,
            "n_features": view.n_features,
            "n_stored": told.rows.size,
            "n_bins": _latents.N_BINS,
            "has_rows": has_rows,
            "per": {"latents": _latents.PER_SHARD, "rows": _stored.PER_SHARD, "sounds": _media.PER_SHARD},
            "threshold": view.threshold,
            "signed": view.signed and found.summary.histogram.negative is not None,
            "modalities": modalities,
            "exact": view.exact,
            "exact_reads": view.exact_reads,
            "decoder": told.latents.whole,
            "labels": labels,
            "has": {
                "ids": found.ids is not None,
                "texts": told.has_texts,
                "labels": labels is not None,
                "sounds": media.n_sounds > 0,
                "pictures": bool(media.shapes) and has_rows,
                "names": named,
                "presence": view.joint,
            },
            "map": {"latents": True, "rows": True},
            "python": {"model": "model", "rows": "X", **(expressions or {})},
        }
    )


def _moments(view: View, found: Measured, atoms: Atoms) -> dict[str, Any]:
    unknown = np.full(view.n_features, np.nan)
    content: dict[str, Any] = {
        "mean": unknown if found.mean is None else found.mean,
        "spread": unknown if found.variance is None else np.sqrt(found.variance),
        "error": unknown if found.feature_errors is None else found.feature_errors,
        "base": atoms.base,
        "bias": view.bias,
    }
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


def _fields(view: View, source: Any) -> dict[str, tuple[int, ...]]:
    """Shapes that sources give to whole rows."""
    found = {}
    for name, part in getattr(source, "parts", {}).items():
        fields = part.fields
        if len(fields) == 1 and len(fields[0].shape) in (2, 3):
            found[name if view.joint else ""] = fields[0].shape
    return found


def _latent_names(given: Any, latents: Latents, found: Measured, names: Sequence[str]) -> list[str] | None:
    if given is None:
        return None
    columns = latents.columns()
    labels = found.labels.names()
    if callable(given):
        described = [
            {
                "latent": i,
                "rate": float(found.summary.rates[i]),
                "writes": [names[j] for j in columns["top"][i] if j < len(names)],
                "label": labels[columns["label"][i]] if columns["label"][i] < len(labels) else None,
            }
            for i in range(len(columns["n_on"]))
        ]
        given = given(described)
    n = len(columns["n_on"])
    out = [""] * n
    for latent, name in given.items():
        if not 0 <= int(latent) < n:
            raise ValueError(f"[explore] latent_names must name latents 0..{n - 1}; got {latent!r}.")
        out[int(latent)] = str(name)
    return out
