"""What an explorer's folder should hold, by loops over dense arrays."""

import numpy as np

from dsae import Runtime

NEAR = {"rtol": 3e-4, "atol": 2e-6}  # shards hold four digits


def entries(lists, i, *keys):
    some = slice(lists["ptr"][i], lists["ptr"][i + 1])
    return [np.asarray(lists[key][some]) for key in keys]


class Oracle:
    """A model on rows, slowly."""

    def __init__(self, model, X):
        self.runtime, self.X = Runtime(model), np.asarray(X, np.float64)
        self.Z = self.runtime.encode(X).astype(np.float64)
        self.on = self.Z != 0
        self.D = model.layers["decoder.0"].to_dense().T.astype(np.float64)
        self.W = model.layers["encoder.0"].to_dense().astype(np.float64)
        self.bias = model.layers["decoder.0"].bias.astype(np.float64)
        self.made = self.Z @ self.D + self.bias
        self.norms = np.sqrt((self.D**2).sum(axis=1))
        variance = self.X.var(axis=0)
        self.base = np.where(variance > 0, variance, variance[variance > 0].min())

    def error(self, row, code):
        return float(((self.X[row] - code @ self.D - self.bias) ** 2).mean())
