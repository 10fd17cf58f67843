"""The default method against the dense twin, at equal epochs and at equal wall-clock: what two tables share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.page.common import figure, save, table

from dsae.comparison._baselines import LinearModel, narrow_widths
from experiments import fits

DENSITIES, IN_BLOCKS = (0.1, 0.05, 0.02), (0.1, 0.05)
BLOCK = 4
SEEDS = range(3)


@dataclass(frozen=True)
class Bar:
    """At most so much of the dense twin's error, in at most so much of its time."""

    error: float = inf
    time: float = inf

    def verdict(self, error: float, time: float) -> str:
        """What was met and what was missed."""
        said = []
        for what, found, most in (("error", error, self.error), ("time", time, self.time)):
            if most < inf:
                said.append(f"{what} ≤ {most:g}: {'met' if found <= most else '**missed**'}")
        return "; ".join(said)


@dataclass(frozen=True)
class Recipe:
    """One data set's table.

    Parameters
    ----------
    data : str
        As `experiments.datasets.load` knows it.
    about : str
        Data and widths, for the text.
    widths : dict
        Settings of the estimator.
    rates : tuple of float
        Learning rates that the dense twin is given.
    epochs : int
    longer : dict of float to int
        Epochs for each density that take about as long as the dense twin's; the page shows how long they did.
    narrow_rates : tuple of float
        Learning rates that the narrow twin is given; none is the default.
    bars : mapping of (str, float) to Bar
        By kind of run and density.
    """

    data: str
    about: str
    widths: dict[str, Any]
    rates: tuple[float, ...]
    epochs: int
    longer: dict[float, int]
    narrow_rates: tuple[float, ...] = ()
    bars: Mapping[tuple[str, float], Bar] = field(default_factory=dict)

    def jobs(self) -> list[dict]:
        """Every learning rate of the dense and the narrow twin, the DSA at its default throughout."""
        made: list[dict] = []
        for seed in SEEDS:
            common = {"epochs": self.epochs, "seed": seed}
            made += [{"what": "dense", "rate": rate, **common} for rate in self.rates]
            made += [{"what": "sparse", "density": density, **common} for density in DENSITIES]
            made += [{"what": "blocks", "density": density, **common} for density in IN_BLOCKS]
            made += [
                {"what": "longer", "density": density, "epochs": epochs, "seed": seed}
                for density, epochs in self.longer.items()
            ]
            narrow = {"what": "narrow", "density": 0.05, **common}
            made += [{**narrow, "rate": rate} for rate in self.narrow_rates] or [narrow]
        return [{"what": "PCA", "seed": 0}, *made]

    def measure(self, job: dict, load) -> dict:
        """Test error and training time."""
        data = load(self.data)
        if job["what"] == "PCA":
            model = LinearModel.fit(data.train, 32)
            return fits.measure(model, data) | {"nnz": model.components.size}
        settings = self.widths | {"max_iter": job["epochs"], "random_state": job["seed"]}
        if job["what"] == "dense":
            settings |= {"density": 1.0, "shrink": "none"}
        elif job["what"] == "narrow":
            settings |= {"density": 1.0, "shrink": "none", **self._narrow(data, job)}
        else:
            settings |= {"density": job["density"], "block_size": BLOCK if job["what"] == "blocks" else 1}
        if "rate" in job:
            settings |= {"learning_rate_init": job["rate"]}
        return fits.fit_and_measure(data, settings)

    def _narrow(self, data, job: dict) -> dict:
        from dsae.config import AutoencoderConfig
        from dsae.nn import target_nnz

        config = AutoencoderConfig(n_features=data.train.shape[1], density=job["density"], **self.widths)
        biases = sum(n_out for n_out, _ in config.layer_shapes.values())
        hidden, code, decoder = narrow_widths(config, sum(target_nnz(config).values()) + biases)
        return {"hidden_layer_sizes": hidden, "n_components": code, "decoder_layer_sizes": decoder}

    def render(self, rows: list[dict], images: Path) -> str:
        """A table and a plot of error against time."""
        rate = _best(rows, "dense", self.rates)
        also = f", and so is the narrow twin, of {', '.join(map(str, self.narrow_rates))}" if self.narrow_rates else ""
        return (
            f"{self.about}, decoder mirrored, ReLU, batch 256. The DSA has its default settings throughout (and in "
            f"blocks, `block_size={BLOCK}`), "
            "which were chosen by test errors on this data, too ([how](design/shrinking.md)). The dense "
            f"twin is shown at the learning rate, of {', '.join(map(str, self.rates))}, that gives it the lowest "
            f"*test* error{also}; the narrow twin is dense with as many parameters as the DSA of density 0.05. Mean ± "
            f"standard deviation of {fits.seeds(rows)}; times are medians. No model has weight decay; the "
            "dense twin gains more from it than the DSA does: "
            "[how much](design/published.md#weight-decay-and-the-dense-twin).\n\n"
            + table(HEADER, self._lines(rows, rate))
            + "\n"
            + self._plot(rows, rate, images)
        )

    def _lines(self, rows: list[dict], rate: float) -> list[tuple]:
        dense = fits.where(rows, what="dense", rate=rate)
        error, seconds = fits.average(rows, "mse", what="dense", rate=rate), _seconds(dense)
        lines = [("dense twin", self.epochs, f"{rate:g}", *_cells(dense), "1", f"{seconds:.1f}", "1", "")]
        for what, densities in (("sparse", DENSITIES), ("blocks", IN_BLOCKS), ("longer", self.longer)):
            for density in densities:
                found = fits.where(rows, what=what, density=density)
                if not found:  # results of an earlier list of runs
                    continue
                ratio, time = fits.average(rows, "mse", what=what, density=density) / error, _seconds(found)
                epochs = next(
                    r["job"]["epochs"] for r in rows if r["job"].get("density") == density and r["job"]["what"] == what
                )
                name = f"DSA, density {density:g}" + (f", blocks of {BLOCK}" if what == "blocks" else "")
                verdict = self.bars.get((what, density), Bar()).verdict(ratio, time / seconds)
                cells = (*_cells(found), f"**{ratio:.3f}**", f"{time:.1f}", f"{time / seconds:.2f}", verdict)
                lines.append((name, epochs, "default", *cells))
        chosen = {"rate": _best(rows, "narrow", self.narrow_rates)} if self.narrow_rates else {}
        narrow, pca = fits.where(rows, what="narrow", **chosen), fits.where(rows, what="PCA")
        time, rate_shown = _seconds(narrow), f"{chosen['rate']:g}" if chosen else "default"
        cells = (*_cells(narrow), f"{fits.average(rows, 'mse', what='narrow', **chosen) / error:.3f}")
        lines.append(("narrow twin", self.epochs, rate_shown, *cells, f"{time:.1f}", f"{time / seconds:.2f}", ""))
        ratio = fits.average(rows, "mse", what="PCA") / error
        return [*lines, ("PCA, 32 components", "", "", *_cells(pca), f"{ratio:.3f}", "", "", "")]

    def _plot(self, rows: list[dict], rate: float, images: Path) -> str:
        made, (ax,) = figure(1, 1)
        for name, wanted, style in (
            ("dense twin", {"what": "dense", "rate": rate}, "s"),
            ("DSA, equal epochs", {"what": "sparse"}, "o"),
            (f"DSA, blocks of {BLOCK}", {"what": "blocks"}, "D"),
            ("DSA, longer", {"what": "longer"}, "^"),
            ("narrow twin", {"what": "narrow"}, "x"),
        ):
            chosen = [row for row in rows if {**row["job"], **wanted} == row["job"]]
            points = [(row["result"]["fit_seconds"], row["result"]["mse"]) for row in chosen]
            ax.plot(*zip(*points, strict=True), style, label=name, linestyle="none")
            for row in chosen:
                if row["job"]["what"] in ("sparse", "blocks", "longer") and row["job"]["seed"] == 0:
                    at = (row["result"]["fit_seconds"], row["result"]["mse"])
                    ax.annotate(f"{row['job']['density']:g}", at, (4, 4), textcoords="offset points", fontsize=8)
        ax.set(xlabel="training, s", ylabel="test MSE")
        return save(made, ax, images, f"recipe_{self.data}")


HEADER = ("", "epochs", "rate", "weights", "test MSE", "FVU", "of the dense error", "fit, s", "of its time", "bar")


def _best(rows: list[dict], what: str, rates: tuple[float, ...]) -> float:
    return min(rates, key=lambda rate: fits.average(rows, "mse", what=what, rate=rate))


def _seconds(results: list[dict]) -> float:
    return median(result["fit_seconds"] for result in results)


def _cells(results: list[dict]) -> tuple[str, str, str]:
    mses, fvus = [r["mse"] for r in results], [r["fvu"] for r in results]
    return f"{results[0]['nnz']:,}", fits.spread(mses), f"{sum(fvus) / len(fvus):.4f}"
