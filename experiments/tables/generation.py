"""Images made from drawn codes: sparse autoencoders, their dense twins, PCA and a regularised autoencoder."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from experiments.fits import seeds, spread

TITLE = "Made images"
SEEDS = (0, 1, 2)
WIDTHS = {"hidden_layer_sizes": (1024, 256), "l2": 1e-6, "max_iter": 20, "batch_size": 256}
DENSE = {"density": 1.0, "shrink": "none"}
TOPK = {"hidden_layer_sizes": (), "code_activation": "topk", "k": 25, "density": 0.1}
MODELS: dict[str, dict[str, Any]] = {
    "dsae 5 %, code 16": WIDTHS | {"n_components": 16, "density": 0.05},
    "dense twin, code 16": WIDTHS | {"n_components": 16} | DENSE,
    "regularised (RAE), code 16": {"n_components": 16},
    "PCA 16": {"n_components": 16},
    "dsae 5 %, code 32": WIDTHS | {"n_components": 32, "density": 0.05},
    "dense twin, code 32": WIDTHS | {"n_components": 32} | DENSE,
    "PCA 32": {"n_components": 32},
    "dsae topk 512/25": WIDTHS | {"n_components": 512} | TOPK,
    "training images": {},
}
SAMPLERS = {"mixture of 1": ("mixture", 1), "mixture of 10": ("mixture", 10), "mixture of 100": ("mixture", 100)}
SAMPLERS |= {"neighbours": ("neighbours", 1)}
N_MADE, N_TRAIN, N_SHOWN = 10_000, 20_000, 12
FIGURES = ("frechet", "precision", "recall", "one_nn", "novelty")


def jobs() -> list[dict[str, Any]]:
    """Nine models, three seeds; a run trains one and tries every sampler on its codes."""
    return [{"model": model, "seed": seed} for seed in SEEDS for model in MODELS]


def measure(job: dict[str, Any], load: Any) -> dict[str, Any]:
    """Figures of 10,000 made images beside the 10,000 test images, for each sampler."""
    from experiments.judge import judge
    from experiments.run import WORK

    data, name, seed = load("mnist"), job["model"], job["seed"]
    features, labels = judge(data, WORK)
    result: dict[str, Any] = {"judge_accuracy": float((labels(data.test) == data.y_test).mean())}
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(data.train))
    if name == "training images":
        made = data.train[order[:N_MADE]]
        return result | {"samples": {"as they are": _figures(data, made, order, features)}}
    encode, decode, facts = _model(name, data.train, seed)
    rebuilt = decode(encode(data.test))
    result |= facts | {"mse": float(np.square(rebuilt - data.test).mean())}
    samples = {"reconstructions of test images": _figures(data, rebuilt, order, features)}
    codes = encode(data.train[order[:N_TRAIN]])
    for sampler, (kind, n_components) in SAMPLERS.items():
        if kind == "neighbours" or "topk" not in name:
            samples[sampler] = _sampled(data, (codes, kind, n_components, seed), decode, order, features)
    return result | {"samples": samples}


def _sampled(
    data: Any, how: tuple[Any, str, int, int], decode: Any, order: np.ndarray, features: Any
) -> dict[str, Any]:
    import time

    from dsae.sampling import fit_sampler

    codes, kind, n_components, seed = how
    begun = time.perf_counter()
    sampler = fit_sampler(codes, kind, n_components, random_state=seed)
    fitted = time.perf_counter()
    made = decode(sampler.sample(N_MADE, random_state=seed)).clip(0, 1)
    seconds = {"fit_seconds": fitted - begun, "sample_seconds": time.perf_counter() - fitted}
    shown = {"shown": _packed(made[:N_SHOWN])} if seed == SEEDS[0] else {}
    return _figures(data, made, order, features) | seconds | {"novelty_of_codes": sampler.novelty} | shown


def _figures(data: Any, made: np.ndarray, order: np.ndarray, features: Any) -> dict[str, Any]:
    """On the judge's features; the novelty on 64 principal components of the pixels, where copies are copies."""
    from dsae.metrics import generation

    found = generation(data.test, made, features=features)
    few = generation(data.test, made, data.train[order[:N_TRAIN]], max_rows=1000)
    return found | {"novelty": few["novelty"]}


