"""Base class and helpers of the estimators: what scikit-learn's conventions require of all of them."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import _check_feature_names, _get_feature_names, check_is_fitted

from dsae.config import did_you_mean
from dsae.data import ArraySource, Source, check_source

ROWS_AT_ONCE = 4096  # of a source; the runtime takes smaller chunks of these
_SHOWN = 5  # any few


class DSAEstimator(BaseEstimator):
    """An estimator that checks its columns and suggests the intended name for a misspelt parameter."""

    n_features_in_: int
    feature_names_in_: np.ndarray

    def __new__(cls, *args: Any, **params: Any) -> Any:
        """Refuse an unknown parameter and suggest the intended one; `__init__` does the rest."""
        # Before `__init__`, where Python refuses an unknown argument without a suggestion.
        known = inspect.signature(cls.__init__).parameters
        for name in params:
            if name not in known and not any(p.kind is p.VAR_KEYWORD for p in known.values()):
                hint = did_you_mean(name, known) or f" Known: {', '.join(list(known)[1:])}."
                raise TypeError(f"{cls.__name__} has no parameter {name!r}.{hint}")
        return super().__new__(cls)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Parameters, set by `_assign`."""

    def _assign(self, given: dict[str, Any]) -> None:
        """Set the arguments of `__init__`, given as its ``locals()``, as attributes, as scikit-learn requires."""
        vars(self).update({name: value for name, value in given.items() if name != "self"})

    def set_params(self, **params: Any) -> Any:
        """Set parameters, by name.

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        known = self._get_param_names()
        for name in params:
            own = name.partition("__")[0]
            if own not in known:
                hint = did_you_mean(own, known) or f" Known: {', '.join(known)}."
                raise ValueError(f"[set_params] {type(self).__name__} has no parameter {own!r}.{hint}")
        return super().set_params(**params)

    def _check_source(self, verb: str, X: Any, source: Source) -> None:
        """Refuse rows, given as ``X``, that have other columns than those of `fit`."""
        check_is_fitted(self)
        named = source.column_names is not None and not hasattr(X, "columns")  # AnnData, say
        if source is X or named or not isinstance(source, ArraySource):
            check_source(verb, source, self.n_features_in_, list(getattr(self, "feature_names_in_", [])))
        else:
            self._check_columns(X)

    def _check_columns(self, X: Any) -> None:
        """Refuse other columns than those of `fit`."""
        check_is_fitted(self)
        if not _repeated_names(X):  # which cannot be compared; `fit` has warned of them
            _check_feature_names(self, X, reset=False)
        self._check_width(X)

    def _check_width(self, X: Any) -> None:
        shape = getattr(X, "shape", ())
        if len(shape) == 2 and shape[1] not in (0, self.n_features_in_):  # no columns at all get a message of their own
            raise ValueError(
                f"X has {shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} features as "
                "input."
            )


def column_names(X: Any, source: Source | None = None) -> list[str] | None:
    """Names of the columns of a data frame, or of ``source``; None if they are not strings, not unique or absent.

    Warns
    -----
    UserWarning
        If two columns have one name.
    """
    repeated = _repeated_names(X, source)
    if repeated:
        warn(
            f"[fit] X must have columns of different names; got {listed([repr(name) for name in repeated])} more than "
            "once. Names are ignored; columns are identified by position. Rename them."
        )
        return None
    names = _get_feature_names(X)
    if names is None and source is not None:
        names = source.column_names
    return None if names is None else [str(name) for name in names]


def _repeated_names(X: Any, source: Source | None = None) -> list[str]:
    """Names of more than one column; scikit-learn refuses such frames from version 1.9 on."""
    names = getattr(X, "columns", None if source is None else source.column_names)
    counts = Counter(map(str, () if names is None else names))
    return [name for name, count in counts.items() if count > 1]


def warn(message: str) -> None:
    """A UserWarning that points to the first line outside of dsae and scikit-learn."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("dsae", "sklearn"):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


def listed(names: list[str]) -> str:
    """The first names of a list, and the number of the others."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def pieces(source: Source) -> Iterator[Any]:
    """The rows of a source in order, a few thousand at a time."""
    return (batch.rows for batch in source.batches(ROWS_AT_ONCE))


def refuse_unknown(verb: str, given: Mapping[str, Any]) -> None:
    """Refuse arguments that have no effect.

    Raises
    ------
    TypeError
        If there are any; ``sample_weight=None`` is none.
    """
    for name, value in given.items():
        if name != "sample_weight":
            raise TypeError(f"[{verb}] There is no argument {name!r}.{did_you_mean(name, ('X', 'y'))}")
        if value is not None:
            raise TypeError(
                f"[{verb}] sample_weight must be None: every row counts the same; got {type(value).__name__}. Sample "
                "rows by weight instead: X[rng.choice(len(X), len(X), p=weight / weight.sum())]."
            )


def refuse_frames(estimator: Any) -> None:
    """Refuse to put a sparse matrix into a data frame, before it is computed.

    Raises
    ------
    ValueError
        If `set_output` asked for one.
    """
    container = _get_output_config("transform", estimator)["dense"]
    if container != "default":
        raise ValueError(
            f"[transform] A {container} data frame cannot hold a sparse matrix. Use sparse_output=False, or "
            "set_output(transform='default')."
        )
