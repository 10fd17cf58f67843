"""Digits and their names: one code, each made from the other, and a part of either missing in training."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.feature_extraction.text import TfidfVectorizer

from dsae import MultimodalAutoencoder

images, labels = load_digits(return_X_y=True)
words = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3))
texts = vectorizer.fit_transform(words[labels])
train, test = slice(0, 1400), slice(1400, None)

rng = np.random.default_rng(0)
given = {"image": images[train].copy(), "text": list(texts[train])}
for i in range(1400):  # a third without a picture, a third without a text
    which = rng.integers(3)
    if which == 0:
        given["image"][i] = np.nan
    elif which == 1:
        given["text"][i] = None

mm = MultimodalAutoencoder(n_components=16, density=0.2, max_iter=100, random_state=0).fit(given)
rows = {"image": images[test], "text": texts[test]}
print(f"{mm.nnz_:,} weights, density {mm.density_:.2f}; explained {mm.score(rows):.2f}")
print("given > made   " + "  ".join(f"{name:>6}" for name in mm.modalities_))
for name, made in mm.coherence(rows, labels[test]).items():
    print(f"{name:14} " + "  ".join(f"{made[to]:6.3f}" for to in mm.modalities_))
