"""SparseLinear in a torch module of one's own: change the class of two layers, keep everything else."""

import torch
from sklearn.datasets import load_digits
from torch import nn

from dsae.nn import SparseLinear

torch.manual_seed(0)
X, y = (torch.from_numpy(array) for array in load_digits(return_X_y=True))
X = X.float() / 16
train, test = slice(0, 1400), slice(1400, None)


def classifier(linear: type[nn.Module], **settings: float) -> nn.Sequential:
    """64 pixels, two hidden layers, ten classes."""
    return nn.Sequential(
        linear(64, 256, **settings), nn.ReLU(), linear(256, 256, **settings), nn.ReLU(), nn.Linear(256, 10)
    )


for name, model in {
    "nn.Linear": classifier(nn.Linear),
    "SparseLinear at 10 %": classifier(SparseLinear, density=0.1),
}.items():
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(60):
        for rows in torch.randperm(1400).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(X[train][rows]), y[train][rows]).backward()
            optimizer.step()
    accuracy = (model(X[test]).argmax(1) == y[test]).float().mean()
    print(f"{name:>20}: accuracy {accuracy:.3f}, {sum(p.numel() for p in model.parameters()):,} parameters")
