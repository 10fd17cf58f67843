"""A model of several modalities beside its dense twin, single models and linear maps."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.utils import check_random_state

from dsae.comparison._baselines import LinearModel
from dsae.config import has_exposure, listed, plain, transformed
from dsae.data import JointSource
from dsae.estimators import DeepSparseAutoencoder, MultimodalAutoencoder
from dsae.metrics import classes_of, coherence, evaluate, fvu_table

SPARSE, DENSE, SINGLE, LINEAR = "DSA", "dense twin", "single models", "PCA + least squares"
_TWIN = {"density": 1.0, "shrink": "none", "l1": 0.0, "block_size": 1}
_ITS_OWN = ("warm_start", "checkpoint", "checkpoint_every")


class LinearJoint:
    """PCA of each modality, and the best linear map between all of their codes, with the interface of `JointRuntime`.

    The codes of what is not given are concluded from those of what is, by least squares on all pairs that rows have.

    Parameters
    ----------
    models : mapping of str to LinearModel
    spread : ndarray, shape (n_all, n_all)
        Covariances of the codes of all modalities, one after another.
    largest : mapping of str to float, optional
        Modalities of counts, which enter as their logarithms, and the largest of these in training.
    """

    def __init__(
        self, models: Mapping[str, LinearModel], spread: np.ndarray, largest: Mapping[str, float] | None = None
    ) -> None:
        self.models, self.spread, self.largest = dict(models), spread, dict(largest or {})
        ends = np.cumsum([model.config.n_components for model in models.values()])
        starts = ends - [model.config.n_components for model in models.values()]
        self._place = {
            name: np.arange(*span) for name, span in zip(models, zip(starts, ends, strict=True), strict=True)
        }

    @classmethod
    def fit(cls, source: JointSource, n_components: int, seed: int = 0, counts: Collection[str] = ()) -> LinearJoint:
        """From rows of which some may lack some modality; those of ``counts`` enter as logarithms."""
        models, largest, codes = {}, {}, []
        for name in source.parts:
            rows = source.of(name).X
            if name in counts:
                rows = transformed(rows, "log1p", 1.0)
                largest[name] = float(rows.max())
            models[name] = LinearModel.fit(rows, n_components, seed=seed)
            z = np.full((len(source), models[name].config.n_components), np.nan)
            z[source.has(name)] = models[name].encode(rows)
            codes.append(z)
        whole = np.concatenate(codes, axis=1)
        known = (~np.isnan(whole)).astype(np.float64)
        filled = np.nan_to_num(whole)
        return cls(models, filled.T @ filled / np.maximum(known.T @ known, 1), largest)

    @property
    def nnz(self) -> int:
        """Numbers in all components, and in the maps between codes."""
        return sum(model.components.size for model in self.models.values()) + self.spread.size

    def latents(self, parts: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Codes of each modality."""
        return {
            name: self.models[name].encode(transformed(rows, "log1p", 1.0) if name in self.largest else rows)
            for name, rows in parts.items()
        }

    def join(self, latents: Mapping[str, np.ndarray], has: Any = None) -> np.ndarray:
        """Codes of all modalities, concluded from those given."""
        given = np.concatenate([self._place[name] for name in latents])
        own = self.spread[np.ix_(given, given)]
        # codes of PCA are as good as uncorrelated: this is far from singular unless modalities repeat each other
        maps = np.linalg.pinv(own, 1e-6, hermitian=True) @ self.spread[given]
        return np.concatenate(list(latents.values()), axis=1) @ maps

    def decode(self, codes: np.ndarray, to: str, *, totals: Any = None) -> np.ndarray:
        """Rows of one modality."""
        rows = self.models[to].decode(codes[:, self._place[to]].astype(np.float32))
        return np.expm1(np.clip(rows, 0, self.largest[to])) if to in self.largest else rows


