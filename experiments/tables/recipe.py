"""The default method against the dense twin: equal epochs, and equal wall-clock."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from benchmarks.page.common import figure, save, table

from dsae._baselines import LinearModel, narrow_widths
from experiments import fits

TITLE = "Error at a fraction of the weights"
ALONE = True  # its times are compared

DENSITIES = (0.1, 0.05, 0.02)
BARS = {0.1: 1.05, 0.05: 1.2, 0.02: 1.5}
BARS_BY_TIME = {0.1: 1.0, 0.05: 1.1}
WIDTHS = {
    "mnist": {"n_components": 32, "hidden_layer_sizes": [1024, 256]},
    "news": {"n_components": 32, "hidden_layer_sizes": [256]},
}
EPOCHS = {"mnist": 10, "news": 20}
# so many epochs take about as long as the dense twin's; the page shows how long they did
LONGER = {"mnist": {0.1: 18, 0.05: 20}, "news": {0.1: 40, 0.05: 50}}
RATES = (2e-3, 4e-3, 6e-3)
SEEDS = range(3)
NAMES = {"mnist": "MNIST", "news": "20 Newsgroups"}


def jobs() -> list[dict]:
    """Every learning rate of the dense twin with the first seed, its best with all; the DSA at one rate throughout."""
    made = []
    for data, epochs in EPOCHS.items():
        for seed in SEEDS:
            made += [{"data": data, "what": "dense", "rate": rate, "epochs": epochs, "seed": seed} for rate in RATES]
            made += [
                {"data": data, "what": "sparse", "density": density, "epochs": epochs, "seed": seed}
                for density in DENSITIES
            ]
            made += [
                {"data": data, "what": "longer", "density": density, "epochs": longer, "seed": seed}
                for density, longer in LONGER[data].items()
            ]
            made.append({"data": data, "what": "narrow", "density": 0.05, "epochs": epochs, "seed": seed})
        made.append({"data": data, "what": "PCA", "seed": 0})
    return made


def measure(job: dict, load) -> dict:
    """Test error and training time."""
    data = load(job["data"])
    if job["what"] == "PCA":
        model = LinearModel.fit(data.train, 32)
        return fits.measure(model, data) | {"nnz": model.components.size}
    settings = WIDTHS[job["data"]] | {"max_iter": job["epochs"], "random_state": job["seed"]}
    if job["what"] == "dense":
        settings |= {"density": 1.0, "shrink": "none", "learning_rate_init": job["rate"]}
    elif job["what"] == "narrow":
        settings |= {"density": 1.0, "shrink": "none", **_narrow(data, job)}
    else:
        settings |= {"density": job["density"]}
    return fits.fit_and_measure(data, settings)


def _narrow(data, job: dict) -> dict:
    from dsae.config import AutoencoderConfig
    from dsae.nn._autoencoder import target_nnz

    config = AutoencoderConfig(n_features=data.train.shape[1], density=job["density"], **WIDTHS[job["data"]])
    biases = sum(n_out for n_out, _ in config.layer_shapes.values())
    hidden, code, decoder = narrow_widths(config, sum(target_nnz(config).values()) + biases)
    return {"hidden_layer_sizes": hidden, "n_components": code, "decoder_layer_sizes": decoder}


def render(rows: list[dict], images: Path) -> str:
    """Both tables and a plot of error against time."""
    text = (
        "784-1024-256-32 for MNIST, 10000-256-32 for the word counts (log(1 + count)) of 20 Newsgroups, decoders "
        "mirrored, ReLU, batch 256. The DSA has its default settings throughout. The dense twin is shown at the "
        f"learning rate, of {', '.join(f'{rate:g}' for rate in RATES)}, that gives it the lowest *test* error; the "
        "narrow twin is dense with as many parameters as the DSA of density 0.05. Mean ± standard deviation of three "
        "seeds; times are medians.\n"
    )
    for data in EPOCHS:
        text += f"\n### {NAMES[data]}\n\n" + _table(rows, data)
    return text + "\n" + _plot(rows, images)


def best_rate(rows: list[dict], data: str) -> float:
    """The dense twin's."""
    return min(RATES, key=lambda rate: fits.average(rows, "mse", data=data, what="dense", rate=rate))


