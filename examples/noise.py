"""The simplest case: 1000 samples of noise, 100 inputs, 50 hidden units, 100 outputs, timed.

Noise has no structure to find: its 100 inputs are independent, so 50 units can explain half of the variance at best.
What is left to see is that training works and what it costs.
"""

import os
import time

import numpy as np

from dsae import DeepSparseAutoencoder

EPOCHS = int(os.environ.get("DSAE_EPOCHS", "1000"))

X = np.random.default_rng(0).standard_normal((1000, 100)).astype(np.float32)

for name, settings in {
    "dense": {"density": 1.0, "shrink": "none"},
    "20 % of the weights": {"density": 0.2, "shrink": "saliency"},
}.items():
    dsa = DeepSparseAutoencoder(
        n_components=50,
        code_activation="sigmoid",
        learning_rate_init=0.001,
        batch_size=32,
        max_iter=EPOCHS,
        random_state=0,
        **settings,
    )
    begun = time.perf_counter()
    dsa.fit(X)
    seconds = time.perf_counter() - begun
    X_hat = dsa.runtime_.reconstruct(X)
    mse = np.mean((X - X_hat) ** 2)
    print(f"{name:>20}: {EPOCHS} epochs in {seconds:.1f} s, MSE {mse:.4f}, {dsa.nnz_:,} weights")
