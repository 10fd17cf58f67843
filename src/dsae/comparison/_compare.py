"""The same task for the sparse autoencoder, its dense twin, its narrow twin and PCA."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from dsae import kernels, metrics, store
from dsae.comparison._baselines import DenseEncoder, LinearModel, narrow_widths
from dsae.data import check_rows
from dsae.estimators import DeepSparseAutoencoder
from dsae.report import write_report
from dsae.runtime import Runtime

SPARSE, DENSE, NARROW, LINEAR = "DSA", "dense twin", "narrow twin", "PCA"
_PLAIN = {"density": 1.0, "shrink": "none", "l1": 0.0, "init": None, "warm_start": False}
_ROWS_TIMED = 1024
_RATIOS = (
    "parameters",
    "squared_error_per_row",
    "multiply_adds",
    "bytes_on_disk",
    "bytes_in_memory",
    "encode_us_per_row",
    "encode_us_single_row",
    "fit_seconds",
)


@dataclass(frozen=True)
class Compared:
    """One model's row: what it costs and how well it reconstructs the test rows.

    Parameters
    ----------
    name : str
    widths : tuple of int
        From the input through the code to the output.
    density : float
    nnz, parameters : int
        Live weights, without and with biases.
    mse, squared_error_per_row, fvu, cosine : float
        See `dsae.metrics.Reconstruction`.
    bce : float, optional
        Cross entropy in nats per row, where that was the loss.
    mean_l0 : float
    dead_latents : int
        Among the test rows; see `dsae.metrics.CodeActivity`.
    multiply_adds : int
        To encode and decode a row.
    bytes_on_disk, bytes_in_memory : int
    encode_us_per_row, encode_us_single_row : float
        Microseconds, in a batch of up to 1024 and alone; a dense model by the faster of the kernels and BLAS.
    fit_seconds : float
    """

    name: str
    widths: tuple[int, ...]
    density: float
    nnz: int
    parameters: int
    mse: float
    squared_error_per_row: float
    fvu: float
    cosine: float
    bce: float | None
    mean_l0: float
    dead_latents: int
    multiply_adds: int
    bytes_on_disk: int
    bytes_in_memory: int
    encode_us_per_row: float
    encode_us_single_row: float
    fit_seconds: float


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Parameters
    ----------
    rows : list of Compared
        The DSA first.
    models : dict of str to object
        By name; each has ``encode``, ``decode`` and ``reconstruct``.
    X_test : ndarray or csr_matrix
        Rows the errors were measured on.
    notes : list of str
        What to know when reading the figures.
    """

    rows: list[Compared]
    models: dict[str, Any] = field(repr=False)
    X_test: Any = field(repr=False)
    notes: list[str] = field(default_factory=list, repr=False)

    def __getitem__(self, name: str) -> Compared:
        return next(row for row in self.rows if row.name == name)

    @property
    def ratios(self) -> dict[str, dict[str, float | None]]:
        """DSA over each other model: below 1 the DSA needs less; None where the other needs nothing."""
        own = self[SPARSE]
        return {
            other.name: {
                key: getattr(own, key) / getattr(other, key) if getattr(other, key) else None for key in _RATIOS
            }
            for other in self.rows
            if other is not own
        }

    def to_dict(self) -> dict[str, Any]:
        """Rows, ratios and notes as JSON can hold them; None where a number is not finite."""
        rows = [
            {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in asdict(row).items()}
            for row in self.rows
        ]
        return {"rows": rows, "ratios": self.ratios, "notes": self.notes}

    def to_json(self) -> str:
        """The same as text."""
        return json.dumps(self.to_dict(), indent=2)

    def to_table(self) -> Table:
        """The same for a terminal, a column per model."""
        table = Table("", *(row.name for row in self.rows), caption="\n".join(self.notes), caption_justify="left")
        for column in table.columns[1:]:
            column.justify = "right"
        for key in asdict(self.rows[0]):
            values = [getattr(row, key) for row in self.rows]
            if key != "name" and any(value is not None for value in values):
                table.add_row(key.replace("_", " "), *(_cell(value) for value in values))
        return table

    def to_html(self, path: str | Path, **options: Any) -> Path:
        """Write the DSA's report with this comparison in it; ``options`` as in `dsae.report.write_report`."""
        return write_report(path, self.models[SPARSE].model, self.X_test, comparison=self, **options)


