"""The default method against the dense twin, on images."""

from __future__ import annotations

from experiments.recipe import Recipe

TITLE = "Error at a fraction of the weights: images"
ALONE = True  # its times are compared

_RECIPE = Recipe(
    data="mnist",
    about="MNIST, 784-1024-256-32",
    widths={"n_components": 32, "hidden_layer_sizes": [1024, 256]},
    rates=(2e-3, 4e-3, 6e-3),
    epochs=10,
    longer={0.1: 16, 0.05: 17},
)
jobs, measure, render = _RECIPE.jobs, _RECIPE.measure, _RECIPE.render
