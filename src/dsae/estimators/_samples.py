"""Rows that nobody has seen: the verbs of an estimator with a sampler of codes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from dsae.data import stacked
from dsae.runtime import Runtime
from dsae.sampling import MOST_ROWS, Bounds, Sampler, check_kind, fit_sampler

if TYPE_CHECKING:
    from dsae.config import AutoencoderConfig
    from dsae.data import Source

_ROWS_AT_ONCE = 4096  # of a source


class SamplingMixin:
    """`fit_sampler`, `sample`, `interpolate` and `denoise` of an estimator whose ``runtime_`` holds a trained model."""

    runtime_: Runtime

    if TYPE_CHECKING:

        def _checked(self, verb: str, X: Any, finite: bool = True) -> Source: ...
        def _batches(self, verb: str, X: Any) -> Any: ...
        def _seed(self) -> int: ...

    def fit_sampler(self, X: Any, kind: str = "mixture", n_components: int = 100) -> Any:
        """Learn how codes are distributed, so that `sample` can draw new ones.

        Parameters
        ----------
        X : array-like, DataFrame or scipy sparse, shape (n_samples, n_features), or a source
            The training rows, say; the codes of 20,000 of them are used, drawn at random.
        kind : {"mixture", "neighbours"}
            ``mixture`` is a mixture of Gaussians. ``neighbours`` moves the code of a row towards one of its 5 nearest:
            the only one for dictionaries (topk, batchtopk, jumprelu) and softmax codes, and often the more faithful
            one. But it keeps codes of rows in the model, and what it makes lies near them.
        n_components : int
            Gaussians of a mixture; fewer where there are less than 20 rows for each.

        Returns
        -------
        self
            The sampler is ``sampler_``, saved with the model. Training goes on without it: its codes are outdated.

        Raises
        ------
        ValueError
            If a parameter is invalid, the code cannot be a mixture, or ``X`` is not at least two rows of the model's
            width.

        Warns
        -----
        UserWarning
            If there are too few rows for the Gaussians asked for.

        See Also
        --------
        dsae.sampling.fit_sampler : the same for any codes.
        dsae.metrics.generation : how good what is made is.
        """
        check_is_fitted(self)
        config = self.runtime_.config
        check_kind(kind, None if config.code.independent else config.code_activation)
        rng = np.random.default_rng(self._seed())
        codes = self._some_codes(X, rng)
        sampler = fit_sampler(codes, kind, n_components, bounds=_bounds(config), random_state=rng)
        self.runtime_ = Runtime(replace(self.runtime_.model, sampler=sampler), self.runtime_.dtype)
        return self

    def sample(self, n: int, *, random_state: Any = None, temperature: float = 1.0) -> np.ndarray:
        """New rows ``[n, n_features]`` from codes drawn by the sampler; see `dsae.Runtime.sample`.

        Parameters
        ----------
        n : int
        random_state : int, Generator, RandomState or None
        temperature : float
            In (0, 2]. Below 1 samples are safer and more alike, above 1 more varied than the data.
        """
        check_is_fitted(self)
        return self.runtime_.sample(n, random_state=random_state, temperature=temperature)

    def interpolate(self, a: Any, b: Any, n: int = 8) -> np.ndarray:
        """Rows ``[n_pairs, n, n_features]`` on the way from each row of ``a`` to its partner in ``b``.

        See `dsae.Runtime.interpolate`.
        """
        first, second = (stacked(list(self._batches("interpolate", X))) for X in (a, b))
        return self.runtime_.interpolate(first, second, n)

    def denoise(self, X: Any) -> np.ndarray:
        """Clean rows ``[n_samples, n_features]`` from noisy ones, in one pass; see `dsae.Runtime.denoise`.

        The model must have been trained with ``noise``, ``mask`` or a target of clean rows.
        """
        return np.concatenate([self.runtime_.denoise(rows) for rows in self._batches("denoise", X)])

    @property
    def sampler_(self) -> Sampler | None:
        """The sampler of the model, if one was fitted; its ``novelty`` says how near to single rows it stays."""
        check_is_fitted(self)
        return self.runtime_.model.sampler

    def _some_codes(self, X: Any, rng: np.random.Generator) -> Any:
        """Codes of at most as many rows as a sampler takes, drawn at random."""
        source = self._checked("fit_sampler", X, finite=False)
        chosen = np.arange(len(source))
        if len(source) > MOST_ROWS:
            chosen = np.sort(rng.choice(len(source), MOST_ROWS, replace=False))
        start, codes = 0, []
        for batch in source.batches(_ROWS_AT_ONCE):
            first, last = np.searchsorted(chosen, (start, start + batch.n_rows))
            if first < last:
                rows: Any = batch.rows[chosen[first:last] - start]
                codes.append(self.runtime_.encode(rows, sparse_output=self.runtime_.config.code.sparse))
            start += batch.n_rows
        return stacked(codes)


def _bounds(config: AutoencoderConfig) -> Bounds:
    return Bounds(None if config.code.linear else 0.0, 1.0 if config.code.rate else None)
