"""scikit-learn's callbacks where it has them, from version 1.9 on; nothing where it has not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9
    CallbackSupportMixin: Any = type("CallbackSupportMixin", (), {})

    def with_callbacks(method: Callable) -> Callable:
        """``method`` as it is."""
        return method


class EpochTasks:
    """A fit as a task of scikit-learn's callbacks, every epoch a task under it.

    Parameters
    ----------
    estimator : DeepSparseAutoencoder
    X : object
        What `fit` was given.
    max_epochs : int
    fitted : callable
        From a model and its history to the attributes that make the estimator a fitted one.
    """

    def __init__(self, estimator: Any, X: Any, max_epochs: int, fitted: Callable[..., dict[str, Any]]) -> None:
        self._estimator, self._X, self._fitted = estimator, X, fitted
        self._fit = self._epoch = None
        if hasattr(estimator, "_init_callback_context"):
            self._fit = estimator._init_callback_context(max_subtasks=max_epochs)
            self._fit.call_on_fit_task_begin(estimator=estimator, X=X)

    def begin(self) -> None:
        """An epoch begins."""
        if self._fit is not None:
            self._epoch = self._fit.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(estimator=self._estimator, X=self._X)

    def end(self, trained: Callable[[], tuple[Any, list[dict[str, Any]]]]) -> bool:
        """An epoch has ended; whether a callback asks to stop. Models are made for callbacks that look at them."""
        return self._end(self._epoch, lambda: self._fitted(*trained()))

    def finish(self) -> None:
        """The fit has ended, and the estimator is a fitted one."""
        self._end(self._fit, dict)

    def _end(self, task: Any, attributes: Callable[[], dict[str, Any]]) -> bool:
        return task is not None and task.call_on_fit_task_end(
            estimator=self._estimator, X=self._X, reconstruction_attributes=attributes
        )
