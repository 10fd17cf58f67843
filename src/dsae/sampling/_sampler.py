"""What every sampler does: checked arguments in, new codes within their bounds out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.sparse as sp

from dsae.config import in_range, positive_int


class Bounds(NamedTuple):
    """The range of a code's values, such as 0 and None of relu.

    Attributes
    ----------
    low, high : float or None
        None where there is no end.
    """

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, eq=False)
class Sampler(ABC):
    """Draws codes that are like those it was fitted to, with numpy alone.

    Parameters
    ----------
    bounds : Bounds
        What is drawn beyond them is moved to the nearest value within.
    n_rows : int
        How many codes it was fitted to.
    novelty : float or None
        Median distance of drawn codes to the nearest of those, over the median distance of each of those to the nearest
        other. Far below 1, what is drawn stays near single rows: ask whether it may give away what they hold. None
        where rows are equal to one another.
    """

    bounds: Bounds
    n_rows: int
    novelty: float | None

    kind: ClassVar[str]

    @property
    @abstractmethod
    def n_components(self) -> int:
        """Width of the codes."""

    @abstractmethod
    def _draw(self, n: int, rng: np.random.Generator, temperature: float) -> Any:
        """Codes ``[n, n_components]`` of any range."""

    def sample(self, n: int, *, random_state: Any = None, temperature: float = 1.0) -> Any:
        """New codes.

        Parameters
        ----------
        n : int
        random_state : int, Generator, RandomState or None
        temperature : float
            In (0, 2]. Below 1, what is drawn is nearer to what is common; above, it varies more than the rows do.

        Returns
        -------
        ndarray of float32, or csr_matrix where the codes were, shape (n, n_components)

        Raises
        ------
        ValueError
            If ``n`` or ``temperature`` is out of range.
        """
        positive_int("[sample] n", n)
        in_range("[sample] temperature", temperature, 0, 2, open_low=True)
        codes = self._draw(int(n), generator(random_state), float(temperature))
        low, high = self.bounds
        if low is not None or high is not None:
            values = codes.data if sp.issparse(codes) else codes
            np.clip(values, low, high, out=values)
        return codes

    def __repr__(self) -> str:
        """What it is, and its novelty, which is never left out."""
        novelty = "unknown" if self.novelty is None else f"{self.novelty:.2f}"
        return f"{type(self).__name__}({self.n_components} numbers, from {self.n_rows:,} codes, novelty {novelty})"


def generator(random_state: Any) -> np.random.Generator:
    """A generator from whatever scikit-learn or numpy takes for a seed."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(np.iinfo(np.int32).max))
    return np.random.default_rng(random_state)
