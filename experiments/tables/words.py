"""The default method against the dense twin, on words."""

from __future__ import annotations

from experiments.recipe import Bar, Recipe

TITLE = "Error at a fraction of the weights: words"
ALONE = True  # its times are compared

_RECIPE = Recipe(
    data="news",
    about="Word counts (log(1 + count)) of 20 Newsgroups, 10000-256-32",
    widths={"n_components": 32, "hidden_layer_sizes": [256]},
    rates=(1e-3, 1.5e-3, 2e-3),  # 4e-3 and 6e-3 were worse
    epochs=20,
    longer={0.1: 37, 0.05: 41},
    narrow_rates=(3e-3, 6e-3),  # 1.5e-3 was worse
    bars={
        ("sparse", 0.1): Bar(1.05),
        ("sparse", 0.05): Bar(1.15, 0.25),
        ("sparse", 0.02): Bar(1.5),
        ("longer", 0.1): Bar(1.0),
        ("longer", 0.05): Bar(1.1),
    },
)
jobs, measure, render = _RECIPE.jobs, _RECIPE.measure, _RECIPE.render
