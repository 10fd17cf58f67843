"""An explorer of a model: a folder that opens by double click."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from dsae.config import positive_int
from dsae.explorer._about import about, check, checks
from dsae.explorer._collect import Measured, Stream, ids_given, measured
from dsae.explorer._folder import Target
from dsae.explorer._given import encoder_beside, lengths
from dsae.explorer._health import health
from dsae.explorer._index import index, moments, sampled
from dsae.explorer._latents import Atoms, Latents
from dsae.explorer._lines import expressions as expressions_of
from dsae.explorer._map import METHOD, layout
from dsae.explorer._media import Media
from dsae.explorer._network import gap, network
from dsae.explorer._stored import StoredRows, by_rank, chosen_rows
from dsae.explorer._view import View
from dsae.interpret import feature_names
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
    encoder: Any = None,
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
        Names of the features. By modality for a model of several; by default those that model or rows have.
    labels : sequence, shape (n_samples,), optional
        Classes of the rows. None and NaN stand for none; by default those that travel with ``X``. The 255 most frequent
        are told apart.
    texts : sequence of str, shape (n_samples,), optional
        What each row is about, such as the document whose words were counted. Words that are names of features are
        marked where they make a latent fire.
    ids : sequence, shape (n_samples,), optional
        What rows are called; by default those that travel with ``X``, or numbers.
    image_shape : tuple of int, or mapping of str to tuple of int, optional
        Height and width, or channels, height and width, if features are pixels. Models with encoders know it.
    audio : int, optional
        Samples per second, if rows are sounds. Models with encoders know it.
    encoder : AudioRows, ImageRows or TextRows, optional
        What made the rows of a model of one modality: sounds are then heard, pictures seen, words named. By default
        what `dsae.features.prepare` has left beside the files of ``X``.
    single : bool
        One file with everything inside, up to 20 MB.
    codes : source of CSR codes, optional
        In place of ``X``: an object with ``__len__``, ``n_features`` (the latents) and ``batches(batch_size)``, which
        gives the same CSR matrices each time. Errors, values and pictures are then not known.
    n_rows : int
        Rows that can be opened, at most. These are the worst, a random sample, and examples, the strongest first; the
        page says how many are left out.
    latent_names : mapping of int to str, or callable, optional
        Names of latents. A callable gets a dict for each latent (``latent``, ``rate``, ``writes``, ``labels``) and
        returns such a mapping. By default the most distinctive features a latent writes stand for it.
    title : str, optional
        Of the page.
    expressions : mapping of str to str, optional
        Python expressions for the lines by which the page says how its numbers are computed: of the ``"model"``, the
        ``"rows"``, an ``"array"`` of which some rows can be chosen by their numbers (`dsae.interpret.take` chooses them
        if there is none), ``"labels"`` and ``"texts"``. By default what this function was given, as ``model``, ``X``,
        ``labels`` and ``texts``.
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
    view, lines = View(model), expressions_of(model, X, labels, expressions)
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
    if encoder is None and not view.joint and audio is None and source is not None:
        encoder = encoder_beside(source)
    media = Media(view, target, image_shape, audio, encoder, _fields(view, source))
    own = media.words() or getattr(source, "column_names", None)
    named, known = feature_names("explore", view.runtime, names, own)
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
        target.write("moments", moments(view, found, told.atoms))
        n_stored, has = told.rows.size, {"names": known, "texts": texts is not None}
        content = index(view, found, media, title, n_stored=n_stored, decoder=told.decoder, has=has)
        target.write("index", content | {"single": single, "python": lines})
        if single:
            target.page(explorer_page(title, target.shards))
        else:  # a page is painted when its start is there
            target.page(explorer_page(title, apart=True))
            target.script("views", explorer_views())
    return target.path


class _Told(NamedTuple):
    """What is left of writing, for the index."""

    atoms: Atoms
    latents: Latents
    rows: np.ndarray
    decoder: bool


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
    layers = None if view.exact else network(view)
    stored = StoredRows(view, target, found, rows, atoms.norms, atoms.spread, texts, media, whole=layers is not None)
    stored.write(stream, watch("stored rows"))
    held = sp.csr_matrix(sp.vstack(stored.codes, format="csr"))
    target.write("stored", {"row": rows, "n_on": view.n_on(held), **stored.known()})
    if stored.ids:
        target.write("ids", {"id": stored.ids})
    if layers is not None:
        target.write("network", layers)
    by_size = sp.csr_matrix(held @ sp.diags(atoms.norms))
    placed = layout(atoms.rows, atoms.similar.latents, seed)
    placed[found.summary.counts == 0] = 0
    target.write("map", {"latents": placed, "rows": layout(by_size, seed=seed), "method": METHOD})
    target.write("health", health(view, found, atoms))
    some, codes = stored.checked()
    checked = checks(view, some, codes, stored.gap, seed)
    if layers is not None:
        checked.append(check("Codes decoded by this page are those of the model", gap(view, layers, codes), 1e-2))
    said = sampled(view, found, stored, rows, atoms, media, room < n_rows)
    target.write("about", about(view, found, atoms, n_stored=rows.size, sampled=said, checked=checked))
    return _Told(atoms, latents, rows, latents.whole or layers is not None)


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