def _table(rows: list[dict], data: str) -> str:
    rate = best_rate(rows, data)
    dense = fits.where(rows, data=data, what="dense", rate=rate)
    error, seconds = fits.average(rows, "mse", data=data, what="dense", rate=rate), _seconds(dense)
    lines = [("dense twin", EPOCHS[data], f"{rate:g}", *_cells(dense), "1", f"{seconds:.1f}", "1", "")]
    for what, bars in (("sparse", BARS), ("longer", BARS_BY_TIME)):
        for density, bar in bars.items():
            found = fits.where(rows, data=data, what=what, density=density)
            ratio, time = fits.average(rows, "mse", data=data, what=what, density=density) / error, _seconds(found)
            epochs = EPOCHS[data] if what == "sparse" else LONGER[data][density]
            verdict = f"≤ {bar:g}: {'met' if ratio <= bar else '**missed**'}"
            lines.append(
                (
                    f"DSA, density {density:g}",
                    epochs,
                    "default",
                    *_cells(found),
                    f"**{ratio:.3f}**",
                    f"{time:.1f}",
                    f"{time / seconds:.2f}",
                    verdict,
                )
            )
    for what in ("narrow", "PCA"):
        found = fits.where(rows, data=data, what=what)
        ratio = fits.average(rows, "mse", data=data, what=what) / error
        time = [_seconds(found)] if what == "narrow" else []
        name = "narrow twin" if what == "narrow" else "PCA, 32 components"
        cells = [f"{t:.1f}" for t in time] or [""]
        relative = [f"{t / seconds:.2f}" for t in time] or [""]
        epochs = EPOCHS[data] if what == "narrow" else ""
        lines.append((name, epochs, "default" if time else "", *_cells(found), f"{ratio:.3f}", *cells, *relative, ""))
    header = ("", "epochs", "rate", "weights", "test MSE", "FVU", "of the dense error", "fit, s", "of its time", "bar")
    return table(header, lines)


def _seconds(results: list[dict]) -> float:
    return median(result["fit_seconds"] for result in results)


def _cells(results: list[dict]) -> tuple[str, str, str]:
    mses, fvus = [r["mse"] for r in results], [r["fvu"] for r in results]
    return f"{results[0]['nnz']:,}", fits.spread(mses), f"{sum(fvus) / len(fvus):.4f}"


def _plot(rows: list[dict], images: Path) -> str:
    made, axes = figure(len(EPOCHS), len(EPOCHS))
    for ax, data in zip(axes, EPOCHS, strict=True):
        rate = best_rate(rows, data)
        for name, wanted, style in (
            ("dense twin", {"what": "dense", "rate": rate}, "s"),
            ("DSA, equal epochs", {"what": "sparse"}, "o"),
            ("DSA, longer", {"what": "longer"}, "^"),
            ("narrow twin", {"what": "narrow"}, "x"),
        ):
            chosen = [row for row in rows if {**row["job"], "data": data, **wanted} == row["job"]]
            points = [(row["result"]["fit_seconds"], row["result"]["mse"]) for row in chosen]
            ax.plot(*zip(*points, strict=True), style, label=name, linestyle="none")
            for row in chosen:
                if row["job"]["what"] in ("sparse", "longer") and row["job"]["seed"] == 0:
                    at = (row["result"]["fit_seconds"], row["result"]["mse"])
                    ax.annotate(f"{row['job']['density']:g}", at, (4, 4), textcoords="offset points", fontsize=8)
        ax.set(xlabel="training, s", ylabel="test MSE")
        ax.set_title(NAMES[data], fontsize=10, loc="left")
    return save(made, axes[0], images, "recipe")
