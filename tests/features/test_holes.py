"""Holes of a table are filled by a model of it, and nothing else of it changes."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.pipeline import make_pipeline
from tests.covering import each
from tests.features.tables import CONTAINERS, N, mixed

from dsae import DeepSparseAutoencoder, load
from dsae.features import TableRows


@each({"container": [*CONTAINERS, "array"], "save": [False, True]})
def test_only_holes_are_filled(container, save, tmp_path):
    table = mixed().drop(columns="planet").set_index(pd.Index([f"row {i}" for i in range(N)]))
    table["stairs"] = np.where(np.arange(N) % 7, 23.0 + np.arange(N) % 5, np.nan)
    given = table.to_numpy(object) if container == "array" else CONTAINERS[container](table)
    rows = TableRows().fit(given)
    model = DeepSparseAutoencoder(2, hidden_layer_sizes=(8,), max_iter=2, missing="mask", random_state=0)
    model.fit(rows.transform(given))
    if save:
        model = load(model.save(tmp_path / "model", table=rows))
    whole = rows.impute(given, model)
    assert type(whole) is type(given)
    back = whole.to_pandas() if container in ("arrow", "polars") else pd.DataFrame(whole)
    back.columns, back.index = table.columns, table.index if container != "pandas" else back.index
    known = table.notna().to_numpy()
    assert known.all(axis=1).sum() < N
    assert back.notna().all().all()
    assert (back.astype(object).to_numpy()[known] == table.astype(object).to_numpy()[known]).all()
    assert (back["stairs"].to_numpy(float) % 1 == 0).all()
    if container in ("arrow", "polars"):
        assert whole.schema == given.schema
    if container == "pandas":
        assert back.dtypes.equals(table.dtypes)
        assert back.index.equals(table.index)


def test_joined_classes_and_nan_fill_holes_too():
    letters = pd.Categorical(list("aaaabbbbcd") * 6)
    table = pd.DataFrame({"letter": letters, "size": np.arange(60) % 7 + 0.5})
    rows = TableRows(min_frequency=10).fit(table)
    table.iloc[0] = None

    class Guesses:
        def impute(self, X):
            return np.where(np.isnan(X), [0, 0, 1, 0], X)

    whole = rows.impute(table, Guesses())
    assert whole["letter"].tolist() == ["(other)", *letters[1:]]
    assert whole["size"][0] == pytest.approx(table["size"].mean(), rel=0.1)
    holed = pa.table({"letter": ["a"] * 60, "size": table["size"].to_numpy()})  # NaN, and no null
    assert not np.isnan(rows.impute(holed, Guesses())["size"].to_numpy()).any()


def test_a_table_without_visible_holes_is_not_filled():
    rows = TableRows(missing="fill").fit(mixed())
    with pytest.raises(ValueError, match=r"\[impute\] TableRows must have missing=\"mask\""):
        rows.impute(mixed(), None)
    with pytest.raises(TypeError, match=r"got Pipeline\. Of a pipeline pass its last step"):
        TableRows().fit(mixed()).impute(mixed(), make_pipeline(rows))
