"""Comparison of a sparse autoencoder with its dense twin, its narrow twin and PCA on one task."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from dsae import kernels, metrics
from dsae.comparison._baselines import DenseEncoder, LinearModel, narrow_widths
from dsae.config import loss_of, plain
from dsae.data import ArraySource, check_rows, check_source, gives_parts, ids_of, in_memory
from dsae.estimators import DeepSparseAutoencoder
from dsae.metrics import METRICS
from dsae.report import write_report
from dsae.runtime import Runtime

SPARSE, DENSE, NARROW, LINEAR = "DSA", "dense twin", "narrow twin", "PCA"
# What makes a dense twin: all weights, no L1, and no start from sparse ones.
_PLAIN = {"density": 1.0, "block_size": 1, "shrink": "none", "l1": 0.0, "init": None, "warm_start": False}
_ROWS_TIMED = 1024  # as `metrics.evaluate` takes them


@dataclass(frozen=True)
class Compared:
    """One model's figures: its size and cost, and how well it reconstructs the test rows.

    Every figure is also an attribute: ``row.fvu`` is ``row.values["fvu"]``.

    Parameters
    ----------
    name : str
    widths : tuple of int
        From the input through the code to the output.
    values : dict of str to float or None
        By name of the metric, see `dsae.metrics.METRICS`: ``density``, ``nnz`` and ``parameters`` (weights without
        and with biases), the errors of `dsae.metrics.Reconstruction`, ``mean_l0`` and ``dead_latents`` (see
        `dsae.metrics.CodeActivity`), ``multiply_adds`` per row encoded and decoded, ``bytes_on_disk``,
        ``bytes_in_memory``, ``encode_us_per_row`` and ``encode_us_single_row`` (microseconds, in a batch of up to
        1024 and alone; a dense model by the faster of the kernels and BLAS), ``fit_seconds``.
    """

    name: str
    widths: tuple[int, ...]
    values: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        # Called only for names that are no field; a copy being unpickled has no fields yet.
        values = vars(self).get("values", {})
        if name not in values:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return values[name]

    def to_dict(self) -> dict[str, Any]:
        """Name, widths and figures in one flat dict."""
        return {"name": self.name, "widths": self.widths, **self.values}


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`.

    Parameters
    ----------
    rows : list of Compared
        The DSA first.
    models : dict of str to object
        By name; each has ``encode``, ``decode`` and ``reconstruct``.
    X_test : ndarray or csr_matrix
        Rows on which the errors were measured.
    notes : list of str
        Notes on how to read the figures.
    labels : ndarray, shape (n_test,), optional
        Of the test rows, where labels came with them; the report shows the DSA's error of each.
    ids : ndarray, shape (n_test,), optional
        What the test rows are called, as the report calls them: their names, or the numbers in ``X`` of those that
        were held out of it.
    """

    rows: list[Compared]
    models: dict[str, Any] = field(repr=False)
    X_test: Any = field(repr=False)
    notes: list[str] = field(default_factory=list, repr=False)
    labels: Any = field(default=None, repr=False)
    ids: Any = field(default=None, repr=False)

    def __getitem__(self, name: str) -> Compared:
        return next(row for row in self.rows if row.name == name)

    @property
    def ratios(self) -> dict[str, dict[str, float | None]]:
        """DSA over each other model: below 1 the DSA needs less; None if the other value is 0."""
        own = self[SPARSE]
        return {
            other.name: {
                name: own.values[name] / other.values[name] if other.values[name] else None
                for name, metric in METRICS.items()
                if metric.ratio
            }
            for other in self.rows
            if other is not own
        }

    def to_dict(self) -> dict[str, Any]:
        """Rows, ratios and notes for JSON; numbers that are not finite become None."""
        rows = [row.to_dict() for row in self.rows]
        return plain({"rows": rows, "ratios": self.ratios, "notes": self.notes})

    def to_json(self) -> str:
        """`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    def to_table(self) -> Table:
        """A table for the terminal with one column per model."""
        table = Table("", *(row.name for row in self.rows), caption="\n".join(self.notes), caption_justify="left")
        for column in table.columns[1:]:
            column.justify = "right"
        rows = [row.to_dict() for row in self.rows]
        for key in list(rows[0])[1:]:
            if any(row[key] is not None for row in rows):
                table.add_row(key.replace("_", " "), *(_cell(row[key]) for row in rows))
        return table

    def to_html(self, path: str | Path, **options: Any) -> Path:
        """Write the DSA's report with this comparison in it; ``options`` as in `dsae.report.write_report`."""
        options = {"labels": self.labels} | options
        rows = self.X_test if self.ids is None else ArraySource(self.X_test, ids=self.ids)
        return write_report(path, self.models[SPARSE].model, rows, comparison=self, **options)


