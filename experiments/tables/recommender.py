"""Articles for users of citeulike: the recommender beside what is used for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import scipy.sparse as sp

TITLE = "Recommending: articles of citeulike"
ALONE = True  # its times are compared
SEEDS = (0, 1, 2, 3, 4)
DEFAULT = {"n_neighbours": 200, "ridge": 20.0, "unseen": 0.3, "discount": 0.15, "grown": 0.0}
ITEM_LAYERS = {
    "DSARecommender, defaults": DEFAULT,
    "DSARecommender, 100 neighbours": DEFAULT | {"n_neighbours": 100},
    "DSARecommender, 100 neighbours, half grown": DEFAULT | {"n_neighbours": 100, "grown": 0.5},
    "DSARecommender, 400 neighbours": DEFAULT | {"n_neighbours": 400},
    "DSARecommender, no discount, all errors weigh 1": DEFAULT | {"discount": 0.0, "ridge": 30.0, "unseen": 1.0},
}
DEEP = {
    "n_components": 600,
    "density": 0.05,
    "init_topology": "principal",
    "shrink": "random",
    "mask": 0.5,
    "learning_rate_init": 1e-4,
    "max_iter": 2,
}
EASE, SVD, KNN, VAE, AE = "EASE", "PureSVD", "ItemKNN", "Mult-DAE", "deep sparse autoencoder"
_RANKS, _EASE_RIDGE, _KNN_NEAREST = (256, 512, 1024, 2048), 20.0, (50, 100, 200)
_EPOCHS, _CHECK_EVERY, _PATIENCE = 100, 5, 2


def jobs() -> list[dict[str, Any]]:
    """What has nothing random once, the others for each seed."""
    once = [{"method": name, "settings": settings, "seed": 0} for name, settings in ITEM_LAYERS.items()]
    once += [{"method": name, "settings": {}, "seed": 0} for name in (EASE, SVD, KNN)]
    once.append({"method": f"{EASE}, with our discount", "settings": {"discount": DEFAULT["discount"]}, "seed": 0})
    drawn = [{"method": name, "settings": DEEP if name == AE else {}, "seed": s} for s in SEEDS for name in (VAE, AE)]
    return once + drawn


def measure(job: dict[str, Any], load: Callable[[str], Any]) -> dict[str, Any]:
    """Settings are chosen on the validation items; the test items are ranked once."""
    data, settings = load("citeulike"), job["settings"]
    begun = time.perf_counter()
    match job["method"]:
        case name if name in ITEM_LAYERS:
            found = _item_layer(data, settings)
        case name if name.startswith(EASE):
            found = _ease(data, **settings)
        case name if name == SVD:
            found = _pure_svd(data)
        case name if name == KNN:
            found = _item_knn(data)
        case name if name == VAE:
            found = _mult_dae(data, job["seed"])
        case _:
            found = _deep(data, settings | {"random_state": job["seed"]})
    model, chosen, n_weights, seconds = found
    return {
        **_figures(model, data, "valid", None),
        **_figures(model, data, "test", data.valid),
        "chosen": chosen,
        "weights": int(n_weights),
        "fit_seconds": time.perf_counter() - begun if seconds is None else seconds,
    }


def _figures(model: Any, data: Any, part: str, exclude: Any) -> dict[str, float]:
    from dsae.metrics import ranking

    found = ranking(model, data.train, getattr(data, part), exclude=exclude)
    return {f"{part}_recall": found["recall@20"], f"{part}_ndcg": found["ndcg@20"]}


Found = tuple[Any, str, int, float | None]


def _item_layer(data: Any, settings: dict[str, Any]) -> Found:
    from dsae import DSARecommender

    model = DSARecommender(**settings).fit(data.train)
    return model, "", model.runtime_.model.nnz, model.fit_time_


def _deep(data: Any, settings: dict[str, Any]) -> Found:
    """A code of users' and items' ratings over the roots of their numbers, as PureSVD does best, too."""
    from dsae import DeepSparseAutoencoder

    counts = np.maximum(np.asarray(data.train.sum(0)).ravel(), 1)

    def entering(rows: sp.csr_matrix) -> sp.csr_matrix:
        lengths = np.maximum(np.asarray(rows.sum(1)).ravel(), 1)
        return sp.csr_matrix(sp.diags(lengths**-0.5) @ rows @ sp.diags(counts**-0.5), dtype=np.float32)

    model = DeepSparseAutoencoder(**settings).fit(entering(data.train))

    def scores(rows: sp.csr_matrix) -> np.ndarray:
        return model.runtime_.reconstruct(entering(rows))

    return scores, "", model.nnz_, model.fit_time_


class _Rows:
    """Scores of all training users, who are those that are asked for, in the order of their rows."""

    def __init__(self, X: sp.csr_matrix, scores: np.ndarray) -> None:
        self._place = {X[i].indices.tobytes(): i for i in range(X.shape[0])}
        self._scores = scores

    def __call__(self, rows: sp.csr_matrix) -> np.ndarray:
        return self._scores[[self._place[rows[i].indices.tobytes()] for i in range(rows.shape[0])]]


def _ease(data: Any, discount: float = 0.0) -> Found:
    """EASE (Steck 2019) exactly, by the Gram matrix of the users, who are fewer than the items."""
    X = data.train
    counts = np.asarray(X.sum(0)).ravel()
    K = (X @ X.T).toarray().astype(np.float64) + _EASE_RIDGE * np.eye(X.shape[0])
    KX = np.asarray(X.T @ np.linalg.inv(K).astype(np.float32)).T
    left = 1 - np.asarray(X.multiply(KX).sum(0)).ravel()
    scores = -_EASE_RIDGE * KX / left / np.maximum(counts, 1) ** discount  # of the items that a user does not have
    return _Rows(X, scores), f"ridge {_EASE_RIDGE:g}", X.shape[1] * (X.shape[1] - 1), None


def _pure_svd(data: Any) -> Found:
    """Every rank from one eigendecomposition of the users' Gram matrix, with and without normalised rows and items."""
    X, best = data.train, (-1.0, "", np.zeros(0), 0)
    counts, lengths = (np.maximum(np.asarray(X.sum(axis)).ravel(), 1) for axis in (0, 1))
    for normalised in (False, True):
        Z = sp.csr_matrix(sp.diags(lengths**-0.5) @ X @ sp.diags(counts**-0.5)) if normalised else X
        _, U = np.linalg.eigh((Z @ Z.T).toarray().astype(np.float64))
        for rank in _RANKS:
            top = U[:, -rank:].astype(np.float32)
            scores = top @ np.asarray(Z.T @ top).T
            recall = _figures(_Rows(X, scores), data, "valid", None)["valid_recall"]
            if recall > best[0]:
                about = f"rank {rank}, {'rows and items ^-0.5' if normalised else 'plain'}"
                best = recall, about, scores, rank * X.shape[1]
    return _Rows(X, best[2]), best[1], best[3], None


