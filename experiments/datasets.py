"""The data of the result tables: from files in the folder that DSAE_DATA names, else downloaded by scikit-learn."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import fetch_20newsgroups, fetch_openml, load_digits
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import train_test_split


@dataclass(frozen=True)
class Data:
    """One data set, split.

    Parameters
    ----------
    train, test : ndarray or csr_matrix of float32
    y_train, y_test : ndarray of int
    """

    train: Any
    test: Any
    y_train: np.ndarray
    y_test: np.ndarray


@dataclass(frozen=True)
class Ratings:
    """Which items users have, in three parts: what a model sees, what settings are chosen on, and the rest.

    Parameters
    ----------
    train, valid, test : csr_matrix of float32, shape (n_users, n_items)
    """

    train: Any
    valid: Any
    test: Any


@cache
def load(name: str) -> Any:
    """The data set called ``name``.

    Raises
    ------
    FileNotFoundError
        If it cannot be downloaded and there is no such file in ``DSAE_DATA``.
    """
    return _SETS[name]()


def _mnist() -> Data:
    """60,000 and 10,000 images of 784 pixels in 0..1, the official split."""
    file = _file("mnist.npz")
    if file is not None:
        z = np.load(file)
        parts = z["x_train"], z["x_test"], z["y_train"], z["y_test"]
    else:
        X, y = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
        parts = X[:60_000], X[60_000:], y[:60_000], y[60_000:]
    train, test, y_train, y_test = parts
    return Data(_unit(train), _unit(test), y_train.astype(int), y_test.astype(int))


def _unit(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32) / np.float32(255)


def _news() -> Data:
    """20 Newsgroups by date: log(1 + count) of the 10,000 commonest words of the training part."""
    file = _file("newsgroups20.npz")
    if file is not None:
        z = np.load(file)
        train, test, y_train, y_test = _csr(z, "x_train"), _csr(z, "x_test"), z["y_train"], z["y_test"]
    else:
        y_train, y_test = (fetch_20newsgroups(subset=part).target for part in ("train", "test"))
        words = _words()
        train, test = (words.transform(_texts(part)) for part in ("train", "test"))
    return Data(_log(train), _log(test), y_train.astype(int), y_test.astype(int))


def _news_names() -> tuple[list[str], list[str]]:
    """The words that are counted in 20 Newsgroups, and the titles of the groups."""
    file = _file("newsgroups20.npz")
    if file is not None:
        z = np.load(file)
        return z["vocabulary"].tolist(), z["target_names"].tolist()
    return _words().get_feature_names_out().tolist(), list(fetch_20newsgroups(subset="train").target_names)


def _words() -> CountVectorizer:
    words = CountVectorizer(max_features=10_000, stop_words="english", token_pattern=r"[a-zA-Z]{2,}")
    return words.fit(_texts("train"))


def _texts(part: str) -> list[str]:
    return fetch_20newsgroups(subset=part, remove=("headers", "quotes")).data


def _cells() -> Data:
    """Mouse bladder cells: log(1 + count) of 20,670 genes, a fifth held out, stratified by cell type."""
    counts = _cell_counts()
    return Data(_log(counts.train), _log(counts.test), counts.y_train, counts.y_test)


def _cell_counts() -> Data:
    """The same as counts."""
    z = _held("singlecell_bladder.npz", "2,100 mouse bladder cells, Han et al. 2018, as selected by scDeepCluster")
    return _split(_csr(z, "x").astype(np.float32), z["y"].astype(int))


def _citeulike() -> Ratings:
    """5,551 users and 16,980 articles of citeulike-a (Wang, Chen & Li 2013), each user's articles in three parts."""
    z = _held("citeulike.npz", "articles of citeulike-a; x_train, x_valid and x_test in CSR form")
    return Ratings(*(sp.csr_matrix(_csr(z, f"x_{part}"), dtype=np.float32) for part in ("train", "valid", "test")))


def _fsdd() -> tuple[np.ndarray, ...]:
    """2,700 and 300 recordings of ten spoken digits as log-mel rows of 32 x 40, split by take, and their classes."""
    file = _file("fsdd.npz")
    if file is None:
        raise FileNotFoundError(
            "The Free Spoken Digit Dataset (log-mel rows) has no download that scikit-learn knows: put fsdd.npz, with "
            "x_train, y_train, x_test and y_test, into a folder and name it in DSAE_DATA."
        )
    z = np.load(file)
    rows = [z[f"x_{part}"].astype(np.float32).reshape(len(z[f"x_{part}"]), -1) for part in ("train", "test")]
    return rows[0], z["y_train"].astype(int), rows[1], z["y_test"].astype(int)


def _digits() -> Data:
    """scikit-learn's 8 x 8 digits in 0..1, a fifth held out."""
    X, y = load_digits(return_X_y=True)
    return _split((X / 16).astype(np.float32), y)


def _cardio() -> Data:
    """Fetal heart rates, 21 features of 1,831 recordings, standardised; a fifth held out, stratified by anomaly."""
    z = _held("adbench/cardio.npz", "UCI's cardiotocography, as in ADBench")
    X = z["X"].astype(np.float32)
    return _split((X - X.mean(axis=0)) / X.std(axis=0), z["y"].astype(int))


def _split(X: Any, y: np.ndarray) -> Data:
    train, test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=0, stratify=y)
    return Data(train, test, y_train, y_test)


def anomalies(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A table of ADBench, and which of its rows are anomalies.

    Raises
    ------
    FileNotFoundError
        If ``DSAE_DATA`` has no such table.
    """
    z = _held(f"adbench/{name}.npz", "a table of ADBench, from ODDS and UCI")
    return z["X"].astype(np.float64), z["y"].astype(int)


def _held(name: str, what: str) -> Any:
    """The arrays of a file that scikit-learn cannot download."""
    file = _file(name)
    if file is None:
        raise FileNotFoundError(
            f"{name} ({what}) has no download that scikit-learn knows: put it into a folder and name that in DSAE_DATA."
        )
    return np.load(file)


def _file(name: str) -> Path | None:
    folder = os.environ.get("DSAE_DATA")
    path = Path(folder) / name if folder else None
    return path if path is not None and path.exists() else None


def _csr(z: Any, name: str) -> sp.csr_matrix:
    parts = (z[f"{name}_data"], z[f"{name}_indices"], z[f"{name}_indptr"])
    return sp.csr_matrix(parts, shape=tuple(z[f"{name}_shape"]))


def _log(counts: sp.csr_matrix) -> sp.csr_matrix:
    return sp.csr_matrix(counts.astype(np.float32).log1p())


_SETS: dict[str, Callable[[], Any]] = {
    "mnist": _mnist,
    "news": _news,
    "news_names": _news_names,
    "cells": _cells,
    "cell_counts": _cell_counts,
    "digits": _digits,
    "cardio": _cardio,
    "citeulike": _citeulike,
    "fsdd": _fsdd,
}
