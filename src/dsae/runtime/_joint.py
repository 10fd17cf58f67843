"""A trained joint model on numpy and the compiled kernels alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dsae import store
from dsae.config import did_you_mean, exposed, has_exposure
from dsae.data import JointSource, as_joint, check_rows
from dsae.metrics import coherence, fvu_table
from dsae.runtime._encoders import check_encoders, encoded
from dsae.runtime._joint_made import JointMaking
from dsae.runtime._pushed import Pushed
from dsae.runtime._runtime import Runtime


class JointRuntime(JointMaking, Pushed):
    """Encodes rows of several modalities into one code, and decodes it into each, without importing torch.

    Parameters
    ----------
    model : dsae.store.JointModel
        Its arrays are used without a copy; do not change them.

    Attributes
    ----------
    modalities : dict of str to Runtime
        The model of each modality. Its ``encode`` is the joint code of rows that have nothing else.

    Examples
    --------
    >>> runtime = dsae.load("model/")                                                   # doctest: +SKIP
    >>> codes = runtime.encode({"image": images})                                       # doctest: +SKIP
    >>> sounds = runtime.decode(codes, "audio")                                         # doctest: +SKIP
    """

    def __init__(self, model: store.JointModel) -> None:
        self.model = model
        self.modalities = {name: Runtime(of) for name, of in model.models.items()}
        # joined before the activation, which belongs to the joint code
        self._linear = {
            name: Runtime(replace(of, config=of.config.replace(code_activation="identity", k=None)))
            for name, of in model.models.items()
        }

    def __repr__(self) -> str:
        m = self.model
        widths = ", ".join(f"{name} {of.config.n_features}" for name, of in m.models.items())
        return f"JointRuntime({widths}; code {m.config.n_components}, density {m.density:.3g}, {m.nnz:,} weights)"

    def __reduce__(self) -> tuple[Any, ...]:
        return JointRuntime, (self.model,)

    @property
    def config(self) -> Any:
        """The architecture."""
        return self.model.config

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities, in order."""
        return self.model.config.names

    @cached_property
    def encoders(self) -> dict[str, Any]:
        """What makes rows of pictures, sounds, texts or tables, by modality; see `dsae.features`."""
        from dsae import features  # scikit-learn, which rows of numbers do without

        return {name: features.from_json(text) for name, text in self.model.encoders.items()}

    def source(self, verb: str, X: Any, *, blank: bool = False) -> JointSource:
        """Rows of some of the modalities, checked; see `dsae.data.as_joint`."""
        check_encoders(verb, X, self.model.encoders)
        widths = {name: of.config.n_features for name, of in self.model.models.items()}
        return as_joint(verb, X, self.names, encode=self._encode_items, widths=widths, blank=blank)

    def _encode_items(self, name: str, values: Any) -> Any:
        encoder = self.encoders.get(name) if name in self.model.encoders else None
        return values if encoder is None else encoded(encoder, values)

    def latents(self, parts: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Codes of each modality before they are joined, ``[n_rows, n_components]``."""
        return {name: self._linear[name].encode(rows) for name, rows in parts.items()}

    def join(self, latents: Mapping[str, np.ndarray], has: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """The joint code of rows, from what `latents` gave of some modalities.

        Parameters
        ----------
        latents : mapping of str to ndarray, shape (n_rows, n_components)
        has : mapping of str to ndarray of bool, shape (n_rows,), optional
            Which rows have a modality; all where it is not named. Every row has one.
        """
        total = weight = np.float32(0)
        for name, z in latents.items():
            w = self.model.weight[name]
            if has is not None and name in has:
                w = w * has[name][:, None].astype(np.float32)
            total, weight = total + w * z, weight + w
        if len(latents) == 1:  # and not w z / w, whose last digits may differ
            (total,), weight = latents.values(), np.float32(1)
        codes = np.ascontiguousarray(np.asarray(total) / weight, np.float32)
        first = self.modalities[self.names[0]]
        first.activate([name for name in first.layers if name.startswith("encoder")][-1], codes)
        return codes

    def encode(self, X: Any) -> np.ndarray:
        """Joint codes of rows.

        Parameters
        ----------
        X : mapping of str to rows, MuData, or AnnData with obsm
            Of any of the modalities. A row lacks one if its key is absent, its entry is None, or all of it is NaN.

        Returns
        -------
        ndarray of float32, shape (n_samples, n_components)

        Raises
        ------
        ValueError
            If a modality is unknown, lengths or widths differ, or no modality is present in a row.
        """
        return self.codes(self.source("encode", X))

    def codes(self, source: JointSource) -> np.ndarray:
        """Joint codes of a source that was checked."""
        found = []
        for batch in source.batches(4096):
            some = batch.present or {}
            latents = self.latents(batch.parts)
            found.append(self.join(latents, some))
        return np.concatenate(found)

    def decode(self, codes: Any, to: str, *, totals: Any = None) -> np.ndarray:
        """Rows of one modality from codes.

        Parameters
        ----------
        codes : array-like or csr_matrix, shape (n_samples, n_components)
        to : str
        totals : array-like or csr_matrix, shape (n_samples, n_features), optional
            Of a modality of counts, rows whose totals the decoded ones get; by default the mean total in training.

        Returns
        -------
        ndarray of float32, shape (n_samples, n_features of the modality)
        """
        self._check_modality("decode", to)
        runtime = self.modalities[to]
        rows = runtime.decode(codes)
        if not has_exposure(runtime.loss):
            return rows
        if totals is None:
            return rows * np.float32(self.model.totals.get(to, 1.0))
        return exposed(rows, totals)

    def translate(self, X: Any, to: str) -> np.ndarray:
        """Rows of one modality from others.

        Parameters
        ----------
        X : mapping of str to rows, MuData, AnnData with obsm, or a source
            Of any of the modalities, as for `encode`.
        to : str
            The modality to make.

        Returns
        -------
        ndarray of float32, shape (n_samples, n_features of the modality)

        Raises
        ------
        ValueError
            If a modality is unknown, lengths or widths differ, or no modality is present in a row.
        """
        self._check_modality("translate", to)
        return self.decode(self.codes(self.source("translate", X)), to)

    def render(self, name: str, rows: Any) -> Any:
        """Pictures, sounds, texts or a table of rows, by the modality's encoder; see `dsae.features`.

        Raises
        ------
        ValueError
            If the modality is unknown, or has no encoder.
        """
        self._check_modality("render", name)
        if name not in self.model.encoders:
            raise ValueError(f"[render] {name!r} must have an encoder; it was fitted to rows of numbers.")
        rows = check_rows("render", rows, self.modalities[name].config.n_features)
        return self.encoders[name].inverse_transform(rows)

    def fvu_table(self, X: Any) -> dict[str, dict[str, float]]:
        """The unexplained share of the variance of every modality from every set; see `dsae.metrics.fvu_table`.

        Parameters
        ----------
        X : mapping of str to rows, MuData, AnnData with obsm, or a source
            Of any of the modalities, as for `encode`.

        Returns
        -------
        dict of str to dict of str to float
            ``table["image+text"]["audio"]`` is the error of audio made from images and texts.

        Raises
        ------
        ValueError
            If a modality is unknown, lengths or widths differ, or no modality is present in a row.
        """
        return fvu_table(self, self.source("fvu_table", X))

    def coherence(self, X: Any, y: Any, judges: Mapping[str, Any]) -> dict[str, dict[str, float]]:
        """How often what was made is of the class of what it was made from; see `dsae.metrics.coherence`.

        Parameters
        ----------
        X : mapping of str to rows, MuData, AnnData with obsm, or a source
            Of any of the modalities, as for `encode`.
        y : array-like, shape (n_samples,)
            Classes; rows without one, where it is None or NaN, are left out.
        judges : mapping of str to callable
            By modality, from rows to their classes.

        Returns
        -------
        dict of str to dict of str to float
            Shares by what was given and by what was made.

        Raises
        ------
        ValueError
            If rows are refused as by `encode`, or there is not one entry of ``y`` for each, or no class.
        """
        return coherence(self, self.source("coherence", X), y, judges)

    def save(self, folder: str | Path) -> Path:
        """Write the model folder; see `dsae.store.write_joint`.

        Parameters
        ----------
        folder : str or Path
            A joint model there is replaced.

        Returns
        -------
        Path
            Of the folder.

        Raises
        ------
        ValueError
            If something that is not a joint model is in the way.
        OSError
            If the folder cannot be written.
        """
        return store.write_joint(folder, self.model)

    def _of(self, model: store.JointModel) -> JointRuntime:
        return JointRuntime(model)

    def _check_modality(self, verb: str, name: str) -> None:
        if name not in self.names:
            hint = did_you_mean(name, self.names) or f" Known: {', '.join(self.names)}."
            raise ValueError(f"[{verb}] The model has no modality {name!r}.{hint}")
