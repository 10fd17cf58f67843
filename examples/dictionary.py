"""A dictionary from end to end: find the atoms that rows are made of, from batches that come once."""

import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp

import dsae
from dsae import DeepSparseAutoencoder
from dsae.data import make_sparse_features
from dsae.interpret import atoms
from dsae.metrics import recovery

made = make_sparse_features(8_000, n_features=48, n_atoms=160, n_trees=0, random_state=0)
train, test, truth = made.X[:6_000], made.X[6_000:], made.codes[6_000:]


def batches():
    """Activations, in the order in which a running model gives them."""
    rng = np.random.default_rng(0)
    while True:
        yield train[rng.integers(len(train), size=512)]


def watch(row):
    """What one looks at while a dictionary trains."""
    print(f"round {row['epoch']}: FVU {row['fvu']:.3f}, L0 {row['l0']:.1f}, dead {row['dead']:.1%}")


dictionary = DeepSparseAutoencoder(
    n_components=160,
    code_activation="batchtopk",
    k=8,
    matryoshka=(40, 160),
    density=1.0,
    shrink="none",
    random_state=0,
)
dictionary.fit(batches(), n_steps=300, on_epoch=watch)
codes = dictionary.normalize_atoms().transform(test)
found = recovery(sp.csr_matrix(codes), atoms(dictionary.runtime_), truth, made.atoms)
print(f"of unseen rows {dictionary.score(test):.1%} is explained by {np.count_nonzero(codes) / len(codes):.1f} latents")
print(f"F1 with the true atoms {found['f1']:.2f}, MCC {found['mcc']:.2f}")

with tempfile.TemporaryDirectory() as folder:
    dictionary.save(Path(folder) / "dictionary")
    print(dsae.load(Path(folder) / "dictionary").encode(test, k=4).shape)  # needs no torch
