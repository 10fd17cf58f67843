"""Explorers to look at.

`make explore-demo` writes those of digits, of texts, and of images with sounds; `make explore-news` that of 4,096
latents of 20 Newsgroups; `make explore-scale` one of 131,072 latents and 1,000,000 rows, whose codes a generator makes.
"""

from __future__ import annotations

import inspect
import os
import re
import resource
import sys
import time
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

import dsae
from dsae.config import AutoencoderConfig
from dsae.store import Model
from dsae.topology import Layer, Topology

_MODULES = ("numpy", "numpy.linalg", "numpy.random", "numpy.fft", "scipy.linalg", "scipy.optimize", "scipy.signal",
            "scipy.stats", "scipy.sparse", "scipy.special", "scipy.integrate", "scipy.spatial", "sklearn.cluster",
            "sklearn.linear_model", "sklearn.metrics", "sklearn.preprocessing", "sklearn.decomposition",
            "sklearn.ensemble", "sklearn.datasets", "sklearn.feature_extraction.text")  # fmt: skip
_LATENTS, _WIDTH, _ROWS, _K = 131_072, 512, 1_000_000, 32
_PER_ATOM = 26  # weights: density 0.05
_ROWS_AT_ONCE = 8192


def digits(folder: Path) -> Path:
    """Scikit-learn's digits, 128 topk latents, on the fifth that was held out and the rest."""
    from sklearn.datasets import load_digits

    X: Any
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    model = dsae.DeepSparseAutoencoder(
        n_components=128, code_activation="topk", k=8, density=0.5, max_iter=60, batch_size=64, random_state=0
    ).fit(X)
    model.save(folder / "digits-model")
    return dsae.explore(
        model,
        X,
        folder / "digits",
        labels=y,
        ids=[f"digit {row}" for row in range(len(y))],
        image_shape=(8, 8),
        title="Handwritten digits in 128 latents",
        expressions=_lines(folder / "digits-model"),
    )


def texts(folder: Path, n_latents: int = 1024, max_iter: int = 8) -> Path:
    """20 Newsgroups by words, or without it docstrings of numpy, scipy and scikit-learn."""
    try:
        X, y, words, documents, title = _news()
    except FileNotFoundError as error:
        print(f"{error} Docstrings instead.", file=sys.stderr)
        X, y, words, documents, title = _docstrings()
    model = dsae.DeepSparseAutoencoder(
        n_components=n_latents, code_activation="topk", k=16, density=0.02, max_iter=max_iter, random_state=0
    ).fit(X)
    model.save(folder / "texts-model")
    return dsae.explore(
        model,
        X,
        folder / "texts",
        names=words,
        labels=y,
        texts=documents,
        title=f"{title} in {n_latents:,} latents",
        expressions=_lines(folder / "texts-model"),
    )


def several(folder: Path) -> Path:
    """Pictures, sounds and words of digits in one code."""
    from dsae.cli._demo_joint import digits as spoken
    from dsae.features import AudioRows, ImageRows, TextRows

    train, test, labels = spoken(0)
    encoders = {"image": ImageRows(8), "audio": AudioRows(8000, 0.6, 32), "text": TextRows("counts", n_words=3)}
    model = dsae.MultimodalAutoencoder(
        encoders,
        n_components=64,
        hidden_layer_sizes=(),
        code_activation="topk",
        k=8,
        density=0.1,
        max_iter=30,
        batch_size=64,
        random_state=0,
    ).fit(train)
    model.save(folder / "several-model")
    return dsae.explore(
        model,
        test,
        folder / "several",
        labels=labels,
        texts=test["text"],
        title="Pictures, sounds and words of digits in one code",
        expressions=_lines(folder / "several-model"),
    )


class Codes:
    """Codes of rows that are made when they are asked for, the same ones every time.

    Latents fire by a power law, with values by a gamma distribution; a row has ``k`` of them, or fewer where one was
    drawn twice.
    """

    n_features = _LATENTS

    def __init__(self, n_rows: int = _ROWS, k: int = _K, seed: int = 0) -> None:
        self.n_rows, self.k, self.seed = n_rows, k, seed

    def __len__(self) -> int:
        return self.n_rows

    def batches(self, batch_size: int, seed: int | None = None) -> Iterator[sp.csr_matrix]:
        """CSR codes in order, whatever the batches."""
        for start in range(0, self.n_rows, _ROWS_AT_ONCE):
            n = min(_ROWS_AT_ONCE, self.n_rows - start)
            rng = np.random.default_rng((self.seed, start))
            there = np.sort((self.n_features * rng.random((n, self.k)) ** 2).astype(np.int64), axis=1)
            values = rng.gamma(2.0, 1.0, there.shape).astype(np.float32) + np.float32(0.01)
            on = np.ones(there.shape, bool)
            on[:, 1:] = there[:, 1:] != there[:, :-1]
            indptr = np.concatenate([[0], np.cumsum(on.sum(axis=1))])
            yield sp.csr_matrix((values[on], there[on], indptr), shape=(n, self.n_features))