def compare(X: Any, X_test: Any = None, *, test_size: float = 0.2, verbose: int = 1, **params: Any) -> Comparison:
    """Fit a DSA and its baselines on the same rows and measure them on the same held-out rows.

    The dense twin is the same network with all its weights and no L1; the narrow twin is dense and thinner,
    with as many parameters as the DSA (see `narrow_widths`); PCA is the linear code of the same width.
    Epochs, batch size, learning rate, seed and everything else in ``params`` are the same for all of them.

    Parameters
    ----------
    X : array-like, DataFrame, scipy sparse or an object of another library, shape (n_samples, n_features)
        Training rows; see `dsae.data.source_of`.
    X_test : the same, optional
        Test rows; by default a share of ``X``, drawn by the seed, is held out.
    test_size : float
        That share, in (0, 1).
    verbose : int
        1 reports on stderr which model is being fitted, and how far it is.
    **params
        Parameters of `DeepSparseAutoencoder`.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If the rows or a parameter are invalid.
    TypeError
        If a parameter is unknown.
    KeyboardInterrupt
        If a training was interrupted.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> settings = dict(n_components=8, hidden_layer_sizes=(64,), density=0.1, max_iter=2, random_state=0)
    >>> result = compare(load_digits().data[:500] / 16, verbose=0, **settings)
    >>> [row.name for row in result.rows]
    ['DSA', 'dense twin', 'narrow twin', 'PCA']
    """
    seed = int(check_random_state(params.get("random_state")).randint(np.iinfo(np.int32).max))
    params = {**DeepSparseAutoencoder(**params).get_params(), "random_state": seed, "verbose": verbose}
    missing = params["missing"]
    if isinstance(X, Mapping) or gives_parts(X):
        raise TypeError(
            "[compare] X must be rows of one table; got several modalities. Use dsae.comparison.compare_joint(X, "
            "X_test)."
        )
    source = in_memory("compare", X, training=True, missing=missing)
    rows, names = source.rows, source.column_names
    if X_test is None:
        chosen = train_test_split(np.arange(len(source)), test_size=test_size, random_state=seed)
        rows, tested = (source.rows[np.asarray(some)] for some in chosen)
        ids = ids_of(X, source)
        ids = np.asarray(chosen[1]) if ids is None else ids[chosen[1]]
    else:
        given = in_memory("compare", X_test, missing=missing)
        check_rows("compare", given.X, source.n_features, "as many as X", finite=False)
        check_source("compare", given, source.n_features, names)
        tested, ids = given.rows, ids_of(X_test, given)
    test = tested.rows
    say = Console(stderr=True, quiet=not verbose).print
    fitted = _fit_all(ArraySource(rows.rows, names), params, say)
    compared = [_measure(name, model, seconds, test, params["loss"]) for name, (model, seconds) in fitted.items()]
    models = {name: model for name, (model, _) in fitted.items()}
    return Comparison(compared, models, test, _notes(models, params, rows.rows, test), tested.labels, ids)


