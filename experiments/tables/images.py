"""The default method against the dense twin, on images."""

from __future__ import annotations

from experiments.recipe import Bar, Recipe

TITLE = "Error at a fraction of the weights: images"
ALONE = True  # its times are compared

_RECIPE = Recipe(
    data="mnist",
    about="MNIST, 784-1024-256-32",
    widths={"n_components": 32, "hidden_layer_sizes": [1024, 256]},
    rates=(2e-3, 4e-3, 6e-3),
    epochs=10,
    longer={0.1: 30, 0.05: 36},
    bars={
        ("sparse", 0.1): Bar(1.05),
        ("sparse", 0.05): Bar(1.15, 0.35),
        ("sparse", 0.02): Bar(1.5),
        ("blocks", 0.1): Bar(1.05, 0.3),
        ("blocks", 0.05): Bar(1.2, 0.25),
        ("longer", 0.1): Bar(0.9, 1.05),
        ("longer", 0.05): Bar(0.93, 1.05),
    },
)
jobs, measure, render = _RECIPE.jobs, _RECIPE.measure, _RECIPE.render
