"""What a joint runtime makes: rows of all modalities from new codes, and between rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from dsae.data import called
from dsae.runtime._sampled import Sampled, decoded_between

if TYPE_CHECKING:
    from dsae.data import JointSource


class JointMaking(Sampled):
    """The verbs of `JointRuntime` that make new rows."""

    if TYPE_CHECKING:

        @property
        def names(self) -> tuple[str, ...]: ...
        def source(self, verb: str, X: Any) -> JointSource: ...
        def codes(self, source: JointSource) -> np.ndarray: ...
        def decode(self, codes: Any, to: str) -> np.ndarray: ...
        def _check_modality(self, verb: str, name: str) -> None: ...

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
