"""Explorers of small random models, and the truth about them by plain numpy, independent of how the folder was made."""

import csv

import numpy as np
import scipy.sparse as sp

from dsae.runtime import Runtime

NASTY = "</script><img src=x onerror='window.broken = 1'>\"&"
N_ROWS, N_FEATURES, N_LATENTS = 120, 64, 40


class Truth:
    """What a page says of a model with one encoder and one decoder layer."""

    def __init__(self, model, X, labels):
        runtime = Runtime(model)
        self.X = np.asarray(X.toarray() if sp.issparse(X) else X, np.float64)
        self.codes = runtime.encode(X).astype(np.float64)
        self.encoder, self.decoder = (
            model.layers[name].to_dense().astype(float) for name in ("encoder.0", "decoder.0")
        )
        self.bias = model.layers["decoder.0"].bias.astype(np.float64)
        self.labels = np.array(labels)
        self.on = self.codes != 0
        self.norms = np.linalg.norm(self.decoder, axis=0)
        self.energy = np.square(self.codes).mean(axis=0) * self.norms**2
        self.energy /= self.energy.sum()

    def decode(self, code):
        return self.bias + self.decoder @ code

    def error(self, row, code):
        return np.square(self.X[row] - self.decode(code)).sum()

    def mean_on(self):
        return self.codes.sum(axis=0) / np.where(self.on.any(axis=0), self.on.sum(axis=0), np.nan)

    def cosines(self):
        unit = self.decoder / np.where(self.norms > 0, self.norms, np.nan)
        cosines = unit.T @ unit
        np.fill_diagonal(cosines, -np.inf)
        return cosines

    def lift(self, label):
        rows = self.labels == label
        return self.on[rows].mean(axis=0) / np.where(self.on.any(axis=0), self.on.mean(axis=0), np.nan)

    def waterfall(self, row):
        """Latents of a row, strongest first; how the error falls as they join, and rises without each alone."""
        code, left = self.codes[row], np.zeros(N_LATENTS)
        order = sorted(np.flatnonzero(code), key=lambda i: (-abs(code[i]) * self.norms[i], i))
        drops, rises, before = [], [], self.error(row, left)
        for latent in order:
            left[latent] = code[latent]
            drops.append(before - self.error(row, left))
            before = self.error(row, left)
            rises.append(self.error(row, np.where(np.arange(N_LATENTS) == latent, 0, code)) - self.error(row, code))
        return order, drops, rises


def bits(rows=N_ROWS):
    """Pictures of 8 x 8 in which one reads the number of the row: its binary digits, eight times over."""
    return np.array([[(row >> (j % 8)) & 1 for j in range(64)] for row in range(rows)], np.float32)


def number_in(pixels):
    """The number that a picture of `bits` shows; None if its lines differ."""
    lines = np.asarray(pixels).reshape(8, 8) > 127
    return int(np.packbits(lines[0], bitorder="little")[0]) if (lines == lines[0]).all() else None


def counts():
    return sp.csr_matrix(np.random.default_rng(1).poisson(0.4, (N_ROWS, N_FEATURES)).astype(np.float32))


def words():
    return [f"word{j}" if j % 7 else f"{NASTY}{j}" for j in range(N_FEATURES)]


def documents(X):
    names = words()
    return [" ".join(names[j] for j in X[row].indices) + f" end of {row}" for row in range(X.shape[0])]


def downloaded(page):
    """The table below a view."""
    with page.expect_download() as got:
        page.locator("[data-csv]").click()
    with open(got.value.path(), newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(table, name):
    return np.array([float(row[name]) if row[name] else np.nan for row in table])


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
