"""The estimator of several modalities."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dsae import store
from dsae.config import true_or_false
from dsae.data import called
from dsae.estimators._base import refuse_unknown
from dsae.estimators._callbacks import CallbackSupportMixin, FitEvents, Hooks, with_callbacks
from dsae.estimators._distributed import among_ranks, refuse_distributed
from dsae.estimators._joint_model import (
    continued,
    described_architecture,
    describing,
    joint_attributes,
    settings_of,
)
from dsae.estimators._modalities import Modalities, configure_joint
from dsae.estimators._multimodal_fitted import FittedMultimodal
from dsae.estimators._resumable import Resumable
from dsae.estimators._training import trainer
from dsae.runtime import JointRuntime


class MultimodalAutoencoder(CallbackSupportMixin, Resumable, FittedMultimodal):
    """Sparse autoencoders of several modalities with one code: images, texts, sounds, tables, counts.

    Each modality has a sparse network of its own. The code of a row is ``f(sum_m w_m z_m / sum_m w_m)`` over what it
    has, ``z_m`` being the code of modality ``m`` before its activation and ``w_m`` a positive number for each modality
    and latent, which is learned. Every decoder reads that code, so whatever a row has is encoded, rebuilt, and
    translated into what it lacks. Rows that lack something are normal, in training, too (docs/design/joint.md).

    Rows are given by modality, ``{"image": images, "text": texts}``: arrays, data frames, scipy sparse matrices, which
    stay sparse, sources, MuData, AnnData with obsm, or lists of paths, bytes, arrays and texts where the modality has
    an encoder. A row lacks a modality if its key is absent, its entry is None, or all of it is NaN. Zero is a value.
    What is given of a modality with an encoder goes through it, a matrix, too; rows that are encoded already come as
    ``(rows, None)``, or as ``(rows, present)`` with a bool for each, from a fitted encoder, or from `open_rows`.

    Parameters
    ----------
    modalities : dict of str to encoder or None, optional
        What makes rows of each modality, such as ``{"image": ImageRows((28, 28)), "table": None}`` with the
        transformers of `dsae.features`; None for rows of numbers. By default those of the first rows, all of numbers.
    n_components : int
        Width of the code.
    hidden_layer_sizes : sequence of int, "auto", or dict of them by modality
        Widths of the encoders' hidden layers; "auto" is one layer as wide as the rows, at most 512.
    decoder_layer_sizes : sequence of int, optional, or dict by modality
        By default the encoder's, mirrored.
    activation : str or dict by modality
    code_activation : {"identity", "relu", "sigmoid", "softmax", "topk"}
        Of the joint code.
    output_activation : str or dict by modality
        ``auto`` is the one that belongs to the loss.
    loss : str or dict by modality
        As in `DeepSparseAutoencoder`: ``mse``, ``bce``, or a likelihood of counts.
    density : float or dict by modality
        Share of the weights that are active when training ends.
    block_size, shrink, l1, l2, target_rate, k
        As in `DeepSparseAutoencoder`.
    modality_dropout : float
        Share of the rows, in [0, 1], of which a training step encodes a random part of what they have. The loss is over
        all that they have, so the model learns to infer the others from one.
    weights : dict of str to float, optional
        How much each modality's loss counts; 1 by default. A loss is divided by its size where rows are predicted by
        their mean, and each modality is centred and scaled to unit root mean square, so none outweighs the others by
        its width or unit.
    max_iter : int or "auto"
    batch_size : int
    learning_rate_init : float or "auto"
    early_stopping : bool
    validation_fraction : float
    n_iter_no_change : int
    tol : float
        As in `DeepSparseAutoencoder`.
    scale : bool
        Whether every feature is scaled to unit variance, rather than all of a modality by one number.
    noise, mask : float, or dict of them by modality
        As in `DeepSparseAutoencoder`; noise is in units of each modality's spread. Of a modality that a dict leaves
        out, nothing is hidden and nothing added; noise is not for sparse rows.
    mask_rescale, emphasis, precision, device
        As in `DeepSparseAutoencoder`.
    random_state : int, RandomState or None
    verbose : int
    warm_start : bool
    checkpoint : str, Path or dsae.train.Checkpoints, optional
    checkpoint_every : float
    distributed : bool
        As in `DeepSparseAutoencoder`.

    Attributes
    ----------
    runtime_ : dsae.runtime.JointRuntime
        The trained model; ``runtime_.modalities`` has the model of each modality.
    modalities_ : tuple of str
    encoders_ : dict of str to encoder
        The fitted ones.
    density_, nnz_ : float, int
        Share and number of the active weights of all networks.
    n_iter_ : int
    history_ : list of dict
        One row per epoch: ``loss``, ``losses`` by modality (of a squared error the unexplained share of the variance),
        ``density``, ``learning_rate``, ``seconds``.
    fit_time_ : float
    interrupted_ : bool

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> images, labels = load_digits(return_X_y=True)
    >>> names = np.eye(10)[labels]
    >>> mm = MultimodalAutoencoder(n_components=16, density=0.2, max_iter=5, random_state=0)
    >>> mm = mm.fit({"image": images, "name": names})
    >>> mm.transform({"image": images[:3]}).shape, mm.translate({"name": names[:2]}, to="image").shape
    ((3, 16), (2, 64))
    """

    runtime_: JointRuntime
    history_: list[dict[str, Any]]

    def __init__(
        self,
        modalities: Any = None,
        n_components: int = 64,
        *,
        hidden_layer_sizes: Any = "auto",
        decoder_layer_sizes: Any = None,
        activation: Any = "relu",
        code_activation: str = "identity",
        output_activation: Any = "auto",
        loss: Any = "mse",
        density: Any = 0.05,
        block_size: int = 1,
        shrink: str = "tempered",
        l1: float = 0.0,
        l2: float = 0.0,
        target_rate: float | None = None,
        k: int | None = None,
        modality_dropout: float = 0.9,
        weights: Mapping[str, float] | None = None,
        max_iter: int | str = "auto",
        batch_size: int = 256,
        learning_rate_init: float | str = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        scale: bool = False,
        noise: Any = 0.0,
        mask: Any = 0.0,
        mask_rescale: bool = True,
        emphasis: float = 1.0,
        precision: str = "auto",
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
        warm_start: bool = False,
        checkpoint: Any = None,
        checkpoint_every: float = 10.0,
        distributed: bool = False,
    ) -> None:
        self._assign(locals())

    @with_callbacks
    @among_ranks
    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        validation: Any = None,
        on_epoch: Callable[[dict[str, Any]], Any] | None = None,
        on_step: Callable[[dict[str, Any]], Any] | None = None,
        every: int = 100,
        **unknown: Any,
    ) -> MultimodalAutoencoder:
        """Train on rows of all modalities.

        Parameters
        ----------
        X : dict of str to rows, MuData, AnnData with obsm, or JointSource
            Every modality is in some rows, and every row has one.
        y : ignored
        validation : the same as ``X``, optional
            Rows for early stopping instead of a random share of ``X``; implies ``early_stopping``.
        on_epoch, on_step, every
            As in `DeepSparseAutoencoder.fit`.
        **unknown
            Refused.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is invalid, modalities differ in length, one is unknown or in fewer than 16 rows, a row has
            none, or holds NaN beside numbers.
        FloatingPointError
            If the loss is no longer a number.

        Warns
        -----
        UserWarning
            About two modalities that no row has both of.
        """
        refuse_unknown("fit", unknown)
        begun = time.perf_counter()
        train = trainer()
        true_or_false("warm_start", self.warm_start)
        goes_on = self.warm_start and hasattr(self, "runtime_")
        modalities = Modalities(self.modalities, self.runtime_ if goes_on else None)
        source = train.shared_source(modalities.training_rows("fit", X))
        config, settings = configure_joint(self.get_params(deep=False), source)
        earlier = self.history_ if goes_on else []
        start = self._start(config) if goes_on else None
        described = describing(settings, source, modalities.encoders, self.random_state, earlier)
        hooks = (on_epoch, on_step, every)
        events = FitEvents(self, X, settings.max_iter, lambda result: joint_attributes(described(result)), *hooks)
        held_out = None
        if validation is not None:
            with called("validation"):
                held_out = train.shared_source(modalities.rows_like("fit", validation, source))
        checkpoints = self._checkpoints(train)
        seed = self._seed_of_fit(train, checkpoints)
        result = train.fit_joint(
            source, config, settings, start, seed, self.verbose, checkpoints, self.device, held_out, events
        )
        self._take(described(result), result.interrupted, begun, 0.0 if checkpoints is None else checkpoints.seconds)
        self._end(events, checkpoints)
        return self

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        *,
        on_epoch: Callable[[dict[str, Any]], Any] | None = None,
        on_step: Callable[[dict[str, Any]], Any] | None = None,
        every: int = 100,
        **unknown: Any,
    ) -> MultimodalAutoencoder:
        """Learn from more rows, each seen once, continuing from the current model.

        As `DeepSparseAutoencoder.partial_fit`: the first call sets modalities, encoders, widths, means and scales, so
        give it representative rows of all modalities. Later rows may have any of them.

        Parameters
        ----------
        X : the same as for `fit`
        y : ignored
        on_epoch, on_step, every
            As in `DeepSparseAutoencoder.partial_fit`.
        **unknown
            Refused.

        Returns
        -------
        self
        """
        refuse_unknown("partial_fit", unknown)
        refuse_distributed(self)
        begun, fitted = time.perf_counter(), hasattr(self, "runtime_")
        train = trainer()
        modalities = Modalities(self.modalities)
        if fitted:
            start: store.JointModel | None = self.runtime_.model
            source = self.runtime_.source("partial_fit", X)
            config, settings = self.runtime_.config, settings_of(self.get_params(deep=False), self.runtime_.model)
        else:
            start, source = None, modalities.training_rows("partial_fit", X)
            config, settings = configure_joint(self.get_params(deep=False), source)
        how = (start, self._seed(), self.verbose, self.device, Hooks(on_epoch, on_step, every))
        result = train.learn_joint(source, config, settings, *how)
        if start is None:
            model = describing(settings, source, modalities.encoders, self.random_state)(result)
        else:
            model = continued(start, result.model)
        self._take(model, result.interrupted, begun, getattr(self, "fit_time_", 0.0))
        return self

    @classmethod
    def load(cls, folder: str | Path) -> MultimodalAutoencoder:
        """The fitted estimator of a joint model's folder, for use or for more training.

        Raises
        ------
        ValueError
            If the folder holds no joint model.
        OSError
            If it cannot be read.
        """
        return cls.of(store.read_joint(store.fetched(folder, learning=True), learning=True))

    @classmethod
    def of(cls, model: store.JointModel) -> MultimodalAutoencoder:
        """The fitted estimator of a joint model."""
        known = set(cls._get_param_names())
        given = {name: value for name, value in model.training.items() if name in known}
        estimator = cls(**given | described_architecture(model))
        estimator._adopt(model)
        estimator.set_params(modalities={name: estimator.encoders_.get(name) for name in model.config.names})
        return estimator

    def _adopt(self, model: store.JointModel, interrupted: bool = False) -> None:
        vars(self).update(joint_attributes(model), interrupted_=interrupted)

    def _start(self, config: Any) -> store.JointModel:
        """The model of the fit before, if it has the layers of ``config``."""
        model = self.runtime_.model
        if model.config.layer_shapes != config.layer_shapes:
            raise ValueError(
                f"[fit] warm_start needs the layers of the fit before, {model.config.layer_shapes}; got "
                f"{config.layer_shapes}. Give the same widths, or set warm_start=False."
            )
        return model