def _item_knn(data: Any) -> Found:
    """The nearest items by co-counts over a power of the item's own count."""
    X, best = data.train, (-1.0, "", sp.csr_matrix((0, 0)))
    counts = np.maximum(np.asarray(X.sum(0)).ravel(), 1)
    G = sp.csr_matrix(X.T @ X)
    G.setdiag(0)
    for power in (0.5, 1.0):
        like = sp.csr_matrix(G @ sp.diags(counts**-power))
        for nearest in _KNN_NEAREST:
            W = _largest_of_rows(like, nearest).T.tocsr()
            recall = _figures(_linear(W), data, "valid", None)["valid_recall"]
            if recall > best[0]:
                best = recall, f"{nearest} nearest, co-counts / count^{power:g}", W
    return _linear(best[2]), best[1], best[2].nnz, None


def _linear(W: sp.csr_matrix) -> Callable[[Any], np.ndarray]:
    return lambda rows: np.asarray((rows @ W).todense())


def _largest_of_rows(M: sp.csr_matrix, n: int) -> sp.csr_matrix:
    kept = M.copy()
    for i in range(M.shape[0]):
        row = kept.data[kept.indptr[i] : kept.indptr[i + 1]]
        if row.size > n:
            row[np.argsort(-row, kind="stable")[n:]] = 0
    kept.eliminate_zeros()
    return kept


