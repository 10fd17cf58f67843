"""Digits end to end: compress 64 pixels to 8 numbers, look at errors, classify the codes, save, use without torch."""

import tempfile
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

import dsae
from dsae import DeepSparseAutoencoder

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0, stratify=y)

dsa = DeepSparseAutoencoder(
    n_components=8,
    hidden_layer_sizes=(128,),
    density=0.15,
    max_iter=150,
    batch_size=64,
    learning_rate_init=3e-3,
    random_state=0,
)
dsa.fit(X_train)
pca = PCA(n_components=8).fit(X_train)
lost = ((X_test - pca.inverse_transform(pca.transform(X_test))) ** 2).sum()
total = ((X_test - X_test.mean(axis=0)) ** 2).sum()
print(f"explained variance of unseen digits: DSA {dsa.score(X_test):.3f}, PCA {1 - lost / total:.3f}")
print(f"{dsa.nnz_:,} weights live, density {dsa.density_:.3f}")

for name, codes in {"DSA": dsa, "PCA": pca}.items():
    classifier = make_pipeline(codes, LogisticRegression(max_iter=2000)).fit(X_train, y_train)
    print(f"accuracy of a logistic regression on 8 {name} numbers: {classifier.score(X_test, y_test):.3f}")

errors = ((X_test - dsa.inverse_transform(dsa.transform(X_test))) ** 2).sum(axis=1)
print(f"the strangest test digit is number {errors.argmax()}, a {y_test[errors.argmax()]}")

with tempfile.TemporaryDirectory() as folder:
    dsa.save(Path(folder) / "model")
    runtime = dsae.load(Path(folder) / "model")  # needs no torch
    print(f"codes from the saved model: shape {runtime.encode(X_test).shape}")
