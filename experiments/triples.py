"""Images, spoken digits and misspelt digit words that belong together, and judges of what is made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

WORDS = (
    ("zero", "null", "zéro", "cero", "nul"),
    ("one", "eins", "un", "uno", "een"),
    ("two", "zwei", "deux", "dos", "twee"),
    ("three", "drei", "trois", "tres", "drie"),
    ("four", "vier", "quatre", "cuatro", "vieri"),
    ("five", "fünf", "cinq", "cinco", "vijf"),
    ("six", "sechs", "sei", "seis", "zes"),
    ("seven", "sieben", "sept", "siete", "zeven"),
    ("eight", "acht", "huit", "ocho", "otto"),
    ("nine", "neun", "neuf", "nueve", "negen"),
)
SHAPES = {"image": (28, 28), "audio": (32, 40)}
JUDGES = Path(__file__).parents[1] / "build" / "results" / "joint-judges.pt"


@dataclass(frozen=True)
class Triples:
    """Rows of three modalities.

    Parameters
    ----------
    train : dict of str to ndarray or csr_matrix
        60,000 rows: an image, a recording of its class, a word.
    y : ndarray of int, shape (60,000,)
    test : dict of str to (rows, classes)
        Images and texts, 10,000; recordings of takes that are in no training row, 300.
    paired : ndarray of int, shape (10,000,)
        A test recording of each test image's class.
    recordings : tuple of ndarray
        The recordings of training, each once, and their classes.
    """

    train: dict[str, Any]
    y: np.ndarray
    test: dict[str, tuple[Any, np.ndarray]]
    paired: np.ndarray
    recordings: tuple[np.ndarray, np.ndarray]


def triples(images: Any, sounds: Any, seed: int = 0) -> Triples:
    """Pair images with recordings and words of their classes; the seed draws which."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    rng = np.random.default_rng(seed)
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3), dtype=np.float32)
    texts = sp.csr_matrix(vectorizer.fit_transform(_misspelt(images.y_train, rng)))
    others = sp.csr_matrix(vectorizer.transform(_misspelt(images.y_test, rng)))
    picked, paired = (_of_class(sounds[part], y, rng) for part, y in ((1, images.y_train), (3, images.y_test)))
    return Triples(
        {"image": images.train, "audio": sounds[0][picked], "text": texts},
        images.y_train,
        {"image": (images.test, images.y_test), "audio": sounds[2:], "text": (others, images.y_test)},
        paired,
        sounds[:2],
    )


def _misspelt(labels: np.ndarray, rng: np.random.Generator) -> list[str]:
    """A word in one of five languages; half of those of three letters or more lack one."""
    found = []
    for label in labels:
        word = WORDS[label][rng.integers(5)]
        if rng.random() < 0.5 and len(word) > 2:
            lost = rng.integers(len(word))
            word = word[:lost] + word[lost + 1 :]
        found.append(word)
    return found


def _of_class(classes: np.ndarray, wanted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    by = [np.flatnonzero(classes == c) for c in range(10)]
    return np.array([by[c][rng.integers(len(by[c]))] for c in wanted])


def judges(images: Any, sounds: Any, texts: Any, labels: np.ndarray) -> dict[str, Any]:
    """Classifiers of images, log-mel rows and texts, from rows to classes.

    The first two are small convolutional networks that have also seen smooth rows, as autoencoders make them (PCA's
    reconstructions, mixtures of recordings of a class): trained on sharp ones alone they misjudge these. They are
    trained once and kept in build/results.
    """
    import torch
    from sklearn.linear_model import LogisticRegression

    nets = {name: _network(shape) for name, shape in SHAPES.items()}
    if not JUDGES.is_file():
        _train(nets, images, sounds)
        JUDGES.parent.mkdir(parents=True, exist_ok=True)
        draft = JUDGES.with_suffix(f".{os.getpid()}")
        torch.save({name: net.state_dict() for name, net in nets.items()}, draft)
        draft.replace(JUDGES)
    kept = torch.load(JUDGES)
    centre, unit = sounds[0].mean(), sounds[0].std()
    for name, net in nets.items():
        net.load_state_dict(kept[name])
        net.eval()

    def seen(net: Any, rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            pieces = torch.from_numpy(np.ascontiguousarray(rows, np.float32)).split(1000)
            return torch.cat([net(piece).argmax(1) for piece in pieces]).numpy()

    read = LogisticRegression(max_iter=300).fit(texts[:10_000], labels[:10_000])
    return {
        "image": lambda rows: seen(nets["image"], np.clip(rows, 0, 1)),
        "audio": lambda rows: seen(nets["audio"], (rows - centre) / unit),
        "text": read.predict,
    }


def _network(shape: tuple[int, int]) -> Any:
    from torch import nn

    height, width = shape
    return nn.Sequential(
        nn.Unflatten(1, (1, height, width)),
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(24 * (height // 4) * (width // 4), 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def _train(nets: dict[str, Any], images: Any, sounds: Any) -> None:
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(0)
    X, y = images.train[:25_000], images.y_train[:25_000]
    pca = PCA(16, svd_solver="randomized", random_state=0).fit(X[:8000])
    some, classes = X[:15_000], y[:15_000]
    share = rng.random((len(some), 1)).astype(np.float32)
    smooth = pca.inverse_transform(pca.transform(some)).clip(0, 1)
    smooth = (share * smooth + (1 - share) * some).astype(np.float32)
    _fit(nets["image"], np.concatenate([X, smooth]), np.concatenate([y, classes]), 2)
    A, ya = (sounds[0] - sounds[0].mean()) / sounds[0].std(), sounds[1]
    mixed, classes = [], rng.integers(10, size=len(A))
    for c in classes:
        rows = np.flatnonzero(ya == c)
        k = int(rng.integers(2, 12))
        mixed.append(rng.dirichlet(np.ones(k)) @ A[rng.choice(rows, k)])
    both = np.concatenate([A, np.stack(mixed)]).astype(np.float32)
    _fit(nets["audio"], both, np.concatenate([ya, classes]), 18, SHAPES["audio"], shift=2, noise=0.2)


def _fit(
    net: Any,
    X: np.ndarray,
    y: np.ndarray,
    epochs: int,
    shape: tuple[int, int] | None = None,
    shift: int = 0,
    noise: float = 0.0,
) -> None:
    import torch
    from torch.nn.functional import cross_entropy

    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    rows, labels = torch.from_numpy(X), torch.from_numpy(y)
    n_steps = epochs * -(-len(X) // 128)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=n_steps)
    net.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(X), generator=generator).split(128):
            x = rows[chosen]
            if shape is not None:
                moved = torch.randint(-shift, shift + 1, (2,), generator=generator).tolist()
                x = torch.roll(x.view(-1, *shape), moved, (1, 2)).flatten(1)
                x = x + noise * torch.randn(x.shape, generator=generator)
            loss = cross_entropy(net(x), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
