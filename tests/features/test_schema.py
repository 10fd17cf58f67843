"""A description of a table that is made to harm gives a ValueError, or describes a table that works."""

import json
import random

import numpy as np
import pytest
from tests.contract.attacks import RAW, mutated
from tests.covering import each
from tests.features.tables import mixed

from dsae.features import Column, Schema, TableRows


@pytest.fixture(scope="module")
def text():
    return TableRows().fit(mixed()).to_json()


def test_what_it_describes_is_what_it_says(text):
    schema = TableRows.from_json(text).schema_
    assert Schema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema


@each({"seed": range(8)})
def test_whatever_is_changed_is_refused_or_works(text, seed):
    rng, content, worked = random.Random(seed), json.loads(text), 0
    for _ in range(150):
        changed = mutated(content, rng)
        if rng.random() < 0.3:
            changed = mutated(changed, rng) if isinstance(changed, dict) and changed else changed
        try:
            rows = TableRows.from_json(json.dumps(changed))
        except ValueError as error:
            assert str(error).startswith("[from_json] ")  # noqa: PT017
            continue
        worked += 1
        made = rows.to_arrow(np.random.default_rng(seed).normal(size=(3, rows.schema_.n_features)) * 100)
        assert made.num_rows == 3
    assert worked < 150


@each({"raw": RAW})
def test_other_text_is_refused(raw):
    with pytest.raises(ValueError, match=r"^\[from_json\] The text must be what to_json has written"):
        TableRows.from_json(raw.decode("utf-8", "replace"))


@each(
    {
        "changes, message": [
            ({"kind": "klass"}, "Did you mean 'class'"),
            ({"labels": ["a", "a"]}, "must have labels, each once"),
            ({"labels": []}, "must have labels, each once"),
            ({"type": "extension<x>"}, "has a type that dsae does not know"),
            ({"kind": "number", "type": "timestamp[s, tz=../../etc]"}, "has a type that dsae does not know"),
            ({"kind": "number", "scale": -1.0}, "of at least 0"),
            ({"kind": "number", "mean": float("nan")}, "must have a finite mean"),
            ({"kind": "number", "scale": 10**400}, "must have a finite mean"),
            ({"kind": "date", "format": "%c" * 100}, "has a format of dates that dsae does not know"),
            ({"kind": "boolean"}, "must have two labels; got 3"),
            ({"joined": -1}, "of at least 0"),
            ({"categories": ["a"]}, "must have its labels among its categories"),
            ({"dtype": "object"}, "has a dtype that dsae does not know"),
            ({"name": 3}, "name of a column must be str"),
            ({"colour": 3}, "has no setting 'colour'"),
        ]
    }
)
def test_a_column_that_contradicts_itself_is_refused(changes, message):
    column = {"name": "c", "kind": "class", "labels": ["a", "b", "d"]}
    assert Column.from_dict(column).features == ["c=a", "c=b", "c=d"]
    with pytest.raises(ValueError, match=message):
        Column.from_dict(column | changes)


@each(
    {
        "content, message": [
            ({"columns": []}, "must have features"),
            ({"columns": [{"name": "x", "kind": "number"}]}, "must have features"),
            ({"columns": [{"name": "x", "kind": "number", "scale": 1.0}] * 2}, "different names"),
            ({"columns": [{"name": "x", "kind": "boolean", "type": "bool"}], "container": "excel"}, "container"),
            ({"columns": [{"name": "x", "kind": "boolean", "type": "bool"}], "missing": "x"}, "missing of a table"),
            ([], "must be a mapping"),
        ]
    }
)
def test_a_table_that_contradicts_itself_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        Schema.from_dict(content)
