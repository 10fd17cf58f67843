"""A dictionary goes to SAELens' format and back, and one of sparsify's becomes one of SAELens'; neither is needed."""

import tempfile
from pathlib import Path

import numpy as np

from dsae import DeepSparseAutoencoder, interop, metrics
from dsae.data import make_sparse_features

X = make_sparse_features(5_000, n_features=48, n_atoms=160, n_trees=0, random_state=0).X
train, test = X[:4_000], X[4_000:]
dsa = DeepSparseAutoencoder(
    160, code_activation="topk", k=8, density=1.0, shrink="none", max_iter=20, random_state=0
).fit(train)
rates = metrics.activation_rates(dsa.transform(train))

with tempfile.TemporaryDirectory() as place:
    sae = interop.save(dsa, Path(place) / "layer5", to="saelens", metadata={"model_name": "gpt2"}, rates=rates)
    print(*(f"{path.name} {path.stat().st_size:,} bytes" for path in sorted(sae.iterdir())), sep=", ")
    same = np.array_equal(interop.load(sae).encode(test), dsa.transform(test))
    print(f"read back, codes are {'the same' if same else 'others'}")

    interop.save(dsa, Path(place) / "layers.5", to="sparsify")
    bridge = interop.load(Path(place) / "layers.5")
    interop.save(bridge, Path(place) / "bridged", to="saelens")
    fires = (bridge.encode(test) != 0) == (dsa.transform(test) != 0)
    print(f"by way of sparsify the same latents fire in {fires.all(axis=1).mean():.0%} of rows")
