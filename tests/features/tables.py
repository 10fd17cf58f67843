"""A table of every kind of column."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

N = 60
CONTAINERS = {
    "pandas": lambda table: table,
    "polars": pl.from_pandas,
    "arrow": lambda table: pa.Table.from_pandas(table, preserve_index=False),
}


def mixed(n=N, seed=0):
    """Sixty people: every kind of column that becomes features, ids, free text, and a cell missing here and there."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "person": [f"p{i}" for i in range(n)],
            "colour": rng.choice(["red", "blue", "green"], n),
            "age": rng.integers(20, 80, n),
            "height": rng.normal(1.7, 0.1, n),
            "smokes": rng.choice(["yes", "no"], n),
            "member": rng.random(n) > 0.5,
            "born": pd.date_range("1960-01-01", periods=n, freq="7D"),
            "seen": [
                f"{m:02d}/{d:02d}/2020" for m, d in zip(rng.integers(1, 13, n), rng.integers(1, 28, n), strict=True)
            ],
            "note": [f"{i} lines of text" for i in rng.integers(0, 10**6, n)],
            "grade": pd.Categorical(rng.choice(list("abc"), n), categories=list("cabd"), ordered=True),
            "children": pd.array(rng.integers(0, 5, n), "Int64"),
            "planet": "Earth",
        }
    )
    table.loc[3, ["colour", "smokes", "grade"]] = None
    table.loc[4, ["height", "born", "children"]] = None
    return table


FEATURES = [
    *("colour=blue", "colour=green", "colour=red", "age", "height", "smokes", "member", "born", "seen"),
    *("grade=c", "grade=a", "grade=b", "children"),
]
USED = ["colour", "age", "height", "smokes", "member", "born", "seen", "grade", "children", "planet"]
