"""Digits with a third of their pixels missing: learn from what is left, and guess the rest."""

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.model_selection import train_test_split

import dsae
from dsae import DeepSparseAutoencoder

X = load_digits().data / 16
holed = np.where(np.random.default_rng(0).random(X.shape) < 0.3, np.nan, X)
train, test, _, truth = train_test_split(holed, X, random_state=0)
missing = np.isnan(test)


def error(guessed):
    return np.sqrt(np.square(guessed - truth)[missing].mean())


dsa = DeepSparseAutoencoder(
    density=0.1,
    max_iter=60,
    missing="mask",  # NaN is not known; training hides up to 80 % more of each row
    random_state=0,
)
dsa.fit(train)
print(f"feature means {error(SimpleImputer(keep_empty_features=True).fit(train).transform(test)):.3f}")
print(f"KNNImputer    {error(KNNImputer().fit(train).transform(test)):.3f}")
print(f"dsae          {error(dsa.impute(test)):.3f}")

print(f"explained variance of the pixels that are known: {dsa.score(test):.3f}")
print(f"codes of rows with holes: shape {dsa.transform(test).shape}")
print(f"pixels that were known are the same: {np.array_equal(dsa.impute(test)[~missing], test[~missing])}")

with tempfile.TemporaryDirectory() as folder:
    dsa.save(Path(folder) / "model")
    runtime = dsae.load(Path(folder) / "model")  # needs no torch
    print(f"from the saved model: {error(runtime.impute(test)):.3f}")
