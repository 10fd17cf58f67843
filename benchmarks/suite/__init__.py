"""The measurements: one module per part, each with ``measure(settings)`` that returns JSON-able rows."""

PARTS = (
    "layer",
    "step",
    "bound",
    "rows",
    "topology",
    "memory",
    "crossover",
    "alternation",
    "growth",
    "stream",
    "wide",
    "overheads",
    "recommender",
    "dictionary",
    "busy",
    "cluster",
)
