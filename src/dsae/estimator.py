"""The autoencoder with scikit-learn's manners: it adapts, the work is done in `dsae.train` and `dsae.runtime`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_feature_names, check_is_fitted

from dsae import store
from dsae.config import AutoencoderConfig, TrainConfig, automatic_epochs, automatic_widths, one_of
from dsae.data import Rows, check_rows
from dsae.interpret import feature_importances
from dsae.metrics import evaluate
from dsae.runtime import Runtime

_MODEL_FIELDS = (
    "n_components",
    "hidden_layer_sizes",
    "decoder_layer_sizes",
    "activation",
    "code_activation",
    "output_activation",
    "k",
    "density",
)
_TRAIN_FIELDS = (
    "loss",
    "shrink",
    "l1",
    "l2",
    "contractive",
    "target_rate",
    "schedule",
    "max_iter",
    "batch_size",
    "learning_rate_init",
    "early_stopping",
    "validation_fraction",
    "n_iter_no_change",
    "tol",
    "scale",
)


class DeepSparseAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """An autoencoder of any depth whose zero weights are not stored, read or multiplied.

    Parameters
    ----------
    n_components : int
        Width of the code.
    hidden_layer_sizes : sequence of int, or "auto"
        Widths of the encoder's hidden layers, from the input to the code; see `dsae.config.automatic_widths`.
    decoder_layer_sizes : sequence of int, optional
        Widths of the decoder's hidden layers, from the code to the output; by default the encoder's, mirrored.
    activation : {"relu", "sigmoid", "identity", "softmax"}
        Of the hidden layers.
    code_activation : {"identity", "relu", "sigmoid", "softmax", "topk", "batchtopk", "jumprelu"}
        Of the code. ``topk`` keeps the ``k`` largest latents of a row (Makhzani & Frey 2013), ``batchtopk`` ``k`` per
        row on average (Bussmann et al. 2024), ``jumprelu`` those above a learned threshold (Rajamanoharan et al. 2024).
    output_activation : {"identity", "sigmoid", "relu", "softmax"}
        Of the reconstruction.
    loss : {"mse", "bce"}
        Mean squared error, or mean binary cross entropy, which needs a sigmoid output and data in [0, 1].
    density : float or mapping of str to float
        Share of the weights that live when training ends, in (0, 1], reached to the edge. A number is spread over the
        layers by Erdős-Rényi-Kernel; a mapping names layers (``{"encoder.0": 0.05}``) and leaves the others dense.
    shrink : {"tempered", "saliency", "magnitude", "gradient", "random", "set", "rigl", "granet", "none"}
        How the living weights are chosen. ``tempered`` (``|w|`` times the fourth root of the running mean of
        ``|dL/dw|``), ``saliency`` (running mean of ``|w dL/dw|``), ``magnitude`` (``|w|``) and ``gradient``
        (``|dL/dw|``) start dense and shrink along a cubic curve (Zhu & Gupta 2017). The others are sparse from the
        first step: ``random`` draws once; ``set`` (Mocanu et al. 2018) and ``rigl`` (Evci et al. 2020) exchange edges
        while training; ``granet`` (Liu et al. 2021) does so while it shrinks from twice the final density.
        ``none`` leaves the weights alone and needs ``density=1``.
    l1 : float
        Strength of the proximal L1 step in units of the learning rate: 0.1 is gentle. Weights that become exactly zero
        leave the topology, so the density may end lower than asked.
    l2 : float
        ``l2 / 2 * sum(w^2)`` is added to the loss.
    contractive : float
        ``contractive * |J|_F^2 / n_features`` is added to the loss, J the Jacobian of the encoder (Rifai et al. 2011).
    target_rate : float, optional
        Activation rate of the code, in (0, 1): Ng's KL penalty for sigmoid codes, the share of units in use for
        softmax codes.
    k : int, optional
        Non-zeros per code, for ``topk``, ``batchtopk`` and ``jumprelu``.
    schedule : {"joint", "stagewise"}
        All at once, or encoder layer by layer, decoder, shrinking, activations.
    init : DeepSparseAutoencoder, Runtime, str, Path or sequence, optional
        Weights to start from: a fitted model, a model folder, or one ``(weight [out, in], bias [out])`` per layer from
        the input to the output.
    max_iter : int or "auto"
        Epochs; see `dsae.config.automatic_epochs`.
    batch_size : int
        Rows per step.
    learning_rate_init : float
        Of Adam for a full layer; in a sparse one an edge's rate is that over the live share of its unit's inputs. It
        rises over the first twentieth of the steps and falls to zero along a cosine.
    early_stopping : bool
        Hold out ``validation_fraction`` of the rows, keep the weights that do best there, and stop after
        ``n_iter_no_change`` epochs without a relative improvement of ``tol``. Counted once the density is reached.
    validation_fraction, n_iter_no_change, tol
        See ``early_stopping``.
    scale : bool
        Whether features are brought to unit variance inside the model. They are always centred, and all measured in
        the power of 100 nearest to their common spread; losses in ``history_`` are in these units.
    random_state : int, RandomState or None
        Makes a run repeat bit for bit at a fixed number of threads.
    verbose : int
        1 shows a progress line on a terminal.
    warm_start : bool
        Whether `fit` goes on from the last fit.

    Attributes
    ----------
    runtime_ : Runtime
        The trained model.
    density_, nnz_ : float, int
        Share and number of the live weights.
    n_iter_ : int
        Epochs done.
    history_ : list of dict
        One row per epoch: loss, density, learning rate, seconds.
    feature_importances_ : ndarray of shape (n_features_in_,)
        How strongly the reconstruction answers to each input, gathered while training; not negative, sum 1. See
        `dsae.interpret.feature_importances`.
    n_features_in_ : int
    fit_time_ : float
        Seconds.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = load_digits().data / 16
    >>> dsa = DeepSparseAutoencoder(n_components=8, hidden_layer_sizes=(64,), density=0.1, random_state=0).fit(X)
    >>> dsa.transform(X).shape, round(dsa.density_, 3)
    ((1797, 8), 0.1)
    """

    feature_names_in_: np.ndarray

    def __init__(
        self,
        n_components: int = 32,
        *,
        hidden_layer_sizes: Sequence[int] | str = "auto",
        decoder_layer_sizes: Sequence[int] | None = None,
        activation: str = "relu",
        code_activation: str = "identity",
        output_activation: str = "identity",
        loss: str = "mse",
        density: float | Mapping[str, float] = 0.05,
        shrink: str = "tempered",
        l1: float = 0.0,
        l2: float = 0.0,
        contractive: float = 0.0,
        target_rate: float | None = None,
        k: int | None = None,
        schedule: str = "joint",
        init: Any = None,
        max_iter: int | str = "auto",
        batch_size: int = 256,
        learning_rate_init: float = 3e-3,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        scale: bool = False,
        random_state: Any = None,
        verbose: int = 0,
        warm_start: bool = False,
    ) -> None:
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.decoder_layer_sizes = decoder_layer_sizes
        self.activation = activation
        self.code_activation = code_activation
        self.output_activation = output_activation
        self.loss = loss
        self.density = density
        self.shrink = shrink
        self.l1 = l1
        self.l2 = l2
        self.contractive = contractive
        self.target_rate = target_rate
        self.k = k
        self.schedule = schedule
        self.init = init
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.scale = scale
        self.random_state = random_state
        self.verbose = verbose
        self.warm_start = warm_start

    def fit(self, X: Any, y: Any = None) -> DeepSparseAutoencoder:
        """Train on rows.

        Parameters
        ----------
        X : array-like, DataFrame or scipy sparse, shape (n_samples, n_features)
            A sparse matrix is densified one mini-batch at a time.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or ``X`` is not what it should be.
        FloatingPointError
            If the loss is no longer a number.
        """
        begun = time.perf_counter()
        fit_rows = _trainer()
        rows = check_rows("fit", X)
        model_config, train_config = self._configs(rows)
        start = self._start_from(model_config)
        earlier = self.history_ if self.warm_start and hasattr(self, "runtime_") else []
        model, history = fit_rows(rows, model_config, train_config, start, self._seed(), self.verbose)
        _check_feature_names(self, X, reset=True)
        self.n_features_in_ = rows.shape[1]
        model = replace(
            model,
            training={name: getattr(train_config, name) for name in _TRAIN_FIELDS},
            feature_names=[str(name) for name in getattr(self, "feature_names_in_", [])] or None,
            history=_appended(earlier, history),
        )
        self._adopt(model)
        self.fit_time_ = time.perf_counter() - begun
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Codes ``[n_samples, n_components]`` of rows ``X [n_samples, n_features]``."""
        self._check_columns(X)
        return self.runtime_.encode(X)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Rows ``[n_samples, n_features]`` from codes ``X [n_samples, n_components]``."""
        check_is_fitted(self)
        return self.runtime_.decode(X)

    def score(self, X: Any, y: Any = None) -> float:
        """``1 - FVU``: the share of the variance of ``X`` that its reconstruction explains; 1 is perfect."""
        self._check_columns(X)
        rows = check_rows("score", X, self.n_features_in_)
        return 1.0 - evaluate(self.runtime_.reconstruct, rows)["fvu"]

    def _check_columns(self, X: Any) -> None:
        check_is_fitted(self)
        _check_feature_names(self, X, reset=False)
        shape = getattr(X, "shape", ())
        if len(shape) == 2 and shape[1] not in (0, self.n_features_in_):
            raise ValueError(
                f"X has {shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} features as "
                "input."
            )

    def save(self, folder: str | Path) -> Path:
        """Write a model folder; see docs/format.md."""
        check_is_fitted(self)
        return self.runtime_.save(folder)

    @classmethod
    def load(cls, folder: str | Path) -> DeepSparseAutoencoder:
        """The fitted estimator of a model folder, for use or for more training."""
        model = store.read(folder)
        given = {name: getattr(model.config, name) for name in _MODEL_FIELDS}
        given |= {name: value for name, value in model.training.items() if name in _TRAIN_FIELDS}
        estimator = cls(**given)
        if model.feature_names is not None:
            estimator.feature_names_in_ = np.asarray(model.feature_names, dtype=object)
        estimator.n_features_in_ = model.config.n_features
        estimator._adopt(model)
        return estimator

    @property
    def feature_importances_(self) -> np.ndarray:
        """Importance of each input feature, summing to one."""
        check_is_fitted(self)
        return feature_importances(self.runtime_.model)

    @property
    def _n_features_out(self) -> int:
        return self.runtime_.config.n_components

    def _adopt(self, model: store.Model) -> None:
        self.runtime_ = Runtime(model)
        self.density_, self.nnz_ = model.density, model.nnz
        self.history_, self.n_iter_ = model.history, len(model.history)

    def _configs(self, rows: Rows) -> tuple[AutoencoderConfig, TrainConfig]:
        model = AutoencoderConfig(n_features=rows.shape[1], **self._settings(_MODEL_FIELDS, rows.shape))
        train = TrainConfig(**self._settings(_TRAIN_FIELDS, rows.shape))
        densities = model.density.values() if isinstance(model.density, Mapping) else (model.density,)
        if train.shrink == "none" and any(density != 1 for density in densities):
            raise ValueError(f"shrink='none' keeps every weight and needs density=1.0; got density={self.density!r}.")
        if train.loss == "bce":
            if model.output_activation != "sigmoid":
                raise ValueError(f"loss='bce' needs output_activation='sigmoid'; got {model.output_activation!r}.")
            low, high = rows.min(), rows.max()
            if low < 0 or high > 1:
                raise ValueError(f"[fit] loss='bce' needs X in [0, 1]; got values from {low:g} to {high:g}. Rescale X.")
        if train.target_rate is not None and model.code_activation not in ("sigmoid", "softmax"):
            raise ValueError(
                f"target_rate is for sigmoid and softmax codes; got code_activation={model.code_activation!r}."
            )
        return model, train

    def _settings(self, names: tuple[str, ...], shape: tuple[int, int]) -> dict[str, Any]:
        given = {name: getattr(self, name) for name in names}
        if isinstance(given.get("hidden_layer_sizes"), str):
            one_of("hidden_layer_sizes", self.hidden_layer_sizes, ("auto",))
            given["hidden_layer_sizes"] = automatic_widths(shape, self.n_components, self.code_activation)
        if isinstance(given.get("max_iter"), str):
            one_of("max_iter", self.max_iter, ("auto",))
            given["max_iter"] = automatic_epochs(shape[0], self.batch_size)
        return given

    def _start_from(self, config: AutoencoderConfig) -> store.Model | None:
        if self.warm_start and hasattr(self, "runtime_"):
            return self.runtime_.model
        return None if self.init is None else replace(_as_model(self.init, config), importance=None)

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _trainer() -> Callable[..., tuple[store.Model, list[dict[str, Any]]]]:
    try:
        import_module("torch")
    except ImportError:
        raise ImportError('Training needs torch: pip install "dsae[train]". Trained models run without it.') from None
    from dsae.train import fit_rows

    return fit_rows


def _appended(earlier: list[dict[str, Any]], history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    seconds = earlier[-1]["seconds"] if earlier else 0.0
    later = [{**row, "epoch": row["epoch"] + len(earlier), "seconds": row["seconds"] + seconds} for row in history]
    return [*earlier, *later]


def _as_model(init: Any, config: AutoencoderConfig) -> store.Model:
    if isinstance(init, DeepSparseAutoencoder):
        check_is_fitted(init)
        return init.runtime_.model
    if isinstance(init, Runtime):
        return init.model
    if isinstance(init, (str, Path)):
        return store.read(init)
    from dsae.train import dense_layers

    return store.Model(config=config, layers=dense_layers(init, config))