def _model(name: str, train: np.ndarray, seed: int) -> tuple[Any, Any, dict[str, Any]]:
    """From rows to codes, and back, and what the model costs."""
    settings = MODELS[name]
    if name.startswith("PCA"):
        from sklearn.decomposition import PCA

        pca = PCA(settings["n_components"], svd_solver="randomized", random_state=seed).fit(train)
        n = pca.components_.size
        return lambda X: pca.transform(X).astype(np.float32), pca.inverse_transform, {"nnz": n, "train_seconds": 0.0}
    if name.startswith("regularised"):
        return _regularised(train, settings["n_components"], seed)
    from dsae import DeepSparseAutoencoder

    dsa = DeepSparseAutoencoder(**settings, random_state=seed).fit(train)
    runtime, sparse = dsa.runtime_, dsa.runtime_.config.code.sparse
    facts = {"nnz": dsa.nnz_, "train_seconds": dsa.fit_time_}
    return lambda X: runtime.encode(X, sparse_output=sparse), runtime.decode, facts


def _regularised(train: np.ndarray, width: int, seed: int) -> tuple[Any, Any, dict[str, Any]]:
    """RAE-L2 (Ghosh et al. 2020) of the dense twin's widths: L2 on codes and on the decoder's weights."""
    import time

    import torch
    from torch import nn

    torch.manual_seed(seed)
    widths, begun = (784, 1024, 256, width), time.perf_counter()

    def half(sizes: tuple[int, ...]) -> nn.Sequential:
        layers: list[nn.Module] = []
        for n_in, n_out in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    encoder, decoder = half(widths), half(widths[::-1])
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer, rows = torch.optim.Adam(parameters), torch.from_numpy(train)
    steps = WIDTHS["max_iter"] * -(-len(train) // WIDTHS["batch_size"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps)
    for _ in range(WIDTHS["max_iter"]):
        for batch in torch.randperm(len(train)).split(WIDTHS["batch_size"]):
            x = rows[batch]
            z = encoder(x)
            loss = (decoder(z) - x).square().sum(1).mean() + 1e-4 * z.square().sum(1).mean() / 2
            loss = loss + 1e-7 * sum(weight.square().sum() for weight in decoder.parameters())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    n = sum(parameter.numel() for parameter in parameters)

    def run(network: nn.Module, X: Any) -> np.ndarray:
        with torch.no_grad():
            return torch.cat([network(some) for some in torch.from_numpy(X).split(5000)]).numpy()

    facts = {"nnz": n, "train_seconds": time.perf_counter() - begun}
    return lambda X: run(encoder, X), lambda Z: run(decoder, np.asarray(Z)), facts


def _packed(images: np.ndarray) -> str:
    """A strip of images as text."""
    import base64
    import zlib

    strip = images.reshape(-1, 28, 28).transpose(1, 0, 2).reshape(28, -1)
    return base64.b64encode(zlib.compress((255 * strip).astype(np.uint8).tobytes(), 9)).decode()


def _unpacked(text: str) -> np.ndarray:
    import base64
    import zlib

    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(28, -1)


def render(rows: list[dict[str, Any]], images: Path) -> str:
    """Figures by model and sampler, what was to be reached, and a picture."""
    from benchmarks.page.common import table

    judged = mean(row["result"]["judge_accuracy"] for row in rows)
    lines = []
    for model in MODELS:
        for sampler in _of(rows, model)[0]["samples"]:
            lines.append((model, sampler, *(_shown(rows, model, sampler, figure) for figure in FIGURES)))
    header = ("codes of", "made by", "Fréchet", "precision", "recall", "1-NN", "novelty")
    text = TEXT.format(judged=f"{100 * judged:.1f} %", seeds=seeds(rows), sizes=_sizes(rows))
    bars = table(("to be reached", "measured", "bar", ""), [bar.cells() for bar in _bars(rows)])
    return f"{text}\n{table(header, lines, left=2)}\n{bars}\n{_picture(rows, images)}"


def _of(rows: list[dict[str, Any]], model: str) -> list[dict[str, Any]]:
    return [row["result"] for row in rows if row["job"]["model"] == model]


def _values(rows: list[dict[str, Any]], model: str, sampler: str, figure: str) -> list[float]:
    return [result["samples"][sampler][figure] for result in _of(rows, model)]


def _shown(rows: list[dict[str, Any]], model: str, sampler: str, figure: str) -> str:
    values = _values(rows, model, sampler, figure)
    return "-" if None in values else spread(values)


def _sizes(rows: list[dict[str, Any]]) -> str:
    sizes = {model: _of(rows, model)[0]["nnz"] for model in MODELS if model != "training images"}
    return ", ".join(f"{model} {size:,}" for model, size in sizes.items() if "PCA" not in model)


def _bars(rows: list[dict[str, Any]]) -> list[Any]:
    from benchmarks.page.common import Bar

    def average(model: str, figure: str, sampler: str = "mixture of 100") -> float:
        return mean(_values(rows, model, sampler, figure))

    ours, what = "dsae 5 %, code 16", "code 16, mixture of 100: "
    frechet = average(ours, "frechet")
    return [
        Bar(f"{what}Fréchet distance", frechet, 20, "", at_least=False),
        Bar(f"{what}over the dense twin's", frechet / average("dense twin, code 16", "frechet"), 1.1, at_least=False),
        Bar(f"{what}over PCA's", frechet / average("PCA 16", "frechet"), round(1 / 3, 3), at_least=False),
        Bar(f"{what}precision", average(ours, "precision"), 0.9, ""),
        Bar(f"{what}recall", average(ours, "recall"), 0.65, ""),
        Bar(
            "topk, neighbours: Fréchet distance",
            average("dsae topk 512/25", "frechet", "neighbours"),
            25,
            "",
            at_least=False,
        ),
    ]


def _picture(rows: list[dict[str, Any]], images: Path) -> str:
    """A strip of made images for each model."""
    from matplotlib.figure import Figure

    strips = []
    for model in MODELS:
        found = [result["samples"] for result in _of(rows, model)]
        for sampler in ("mixture of 100", "neighbours"):
            shown = [samples[sampler]["shown"] for samples in found if "shown" in samples.get(sampler, {})]
            if shown and ("code 16" in model or "topk" in model or model == "PCA 16"):
                strips.append((f"{model}, {sampler}", _unpacked(shown[0])))
    if not strips:
        return ""
    made = Figure(figsize=(8, 0.62 * len(strips)))
    for axes, (name, strip) in zip(made.subplots(len(strips), 1, squeeze=False).flat, strips, strict=True):
        axes.imshow(strip, cmap="gray_r", vmin=0, vmax=255)
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        axes.set_ylabel(name.replace(", ", "\n", 1), rotation=0, ha="right", va="center", fontsize=7)
    made.tight_layout()
    made.savefig(images / "made.png", dpi=110, metadata={"Software": None}, facecolor="white")
    return "![Made digits, by model and sampler](img/made.png)\n"


TEXT = """
MNIST: codes of 20,000 training images, 10,000 images made from drawn codes, beside the 10,000 test images. Features are
the 64 numbers of the inner layer of a small convolutional classifier that is trained here (right on {judged} of the
test images). Fréchet distance on all 10,000, the rest on 3,000 and, for the novelty, 1,000 (`dsae.metrics.generation`):
precision and recall with 3 neighbours; 1-NN is .5 where made and real cannot be told apart; novelty is the distance to
the nearest of 20,000 training images over that of test images, on 64 principal components of the pixels. All but PCA
and topk, which is one layer each way, are 784-1024-256-code after 20 epochs: of one seed, code 16 and a mixture of 100
were at a Fréchet distance of 21.2 from the same test images after 10 epochs, and at 16.2 after 20. Weights:
{sizes}. Means of {seeds}.
"""