@dataclass
class JointComparison:
    """Models of several modalities on the same held-out rows.

    Attributes
    ----------
    errors : dict of str to dict
        By model what `dsae.metrics.fvu_table` gives; of single models only each from itself.
    sizes : dict of str to dict
        ``nnz``, ``density``, ``fit_seconds`` by model.
    coherence : dict of str to dict
        By model, where classes were given.
    models : dict of str to JointRuntime or LinearJoint
    notes : list of str
    """

    errors: dict[str, dict[str, dict[str, float]]]
    sizes: dict[str, dict[str, float]]
    coherence: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON can hold it."""
        tables = {"errors": self.errors, "sizes": self.sizes, "coherence": self.coherence, "notes": self.notes}
        return plain(tables)

    def to_json(self) -> str:
        """`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    def to_table(self) -> Table:
        """A table for the terminal: a line for what is given and made, a column for each model."""
        table = Table("", *self.sizes, caption="\n".join(self.notes), caption_justify="left")
        for column in table.columns[1:]:
            column.justify = "right"
        for key in ("fit_seconds", "nnz", "density"):
            table.add_row(key.replace("_", " "), *(_cell(sizes.get(key)) for sizes in self.sizes.values()))
        for title, tables in (("FVU", self.errors), ("right class", self.coherence)):
            first = tables.get(SPARSE, {})
            for given, row in first.items():
                for to in row:
                    cells = (tables.get(name, {}).get(given, {}).get(to) for name in self.sizes)
                    table.add_row(f"{title} {given} > {to}", *(_cell(value) for value in cells))
        return table


def compare_joint(
    X: Any,
    X_test: Any,
    y_test: Any = None,
    *,
    y: Any = None,
    judges: Mapping[str, Any] | None = None,
    verbose: int = 1,
    **params: Any,
) -> JointComparison:
    """Fit a model of several modalities and its baselines on the same rows, and measure them on the same others.

    The dense twin is the same model with all weights; single models are one `DeepSparseAutoencoder` for each modality,
    which rebuild what they are given; linear maps are PCA of each modality to as many components, and least squares
    between the codes.

    Parameters
    ----------
    X, X_test : as for `MultimodalAutoencoder.fit`
        Rows for training, and held-out ones.
    y_test : array-like, shape (n_test,), optional
        Classes of the held-out rows: coherence is then measured, too.
    y : array-like, shape (n_train,), optional
        Classes of the rows for training, by which judges are fitted.
    judges : dict of str to callable, optional
        As in `MultimodalAutoencoder.coherence`; by default classifiers fitted to the rows for training, or without
        ``y`` to the held-out ones.
    verbose : int
        1 reports on stderr which model is being fitted, and how far it is.
    **params
        Parameters of `MultimodalAutoencoder`.

    Returns
    -------
    JointComparison

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> images, labels = load_digits(return_X_y=True)
    >>> rows = {"left": images[:, :32], "right": images[:, 32:]}
    >>> test = {name: part[1400:] for name, part in rows.items()}
    >>> train = {name: part[1000:1400] for name, part in rows.items()}
    >>> result = compare_joint(train, test, n_components=8, density=0.3, max_iter=2, random_state=0, verbose=0)
    >>> list(result.errors)
    ['DSA', 'dense twin', 'single models', 'PCA + least squares']
    """
    if y_test is not None and judges is None:  # before hours of training
        seen = y_test if y is None else y
        classes_of("compare", seen, len(seen))
    seed = int(check_random_state(params.get("random_state")).randint(np.iinfo(np.int32).max))
    params = {**MultimodalAutoencoder(**params).get_params(deep=False), "random_state": seed, "verbose": verbose}
    say = Console(stderr=True, quiet=not verbose).print
    warm = {"a": np.eye(16, dtype=np.float32), "b": np.eye(16, dtype=np.float32)}
    MultimodalAutoencoder(n_components=2, max_iter=1).fit(warm)  # keeps torch's first call out of the training times
    fitted = {SPARSE: _fitted(X, params, SPARSE, say)}
    first = fitted[SPARSE]
    plan = {**params, **_TWIN, "max_iter": first.runtime_.model.training["max_iter"]}
    fitted[DENSE] = _fitted(X, plan, DENSE, say)
    runtimes: dict[str, Any] = {name: mm.runtime_ for name, mm in fitted.items()}
    sizes = {name: {"nnz": mm.nnz_, "density": mm.density_, "fit_seconds": mm.fit_time_} for name, mm in fitted.items()}
    source, test = (first.runtime_.source("compare", rows) for rows in (X, X_test))
    say(f"fitting {SINGLE}")
    singles, sizes[SINGLE] = _singles(source, test, first, plan["max_iter"], seed)
    say("measuring")
    errors = {name: fvu_table(runtime, test) for name, runtime in runtimes.items()} | {SINGLE: singles}
    notes = [f"Trained on {len(source):,} rows, measured on {len(test):,} others."]
    counts = [name for name, of in first.runtime_.modalities.items() if has_exposure(of.loss)]
    if counts:
        notes.append(f"To {LINEAR} counts ({listed(counts)}) are their logarithms; its errors are those of counts.")
    say(f"fitting {LINEAR}")
    begun = time.perf_counter()
    runtimes[LINEAR] = LinearJoint.fit(_in_memory(source), first.runtime_.config.n_components, seed, counts)
    seconds = time.perf_counter() - begun
    sizes[LINEAR] = {"nnz": runtimes[LINEAR].nnz, "density": 1.0, "fit_seconds": seconds}
    errors[LINEAR] = fvu_table(runtimes[LINEAR], test)
    judged = {}
    if y_test is not None:
        if judges is None:
            judges = first.judges(test, y_test) if y is None else first.judges(source, y)
        judged = {name: coherence(of, test, y_test, judges) for name, of in runtimes.items()}
    return JointComparison(errors, sizes, judged, runtimes, notes)


def _fitted(X: Any, params: dict[str, Any], name: str, say: Callable) -> MultimodalAutoencoder:
    say(f"fitting {name}")
    mm = MultimodalAutoencoder(**params).fit(X)
    if mm.interrupted_:
        raise KeyboardInterrupt  # a comparison with an unfinished model would mislead
    return mm


def _singles(
    source: JointSource, test: JointSource, mm: MultimodalAutoencoder, n_epochs: int, seed: int
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """A model of each modality alone, and its error on its own rows."""
    errors, nnz, seconds, size = {}, 0, 0.0, 0.0
    for name, of in mm.runtime_.modalities.items():
        config = of.config
        own = {key: getattr(config, key) for key in ("n_components", "hidden_layer_sizes", "decoder_layer_sizes")}
        own |= {key: getattr(config, key) for key in ("activation", "code_activation", "density", "k")}
        own |= {"output_activation": config.output_activation, "input_transform": config.input_transform}
        plan = {**_shared(mm), **own, "loss": of.loss, "max_iter": n_epochs, "random_state": seed}
        dsa = DeepSparseAutoencoder(**plan).fit(source.of(name))
        errors[name] = {name: evaluate(dsa.runtime_, test.of(name), metrics=["fvu"])["fvu"]}
        nnz, seconds, size = nnz + dsa.nnz_, seconds + dsa.fit_time_, size + dsa.nnz_ / dsa.density_
    return errors, {"nnz": nnz, "density": nnz / size, "fit_seconds": seconds}


def _shared(mm: MultimodalAutoencoder) -> dict[str, Any]:
    """How the joint model was trained, as far as a model of one modality can be trained so, too."""
    known = DeepSparseAutoencoder().get_params(deep=False)
    given = mm.get_params(deep=False)
    return {name: value for name, value in given.items() if name in known and name not in _ITS_OWN}


def _in_memory(source: Any) -> JointSource:
    if isinstance(source, JointSource):
        return source
    batch = source.load()
    return JointSource(batch.parts, batch.present)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
