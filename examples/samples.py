"""New digits: sample from codes, interpolate between digits, and measure the quality of the samples."""

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import dsae
from dsae import DeepSparseAutoencoder
from dsae.metrics import generation, probe

X, y = load_digits(return_X_y=True)
X = X / 16
train, test = X[:1400], X[1400:]
dsa = DeepSparseAutoencoder(
    n_components=12, hidden_layer_sizes=(128,), density=0.2, max_iter=150, batch_size=64, random_state=0
)
dsa.fit(train)

print(f"{'made by':22} Frechet  precision  recall  novelty")
for kind in ("mixture", "neighbours"):
    made = dsa.fit_sampler(train, kind, n_components=40).sample(397, random_state=0)
    found = generation(test, made, train)
    print(
        f"{kind:22} {found['frechet']:7.3f}  {found['precision']:9.2f}  {found['recall']:6.2f}  {found['novelty']:7.2f}"
    )
print(dsa.sampler_)

between = dsa.interpolate(test[:3], test[3:6], n=8)
print(f"three walks of eight digits: shape {between.shape}")
print(f"labels read off the codes: {probe(dsa.transform(X), y)['linear']:.2f} of them, linearly")

with tempfile.TemporaryDirectory() as folder:
    dsa.save(Path(folder) / "model")
    runtime = dsae.load(Path(folder) / "model")  # needs no torch
    same = np.allclose(runtime.sample(5, random_state=0), dsa.sample(5, random_state=0), atol=1e-5)
    print(f"the saved model draws the same digits: {same}")
