"""Explorers of small random models, and what tests do in their pages."""

import csv
import re
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from tests.browser.truth import Truth

from dsae.config import JointConfig
from dsae.explorer import explore
from dsae.runtime import JointRuntime, Runtime
from dsae.store import JointModel

NASTY = "</script><img src=x onerror='window.broken = 1'>\"&"
N_ROWS, N_FEATURES, N_LATENTS = 120, 64, 40
PICTURED = ["latents", "latent=3", "row=5", "compare&a=row:3&b=row:8"]
VIEWS = ["latents", "latent=3", "row=5", "compare", "map", "map&of=rows", "health", "about"]


DIGITS = 5.1e-3  # three are shown
STORED = 2e-3  # four are stored; answers of deeper decoders are differences of float32


def near(found, wanted, rtol=STORED, scale=0.0):
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=1e-6 + 2e-4 * scale)


class Explored(NamedTuple):
    """An explorer's page, the truth about it, and what its lines of Python name."""

    page: Any
    truth: Truth
    names: list
    model: Any
    X: Any
    labels: Any = None
    texts: Any = None


def counts(make_model, folder, loss):
    """Counts alone, by a likelihood of their own."""
    output = "softmax" if loss == "multinomial" else "exp"
    given = {"training": {"loss": loss}}
    if loss == "nb":
        given["extras"] = {"log_dispersion": np.linspace(-1, 2, 18, dtype=np.float32)}
    code = {"code_activation": "relu", "hidden_layer_sizes": ()}
    model = make_model(18, 6, live=0.7, seed=8, output_activation=output, model=given, **code)
    model.layers["decoder.0"].values[:] *= 0.3
    X = np.random.default_rng(4).poisson(2, (40, 18)).astype(np.float32)
    runtime = Runtime(model)
    path = explore(runtime, X, folder) / "index.html"
    return Explored(path, Truth({"": model}, {"": X}), [f"x{j}" for j in range(18)], runtime, X)


def bits(rows=N_ROWS):
    """Pictures of 8 x 8 in which one reads the number of the row: its binary digits, eight times over."""
    return np.array([[(row >> (j % 8)) & 1 for j in range(64)] for row in range(rows)], np.float32)


def number_in(pixels):
    """The number that a picture of `bits` shows; None if its lines differ."""
    lines = np.asarray(pixels).reshape(8, 8) > 127
    return int(np.packbits(lines[0], bitorder="little")[0]) if (lines == lines[0]).all() else None


def words():
    return [f"word{j}" if j % 7 else f"{NASTY}{j}" for j in range(N_FEATURES)]


def documents(X):
    names = words()
    return [" ".join(names[j] for j in X[row].indices) + f" end of {row}" for row in range(X.shape[0])]


def topk(make_model):
    return make_model(N_FEATURES, N_LATENTS, live=0.3, hidden_layer_sizes=(), code_activation="topk", k=6)


def told(make_model, folder, **options):
    """Counts of words with names, labels, texts and ids, of which many look like HTML."""
    X: Any = sp.csr_matrix(np.random.default_rng(1).poisson(0.4, (N_ROWS, N_FEATURES)).astype(np.float32))
    model, texts = topk(make_model), documents(X)
    labels = np.array([f"kind {NASTY if row % 3 else 'plain'} {row % 4}" for row in range(N_ROWS)])
    ids = [f"doc-{row} {NASTY}" for row in range(N_ROWS)]
    given = {"names": words(), "labels": labels, "texts": texts, "ids": ids, "title": NASTY}
    runtime = Runtime(model)
    path = explore(runtime, X, folder, **given, **options) / "index.html"
    return Explored(path, Truth({"": model}, {"": X.toarray()}, labels), words(), runtime, X, labels, texts)


def seen(make_model, folder):
    """Pictures, each of which shows the number of its row."""
    model, X = topk(make_model), bits()
    path = explore(model, X, folder, image_shape=(8, 8)) / "index.html"
    return Explored(path, Truth({"": model}, {"": X}), [], Runtime(model), X)


