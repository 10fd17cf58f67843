"""What latents stand for: a dictionary of digits, read latent by latent, row by row, and with a latent taken away."""

import numpy as np
from sklearn.datasets import load_digits

from dsae import DeepSparseAutoencoder
from dsae.interpret import ablate, compare, contributions, describe, reads, steer

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
dsa = DeepSparseAutoencoder(
    n_components=64,
    code_activation="topk",
    k=6,
    hidden_layer_sizes=(),
    density=0.3,
    max_iter=30,
    batch_size=64,
    random_state=0,
)
runtime = dsa.fit(X[:1500]).runtime_
names = [f"row {i} column {j}" for i in range(8) for j in range(8)]

latents = describe(runtime, X[:1500], names=names, labels=y[:1500])
print(f"{len(latents)} of 64 latents fire; the one that adds most:")
print(latents[0])
best = max(latents, key=lambda at: at.labels[0].association if at.labels else 0)
print(f"latent {best.latent} is nearest to a digit, {best.labels[0].label}: lift {best.labels[0].lift:.1f}")
print(f"  like latents {[at.latent for at in best.alike]}, often with {[at.latent for at in best.together]}")

row = X[1500:1501]
found = contributions(runtime, row)
path = found.waterfall(0)
print(f"a {y[1500]}: error {path.errors[0]:.3f} without its latents, then {np.round(path.errors[1:], 3).tolist()}")
strongest = int(path.latents[0])
why = reads(runtime, row, [strongest])
pixels, parts = why.parts(0, strongest, 3)
print(f"latent {strongest} fires because of {', '.join(names[j] for j in pixels)}")
gone = ablate(runtime, row, [strongest])
print(f"without it the error of the row rises by {gone.change[0]:.4f}")
print(f"twice as strong, pixels change by up to {np.abs(steer(runtime, row, [strongest], times=2) - row).max():.2f}")

between = compare(runtime, X[:1500][y[:1500] == 4], X[:1500][y[:1500] == 9])
for latent, size in zip(between.latents[:3], between.size[:3], strict=True):
    print(f"latent {latent} is stronger in {'fours' if size > 0 else 'nines'}")