def compare(X: Any, X_test: Any = None, *, test_size: float = 0.2, verbose: int = 1, **params: Any) -> Comparison:
    """Fit a DSA and its rivals on the same rows and measure them on the same held-out rows.

    The dense twin is the same network with all its weights and no L1; the narrow twin is dense and thinner,
    with as many parameters as the DSA (see `narrow_widths`); PCA is the linear code of the same width.
    Epochs, batch size, learning rate, seed and everything else in ``params`` are the same for all of them.

    Parameters
    ----------
    X : array-like, DataFrame or scipy sparse, shape (n_samples, n_features)
        To train on.
    X_test : the same, optional
        To measure on; by default a share of ``X`` is held out, by the seed.
    test_size : float
        That share, in (0, 1).
    verbose : int
        1 says on stderr what is being fitted.
    **params
        Of `DeepSparseAutoencoder`.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If the rows or a parameter are not what they should be.
    TypeError
        If a parameter is unknown.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> settings = dict(n_components=8, hidden_layer_sizes=(64,), density=0.1, random_state=0)
    >>> result = compare(load_digits().data / 16, verbose=0, **settings)
    >>> [row.name for row in result.rows]
    ['DSA', 'dense twin', 'narrow twin', 'PCA']
    """
    seed = int(check_random_state(params.get("random_state")).randint(np.iinfo(np.int32).max))
    params = {**params, "random_state": seed}
    DeepSparseAutoencoder(**params)
    rows: Any = check_rows("compare", X)
    if X_test is None:
        X, X_test = train_test_split(X, test_size=test_size, random_state=seed)
        rows = check_rows("compare", X)
    test: Any = check_rows("compare", X_test, rows.shape[1], "as many as X")
    say = Console(stderr=True, quiet=not verbose).print
    fitted = _fit_all(X, rows, params, say)
    entropy = params.get("loss") == "bce"
    compared = [_measure(name, model, seconds, test, entropy) for name, (model, seconds) in fitted.items()]
    models = {name: model for name, (model, _) in fitted.items()}
    return Comparison(compared, models, test, _notes(models, params, rows, test))


def _fit_all(X: Any, rows: Any, params: dict[str, Any], say: Callable) -> dict[str, tuple[Any, float]]:
    DeepSparseAutoencoder(1, max_iter=1).fit(np.eye(4))  # torch's import and first call are nobody's training time
    fitted: dict[str, tuple[Any, float]] = {SPARSE: _fit(X, params, SPARSE, say)}
    runtime = fitted[SPARSE][0]
    plain = {**params, **_PLAIN}
    fitted[DENSE] = _fit(X, plain, DENSE, say)
    hidden, code, decoder = narrow_widths(runtime.config, metrics.parameters(runtime.layers))
    narrow = {"hidden_layer_sizes": hidden, "n_components": code, "decoder_layer_sizes": decoder}
    if params.get("k") is not None:
        narrow["k"] = min(params["k"], code)
    fitted[NARROW] = _fit(X, {**plain, **narrow}, NARROW, say)
    say(f"fitting {LINEAR}")
    begun = time.perf_counter()
    linear = LinearModel.fit(
        rows, runtime.config.n_components, scale=params.get("scale", False), seed=params["random_state"]
    )
    fitted[LINEAR] = linear, time.perf_counter() - begun
    return fitted


def _fit(X: Any, params: dict[str, Any], name: str, say: Callable) -> tuple[Runtime, float]:
    say(f"fitting {name}")
    estimator = DeepSparseAutoencoder(**params).fit(X)
    return estimator.runtime_, estimator.fit_time_