def deep(make_model, folder):
    """A model of two layers each way whose code has no zeros: a latent is on above 0.5."""
    model = make_model(20, 10, live=0.6, seed=4, hidden_layer_sizes=(14,), code_activation="sigmoid")
    X = np.random.default_rng(2).normal(0, 1, (90, 20)).astype(np.float32)
    labels = np.array(["left", "right", "up"])[np.arange(90) % 3]
    runtime, names = Runtime(model), [f"x{j}" for j in range(20)]
    path = explore(runtime, X, folder, labels=labels) / "index.html"
    return Explored(path, Truth({"": model}, {"": X}, labels), names, runtime, X, labels)


def both(make_model, folder):
    """Numbers by a deeper model, and counts, in one code; some rows lack one of the two."""
    rng, code = np.random.default_rng(3), {"n_components": 8, "code_activation": "topk", "k": 3}
    models = {
        "numbers": make_model(16, live=0.7, seed=5, hidden_layer_sizes=(12,), **code),
        "counts": make_model(
            24, live=0.5, seed=6, hidden_layer_sizes=(), output_activation="exp", **code,
            model={"training": {"loss": "poisson"}},
        ),
    }  # fmt: skip
    models["counts"].layers["decoder.0"].values[:] *= 0.3
    X = {"numbers": rng.normal(0, 1, (80, 16)), "counts": rng.poisson(0.8, (80, 24)).astype(float)}
    X["numbers"][[5, 17]] = X["counts"][40] = np.nan
    X = {name: rows.astype(np.float32) for name, rows in X.items()}
    weight = {name: rng.uniform(0.5, 2, 8).astype(np.float32) for name in models}
    config = JointConfig({name: model.config for name, model in models.items()}, losses={"counts": "poisson"})
    runtime = JointRuntime(JointModel(config, models, weight, totals={"counts": 19.0}))
    names = {"numbers": [f"n{j}" for j in range(16)], "counts": [f"c{j}" for j in range(24)]}
    labels = np.array(["left", "right"])[np.arange(80) % 2]
    path = explore(runtime, X, folder, labels=labels, names=names) / "index.html"
    truth = Truth(models, X, labels, {name: w.astype(np.float64) for name, w in weight.items()}, {"counts": 19.0})
    return Explored(path, truth, names["numbers"] + names["counts"], runtime, X, labels)


def downloaded(page):
    """The table below a view."""
    with page.expect_download() as got:
        page.locator("[data-csv]").click()
    with open(got.value.path(), newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(table, name):
    return np.array([float(row[name]) if row[name] else np.nan for row in table])


def numbers(texts):
    """The first number of each text as it is shown; NaN where there is none."""
    found = [re.search(r"-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?", text) for text in texts]
    percents = ["%" in text for text in texts]
    values = [np.nan if hit is None else float(hit[0].replace(",", "")) for hit in found]
    return np.where(percents, np.array(values) / 100, values)


def cells(page, where):
    """The texts of a table's body, names whole."""
    return page.locator(f"{where} tbody tr").evaluate_all(
        "all => all.map(row => [...row.cells].map(c => c.title || c.textContent))"
    )


def go(page, hash):
    """Change the address and wait until the view stands."""
    page.evaluate(
        """async hash => {
          location.hash = hash;
          const next = () => new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)));
          await next(); await next();
        }""",
        hash,
    )
    settled(page)


def settled(page):
    page.wait_for_function(
        """() => document.querySelector("#page main, main#page")
          && !document.querySelector(".loading")
          && ![...document.querySelectorAll(".quiet")].some(e => /^loading/.test(e.textContent))"""
    )
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))")


def pictures(page, where):
    """The number that each picture under ``where`` shows, and the row that it is said to be."""
    return page.locator(f"{where} .example[data-row]").evaluate_all(
        """all => all.map(e => {
          const canvas = e.querySelector("canvas");
          const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          return [Number(e.dataset.row), [...data].filter((_, i) => i % 4 === 0)];
        })"""
    )
