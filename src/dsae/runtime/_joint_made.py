"""What a joint runtime makes: rows of all modalities again, from new codes, and between rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from dsae.config import has_exposure
from dsae.data import called
from dsae.runtime._sampled import Sampled, decoded_between

if TYPE_CHECKING:
    from dsae.data import JointSource


_ROWS_AT_ONCE = 4096  # of a source; any such number does


class JointMaking(Sampled):
    """The verbs of `JointRuntime` that make rows."""

    if TYPE_CHECKING:
        modalities: dict[str, Any]

        @property
        def names(self) -> tuple[str, ...]: ...
        def source(self, verb: str, X: Any) -> JointSource: ...
        def codes(self, source: JointSource) -> np.ndarray: ...
        def latents(self, parts: Mapping[str, Any]) -> dict[str, np.ndarray]: ...
        def join(self, latents: Mapping[str, np.ndarray], has: Any = None) -> np.ndarray: ...
        def decode(self, codes: Any, to: str, *, totals: Any = None) -> np.ndarray: ...
        def _check_modality(self, verb: str, name: str) -> None: ...

    def reconstruct(self, X: Any) -> dict[str, np.ndarray]:
        """All modalities from the joint code of what rows have.

        Parameters
        ----------
        X : mapping of str to rows, MuData, AnnData with obsm, or a source
            Of any of the modalities, as for `encode`.

        Returns
        -------
        dict of str to ndarray of float32, shape (n_samples, n_features of the modality)
            Counts have the total of their row, or where it lacks them the mean total of training.

        Raises
        ------
        ValueError
            If a modality is unknown, lengths or widths differ, or no modality is present in a row.
        """
        return self._rebuilt(self.source("reconstruct", X), self.names)

    def denoise(self, X: Any) -> dict[str, np.ndarray]:
        """What noisy rows have, made again from all of it, by a model that was trained for it.

        One pass: reconstructing the result again moves further from the data, not nearer to it
        (docs/user/denoising.md).

        Parameters
        ----------
        X : mapping of str to rows, MuData, AnnData with obsm, or a source
            Of any of the modalities, as for `encode`.

        Returns
        -------
        dict of str to ndarray of float32, shape (n_samples, n_features of the modality)
            Of the modalities of ``X``.

        Raises
        ------
        ValueError
            If the model was trained without noise and masks, or rows are refused as by `encode`.
        """
        given = [of.model.training for of in self.modalities.values()]
        if not any(own.get("noise") or np.any(own.get("mask") or 0) for own in given):
            raise ValueError(
                "[denoise] The model must be trained on rows with noise; it saw clean ones, and would give noise back. "
                "Fit it with noise=1.0, or with mask= where values are wrong; either may be a dict by modality."
            )
        source = self.source("denoise", X)
        return self._rebuilt(source, source.parts)

    def _rebuilt(self, source: JointSource, names: Iterable[str]) -> dict[str, np.ndarray]:
        found: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for batch in source.batches(_ROWS_AT_ONCE):
            has = batch.present or {}
            codes = self.join(self.latents(batch.parts), has)
            for name, made in found.items():
                made.append(self._decoded(codes, name, batch.parts.get(name), has.get(name)))
        return {name: np.concatenate(made) for name, made in found.items()}

    def _decoded(self, codes: np.ndarray, name: str, rows: Any, has: np.ndarray | None) -> np.ndarray:
        """Rows of a modality, counts with the totals of ``rows`` where these are there."""
        if rows is None or not has_exposure(self.modalities[name].loss):
            return self.decode(codes, name)
        made = self.decode(codes, name, totals=rows)
        if has is not None and not has.all():
            made[~has] = self.decode(codes[~has], name)
        return made

    def sample(
        self, n: int, to: str | None = None, *, random_state: Any = None, temperature: float = 1.0
    ) -> dict[str, np.ndarray] | np.ndarray:
        """New rows of all modalities that belong together, from joint codes that the model's sampler draws.

        Parameters
        ----------
        n : int
        to : str, optional
            The modality; by default a dict of all, made from the same codes.
        random_state : int, Generator, RandomState or None
        temperature : float
            In (0, 2]. Below 1 samples are safer and more alike, above 1 more varied than the data.

        Returns
        -------
        dict of str to ndarray of float32, shape (n, n_features of the modality), or one of them
            What `decode` makes of the codes: counts have the mean total of training.

        Raises
        ------
        ValueError
            If no sampler was fitted, the modality is unknown, or ``n`` or ``temperature`` is out of range.
        """
        if to is not None:
            self._check_modality("sample", to)
        codes = self.sample_codes(n, random_state=random_state, temperature=temperature)
        return self._made(lambda name: self.decode(codes, name), to)

    def interpolate(self, a: Any, b: Any, n: int = 8, to: str | None = None) -> dict[str, np.ndarray] | np.ndarray:
        """Rows of all modalities on the way from each row of ``a`` to its partner in ``b``, straight in the joint code.

        Parameters
        ----------
        a, b : mapping of str to rows, or the same as for `encode`
            Of any of the modalities, not necessarily the same ones.
        n : int
            At least 2: the first and the last are the reconstructions of the two.
        to : str, optional
            The modality; by default a dict of all.

        Returns
        -------
        dict of str to ndarray of float32, shape (n_pairs, n, n_features of the modality), or one of them

        Raises
        ------
        ValueError
            If ``a`` or ``b`` cannot be encoded, one has other rows than the other, the modality is unknown, or ``n`` is
            below 2.
        """
        if to is not None:
            self._check_modality("interpolate", to)
        ends = []
        for name, X in (("a", a), ("b", b)):
            with called(name):
                ends.append(self.codes(self.source("interpolate", X)))
        return self._made(lambda made: decoded_between(ends[0], ends[1], n, partial(self.decode, to=made)), to)

    def _made(self, make: Callable[[str], np.ndarray], to: str | None) -> dict[str, np.ndarray] | np.ndarray:
        return make(to) if to is not None else {name: make(name) for name in self.names}
