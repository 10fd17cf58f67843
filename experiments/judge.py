"""A small convolutional classifier of digits: its inner layer gives the features on which made images are compared.

It also sees smooth images, digits blended with their reconstruction by a few principal components, since those that an
autoencoder makes are smoother than photographs. It is trained once, and kept beside the results that it judged.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

EPOCHS, BATCH, RATE = 2, 128, 3e-3
N_SHARP, N_SMOOTH = 25_000, 15_000
N_FEATURES = 64


def judge(data: Any, folder: Any) -> tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]:
    """From images ``[n, 784]`` to features ``[n, 64]``, and to labels."""
    import torch

    network, path = _network(), folder / "judge.pt"
    if path.exists():
        network.load_state_dict(torch.load(path, weights_only=True))
    else:
        _train(network, *_images(data))
        draft = path.with_suffix(f".{os.getpid()}")  # two runs may train it at once, and get the same
        torch.save(network.state_dict(), draft)
        draft.rename(path)
    network.eval()
    return lambda X: _run(network[:-1], X), lambda X: _run(network, X).argmax(axis=1)


def _network() -> Any:
    from torch import nn

    half = [nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    half += [nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(
        *half, nn.Flatten(), nn.Dropout(0.3), nn.Linear(24 * 49, N_FEATURES), nn.ReLU(), nn.Linear(N_FEATURES, 10)
    )


def _images(data: Any) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.decomposition import PCA

    X, y, rng = data.train[:N_SHARP], data.y_train[:N_SHARP], np.random.default_rng(0)
    pca = PCA(16, svd_solver="randomized", random_state=0).fit(X[:8000])
    sharp = X[:N_SMOOTH]
    smooth = pca.inverse_transform(pca.transform(sharp)).clip(0, 1)
    share = rng.random((N_SMOOTH, 1))
    blended = share * smooth + (1 - share) * sharp
    return np.concatenate([X, blended]).astype(np.float32), np.concatenate([y, y[:N_SMOOTH]])


def _train(network: Any, X: np.ndarray, y: np.ndarray) -> None:
    import torch

    torch.manual_seed(0)
    for layer in network:
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    images, labels = torch.from_numpy(X).view(-1, 1, 28, 28), torch.from_numpy(y)
    steps = EPOCHS * -(-len(X) // BATCH)
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    network.train()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(X)).split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(images[rows]), labels[rows]).backward()
            optimizer.step()
            schedule.step()


def _run(network: Any, X: np.ndarray) -> np.ndarray:
    import torch

    images = torch.from_numpy(np.clip(X, 0, 1).astype(np.float32)).view(-1, 1, 28, 28)
    with torch.no_grad():
        return torch.cat([network(some) for some in images.split(1000)]).numpy()
