"""What an explorer must say of a model, by plain numpy in float64, whatever its depth and modalities."""

import numpy as np

from dsae.config import LOSSES

STEPS = 64  # of integrated gradients
ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "exp": lambda z: np.exp(np.minimum(z, 15)),
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True),
}


def through(layers, rows):
    for weights, bias, activation in layers:
        rows = ACTIVATIONS[activation](rows @ weights.T + bias)
    return rows


class Part:
    """The model of one modality; ``counts`` if its output is times the total of a row."""

    def __init__(self, model):
        halves = {"encoder": [], "decoder": []}
        for name, layer in model.layers.items():
            weights = layer.to_dense().astype(np.float64)
            halves[name.split(".")[0]].append([weights, layer.bias.astype(np.float64), model.config.activations[name]])
        self.encoder, self.decoder = halves.values()
        self.encoder[-1][2] = "identity"  # of the joint code
        self.one = len(self.decoder) == 1
        loss = LOSSES[model.training.get("loss", "mse")]
        self.counts, self.extras = loss.exposure, model.extras
        self.unit = loss.unit or (lambda x, made: np.square(x - made))


class Truth:
    """A model on rows: ``models``, ``rows``, ``weights`` and mean ``totals`` by modality; rows of NaN lack one."""

    def __init__(self, models, rows, labels=None, weights=None, totals=None):
        self.parts = {name: Part(model) for name, model in models.items()}
        self.config = next(iter(models.values())).config
        self.rows = {name: np.asarray(X, np.float64) for name, X in rows.items()}
        self.X, self.labels = np.hstack(list(self.rows.values())), None if labels is None else np.array(labels)
        self.weights = weights or dict.fromkeys(models, 1.0)
        self.totals = totals or {}
        self.there = there = {name: ~np.isnan(X).all(axis=1) for name, X in self.rows.items()}
        shares = {name: there[name][:, None] * self.weights[name] for name in models}
        before = {name: through(part.encoder, np.nan_to_num(self.rows[name])) for name, part in self.parts.items()}
        self.codes = self._active(sum(shares[name] * before[name] for name in models) / sum(shares.values()))
        self.threshold = {"sigmoid": 0.5}.get(self.config.code_activation, 0)
        self.on, self.n_latents = self.codes > self.threshold, self.codes.shape[1]
        self.exact = all(part.one and part.decoder[0][2] == "identity" for part in self.parts.values())
        self.writes, self.reads = self._writes(), self._reads()
        self.norms = np.linalg.norm(self.writes, axis=0)
        self.energy = np.square(self.codes).mean(axis=0) * self.norms**2
        self.energy /= self.energy.sum()
        self.variance = np.nanvar(self.X, axis=0)
        self.variance[self.variance == 0] = self.variance[self.variance > 0].min()
        relative = [part.one and part.decoder[0][2] != "identity" for part in self.parts.values()]
        self.base = np.where(np.repeat(relative, [X.shape[1] for X in self.rows.values()]), 1, self.variance)

    def _active(self, z):
        if self.config.code_activation != "topk":
            return ACTIVATIONS[self.config.code_activation](z)
        least = np.sort(z, axis=1)[:, -self.config.k, None]
        return np.where(z >= least, np.maximum(z, 0), 0)

    def decode(self, code, row):
        made = []
        for name, part in self.parts.items():
            total = np.nansum(self.rows[name][row]) if self.there[name][row] else self.totals.get(name)
            made.append(through(part.decoder, code) * (total if part.counts else 1))
        return np.concatenate(made)

    def errors_of(self, row, code):
        """Of each value, as the loss of its modality has them; NaN where it is not known."""
        ends = np.cumsum([X.shape[1] for X in self.rows.values()])[:-1]
        x, made = (np.split(of, ends) for of in (self.X[row], self.decode(code, row)))
        each = zip(self.parts.values(), x, made, strict=True)
        return np.concatenate([part.unit(x, made, **part.extras) for part, x, made in each])

    def error(self, row, code):
        return np.nanmean(self.errors_of(row, code))

    def contributed(self, row, latent):
        """What a latent adds to each feature, of counts as shares: products, or integrated gradients from zero."""
        code = self.codes[row]
        if self.exact:
            return self.writes[:, latent] * code[latent]
        points = (np.arange(STEPS)[:, None] + 0.5) / STEPS * code
        step = 1e-6 * np.eye(self.n_latents)[latent]
        moved = [
            through(part.decoder, points + step) - through(part.decoder, points - step) for part in self.parts.values()
        ]
        return np.hstack(moved).mean(axis=0) / 2e-6 * code[latent]

    def errors(self):
        return np.array([self.error(row, code) for row, code in enumerate(self.codes)])

    def _writes(self):
        """Atoms as columns, or the answers of a deeper decoder round the mean code."""
        mean, steps = self.codes.mean(axis=0), np.sqrt(np.square(self.codes).mean(axis=0))
        moved = mean + np.diag(np.where(steps > 0, steps, 1))
        answers = [through(part.decoder, moved) - through(part.decoder, mean) for part in self.parts.values()]
        each = zip(self.parts.values(), answers, strict=True)
        return np.vstack([p.decoder[0][0] if p.one else a.T / np.where(steps > 0, steps, 1) for p, a in each])

    def _reads(self):
        """The derivative of each latent before its activation at the mean row, by differences."""
        total, found = sum(self.weights.values()), []
        for name, part in self.parts.items():
            mean, step = np.nanmean(self.rows[name], axis=0), 1e-4 * np.eye(self.rows[name].shape[1])
            moved = through(part.encoder, mean + step) - through(part.encoder, mean - step)
            found.append(np.broadcast_to(self.weights[name] / total, moved.shape[1]) * moved / 2e-4)
        return np.vstack(found).T

    def mean_on(self):
        n = self.on.sum(axis=0)
        return np.where(self.on, self.codes, 0).sum(axis=0) / np.where(n > 0, n, np.nan)

    def cosines(self):
        unit = self.writes / np.where(self.norms > 0, self.norms, np.inf)
        cosines = unit.T @ unit
        np.fill_diagonal(cosines, -np.inf)
        return cosines

    def lift(self, label):
        n = self.on.mean(axis=0)
        return self.on[self.labels == label].mean(axis=0) / np.where(n > 0, n, np.nan)

    def waterfall(self, row):
        """Latents of a row by how the error rises without each alone, and how it falls as they join."""
        code, left = self.codes[row], np.zeros(self.n_latents)
        rise = {i: self.error(row, self.without(row, i)) - self.error(row, code) for i in np.flatnonzero(code)}
        order = sorted(rise, key=lambda i: -rise[i])
        drops, before = [], self.error(row, left)
        for latent in order:
            left[latent] = code[latent]
            drops.append(before - self.error(row, left))
            before = self.error(row, left)
        return order, drops, [rise[latent] for latent in order]

    def without(self, row, *latents):
        code = self.codes[row].copy()
        code[list(latents)] = 0
        return code
