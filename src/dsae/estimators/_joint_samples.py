"""New rows of several modalities."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils.validation import check_is_fitted

from dsae.estimators._sampler import SamplerMixin, codes_of_some
from dsae.runtime import JointRuntime


class JointSamplingMixin(SamplerMixin):
    """`sample`, `interpolate` and `denoise` of an estimator whose ``runtime_`` holds a trained joint model."""

    runtime_: JointRuntime

    def sample(
        self, n: int, to: str | None = None, *, random_state: Any = None, temperature: float = 1.0
    ) -> dict[str, np.ndarray] | np.ndarray:
        """New rows of all modalities that belong together, or those of ``to``; see `dsae.runtime.JointRuntime.sample`.

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
        """
        check_is_fitted(self)
        return self.runtime_.sample(n, to, random_state=random_state, temperature=temperature)

    def interpolate(self, a: Any, b: Any, n: int = 8, to: str | None = None) -> dict[str, np.ndarray] | np.ndarray:
        """Rows of all modalities, ``[n_pairs, n, n_features]`` each, on the way from rows of ``a`` to those of ``b``.

        See `dsae.runtime.JointRuntime.interpolate`.
        """
        check_is_fitted(self)
        return self.runtime_.interpolate(a, b, n, to)

    def denoise(self, X: Any) -> dict[str, np.ndarray]:
        """What noisy rows have, made again from all of it in one pass; see `dsae.runtime.JointRuntime.denoise`.

        The model must have been trained with ``noise`` or ``mask``, of all modalities or of some.
        """
        check_is_fitted(self)
        return self.runtime_.denoise(X)

    def _some_codes(self, X: Any, rng: np.random.Generator, progress: Any) -> Any:
        runtime = self.runtime_
        codes = codes_of_some(
            runtime.source("fit_sampler", X),
            lambda batch: runtime.join(runtime.latents(batch.parts), batch.present),
            rng,
            progress,
        )
        return sp.csr_matrix(codes) if runtime.config.code.sparse else codes
