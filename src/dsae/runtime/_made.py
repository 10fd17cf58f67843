"""What a runtime makes: rows from new codes, rows between rows, clean rows from noisy ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dsae.data import called, check_rows
from dsae.runtime._codec import Codec
from dsae.runtime._sampled import Sampled, decoded_between

if TYPE_CHECKING:
    from dsae.store import Model


class Making(Sampled, Codec):
    """The verbs of `Runtime` that make new rows."""

    def sample(self, n: int, *, random_state: Any = None, temperature: float = 1.0) -> np.ndarray:
        """New rows, from codes that the model's sampler draws (`dsae.sampling`).

        Parameters
        ----------
        n : int
        random_state : int, Generator, RandomState or None
        temperature : float
            In (0, 2]. Below 1 samples are safer and more alike, above 1 more varied than the data.

        Returns
        -------
        ndarray, shape (n, n_features)
            What `decode` makes of the codes: for likelihoods of counts rates or shares, without a total.

        Raises
        ------
        ValueError
            If no sampler was fitted, or ``n`` or ``temperature`` is out of range.
        """
        return self.decode(self.sample_codes(n, random_state=random_state, temperature=temperature))

    def interpolate(self, a: Any, b: Any, n: int = 8) -> np.ndarray:
        """Rows on the way from each row of ``a`` to its partner in ``b``, straight in the code.

        Parameters
        ----------
        a, b : array-like, DataFrame or scipy sparse, shape (n_pairs, n_features)
        n : int
            At least 2: the first and the last are the reconstructions of the two.

        Returns
        -------
        ndarray, shape (n_pairs, n, n_features)
            Of codes as `decode` takes them: for likelihoods of counts rates or shares, without a total.

        Raises
        ------
        ValueError
            If ``a`` and ``b`` are not finite rows of the model's width, as many of one as of the other, or ``n`` is
            below 2.
        """
        ends = []
        for name, X in (("a", a), ("b", b)):
            with called(name):
                ends.append(self._run("interpolate", X, 0, self._n_encoder))
        return decoded_between(ends[0], ends[1], n, self.decode)

    def _of(self, model: Model) -> Self:
        return type(self)(model, self.dtype)

    def denoise(self, X: Any) -> np.ndarray:
        """The reconstruction of noisy rows, by a model that was trained for it.

        One pass: reconstructing the result again moves further from the data, not nearer to it
        (docs/user/denoising.md).

        Parameters
        ----------
        X : array-like, DataFrame or scipy sparse, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples, n_features)

        Raises
        ------
        ValueError
            If the model was trained with neither noise, a mask nor a target of clean rows, or ``X`` is not finite rows
            of its width.
        """
        given = self.model.training
        pairs = given.get("target") and self.config.n_outputs is None
        if not (given.get("noise") or np.any(given.get("mask") or 0) or pairs):
            raise ValueError(
                "[denoise] The model must be trained on rows with noise; it saw clean ones, and would give noise back. "
                "Fit it with noise=1.0 (--noise 1.0), with mask= where values are wrong, or on pairs: fit(noisy, "
                "target=clean)."
            )
        return self.reconstruct(check_rows("denoise", X, self.config.n_features, missing=self.missing))
