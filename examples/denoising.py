"""Denoising: learn from rows of which noise or a mask hides a part, and give back the whole.

Digits of scikit-learn, 64 pixels each. Three models of one size are compared on noisy images and on images of which
half of the pixels are missing (the mean stands in their place).
"""

import numpy as np
from sklearn.datasets import load_digits

from dsae import DeepSparseAutoencoder

X = load_digits().data / 16
train, test = X[:1400], X[1400:]
rng = np.random.default_rng(0)
noisy = test + 0.3 * rng.normal(size=test.shape)
half = np.where(rng.random(test.shape) < 0.5, train.mean(0), test)

settings = {"n_components": 16, "hidden_layer_sizes": (128,), "density": 0.2, "max_iter": 60, "random_state": 0}
models = {
    "plain": {},
    "noise=1.0": {"noise": 1.0},
    "mask=(0, 0.8)": {"mask": (0.0, 0.8), "mask_rescale": False},
}
print(f"{'mean squared error on':22}  clean   noisy   half missing")
for name, how in models.items():
    dsa = DeepSparseAutoencoder(**settings, **how).fit(train)
    errors = [np.mean((dsa.inverse_transform(dsa.transform(rows)) - test) ** 2) for rows in (test, noisy, half)]
    print(f"{name:22} {errors[0]:.4f}  {errors[1]:.4f}  {errors[2]:.4f}")

# Clean and noisy rows in pairs: the target is given.
pairs = DeepSparseAutoencoder(**settings).fit(train + 0.3 * rng.normal(size=train.shape), target=train)
print(f"{'pairs, target=':22} noisy {1 - pairs.score(noisy, target=test):.2f} of the variance unexplained")