def scale(folder: Path, n_rows: int = _ROWS) -> Path:
    """131,072 latents of 512 features, and a million rows of codes."""
    model = made_model()
    codes = Codes(n_rows)
    labels = np.random.default_rng(1).integers(0, 20, n_rows)
    before = time.perf_counter()
    path = dsae.explore(
        model,
        None,
        folder / "scale",
        codes=codes,
        labels=labels,
        title=f"{_LATENTS:,} latents, {n_rows:,} rows from a generator",
        watch=lambda what: lambda done, total: None,
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(
        f"{time.perf_counter() - before:.0f} s, peak {peak:.2f} GiB, {_megabytes(path):.1f} MB, {_n_files(path)} files"
    )
    return path


def made_model(n_latents: int = _LATENTS, width: int = _WIDTH, seed: int = 0) -> Model:
    """A model of random atoms with 26 weights each."""
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, width // _PER_ATOM, (n_latents, _PER_ATOM))
    columns = columns + np.arange(_PER_ATOM) * (width // _PER_ATOM)
    values = rng.standard_normal(columns.shape).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    indptr = np.arange(n_latents + 1) * _PER_ATOM
    encoder = sp.csr_matrix((values.ravel(), columns.ravel(), indptr), shape=(n_latents, width))
    decoder = sp.csr_matrix(encoder.T)
    config = AutoencoderConfig(n_features=width, n_components=n_latents, code_activation="topk", k=_K)
    return Model(config, {"encoder.0": _layer(encoder), "decoder.0": _layer(decoder)})


def news(folder: Path) -> Path:
    """4,096 latents of 20 Newsgroups."""
    return texts(folder, 4096, 8)


def _layer(weights: Any) -> Layer:
    weights.sort_indices()
    topology = Topology(weights.shape, weights.indptr.astype(np.int64), weights.indices.astype(np.int32))
    return Layer(topology, weights.data.astype(np.float32), np.zeros(weights.shape[0], np.float32))


def _news() -> tuple[Any, ...]:
    file = Path(os.environ.get("DSAE_DATA", ""), "newsgroups20.npz")
    if not file.is_file():
        raise FileNotFoundError("DSAE_DATA names no folder with newsgroups20.npz.")
    held = np.load(file)
    counts: Any = sp.csr_matrix(
        (held["x_train_data"], held["x_train_indices"], held["x_train_indptr"]), shape=tuple(held["x_train_shape"])
    ).astype(np.float32)
    words = [str(word) for word in held["vocabulary"]]
    groups = [str(name) for name in held["target_names"]]
    # The order of the words is lost: each document is the list of its words.
    documents = [
        " ".join(words[j] for j in counts.indices[counts.indptr[i] : counts.indptr[i + 1]])
        for i in range(counts.shape[0])
    ]
    counts.data = np.log1p(counts.data)
    return counts, [groups[number] for number in held["y_train"]], words, documents, "20 Newsgroups"


def _docstrings() -> tuple[Any, ...]:
    from sklearn.feature_extraction.text import CountVectorizer

    documents, modules = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _MODULES:
            module = import_module(name)
            for key in sorted(vars(module)):
                text = None if key.startswith("_") else inspect.getdoc(getattr(module, key))
                if text and len(text) > 200:
                    documents.append(re.sub(r"\s+", " ", text))
                    modules.append(name)
    vectorizer: Any = CountVectorizer(max_features=5000, stop_words="english", token_pattern=r"[a-zA-Z]{2,}")
    counts: Any = vectorizer.fit_transform(documents).astype(np.float32)
    counts.data = np.log1p(counts.data)
    return counts, modules, list(vectorizer.get_feature_names_out()), documents, "Docstrings"


def _lines(model: Path) -> dict[str, str]:
    return {"model": f"dsae.load({str(model)!r})"}


def _megabytes(path: Path) -> float:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6


def _n_files(path: Path) -> int:
    return sum(file.is_file() for file in path.rglob("*"))


def main() -> None:
    """Write the explorers named, by default those to look at, into a folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or ("digits", "texts", "several"):
        begun = time.perf_counter()
        path = globals()[name](folder)
        print(f"{path}/index.html: {_megabytes(path):.1f} MB in {time.perf_counter() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
