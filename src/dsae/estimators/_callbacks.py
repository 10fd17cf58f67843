"""scikit-learn's callbacks, which exist from version 1.9 on; without them, stand-ins that do nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dsae.config import positive_int

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9
    CallbackSupportMixin: Any = type("CallbackSupportMixin", (), {})

    def with_callbacks(method: Callable) -> Callable:
        """``method``, unchanged."""
        return method


class Hooks:
    """The functions that `fit` and `partial_fit` are given for loggers.

    Parameters
    ----------
    on_epoch, on_step : callable, optional
    every : int
        See `DeepSparseAutoencoder.fit`.
    """

    def __init__(
        self,
        on_epoch: Callable[[dict[str, Any]], Any] | None,
        on_step: Callable[[dict[str, Any]], Any] | None,
        every: int,
    ) -> None:
        positive_int("every", every)
        self._on_epoch, self._on_step, self.every = on_epoch, on_step, every

    def begin(self) -> None:
        """An epoch begins."""

    def on_step(self, row: dict[str, Any]) -> None:
        """Some steps are done."""
        if self._on_step is not None:
            self._on_step(row)

    def on_epoch(self, row: dict[str, Any], trained: Callable[[], Any]) -> bool:
        """An epoch has ended; whether training is to stop."""
        answer = None if self._on_epoch is None else self._on_epoch(dict(row))
        return isinstance(answer, (bool, np.bool_)) and bool(answer)  # loggers may return other things


class FitEvents(Hooks):
    """Events of a fit: its hooks, and scikit-learn's callbacks, which get a task with a subtask per epoch.

    Parameters
    ----------
    estimator : DeepSparseAutoencoder
    X : object
        What `fit` was given.
    max_epochs : int
    fitted : callable
        From a training's result to the attributes that make the estimator a fitted one.
    *hooks
        Those of `Hooks`.
    """

    def __init__(
        self, estimator: Any, X: Any, max_epochs: int, fitted: Callable[[Any], dict[str, Any]], *hooks: Any
    ) -> None:
        super().__init__(*hooks)
        self._estimator, self._X, self._fitted = estimator, X, fitted
        self._fit = self._epoch = None
        if hasattr(estimator, "_init_callback_context"):
            self._fit = estimator._init_callback_context(max_subtasks=max_epochs)
            self._fit.call_on_fit_task_begin(estimator=estimator, X=X)

    def begin(self) -> None:
        """An epoch starts."""
        if self._fit is not None:
            self._epoch = self._fit.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(estimator=self._estimator, X=self._X)

    def on_epoch(self, row: dict[str, Any], trained: Callable[[], Any]) -> bool:
        """An epoch has ended; returns whether to stop. Models are built only for callbacks that use them."""
        stop = self._end(self._epoch, lambda: self._fitted(trained()))
        return super().on_epoch(row, trained) or stop

    def finish(self) -> None:
        """The fit has ended, and the estimator is fitted."""
        self._end(self._fit, dict)

    def _end(self, task: Any, attributes: Callable[[], dict[str, Any]]) -> bool:
        return task is not None and bool(
            task.call_on_fit_task_end(estimator=self._estimator, X=self._X, reconstruction_attributes=attributes)
        )
