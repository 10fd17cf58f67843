"""Single cells: counts of genes go in as they are, codes for neighbours and clusters come out.

The cells are made here: four types, one of them rare, read to very different depths.
"""

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from dsae import DeepSparseAutoencoder

N_CELLS, N_GENES = 500, 200
rng = np.random.default_rng(0)
programs = 0.6 * rng.dirichlet(np.full(N_GENES, 0.2)) + 0.4 * rng.dirichlet(np.full(N_GENES, 0.2), 4)
kinds = rng.choice(4, N_CELLS, p=[0.45, 0.3, 0.2, 0.05])
depth = np.rint(rng.lognormal(5.5, 0.7, N_CELLS)).astype(int)
counts = np.stack([rng.multinomial(n, programs[kind]) for n, kind in zip(depth, kinds, strict=True)])
print(f"{N_CELLS} cells with {depth.min()} to {depth.max()} counts of {N_GENES} genes")

dsa = DeepSparseAutoencoder(
    n_components=8,
    loss="multinomial",  # a cell's total is given, the shares of its genes are modelled
    hidden_layer_sizes=(64,),
    density=0.3,
    mask=0.3,  # hides a share of the counts in every step
    max_iter=100,
    batch_size=64,
    random_state=0,
)
codes = dsa.fit_transform(sp.csr_matrix(counts))
print(f"deviance explained: {dsa.score(counts):.3f}, with {dsa.nnz_:,} weights")


def accuracy(codes: np.ndarray) -> float:
    """Of ten neighbours' vote, each half of the cells by the other."""
    half = N_CELLS // 2
    one = KNeighborsClassifier(10).fit(codes[:half], kinds[:half]).score(codes[half:], kinds[half:])
    return (one + KNeighborsClassifier(10).fit(codes[half:], kinds[half:]).score(codes[:half], kinds[:half])) / 2


logs = np.log1p(counts * (depth.mean() / depth[:, None]))
by_pca = accuracy(PCA(8, random_state=0).fit_transform(logs))
print(f"cells with neighbours of their type: {accuracy(codes):.3f} by codes, {by_pca:.3f} by PCA")
