"""New codes, drawn by a model's sampler or interpolated between two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from dsae.sampling import Sampler, between


class Sampled:
    """What a runtime of one modality and one of several do alike with the sampler of their ``model``."""

    model: Any

    def sample_codes(self, n: int, *, random_state: Any = None, temperature: float = 1.0) -> Any:
        """The codes that `sample` decodes, ``[n, n_components]``: dense, or CSR where the model's are mostly zero."""
        sampler = self.model.sampler
        if sampler is None:
            raise ValueError(
                "[sample] The model must have a sampler; it has none. Fit one: fit_sampler(X) of the estimator, or "
                "dsae fit --sampler mixture."
            )
        return sampler.sample(n, random_state=random_state, temperature=temperature)

    def with_sampler(self, sampler: Sampler) -> Any:
        """The same model with a sampler of its codes, such as `dsae.sampling.fit_sampler` gives.

        Raises
        ------
        ValueError
            If the sampler is of codes of another width.
        """
        width = self.model.config.n_components
        if sampler.n_components != width:
            raise ValueError(
                f"[with_sampler] sampler must draw codes of {width} numbers, as the model's are; got one of "
                f"{sampler.n_components}. Fit it to codes of this model."
            )
        return self._of(replace(self.model, sampler=sampler))

    def _of(self, model: Any) -> Any:
        raise NotImplementedError


def decoded_between(first: np.ndarray, second: np.ndarray, n: int, decode: Callable[[Any], np.ndarray]) -> np.ndarray:
    """Rows ``[n_pairs, n, n_features]`` on the straight way from each code to its partner."""
    codes = between(first, second, n)
    return decode(codes.reshape(-1, codes.shape[2])).reshape(*codes.shape[:2], -1)
