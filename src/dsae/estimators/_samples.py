"""New rows: the verbs of an estimator with a sampler of codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from dsae.data import stacked
from dsae.estimators._sampler import SamplerMixin, codes_of_some
from dsae.runtime import Runtime

if TYPE_CHECKING:
    from dsae.data import Source


class SamplingMixin(SamplerMixin):
    """`sample`, `interpolate` and `denoise` of an estimator whose ``runtime_`` holds a trained model."""

    runtime_: Runtime

    if TYPE_CHECKING:

        def _checked(self, verb: str, X: Any, finite: bool = True) -> Source: ...
        def _batches(self, verb: str, X: Any) -> Any: ...

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

    def _some_codes(self, X: Any, rng: np.random.Generator, progress: Any) -> Any:
        source, runtime = self._checked("fit_sampler", X, finite=False), self.runtime_
        sparse = runtime.config.code.sparse
        return codes_of_some(source, lambda batch: runtime.encode(batch.rows, sparse_output=sparse), rng, progress)
