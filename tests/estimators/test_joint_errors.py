"""What a joint model refuses, in a line that says what to do."""

import numpy as np
import pytest
from tests.covering import each
from tests.estimators.test_multimodal import small, views

from dsae import MultimodalAutoencoder, store


def few(n):
    rows = views()["image"].copy()
    rows[n:] = np.nan
    return rows


def halves(first):
    rows = views()["image" if first else "sound"].copy()
    rows[first::2] = np.nan
    return rows


REFUSED = {
    "few": ({}, {"image": few(9), "word": views()["word"]}, r"'image' is in 9 of 240"),
    "unknown loss": ({"loss": {"imge": "bce"}}, views(), "Did you mean 'image'"),
    "loss": ({"loss": {"sound": "bce"}}, views(), r"needs X\['sound'\] in \[0, 1\]"),
    "weights": ({"weights": {"image": 0}}, views(), r"weights\['image'\] must be"),
    "dropout": ({"modality_dropout": 1.5}, views(), "modality_dropout must be"),
    "thresholds": ({"code_activation": "jumprelu"}, views(), "must have no thresholds"),
    "modality": ({"modalities": {"image": None, "audio": None}}, views(), "does not know"),
    "absent": ({"modalities": {"image": None, "audio": None}}, {"image": views()["image"]}, "must have the modality"),
    "density": ({"density": {"image": 2}}, views(), r"density must be"),
    "noise": ({"noise": 0.5}, views(), r"0 for sparse rows of 'word'.* noise by modality.*, or give X\['word'\]"),
    "noise by modality": ({"noise": {"sound": -1}}, views(), "noise must be"),
    "mask by modality": ({"mask": {"wrd": 0.5}}, views(), "Did you mean 'word'"),
}


@each({"settings, X, message": REFUSED.values()})
def test_what_cannot_be_fitted_is_told_in_a_line(settings, X, message):
    with pytest.raises(ValueError, match=message) as found:
        small(max_iter=1, **settings).fit(X)
    assert "\n" not in str(found.value)


def test_modalities_must_be_named():
    with pytest.raises(TypeError, match="a dict of names and encoders"):
        small("image").fit(views())
    with pytest.raises(TypeError, match="must be a transformer of"):
        small({"image": 3}).fit(views())


def test_two_modalities_that_never_meet_are_told():
    with pytest.warns(UserWarning, match="No row has both 'one' and 'other'"):
        small(max_iter=1).fit({"one": halves(1), "other": halves(0)})


def test_a_folder_of_something_else_is_no_joint_model(tmp_path):
    with pytest.raises(ValueError, match="not the folder of a joint model"):
        MultimodalAutoencoder.load(tmp_path)
    with pytest.raises(ValueError, match="not the folder of a joint model"):
        store.read_joint(tmp_path)
