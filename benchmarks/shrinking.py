"""Test error and training time of the methods that choose the living weights, 784-1024-256-32 for MNIST.

python benchmarks/shrinking.py train.npy test.npy [--density 0.05] [--epochs 10]
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from dsae import DeepSparseAutoencoder
from dsae.config import SHRINK

WIDTHS = {"n_components": 32, "hidden_layer_sizes": (1024, 256)}


@click.command()
@click.argument("train", type=click.Path(exists=True, path_type=Path))
@click.argument("test", type=click.Path(exists=True, path_type=Path))
@click.option("--density", default=0.05, show_default=True)
@click.option("--epochs", default=10, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(train: Path, test: Path, density: float, epochs: int, seed: int) -> None:
    """Print one line per method and learning rate."""
    X, X_test = np.load(train), np.load(test)
    for rate in (1e-3, 2e-3):
        for shrink in SHRINK:
            kept = 1.0 if shrink == "none" else density
            settings = {"density": kept, "shrink": shrink, "learning_rate_init": rate, "max_iter": epochs}
            dsa = DeepSparseAutoencoder(**WIDTHS, **settings, random_state=seed).fit(X)
            mse = np.mean((dsa.runtime_.reconstruct(X_test) - X_test) ** 2)
            print(f"{shrink:>9} density {kept:g} rate {rate:g}: MSE {mse:.5f}, fit {dsa.fit_time_:.1f} s", flush=True)


if __name__ == "__main__":
    main()
