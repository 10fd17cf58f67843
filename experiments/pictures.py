"""The pictures of the guide: python -m experiments.pictures writes them into docs/img, from scikit-learn's digits."""

from __future__ import annotations

from typing import Any

import numpy as np
from experiments.run import ROOT
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from dsae import DeepSparseAutoencoder

N, SETTINGS = 14, {"hidden_layer_sizes": (128,), "density": 0.2, "batch_size": 64, "random_state": 0}


def main() -> None:
    """Samples, interpolations, denoised digits."""
    X = load_digits().data / 16
    train, test, rng = X[:1400], X[1400:], np.random.default_rng(0)
    dsa = DeepSparseAutoencoder(12, **SETTINGS, max_iter=150).fit(train)
    strips = {"digits": test[:N]}
    for name, kind, how in (
        ("mixture", "mixture", {}),
        ("mixture,\ntemperature 0.5", "mixture", {"temperature": 0.5}),
        ("neighbours", "neighbours", {}),
    ):
        strips[name] = dsa.fit_sampler(train, kind, 40).sample(N, random_state=0, **how)
    _save("digits_samples", strips)
    a, b = test[[0, 1, 2]], test[[5, 6, 8]]
    _save("digits_between", {f"{i}": way for i, way in enumerate(dsa.interpolate(a, b, N))}, named=False)
    plain = DeepSparseAutoencoder(16, **SETTINGS, max_iter=60).fit(train)
    trained = DeepSparseAutoencoder(16, **SETTINGS, max_iter=60, noise=1.0).fit(train)
    noisy = test[:N] + 0.3 * rng.normal(size=test[:N].shape)
    again = noisy
    for _ in range(20):
        again = plain.runtime_.reconstruct(again)
    strips = {"digits": test[:N], "noise 0.3": noisy, "plain model": plain.runtime_.reconstruct(noisy)}
    _save("digits_denoised", strips | {"plain,\n20 passes": again, "denoise\n(noise=1.0)": trained.denoise(noisy)})


def _save(name: str, strips: dict[str, Any], named: bool = True) -> None:
    made = Figure(figsize=(7.4, 0.54 * len(strips)))
    for axes, (label, rows) in zip(made.subplots(len(strips), 1, squeeze=False).flat, strips.items(), strict=True):
        axes.imshow(rows.reshape(-1, 8, 8).transpose(1, 0, 2).reshape(8, -1), cmap="gray_r", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.set_ylabel(label if named else "", rotation=0, ha="right", va="center", fontsize=8)
    made.subplots_adjust(left=0.16 if named else 0.01, right=0.99, top=0.97, bottom=0.03, hspace=0.12)
    made.savefig(ROOT / "docs" / "img" / f"{name}.png", dpi=110, metadata={"Software": None}, facecolor="white")


if __name__ == "__main__":
    main()
