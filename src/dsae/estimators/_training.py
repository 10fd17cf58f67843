"""Around a training run: the package that trains, what it starts from, and what a fitted estimator has of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from dsae import store
from dsae.config import MISSING, AutoencoderConfig, Loss, one_of, positive_int
from dsae.data import ArraySource, IteratorSource, Source, as_source, called, gives_batches
from dsae.estimators._base import column_names, warn
from dsae.estimators._parameters import check_values, n_outputs
from dsae.estimators._warnings import advise_on_counts
from dsae.runtime import Runtime


def trainer() -> ModuleType:
    """`dsae.train`; an error says how to get torch."""
    try:
        import_module("torch")
    except ImportError:
        raise ImportError('Training needs torch: pip install "dsae[train]". Trained models run without it.') from None
    return import_module("dsae.train")


def training_rows(verb: str, X: Any, missing: Any) -> Source:
    """Rows to train on, in which NaN is refused or not."""
    one_of("missing", missing, MISSING)
    return as_source(verb, X, training=True, missing=missing)


def rows_or_rounds(X: Any, n_steps: int | None, given: Mapping[str, Any]) -> tuple[Source, Mapping[str, Any]]:
    """What `fit` trains on, and the parameters: rounds of an iterator take the place of epochs.

    Raises
    ------
    TypeError
        If ``X`` is an iterator without a number of steps.
    ValueError
        If it is not, with one, or if a run is to be resumed whose rows are gone.
    """
    if n_steps is None:
        if isinstance(X, Iterator):
            raise TypeError(
                f"[fit] X must be rows; got {type(X).__name__}, which gives them once. Say for how many steps to train "
                "on what it gives: fit(batches, n_steps=10_000)."
            )
        return training_rows("fit", X, given["missing"]), given
    if not isinstance(X, Iterable) or hasattr(X, "shape") or gives_batches(X):
        raise ValueError(
            f"[fit] n_steps is for an iterator of batches; got {type(X).__name__}. Set max_iter, the number of epochs."
        )
    if given["checkpoint"] is not None:
        raise ValueError("[fit] checkpoint must be None for an iterator: a resumed run could not see its rows again.")
    if given["missing"] != "error":
        raise ValueError(f"[fit] missing must be 'error' for an iterator of batches; got {given['missing']!r}.")
    positive_int("batch_size", given["batch_size"])
    source = IteratorSource("fit", X, n_steps, int(given["batch_size"]))
    return source, {**given, "max_iter": source.n_rounds}


def check_known(source: Source, names: list[str] | None, missing: str, verb: str = "fit") -> None:
    """Refuse a column of which nothing is known, and warn of rows of which nothing is."""
    if missing != "mask":
        return
    known = source.known()
    without = np.flatnonzero(~known.columns)
    if without.size:
        column = without[0] if names is None else repr(names[without[0]])
        others = f" (and {without.size - 1} more)" if without.size > 1 else ""
        raise ValueError(f"[{verb}] Column {column}{others} must hold a known value; all of it is missing. Drop it.")
    if known.n_blank:
        warn(
            f"[{verb}] No value is known of {known.n_blank} of {len(source)} rows, the first of which is row "
            f"{known.first_blank}: nothing is learned from them. Drop them."
        )


def validation_rows(X: Any, training: Source, names: list[str] | None, missing: str, loss: Loss) -> Source:
    """Rows to validate on, which must have the columns of the training rows, a target where these have one, and values
    that the loss takes.
    """
    with called("validation"):
        source = as_source("fit", X, missing=missing)
    if source.n_features != training.n_features:
        raise ValueError(
            f"[fit] validation must have {training.n_features} columns, as many as X; got {source.n_features}."
        )
    own = column_names(X, source)
    if names is not None and own is not None and own != names:
        one, other = next((one, other) for one, other in zip(names, own, strict=True) if one != other)
        raise ValueError(f"[fit] validation must have the columns of X, in its order; got {other!r} for {one!r}.")
    _check_targets(training, source)
    check_values(loss, source, "validation")
    advise_on_counts(source, loss, "validation")
    return source


def _check_targets(training: Source, validation: Source) -> None:
    """Refuse rows to validate on that are to give something else than those to train on."""
    if not (hasattr(training, "target") and hasattr(validation, "target")):
        return  # a source of the user's own, whose batches say
    own, other = (source.target is not None for source in (training, validation))  # pyright: ignore
    if own and not other:
        raise ValueError(
            "[fit] validation must have a target, as X has; got rows alone, which would be their own. Give "
            "validation=dsae.data.Batch.of(rows, target=...), both in memory."
        )
    if other and not own:
        raise ValueError(
            "[fit] validation must have no target where X has none; got rows with one. Give target= for X, too, or the "
            "rows of validation alone."
        )
    if own and n_outputs(training) != n_outputs(validation):
        raise ValueError(
            f"[fit] The target of validation must have {n_outputs(training)} columns, as that of X; got "
            f"{n_outputs(validation)}."
        )


def check_outputs(verb: str, config: AutoencoderConfig, source: Source) -> None:
    """Refuse rows that are to give another number of columns than the model does."""
    given = n_outputs(source) or source.n_features
    if given != config.output_width:
        raise ValueError(
            f"[{verb}] target must have {config.output_width} columns, as before; got {given}. Give the same columns, "
            "or train a new model."
        )


def names_of_target(target: Any) -> list[str] | None:
    """Names of the columns of a target, where it has some."""
    if target is None:
        return None
    return column_names(target, target if isinstance(target, ArraySource) else None)


def starting_model(init: Any, config: AutoencoderConfig) -> store.Model:
    """The model that ``init`` means: of a runtime, in a folder, or of dense layers."""
    if isinstance(init, Runtime):
        return init.model
    if isinstance(init, (str, Path)):
        return store.read(store.fetched(init))
    from dsae.train import dense_layers

    return store.Model(config=config, layers=dense_layers(init, config))


def fitted_attributes(model: store.Model) -> dict[str, Any]:
    """The attributes of a fitted estimator."""
    names = model.feature_names
    return {
        "runtime_": Runtime(model),
        "density_": model.density,
        "nnz_": model.nnz,
        "history_": model.history,
        "n_iter_": len(model.history),
        "n_features_in_": model.config.n_features,
    } | ({} if names is None else {"feature_names_in_": np.asarray(names, dtype=object)})


def final_metrics(history: list[dict[str, Any]], seconds: float) -> dict[str, float]:
    """What the model folder says of a fit: its time, and error and activity in the epoch whose weights were kept."""
    rows = [row for row in history if "validation_loss" in row] or history[-1:]
    # Without validation the last epoch: all of them count as 0.
    kept = min(reversed(rows), key=lambda row: row.get("validation_loss", 0.0), default={})
    names = ("loss", "validation_loss", "fvu", "l0", "dead", "threshold")
    return {"fit_seconds": seconds} | {name: float(kept[name]) for name in names if name in kept}


def appended(earlier: list[dict[str, Any]], history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``history`` after the rows of earlier fits, with epochs and seconds counted on."""
    seconds = import_module("dsae.train").seconds_of(earlier)
    later = [{**row, "epoch": row["epoch"] + len(earlier), "seconds": row["seconds"] + seconds} for row in history]
    return [*earlier, *later]