def _measure(name: str, model: Any, seconds: float, test: Any, entropy: bool) -> Compared:
    clipped = entropy and isinstance(model, LinearModel)
    reconstruct = (lambda rows: np.clip(model.reconstruct(rows), 0, 1)) if clipped else model.reconstruct
    errors = metrics.evaluate(model.reconstruct, test)
    if entropy:
        errors["bce"] = metrics.evaluate(reconstruct, test, cross_entropy=True)["bce"]
    encode = _fastest(model, test)
    batch, row = test[:_ROWS_TIMED], test[:1]
    return Compared(
        name=name,
        **_size(model),
        **{key: errors.get(key) for key in ("mse", "squared_error_per_row", "fvu", "cosine", "bce")},  # pyright: ignore
        **_activity(model, test),
        encode_us_per_row=1e6 * metrics.seconds_per_call(lambda: encode[0](batch)) / batch.shape[0],
        encode_us_single_row=1e6 * metrics.seconds_per_call(lambda: encode[1](row), repeats=101),
        fit_seconds=seconds,
    )


def _fastest(model: Any, test: Any) -> tuple[Callable, Callable]:
    """Encoders for batches and for single rows: a dense model may choose between the kernels and BLAS."""
    if isinstance(model, LinearModel) or not all(layer.topology.is_full for layer in model.layers.values()):
        return model.encode, model.encode
    dense = DenseEncoder(model).encode

    def faster(rows: Any, repeats: int) -> Callable:
        return min((model.encode, dense), key=lambda f: metrics.seconds_per_call(lambda: f(rows), repeats=repeats))

    return faster(test[:_ROWS_TIMED], 5), faster(test[:1], 51)


def _size(model: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(model, LinearModel):
            path = model.save(Path(folder) / "pca.npz")
            width, n_features = model.components.shape
            return {
                "widths": (n_features, width, n_features),
                "density": 1.0,
                "nnz": model.components.size,
                "parameters": model.components.size + n_features,
                "multiply_adds": 2 * model.components.size,
                "bytes_on_disk": metrics.bytes_on_disk(path),
                "bytes_in_memory": model.bytes_in_memory,
            }
        config, layers = model.config, model.layers
        return {
            "widths": (*config.encoder_widths, *config.decoder_widths[1:]),
            "density": model.model.density,
            "nnz": metrics.nnz(layers),
            "parameters": metrics.parameters(layers),
            "multiply_adds": metrics.multiply_adds(layers),
            "bytes_on_disk": metrics.bytes_on_disk(store.write(Path(folder) / "model", model.model)),
            "bytes_in_memory": metrics.bytes_in_memory(layers),
        }


def _activity(model: Any, test: Any) -> dict[str, Any]:
    linear = isinstance(model, LinearModel)
    activation, width = ("identity", 1) if linear else (model.config.code_activation, model.config.n_components)
    activity = metrics.CodeActivity(metrics.firing_threshold(activation, width))
    for start in range(0, test.shape[0], _ROWS_TIMED):
        activity.update(model.encode(test[start : start + _ROWS_TIMED]))
    result = activity.result()
    return {"mean_l0": result["mean_l0"], "dead_latents": int(result["dead_latents"])}


def _notes(models: dict[str, Any], params: dict[str, Any], rows: Any, test: Any) -> list[str]:
    versions = ", ".join(f"{name} {version(name)}" for name in ("dsae", "torch", "numpy", "scikit-learn"))
    notes = [
        f"Trained on {rows.shape[0]:,} rows, measured on {test.shape[0]:,} others. {versions}; kernels for "
        f"{kernels.isa()}, {kernels.threads()} threads.",
        "Encoding time counts the check of the input; dense models use the faster of the kernels and BLAS.",
    ]
    if models[NARROW].config.n_components != models[SPARSE].config.n_components:
        notes.append("There is no hidden layer to make thinner, so the narrow twin has a narrower code.")
    if params.get("init") is not None or params.get("warm_start"):
        notes.append("The DSA starts from the weights given as init, its twins from random weights.")
    if models[LINEAR].components.shape[0] < models[SPARSE].config.n_components:
        notes.append("PCA cannot have more components than rows or features, so its code is narrower.")
    return notes


def _cell(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
