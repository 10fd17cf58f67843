"""How an autoencoder is trained: `fit` and `partial_fit`, a thin adapter over `dsae.train`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, Self

from sklearn.exceptions import NotFittedError

from dsae import store
from dsae.config import AutoencoderConfig, TrainConfig, loss_of
from dsae.data import with_beside
from dsae.estimators._base import column_names, refuse_unknown
from dsae.estimators._callbacks import CallbackSupportMixin, FitEvents, Hooks, with_callbacks
from dsae.estimators._distributed import among_ranks, refuse_distributed
from dsae.estimators._fitted import FittedAutoencoder
from dsae.estimators._kept import GIVEN, kept
from dsae.estimators._parameters import configure
from dsae.estimators._resumable import Resumable
from dsae.estimators._training import (
    appended,
    check_known,
    check_outputs,
    fitted_attributes,
    names_of_target,
    rows_or_rounds,
    starting_model,
    trainer,
    training_rows,
    validation_rows,
)
from dsae.estimators._warnings import advise_on_counts, advise_on_data, advise_on_model, advise_on_steps
from dsae.runtime import Runtime


class TrainableAutoencoder(CallbackSupportMixin, Resumable, FittedAutoencoder):
    """The verbs that train, over the parameters that `DeepSparseAutoencoder` lists."""

    runtime_: Runtime
    _measures_importance = True

    @with_callbacks
    @among_ranks
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        target: Any = None,
        validation: Any = None,
        n_steps: int | None = None,
        on_epoch: Callable[[dict[str, Any]], Any] | None = None,
        on_step: Callable[[dict[str, Any]], Any] | None = None,
        every: int = 100,
        **unknown: Any,
    ) -> Self:
        """Train on rows.

        What belongs to one run is an argument here, and not a parameter of the estimator: rows to validate on are
        data, and an estimator that held functions could not be pickled or searched over.

        Parameters
        ----------
        X : array-like, DataFrame or scipy sparse, shape (n_samples, n_features), or a source
            A sparse matrix stays sparse (docs/design/sparse_input.md). For data that do not fit in memory, pass
            ``dsae.data.open_rows("folder/")``, here and to `transform` and `score`.
        y : ignored
            Pipelines pass labels here.
        sample_weight : array-like, shape (n_samples,), optional
            How much each row counts in the loss, the mean and the spread: a row of weight 2 as two rows would in the
            same batch. Numbers of at least 0; only their ratios matter.
        target : array-like, DataFrame or scipy sparse, shape (n_samples, n_outputs), optional
            What is to be predicted from the rows, in place of the rows themselves: the clean rows of noisy ones, or
            what a layer makes of its input (a transcoder). Its columns may be others than those of ``X``, and any
            number; it is centred and scaled by itself. `inverse_transform` then gives its columns, `score` needs a
            target, and `impute` and `recommend` are refused if it has another number of columns. Not for likelihoods
            of counts.
        validation : the same as ``X``, optional
            Rows for early stopping instead of a random share of ``X``; implies ``early_stopping``. Pass them if rows
            come in groups (patients, documents, users) or in time: a random share contains neighbours of the training
            rows, and so overestimates the quality on new groups and later times. A `dsae.data.Batch` has weights and
            a target of its own, which it must have where ``X`` has one.
        n_steps : int, optional
            For an iterator of batches in place of ``X``, such as the activations of a model that runs: train for
            so many steps of ``batch_size`` rows, each seen once, in the order in which they come. ``history_`` then
            has a row for each of up to 50 rounds, which ``max_iter`` does not change.
        on_epoch : callable, optional
            Called with the epoch's row of ``history_``; training ends if it returns True (Python's or numpy's). Before
            the last rewiring the model is denser than requested, with a warning.
        on_step : callable, optional
            For loggers: called with a dict of ``step`` (since the start), ``epoch``, ``stage``, ``loss`` (of the batch)
            and ``learning_rate``; where they are known ``fvu`` and ``l0`` of the batch, ``dead`` and ``threshold``, as
            in ``history_``.
        every : int
            Steps between calls of ``on_step``.
        **unknown
            Refused.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter, ``X`` or ``validation`` is invalid.
        TypeError
            If there is an unknown argument.
        FloatingPointError
            If the loss is no longer a number.

        Warns
        -----
        UserWarning
            About constant features, rows without a known value, repeated column names, units without edges, a model
            that learned nothing, and one that ``on_epoch`` stopped above its density.
        """
        refuse_unknown("fit", unknown)
        begun = time.perf_counter()
        train = trainer()
        given = self._parameters(self.warm_start and hasattr(self, "runtime_"))
        source, given = rows_or_rounds(X, n_steps, given)
        source = train.shared_source(with_beside("fit", source, target, sample_weight))
        names, target_names = column_names(X, source), names_of_target(target)
        check_known(source, names, self.missing)
        model_config, train_config = configure(given, source)
        # counts enter the network as logarithms, where no row or feature outweighs the others
        advise_on_data(source, names, train_config.scale, weight=model_config.input_transform == "none")
        loss = loss_of(train_config.loss)
        advise_on_counts(source, loss)
        start = self._start_from(model_config)
        earlier = self.history_ if self.warm_start and hasattr(self, "runtime_") else []
        training = self._described(train_config, source)

        def described(result: Any) -> store.Model:
            history = appended(earlier, result.history)
            told = {"feature_names": names, "target_names": target_names, "history": history}
            return replace(result.model, training=training, **told)

        hooks = (on_epoch, on_step, every)
        events = FitEvents(self, X, train_config.max_iter, lambda result: fitted_attributes(described(result)), *hooks)
        held_out = None
        if validation is not None:
            held_out = train.shared_source(validation_rows(validation, source, names, self.missing, loss))
        checkpoints = self._checkpoints(train)
        settings = (start, self._seed_of_fit(train, checkpoints), self.verbose, checkpoints, self.device)
        result = train.fit_rows(
            source, model_config, train_config, *settings, held_out, events, self._measures_importance
        )
        before = 0.0 if checkpoints is None else checkpoints.seconds  # until it was interrupted
        self._take(described(result), result.interrupted, begun, before)
        advise_on_steps(source)
        advise_on_model(source, self.runtime_)
        self._end(events, checkpoints)
        return self

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        target: Any = None,
        on_epoch: Callable[[dict[str, Any]], Any] | None = None,
        on_step: Callable[[dict[str, Any]], Any] | None = None,
        every: int = 100,
        **unknown: Any,
    ) -> Self:
        """Learn from more rows, each seen once, continuing from the current model.

        For data that arrive in an unknown number of chunks; training is open-ended. The model has its final density
        from the first step and exchanges edges by the scores of ``shrink`` every 100 steps, fewer each time; the
        learning rate is ``learning_rate_init`` after 100 steps of warm-up, and may be changed before any call
        (`set_params`). ``max_iter``, ``early_stopping``, ``schedule`` and ``checkpoint`` apply to `fit` only.

        The first call sets the width, and the mean and standard deviation by which inputs are centred and scaled inside
        the model from then on: give it representative rows. Adam's moments are kept between calls, and `save` writes
        them beside the model, so that training also continues after `load`. After `fit` they start at zero.

        Parameters
        ----------
        X : array-like, DataFrame or scipy sparse, shape (n_samples, n_features), or a source
        y : ignored
        sample_weight : array-like, shape (n_samples,), optional
        target : array-like, DataFrame or scipy sparse, optional
            As in `fit`.
        on_epoch : callable, optional
            Called once, with the row that the rows of ``X`` add to ``history_``.
        on_step : callable, optional
        every : int
            As in `fit`; steps are counted from the first call on.
        **unknown
            Refused.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or ``X`` is invalid.
        FloatingPointError
            If the loss is no longer a number; the model stays as it was.

        Examples
        --------
        >>> from dsae import DeepSparseAutoencoder
        >>> X = np.random.default_rng(0).random((600, 20))
        >>> dsa = DeepSparseAutoencoder(n_components=4, hidden_layer_sizes=(16,), density=0.3, random_state=0)
        >>> for chunk in np.split(X, 3):
        ...     dsa = dsa.partial_fit(chunk)
        >>> dsa.n_iter_, round(dsa.density_, 2)
        (3, 0.3)
        """
        refuse_unknown("partial_fit", unknown)
        refuse_distributed(self)
        begun, fitted = time.perf_counter(), hasattr(self, "runtime_")
        train = trainer()
        source = with_beside("partial_fit", training_rows("partial_fit", X, self.missing), target, sample_weight)
        if fitted:
            self._check_source("partial_fit", X, source)
        else:
            check_known(source, column_names(X, source), self.missing, "partial_fit")
        if fitted:
            check_outputs("partial_fit", self.runtime_.config, source)
        model_config, train_config = configure(self._parameters(fitted), source)
        start = self.runtime_.model if fitted else self._start_from(model_config)
        settings = (start, self._seed(), self.verbose, self.device, Hooks(on_epoch, on_step, every))
        result = train.learn_rows(source, model_config, train_config, *settings)
        training = self._described(train_config, source)
        names, targets = column_names(X, source), names_of_target(target)
        if fitted:
            names, targets = self.runtime_.model.feature_names, self.runtime_.model.target_names
        told = {"feature_names": names, "target_names": targets}
        before = getattr(self, "fit_time_", 0.0)
        self._take(replace(result.model, training=training, **told), result.interrupted, begun, before)
        return self

    def _described(self, config: TrainConfig, source: Any) -> dict[str, Any]:
        """What a model folder keeps: parameters as they were chosen, all as given, whether there was a target."""
        described = {**asdict(config), GIVEN: kept(self.get_params(deep=False))}
        return described | ({} if getattr(source, "target", None) is None else {"target": True})

    def _adopt(self, model: store.Model, interrupted: bool = False) -> None:
        vars(self).pop("feature_names_in_", None)  # the rows of an earlier fit may have had names
        vars(self).update(fitted_attributes(model), interrupted_=interrupted)

    def _parameters(self, goes_on: bool) -> dict[str, Any]:
        """The parameters; a model that continues keeps what was chosen for its first rows."""
        given = self.get_params(deep=False)
        if goes_on:
            own = self.runtime_.config
            if isinstance(given["hidden_layer_sizes"], str):
                given["hidden_layer_sizes"] = own.hidden_layer_sizes
            given["input_total"] = own.input_total
        return given

    def _start_from(self, config: AutoencoderConfig) -> store.Model | None:
        if self.warm_start and hasattr(self, "runtime_"):
            return self.runtime_.model
        if self.init is None:
            return None
        init = self.init
        if isinstance(init, TrainableAutoencoder):
            if not hasattr(init, "runtime_"):
                raise NotFittedError(
                    "init must be fitted; got an unfitted estimator. clone, and so every search, removes what an "
                    "estimator has learned: pass init=dsa.runtime_ instead."
                )
            init = init.runtime_
        # Importances belong to the rows of the other model.
        return replace(starting_model(init, config), importance=None)
