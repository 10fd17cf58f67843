"""The scikit-learn estimator, a thin adapter over `dsae.train` and `dsae.runtime`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from dsae import store
from dsae.estimators._kept import GIVEN, given_back
from dsae.estimators._parameters import MODEL_FIELDS, TRAIN_FIELDS
from dsae.estimators._samples import SamplingMixin
from dsae.estimators._trainable import TrainableAutoencoder


class DeepSparseAutoencoder(SamplingMixin, TrainableAutoencoder):
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
    init_topology : {"random", "neighbours", "principal"}
        Where edges start. With ``neighbours`` each unit of the first and of the last hidden layer stands for a feature,
        the most frequent first, and reads and writes those that occur with it: for rows that are mostly zeros, such as
        ratings (`dsae.topology.neighbour_edges`). With ``principal`` a linear code starts as the largest weights along
        the principal directions of the rows, turned so that few weights hold them (`dsae.linear.principal_layers`),
        values among them: what LSA or PCA find is learned already. It needs ``hidden_layer_sizes=()``, which "auto"
        then means. Methods that change the topology continue from there.
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
        iterators of batches.
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
    distributed : bool
        Whether `fit` is one of several processes that train together, as torchrun starts them. ``batch_size`` rows are
        divided among them, and each ends with the same model; docs/user/machines.md.

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
        fired in no row of the epoch (both of its last whole batch where the code is no dictionary); ``threshold``, the
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
        distributed: bool = False,
    ) -> None:
        self._assign(locals())

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The fitted estimator of a model folder, for use or for more training.

        Parameters are as they were given, sequences as tuples; ``init``, ``checkpoint`` and a random generator are not
        kept.

        Raises
        ------
        ValueError
            If the folder holds no model, that of a recommender, or parameters that there are not.
        OSError
            If it cannot be read.
        """
        model = store.read(store.fetched(folder, learning=True), learning=True)
        if "recommender" in model.training:  # where DSARecommender.save keeps its parameters
            raise ValueError(
                f"[load] {folder} must hold an autoencoder; it holds a recommender. Read it with DSARecommender.load, "
                "or with dsae.load."
            )
        estimator = cls(**_parameters_of(folder, model))
        estimator._adopt(model)
        return estimator


def _parameters_of(folder: str | Path, model: store.Model) -> dict[str, Any]:
    """The parameters of an estimator in a model folder; of a model that no estimator has saved, those of its layers."""
    if GIVEN in model.training:
        try:
            return given_back(DeepSparseAutoencoder, model.training[GIVEN])
        except ValueError as error:
            raise ValueError(f"[load] {folder}: {error}") from None
    given = {name: getattr(model.config, name) for name in MODEL_FIELDS}
    given |= {name: value for name, value in model.training.items() if name in TRAIN_FIELDS}
    given["matryoshka"] = given.get("matryoshka") or None  # no widths are an empty list in a file
    return given
