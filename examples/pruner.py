"""Prune a module of one's own while it trains: dense layers shrink to 5 %, in an ordinary loop with AdamW."""

import os

import torch
from sklearn.datasets import load_digits
from torch import nn

from dsae.nn import SparseLinear
from dsae.shrink import Pruner

X, y = (torch.from_numpy(array) for array in load_digits(return_X_y=True))
X = X.float() / 16
train, test = slice(0, 1400), slice(1400, None)
EPOCHS, BATCH = int(os.environ.get("DSAE_EPOCHS", "60")), 100

for method in ("random", "rigl", "magnitude", "tempered"):
    torch.manual_seed(0)
    model = nn.Sequential(
        SparseLinear(64, 256), nn.ReLU(), nn.Dropout(0.1), SparseLinear(256, 256), nn.ReLU(), SparseLinear(256, 10)
    )
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    pruner = Pruner(
        model, optimizer, density=0.05, method=method, n_steps=EPOCHS * 1400 // BATCH, steps_per_epoch=1400 // BATCH
    )
    for _ in range(EPOCHS):
        for rows in torch.randperm(1400).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(X[train][rows]), y[train][rows]).backward()
            optimizer.step()
            pruner.step()
    model.eval()
    accuracy = (model(X[test]).argmax(1) == y[test]).float().mean()
    print(f"{method:>10}: accuracy {accuracy:.3f} at density {pruner.density:.3f}")