def _fit_all(X: ArraySource, params: dict[str, Any], say: Callable) -> dict[str, tuple[Any, float]]:
    DeepSparseAutoencoder(1, max_iter=1).fit(np.eye(4))  # keeps torch's import and first call out of the training times
    fitted: dict[str, tuple[Any, float]] = {SPARSE: _fit(X, params, SPARSE, say)}
    runtime = fitted[SPARSE][0]
    # by themselves, twins that take longer would get fewer epochs
    plain = {**params, **_PLAIN, "max_iter": runtime.model.training["max_iter"]}
    fitted[DENSE] = _fit(X, plain, DENSE, say)
    hidden, code, decoder = narrow_widths(runtime.config, metrics.parameters(runtime.layers))
    narrow = {"hidden_layer_sizes": hidden, "n_components": code, "decoder_layer_sizes": decoder}
    if params["k"] is not None:
        narrow["k"] = min(params["k"], code)
    fitted[NARROW] = _fit(X, {**plain, **narrow}, NARROW, say)
    say(f"fitting {LINEAR}")
    begun = time.perf_counter()
    linear = LinearModel.fit(X.X, runtime.config.n_components, scale=params["scale"], seed=params["random_state"])
    fitted[LINEAR] = linear, time.perf_counter() - begun
    return fitted


def _fit(X: Any, params: dict[str, Any], name: str, say: Callable) -> tuple[Runtime, float]:
    say(f"fitting {name}")
    estimator = DeepSparseAutoencoder(**params).fit(X)
    if estimator.interrupted_:
        raise KeyboardInterrupt  # a comparison with an unfinished model would mislead
    return estimator.runtime_, estimator.fit_time_


def _measure(name: str, model: Any, seconds: float, test: Any, loss: str) -> Compared:
    encode = _fastest(model, test)
    batch, row = test[:_ROWS_TIMED], test[:1]
    with tempfile.TemporaryDirectory() as folder:
        bytes_on_disk = metrics.bytes_on_disk(model.save(Path(folder) / "model"))
    found = metrics.evaluate(model, test) | {
        "bytes_on_disk": bytes_on_disk,
        "encode_us_per_row": 1e6 * metrics.seconds_per_call(lambda: encode[0](batch)) / batch.shape[0],
        "encode_us_single_row": 1e6 * metrics.seconds_per_call(lambda: encode[1](row), repeats=101),
        "fit_seconds": seconds,
    }
    own = loss_of(loss)
    lacking = [name for name in dict.fromkeys((own.metric, own.score_metric)) if name not in found]
    if lacking:  # PCA's reconstructions may leave the bounds

        def clipped(rows: Any) -> np.ndarray:
            return np.clip(model.reconstruct(rows), own.low, own.high)

        found |= metrics.evaluate(clipped, test, metrics=lacking)
    widths = (*model.config.encoder_widths, *model.config.decoder_widths[1:])
    return Compared(name, widths, {key: found.get(key) for key, metric in METRICS.items() if metric.compared})


def _fastest(model: Any, test: Any) -> tuple[Callable, Callable]:
    """Encoders for batches and for single rows: a dense model may choose between the kernels and BLAS."""
    if isinstance(model, LinearModel) or not all(layer.topology.is_full for layer in model.layers.values()):
        return model.encode, model.encode
    dense = DenseEncoder(model).encode

    def faster(rows: Any, repeats: int) -> Callable:
        return min((model.encode, dense), key=lambda f: metrics.seconds_per_call(lambda: f(rows), repeats=repeats))

    return faster(test[:_ROWS_TIMED], 5), faster(test[:1], 51)


def _notes(models: dict[str, Any], params: dict[str, Any], rows: Any, test: Any) -> list[str]:
    versions = ", ".join(f"{name} {version(name)}" for name in ("dsae", "torch", "numpy", "scikit-learn"))
    notes = [
        f"Trained on {rows.shape[0]:,} rows, measured on {test.shape[0]:,} others. {versions}; kernels for "
        f"{kernels.isa()}, {kernels.threads()} threads.",
        "Encoding time includes the input check; dense models use the faster of the kernels and BLAS.",
    ]
    if models[NARROW].config.n_components != models[SPARSE].config.n_components:
        notes.append("There is no hidden layer to narrow, so the narrow twin has a narrower code.")
    if params["init"] is not None or params["warm_start"]:
        notes.append("The DSA starts from the weights given as init, its twins from random weights.")
    if models[SPARSE].config.block_size > 1:
        notes.append(
            f"The DSA is structured: {models[SPARSE].config.block_size} neighbouring outputs share their active inputs."
        )
    if models[LINEAR].components.shape[0] < models[SPARSE].config.n_components:
        notes.append("PCA cannot have more components than rows or features, so its code is narrower.")
    return notes


def _cell(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
