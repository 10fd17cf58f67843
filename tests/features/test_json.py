"""One text for each kind of rows; a text that is made to harm gives a ValueError, or describes something that works."""

import json
import random

import numpy as np
import pytest
from tests.contract.attacks import RAW, TIMES, mutated
from tests.covering import each
from tests.features.tables import mixed

from dsae.features import (
    AudioRows,
    ImageRows,
    TableRows,
    TextRows,
    encoders_from_json,
    encoders_to_json,
    from_json,
)


def fitted():
    return {
        "image": ImageRows((4, 3)).fit([]),
        "audio": AudioRows(8000, 0.1, 4, n_iter=1).fit([]),
        "text": TextRows(ngrams=(1, 2)).fit(["red apple", "green pear"]),
        "hashed": TextRows("hashing", max_features=32).fit([]),
        "table": TableRows().fit(mixed()),
    }


@each({"name": list(fitted())})
def test_a_text_says_its_kind(name):
    encoder = fitted()[name]
    again = from_json(encoder.to_json())
    assert type(again) is type(encoder)
    assert again.to_json() == encoder.to_json() == type(encoder).from_json(encoder.to_json()).to_json()
    assert again.field == encoder.field
    assert again.n_features == encoder.n_features
    assert again.get_feature_names_out().tolist() == encoder.get_feature_names_out().tolist()
    others = {type(other) for other in fitted().values()} - {type(encoder)}
    for other in others:
        with pytest.raises(ValueError, match=r"^\[from_json\] .* it must describe \w+ rows; got "):
            other.from_json(encoder.to_json())


def test_encoders_are_kept_together():
    encoders = fitted()
    again = encoders_from_json(encoders_to_json(encoders))
    assert list(again) == list(encoders)
    assert encoders_to_json(again) == encoders_to_json(encoders)


@each({"name": ["", "../x", "a/b", "a\\b", ".hidden", "id", "label", "x" * 300, "a\nb", "nul:", "a+b"]})
def test_a_modality_has_a_name_that_a_folder_may_have(name):
    content = json.loads(encoders_to_json({"image": fitted()["image"]}))
    content["modalities"][name] = content["modalities"].pop("image")
    with pytest.raises(ValueError, match=r"A modality must have a name that a folder may have"):
        encoders_from_json(json.dumps(content))


@each({"raw": RAW})
def test_other_text_is_refused(raw):
    for read in (from_json, encoders_from_json, ImageRows.from_json):
        with pytest.raises(ValueError, match=r"^\[from_json\] The text must be what to_json has written"):
            read(raw.decode("utf-8", "replace"))


@each({"name": ["image", "audio", "text", "hashed"]})
def test_no_setting_takes_what_is_no_value_of_any(name):
    content = json.loads(fitted()[name].to_json())
    for setting in content["settings"]:
        for value in ("", "x", -1, float("nan"), float("inf"), [], [1], [[]], {"a": 1}):
            changed = content | {"settings": content["settings"] | {setting: value}}
            with pytest.raises(ValueError, match=r"^\[from_json\] The text must be what to_json has written; .*"):
                from_json(json.dumps(changed))
    for key in content:
        with pytest.raises(ValueError, match=r"^\[from_json\] The text must be what to_json has written"):
            from_json(json.dumps({other: value for other, value in content.items() if other != key}))


@each({"name": ["image", "audio", "text", "hashed"]})
def test_whatever_is_changed_is_refused_or_works(name):
    rng, content = random.Random(0), json.loads(fitted()[name].to_json())
    for _ in range(100 * TIMES):
        changed = mutated(content, rng)
        try:
            encoder = from_json(json.dumps(changed))
        except ValueError as error:
            assert str(error).startswith("[from_json] ")  # noqa: PT017
            continue
        assert encoder.n_features <= 1 << 24
        if encoder.n_features < 1 << 12:
            assert encoder.transform([None, None]).shape == (2, encoder.n_features)
            if name != "hashed":
                assert len(encoder.inverse_transform(np.zeros((1, encoder.n_features)))) == 1


@each(
    {
        "change, message": [
            ({"vocabulary": ["a", "a"], "idf": [1, 1]}, "each word once"),
            ({"vocabulary": ["a", ""], "idf": [1, 1]}, "words that are not empty"),
            ({"vocabulary": ["a", 3], "idf": [1, 1]}, "words that are not empty"),
            ({"vocabulary": [], "idf": []}, "words that are not empty"),
            ({"vocabulary": ["\ud800"], "idf": [1]}, "whole characters"),
            ({"vocabulary": ["a"], "idf": [1, 2]}, "one for each word"),
            ({"vocabulary": ["a"], "idf": [float("nan")]}, "one for each word"),
            ({"vocabulary": ["a"], "idf": ["1"]}, "one for each word"),
            ({"idf": None}, r"must have \['idf', 'vocabulary'\]; got \['vocabulary'\]"),
            ({"pickle": "gASVAAAA"}, "has no setting 'pickle'"),
            ({"kind": "txt"}, "Did you mean 'text'"),
            ({"settings": None}, "must have a mapping of settings"),
        ]
    }
)
def test_a_text_that_contradicts_itself_is_refused(change, message):
    content = json.loads(fitted()["text"].to_json())
    with pytest.raises(ValueError, match=message):
        from_json(json.dumps(content | change))


def test_only_text_is_read():
    with pytest.raises(TypeError, match=r"\[from_json\] text must be a str; got bytes"):
        from_json(b"{}")
