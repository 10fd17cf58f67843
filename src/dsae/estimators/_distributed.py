"""Fits by several processes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dsae.config import true_or_false
from dsae.estimators._kept import kept
from dsae.estimators._training import trainer

_BY_RANK = ("verbose", "checkpoint_every")  # what a rank may have of its own


def among_ranks(fit: Callable[..., Any]) -> Callable[..., Any]:
    """`fit` among the processes that were started together, where the estimator is ``distributed``."""

    @functools.wraps(fit)
    def fitted(self: Any, *args: Any, **given: Any) -> Any:
        wanted = getattr(self, "distributed", False)
        true_or_false("distributed", wanted)
        if not wanted:
            return fit(self, *args, **given)
        parameters = {name: value for name, value in kept(self.get_params(deep=False)).items() if name not in _BY_RANK}
        with trainer().among_ranks(True, parameters) as world:
            self._rank = world.rank
            return fit(self, *args, **given)

    return fitted


def writes(estimator: Any) -> bool:
    """Whether this process writes what all of them have: that of rank 0."""
    return not getattr(estimator, "_rank", 0)


def refuse_distributed(estimator: Any) -> None:
    """Refuse to go on with more rows among several processes."""
    if getattr(estimator, "distributed", False):
        raise ValueError("[partial_fit] distributed=True is for fit; set_params(distributed=False) first.")
