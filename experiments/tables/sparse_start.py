"""Methods that never hold more than twice the final weights, against the dense twin of equal time."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from benchmarks.page.common import figure, save, table

from experiments import fits

TITLE = "Sparse from the first step"

DENSITY, BAR = 0.05, 1.35
SHORT, LONG = 10, 35
WIDTHS = {"n_components": 32, "hidden_layer_sizes": [1024, 256]}
METHODS = {SHORT: ("random", "set", "rigl", "granet"), LONG: ("rigl", "granet")}
# layers twice as wide, with about as many live weights
WIDE = {"hidden_layer_sizes": [2048, 512], "density": 0.0227}
RATES = (6e-3,)
SEEDS = range(3)


def jobs() -> list[dict]:
    """The dense twin once, the sparse ones for as many epochs and for about as much time."""
    made = []
    for seed in SEEDS:
        made += [{"shrink": "none", "rate": rate, "epochs": SHORT, "seed": seed} for rate in RATES]
        made += [{"shrink": m, "epochs": epochs, "seed": seed} for epochs in METHODS for m in METHODS[epochs]]
        made.append({"shrink": "granet", "wide": True, "epochs": LONG, "seed": seed})
    return made


def measure(job: dict, load) -> dict:
    """Test error and training time."""
    settings = WIDTHS | {"shrink": job["shrink"], "max_iter": job["epochs"], "random_state": job["seed"]}
    if job["shrink"] == "none":
        settings |= {"density": 1.0, "learning_rate_init": job["rate"]}
    else:
        settings |= {"density": DENSITY} | (WIDE if job.get("wide") else {})
    return fits.fit_and_measure(load("mnist"), settings)


def render(rows: list[dict], images: Path) -> str:
    """A table and a plot of error against time."""
    rate = min(RATES, key=lambda rate: fits.average(rows, "mse", shrink="none", rate=rate))
    dense = {"shrink": "none", "rate": rate}
    error, seconds = fits.average(rows, "mse", **dense), _seconds(rows, dense)
    kinds = [(f"dense twin, rate {rate:g}", dense)]
    for epochs, methods in METHODS.items():
        kinds += [(f"`{m}`", {"shrink": m, "epochs": epochs, "wide": None}) for m in methods]
    kinds.append(("`granet`, layers twice as wide, 13 % more weights", {"shrink": "granet", "wide": True}))
    lines = []
    made, (ax,) = figure(1, 1, height=3.8)
    for name, wanted in kinds:
        found = fits.where(rows, **wanted)
        ratio, time = fits.average(rows, "mse", **wanted) / error, _seconds(rows, wanted)
        epochs = wanted.get("epochs", LONG if "wide" in wanted else SHORT)
        verdict = f"≤ {BAR:g}: {'met' if ratio <= BAR else 'missed'}" if epochs == LONG else ""
        lines.append(
            (
                name,
                epochs,
                f"{found[0]['nnz']:,}",
                fits.spread([r["mse"] for r in found]),
                f"{ratio:.3f}",
                f"{time:.1f}",
                f"{time / seconds:.2f}",
                verdict,
            )
        )
        ax.plot(
            [r["fit_cpu_seconds"] for r in found],
            [r["mse"] for r in found],
            "o",
            linestyle="none",
            label=f"{name}, {epochs}",
        )
    ax.set(xlabel="training, processor s", ylabel="test MSE")
    header = ("", "epochs", "weights", "test MSE", "of the dense error", "fit, processor s", "of its time", "bar")
    return (
        "MNIST, 784-1024-256-32 at density 0.05. `granet` starts at twice the final density, drops by the tempered "
        "score and regrows by the gradient of dead weights; the others have their final density throughout. No "
        "layer is ever "
        "dense, so all of them also train layers that would not fit. "
        f"{fits.seeds(rows).capitalize()}; times are medians of processor time on one thread.\n\n"
        + table(header, lines)
        + "\n"
        + save(made, ax, images, "sparse_start", columns=3)
    )


def _seconds(rows: list[dict], wanted: dict) -> float:
    return median(result["fit_cpu_seconds"] for result in fits.where(rows, **wanted))
