"""A sampler of an estimator's codes, whatever these are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from dsae.data import stacked
from dsae.sampling import MOST_ROWS, Bounds, Sampler, check_kind, fit_sampler

if TYPE_CHECKING:
    from dsae.config import Activation
    from dsae.data import Batch, JointSource, Source

_ROWS_AT_ONCE = 4096  # of a source


class SamplerMixin:
    """`fit_sampler` and ``sampler_`` of an estimator whose ``runtime_`` holds a trained model."""

    runtime_: Any

    if TYPE_CHECKING:

        def _seed(self) -> int: ...
        def _some_codes(self, X: Any, rng: np.random.Generator, progress: Any) -> Any: ...

    def fit_sampler(
        self,
        X: Any,
        kind: str = "mixture",
        n_components: int = 100,
        *,
        progress: Callable[[int, int], object] | None = None,
    ) -> Any:
        """Learn how codes are distributed, so that `sample` can draw new ones.

        Parameters
        ----------
        X : the same as for `fit`
            The training rows, say; the codes of 20,000 of them are used, drawn at random.
        kind : {"mixture", "neighbours"}
            ``mixture`` is a mixture of Gaussians. ``neighbours`` moves the code of a row towards one of its 5 nearest:
            the only one for dictionaries (topk, batchtopk, jumprelu) and softmax codes, and often the more faithful
            one. But it keeps codes of rows in the model, and what it makes lies near them.
        n_components : int
            Gaussians of a mixture; fewer where there are less than 20 rows for each.
        progress : callable, optional
            Told how much is done, of how much: rows that are encoded, then rounds of a mixture's fit.

        Returns
        -------
        self
            The sampler is ``sampler_``, saved with the model. Further training drops it.

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
        codes = self._some_codes(X, rng, progress)
        how: dict[str, Any] = {"bounds": _bounds(config.code), "random_state": rng, "progress": progress}
        sampler = fit_sampler(codes, kind, n_components, **how)
        self.runtime_ = self.runtime_.with_sampler(sampler)
        return self

    @property
    def sampler_(self) -> Sampler | None:
        """The sampler of the model, if one was fitted; its ``novelty`` says how near to single rows it stays."""
        check_is_fitted(self)
        return self.runtime_.model.sampler


def codes_of_some(
    source: Source | JointSource, encode: Callable[[Batch], Any], rng: np.random.Generator, progress: Any = None
) -> Any:
    """Codes of at most as many rows as a sampler takes, drawn at random; ``progress`` is told of all rows passed."""
    return stacked([encode(batch) for batch in _some(source, rng, progress)])


def _some(source: Source | JointSource, rng: np.random.Generator, progress: Any) -> Iterator[Batch]:
    chosen = np.arange(len(source))
    if len(source) > MOST_ROWS:
        chosen = np.sort(rng.choice(len(source), MOST_ROWS, replace=False))
    start = 0
    for batch in source.batches(_ROWS_AT_ONCE):
        first, last = np.searchsorted(chosen, (start, start + batch.n_rows))
        if first < last:
            yield batch[chosen[first:last] - start]
        start += batch.n_rows
        if progress is not None:
            progress(start, len(source))


def _bounds(code: Activation) -> Bounds:
    return Bounds(None if code.linear else 0.0, 1.0 if code.rate else None)