def _mult_dae(data: Any, seed: int) -> Found:
    """Liang et al. 2018: tanh, 600 units, dropout 0.5 of unit rows, multinomial; until validation stops gaining."""
    import torch

    torch.manual_seed(seed)
    X, rng = data.train, np.random.default_rng(seed)
    n_users, n_items = X.shape
    inner = torch.nn.EmbeddingBag(n_items, 600, mode="sum")  # the first layer, of the items that a user has
    torch.nn.init.xavier_uniform_(inner.weight)
    shift, outer = torch.nn.Parameter(torch.zeros(600)), torch.nn.Linear(600, n_items)
    torch.nn.init.xavier_uniform_(outer.weight)
    optimizer = torch.optim.Adam([*inner.parameters(), shift, *outer.parameters()], lr=2e-3)

    def logits(rows: Any, drop: float) -> torch.Tensor:
        lengths = np.maximum(np.diff(rows.indptr), 1)
        weights = np.repeat(lengths**-0.5, np.diff(rows.indptr)) * (rng.random(rows.nnz) >= drop) / (1 - drop)
        at = torch.from_numpy(rows.indices.astype(np.int64)), torch.from_numpy(rows.indptr[:-1].astype(np.int64))
        return outer(torch.tanh(inner(*at, per_sample_weights=torch.from_numpy(weights).float()) + shift))

    @torch.no_grad()
    def scores(rows: Any) -> np.ndarray:
        return logits(rows, 0.0).numpy()

    begun, best, kept, since = time.perf_counter(), -1.0, (0, {}), 0
    parts = {"inner": inner, "outer": outer}
    for epoch in range(1, _EPOCHS + 1):
        for some in np.array_split(rng.permutation(n_users), n_users // 256):
            rows = X[some]
            target = torch.from_numpy(rows.toarray())
            loss = -(torch.log_softmax(logits(rows, 0.5), 1) * target).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch % _CHECK_EVERY == 0:
            ndcg = _figures(scores, data, "valid", None)["valid_ndcg"]
            since = 0 if ndcg > best else since + 1
            if ndcg > best:
                state = {name: {k: v.clone() for k, v in part.state_dict().items()} for name, part in parts.items()}
                best, kept = ndcg, (epoch, state | {"shift": shift.detach().clone()})
            if since == _PATIENCE:
                break
    seconds = time.perf_counter() - begun
    for name, part in parts.items():
        part.load_state_dict(kept[1][name])
    shift.data.copy_(kept[1]["shift"])
    return scores, f"{kept[0]} epochs", 2 * 600 * n_items, seconds


def render(rows: list[dict[str, Any]], images: Path) -> str:
    """Text and one table, the best by test recall first."""
    from benchmarks.page.common import table

    found = _by_method(rows)
    lines = [
        (
            name,
            results[0]["chosen"] or _written(settings),
            f"{_middle(results, 'weights') / 1e6:.2f} M",
            f"{_middle(results, 'fit_seconds'):.0f}",
            f"{_middle(results, 'peak_mb') / 1e3:.2f}",
            *(f"{_middle(results, f'{part}_recall'):.3f} / {_middle(results, f'{part}_ndcg'):.3f}" for part in _PARTS),
        )
        for name, (settings, results) in sorted(found.items(), key=lambda item: -_middle(item[1][1], "test_recall"))
    ]
    head = ("method", "settings", "weights", "fit, s", "peak, GB", "validation: recall@20 / NDCG@20", "test")
    return TEXT + table(head, lines, left=2)


_PARTS = ("valid", "test")


def verdicts(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Recall and NDCG of the default recommender, and recall of the deep autoencoder against Mult-DAE."""
    found = {name: results for name, (_, results) in _by_method(rows).items()}
    ours = next(iter(ITEM_LAYERS))
    others = [name for name in found if name.startswith((EASE, SVD, KNN, VAE)) and "our" not in name]
    lines = []
    for what, key in (("recall@20", "test_recall"), ("NDCG@20", "test_ndcg")):
        best = max(others, key=lambda name: _middle(found[name], key))
        lines.append(_line("recommending", what, _middle(found[ours], key), _middle(found[best], key), best))
    if AE in found and VAE in found:
        mine, other = (_middle(found[name], "test_recall") for name in (AE, VAE))
        lines.append(_line("recommending by a deep code", "recall@20", mine, other, VAE))
    return lines


def _line(task: str, what: str, mine: float, other: float, which: str) -> tuple[str, ...]:
    return task, what, f"{mine:.3f}", f"{other:.3f}", which, "wins" if mine >= other else "loses"


def _by_method(rows: list[dict[str, Any]]) -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
    found: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
    for row in rows:
        found.setdefault(row["job"]["method"], (row["job"]["settings"], []))[1].append(row["result"])
    return found


def _middle(results: list[dict[str, Any]], key: str) -> float:
    return median(result[key] for result in results)


def _written(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


TEXT = """
5,551 users and 16,980 articles of citeulike-a (Wang, Chen & Li 2013); a tenth of each user's articles is test, a tenth
validation. All articles that a user does not have are ranked; a user's recall is the share of the held-out articles
among the first 20 (of 20 at most), NDCG as in Mult-VAE, the mean over users. Settings were chosen by the validation
recall: those of the recommender became its defaults, those of the others are searched in every run and named. EASE is
computed by the users, who are fewer than the items: where both are many, its matrix is out of reach. "Discount" divides
an item's scores by a power of its users, which helps EASE, too. The deep code sees entries over the roots of how many
their user and their article have. What has nothing random runs once, the others with five seeds; seconds and peak are
the medians, and include the search where there is one.

"""
