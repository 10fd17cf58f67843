"""The scikit-learn estimator, a thin adapter over `dsae.train` and `dsae.runtime`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from numbers import Integral
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state

from dsae import store
from dsae.config import AutoencoderConfig, TrainConfig, in_range, loss_of
from dsae.data import with_beside
from dsae.estimators._base import column_names, refuse_unknown
from dsae.estimators._callbacks import CallbackSupportMixin, FitEvents, Hooks, with_callbacks
from dsae.estimators._fitted import FittedAutoencoder
from dsae.estimators._parameters import MODEL_FIELDS, TRAIN_FIELDS, configure
from dsae.estimators._training import (
    appended,
    check_known,
    final_metrics,
    fitted_attributes,
    rows_or_rounds,
    starting_model,
    trainer,
    training_rows,
    validation_rows,
)
from dsae.estimators._warnings import advise_on_counts, advise_on_data, advise_on_model, advise_on_steps
from dsae.runtime import Runtime


class DeepSparseAutoencoder(CallbackSupportMixin, FittedAutoencoder):
    """An autoencoder of any depth whose zero weights are never stored, read or multiplied.

    Parameters
    ----------
    n_components : int
        Width of the code.
    hidden_layer_sizes : sequence of int, or "auto"
        Widths of the encoder's hidden layers, from the input to the code; see `dsae.config.automatic_widths`.
    decoder_layer_sizes : sequence of int, optional
        Widths of the decoder's hidden layers, from the code to the output; by default the encoder's, mirrored.
    activation : {"relu", "sigmoid", "identity", "softmax"}
        Activation of the hidden layers.
    code_activation : {"identity", "relu", "sigmoid", "softmax", "topk", "batchtopk", "jumprelu"}
        Activation of the code layer. ``topk`` keeps the ``k`` largest latents of a row (Makhzani & Frey 2013),
        ``batchtopk`` ``k`` per row on average (Bussmann et al. 2024), ``jumprelu`` those above a learned threshold
        (Rajamanoharan et al. 2024).
    output_activation : {"auto", "identity", "sigmoid", "relu", "softmax", "exp"}
        Activation of the reconstruction; ``auto`` is the one that belongs to the loss.
    loss : {"mse", "bce", "poisson", "nb", "multinomial"}
        Mean squared error, mean binary cross entropy of data in [0, 1], or a likelihood of counts. ``poisson`` and
        ``nb`` (negative binomial, with a dispersion per feature) have rates ``exp(z)``, ``multinomial`` shares
        ``softmax(z)``, each times the row's total; docs/design/counts.md.
    input_transform : {"auto", "none", "log1p", "lognormalize"}
        What happens to values inside the model before they are centred. ``log1p`` is ``log(1 + x)``; ``lognormalize``
        first scales every row to the mean total of the training rows. ``auto`` is ``log1p`` for the likelihoods of
        counts, else ``none``; the others need an output that is not linear.
    density : float or mapping of str to float
        Share of the weights that are active when training ends, in (0, 1]. It is reached to the edge. A number is
        spread over the layers by Erdős-Rényi-Kernel; a mapping names layers (``{"encoder.0": 0.05}``) and leaves the
        others dense.
    block_size : {1, 4, 8}
        Neighbouring outputs that share their active inputs; 1 chooses every weight by itself. Blocks are structured
        sparsity: chosen by the sums of their weights' scores, they compute up to twice as fast and err a little more at
        the same density, which they reach to one block of each layer; docs/design/blocks.md.
    shrink : {"tempered", "saliency", "magnitude", "gradient", "random", "set", "rigl", "granet", "none"}
        How the active weights are chosen. ``tempered`` (``|w|`` times the fourth root of the running mean of
        ``|dL/dw|``), ``saliency`` (running mean of ``|w dL/dw|``), ``magnitude`` (``|w|``) and ``gradient``
        (``|dL/dw|``) start with half of the weights and shrink along a cubic curve (Zhu & Gupta 2017). The others are
        sparser from the first step: ``random`` draws once; ``set`` (Mocanu et al. 2018) and ``rigl`` (Evci et al. 2020)
        exchange edges during training; ``granet`` (Liu et al. 2021) also shrinks, from twice the final density.
        ``none`` leaves the weights alone and needs ``density=1``.
    l1 : float
        Strength of the proximal L1 step in units of the learning rate. 0.1 is gentle. Weights that become exactly zero
        leave the topology, so the final density may be lower than requested. Blocks shrink as one (group lasso).
    l2 : float
        Strength of the L2 penalty. ``l2 / 2 * sum(w^2)`` is added to the loss. That is a mean over rows and features:
        a ridge penalty of ``r`` beside the summed squares is ``l2 = 2 * r / (n_samples * n_features)``, a tiny number
        for wide data.
    contractive : float
        Strength of the contractive penalty. ``contractive * |J|_F^2 / n_features`` is added to the loss, J being the
        Jacobian of the encoder (Rifai et al. 2011).
    target_rate : float, optional
        Activation rate of a sigmoid or softmax code, in (0, 1). For sigmoid codes by Ng's KL penalty, for softmax
        codes by the share of units in use.
    k : int, optional
        Non-zeros per code, for ``topk``, ``batchtopk`` and ``jumprelu``.
    matryoshka : sequence of int, optional
        Widths at which the first latents alone also have to reconstruct, such as ``(64, 192, 512)``. Latents are then
        ordered from general to special, and general ones are split and absorbed less (Bussmann et al. 2025).
    schedule : {"joint", "stagewise"}
        Whether all layers are trained at once or in stages. The stages are the encoder layer by layer, the decoder,
        shrinking, activations. Layer by layer, the first layer minimises ``loss`` on the rows, and each inner one the
        squared error of its own input, which is an activation and so neither binary nor a count (Bengio et al. 2007).
    init : DeepSparseAutoencoder, Runtime, str, Path or sequence, optional
        Model to start from. A fitted model, a model folder, or one ``(weight [out, in], bias [out])`` per layer from
        the input to the output. What a scipy sparse weight stores are its edges, zeros among them.
    init_topology : {"random", "neighbours"}
        Where edges start. With ``neighbours`` each unit of the first and of the last hidden layer stands for a feature,
        the most frequent first, and reads and writes those that occur with it: for rows that are mostly zeros, such as
        ratings (`dsae.topology.neighbour_edges`). Methods that change the topology go on from there.
    zero_diagonal : bool
        Whether no path leads from a feature to itself, so that each is predicted from others. It needs
        ``hidden_layer_sizes=()``, ``init_topology="neighbours"`` and ``shrink="random"``; the density may be lower than
        requested.
    max_iter : int or "auto"
        Number of epochs. "auto" makes some 4,000 steps, fewer where these would take longer than 50 times what PCA
        takes, and than 20 seconds: `dsae.config.automatic_epochs`.
    batch_size : int
        Rows per step.
    learning_rate_init : float or "auto"
        Peak learning rate of Adam for a full layer; see `dsae.config.automatic_rate`. In a sparse layer an edge's rate
        is divided by the active share of its unit's inputs. It rises over the first twentieth of the steps and falls
        to zero along a cosine.
    early_stopping : bool
        Whether to stop when held-out rows no longer improve. ``validation_fraction`` of the rows are held out, and the
        weights that do best on them are kept. Epochs count once the final density is reached.
    validation_fraction : float
        Share of the rows held out for ``early_stopping``.
    n_iter_no_change : int
        Epochs without improvement after which training ends: of the loss on held-out rows with ``early_stopping``, else
        of that on the training rows. Epochs count once the final density is reached.
    tol : float
        Relative improvement that counts.
    scale : bool
        Whether features are scaled to unit variance inside the model. They are always centred, and all divided by the
        power of 100 nearest to their common spread; losses in ``history_`` are in these units.
    missing : {"error", "mask"}
        Whether NaN in the rows is refused, or a value that is not known. With ``mask`` (stored NaN in sparse rows, what
        is masked, NA and empty cells, too) it is left out of means, scales, the loss and every error, and the mean of
        its feature stands for it, and training hides more of what is known; see ``mask`` and `impute`. Not for
        likelihoods of counts nor for iterators of batches.
    noise : float
        Standard deviation of Gaussian noise on the rows that training sees, in units of the data's spread (its root
        mean square over the features; that of each feature with ``scale``). The target stays clean (denoising
        autoencoder, Vincent et al. 2008). For dense rows that are no counts; when it pays is in docs/user/denoising.md.
    mask : float or (float, float)
        Share of the values that a training step does not see, of sparse rows of the stored ones. A pair ``(low, high)``
        draws a share between the two for every row and epoch. A dense row holds the feature's mean in their place. The
        target is the whole row. With ``missing="mask"`` 0 means ``(0, 0.8)``, since holes are only filled well by a
        network that was trained on them; ``(0, 0)`` hides nothing.
    mask_rescale : bool
        Whether the values seen are multiplied by how many there are for each one seen, so that sums over a row stay
        what they are without a mask. With ``missing="mask"`` they never are.
    emphasis : float
        Weight of masked values in the loss beside the others, which weigh 1. Not for a multinomial, nor with a target.
    precision : {"auto", "float32"}
        Whether training may round activations and their gradients to bfloat16 inside the products of large sparse
        layers, where a table measured beforehand says that it is faster on this CPU; weights and sums stay float32, and
        so does the trained model. ``float32`` rounds nothing.
    device : {"auto", "cpu", "cuda"}
        Where `fit` and `partial_fit` train. ``auto`` is cuda where torch finds a GPU and the network has 2^20 possible
        weights or more, else the CPU. The trained model runs on the CPU.
    random_state : int, RandomState or None
        Seed, with which a run repeats bit for bit on the CPU at a fixed number of threads.
    verbose : int
        1 shows a progress line on a terminal, 0 does not.
    warm_start : bool
        Whether `fit` continues from the weights of the last fit, with a new learning rate curve and a new Adam.
    sparse_output : bool
        Whether `transform` returns a scipy CSR matrix, for codes with zeros: relu, topk, batchtopk and jumprelu. It is
        built a few rows at a time. Data frames cannot hold it: leave `set_output` at its default.
    checkpoint : str, Path or dsae.train.Checkpoints, optional
        Folder in which `fit` keeps the whole state of an unfinished run, removed when the run is done. If it holds a
        run with the same settings and data, `fit` resumes it and ends with exactly the weights of an uninterrupted
        run, on the same machine with as many threads. A `dsae.train.Checkpoints` is left there for you to `remove`,
        when the model is saved, say.
    checkpoint_every : float
        Minutes between checkpoints. One is also written on Ctrl-C and on SIGTERM.

    Attributes
    ----------
    runtime_ : Runtime
        The trained model.
    density_, nnz_ : float, int
        Share and number of the active weights.
    n_iter_ : int
        Epochs done.
    history_ : list of dict
        One row per epoch: ``loss``, ``density``, ``learning_rate``, ``seconds``; for mse ``fvu``, the loss over the
        variance of the rows; ``l0``, the latents that fire in a row on average, and ``dead``, the share of those that
        fired in no row of the epoch (of a sample of up to 512 rows where the code is no dictionary); ``threshold``, the
        mean of the code's thresholds in training.
    feature_importances_ : ndarray of shape (n_features_in_,)
        How strongly the reconstruction responds to each input, gathered during training; non-negative, sum 1. See
        `dsae.interpret.feature_importances`.
    n_features_in_ : int
    fit_time_ : float
        Seconds.
    interrupted_ : bool
        Whether Ctrl-C (or SIGTERM, with ``checkpoint``) ended the last training early. There is a warning, too.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = load_digits().data / 16
    >>> dsa = DeepSparseAutoencoder(n_components=8, hidden_layer_sizes=(64,), density=0.1, random_state=0).fit(X)
    >>> dsa.transform(X).shape, round(dsa.density_, 3)
    ((1797, 8), 0.1)
    """

    runtime_: Runtime
    history_: list[dict[str, Any]]
    interrupted_: bool
    _measures_importance = True

    def __init__(
        self,
        n_components: int = 32,
        *,
        hidden_layer_sizes: Sequence[int] | str = "auto",
        decoder_layer_sizes: Sequence[int] | None = None,
        activation: str = "relu",
        code_activation: str = "identity",
        output_activation: str = "auto",
        loss: str = "mse",
        input_transform: str = "auto",
        density: float | Mapping[str, float] = 0.05,
        block_size: int = 1,
        shrink: str = "tempered",
        l1: float = 0.0,
        l2: float = 0.0,
        contractive: float = 0.0,
        target_rate: float | None = None,
        k: int | None = None,
        matryoshka: Sequence[int] | None = None,
        schedule: str = "joint",
        init: Any = None,
        init_topology: str = "random",
        zero_diagonal: bool = False,
        max_iter: int | str = "auto",
        batch_size: int = 256,
        learning_rate_init: float | str = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        scale: bool = False,
        missing: str = "error",
        noise: float = 0.0,
        mask: float | Sequence[float] = 0.0,
        mask_rescale: bool = True,
        emphasis: float = 1.0,
        precision: str = "auto",
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
        warm_start: bool = False,
        sparse_output: bool = False,
        checkpoint: Any = None,
        checkpoint_every: float = 10.0,
    ) -> None:
        self._assign(locals())

    @with_callbacks
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
    ) -> DeepSparseAutoencoder:
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
        target : array-like, DataFrame or scipy sparse, shape (n_samples, n_features), optional
            What is to be predicted from the rows, in place of the rows themselves: the clean rows of noisy ones, or
            what a layer makes of its input (a transcoder). It is in the columns of ``X``. Not for
            likelihoods of counts.
        validation : the same as ``X``, optional
            Rows for early stopping instead of a random share of ``X``; implies ``early_stopping``. Pass them if rows
            come in groups (patients, documents, users) or in time: a random share contains neighbours of the training
            rows, and so overestimates the quality on new groups and later times. A `dsae.data.Batch` has weights and
            a target of its own, which it must have where ``X`` has one.
        n_steps : int, optional
            For an iterator of batches in the place of ``X``, such as the activations of a model that runs: train for
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
        source = with_beside("fit", source, target, sample_weight)
        names = column_names(X, source)
        check_known(source, names, self.missing)
        model_config, train_config = configure(given, source)
        # counts enter the network as logarithms, where no row or feature outweighs the others
        advise_on_data(source, names, train_config.scale, weight=model_config.input_transform == "none")
        loss = loss_of(train_config.loss)
        advise_on_counts(source, loss)
        start = self._start_from(model_config)
        earlier = self.history_ if self.warm_start and hasattr(self, "runtime_") else []
        training = self._described(train_config)

        def described(result: Any) -> store.Model:
            history = appended(earlier, result.history)
            return replace(result.model, training=training, feature_names=names, history=history)

        hooks = (on_epoch, on_step, every)
        events = FitEvents(self, X, train_config.max_iter, lambda result: fitted_attributes(described(result)), *hooks)
        held_out = None if validation is None else validation_rows(validation, source, names, self.missing, loss)
        checkpoints = self._checkpoints(train)
        seed = self._seed() if checkpoints is None else self._kept_seed(checkpoints)
        settings = (start, seed, self.verbose, checkpoints, self.device)
        result = train.fit_rows(
            source, model_config, train_config, *settings, held_out, events, self._measures_importance
        )
        self._adopt(described(result), result.interrupted)
        self.fit_time_ = time.perf_counter() - begun + (0.0 if checkpoints is None else checkpoints.seconds)
        self.runtime_.model.metrics.update(final_metrics(self.history_, self.fit_time_))
        advise_on_steps(source)
        advise_on_model(source, self.runtime_)
        events.finish()
        if checkpoints is not None and checkpoints is not self.checkpoint and not result.interrupted:
            checkpoints.remove()
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
    ) -> DeepSparseAutoencoder:
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
        >>> X = np.random.default_rng(0).random((600, 20))
        >>> dsa = DeepSparseAutoencoder(n_components=4, hidden_layer_sizes=(16,), density=0.3, random_state=0)
        >>> for chunk in np.split(X, 3):
        ...     dsa = dsa.partial_fit(chunk)
        >>> dsa.n_iter_, round(dsa.density_, 2)
        (3, 0.3)
        """
        refuse_unknown("partial_fit", unknown)
        begun, fitted = time.perf_counter(), hasattr(self, "runtime_")
        train = trainer()
        source = with_beside("partial_fit", training_rows("partial_fit", X, self.missing), target, sample_weight)
        if fitted:
            self._check_source("partial_fit", X, source)
        else:
            check_known(source, column_names(X, source), self.missing, "partial_fit")
        model_config, train_config = configure(self._parameters(fitted), source)
        start = self.runtime_.model if fitted else self._start_from(model_config)
        settings = (start, self._seed(), self.verbose, self.device, Hooks(on_epoch, on_step, every))
        result = train.learn_rows(source, model_config, train_config, *settings)
        training = self._described(train_config)
        names = self.runtime_.model.feature_names if fitted else column_names(X, source)
        self._adopt(replace(result.model, training=training, feature_names=names), result.interrupted)
        self.fit_time_ = time.perf_counter() - begun + (self.fit_time_ if hasattr(self, "fit_time_") else 0.0)
        self.runtime_.model.metrics.update(final_metrics(self.history_, self.fit_time_))
        return self

    @classmethod
    def load(cls, folder: str | Path) -> DeepSparseAutoencoder:
        """The fitted estimator of a model folder, for use or for more training.

        ``random_state`` is kept where it was a number.

        Raises
        ------
        ValueError
            If the folder holds no model, or that of a recommender.
        OSError
            If it cannot be read.
        """
        model = store.read(folder, learning=True)
        if "recommender" in model.training:  # where DSARecommender.save keeps its parameters
            raise ValueError(
                f"[load] {folder} must hold an autoencoder; it holds a recommender. Read it with DSARecommender.load, "
                "or with dsae.load."
            )
        given = {name: getattr(model.config, name) for name in MODEL_FIELDS}
        given |= {name: value for name, value in model.training.items() if name in (*TRAIN_FIELDS, "random_state")}
        given["matryoshka"] = given.get("matryoshka") or None  # no widths are an empty list in a file
        estimator = cls(**given)
        estimator._adopt(model)
        return estimator

    def _described(self, config: TrainConfig) -> dict[str, Any]:
        """What a model folder keeps of the parameters of training."""
        seed = self.random_state
        given = isinstance(seed, Integral) and not isinstance(seed, bool)
        return {**asdict(config), **({"random_state": int(seed)} if given else {})}

    def _checkpoints(self, train: ModuleType) -> Any:
        if self.checkpoint is None or isinstance(self.checkpoint, train.Checkpoints):
            return self.checkpoint
        in_range("checkpoint_every", self.checkpoint_every, 0)
        return train.Checkpoints(self.checkpoint, self.checkpoint_every)

    def _kept_seed(self, checkpoints: Any) -> int:
        return checkpoints.seed(self._seed()) if self.random_state is None else self._seed()

    def _adopt(self, model: store.Model, interrupted: bool = False) -> None:
        vars(self).pop("feature_names_in_", None)
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
        if isinstance(init, DeepSparseAutoencoder):
            if not hasattr(init, "runtime_"):
                raise NotFittedError(
                    "init must be fitted; got an unfitted estimator. clone, and so every search, removes what an "
                    "estimator has learned: pass init=dsa.runtime_ instead."
                )
            init = init.runtime_
        return replace(starting_model(init, config), importance=None)

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
