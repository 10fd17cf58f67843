"""What a bad call of every public verb says: operation, expected, got, remedy."""

from inspect import getmembers, isfunction
from types import SimpleNamespace

import pandas as pd
import pytest
from tests.contract.bad_fits import BAD_FITS, X, small
from tests.contract.bad_uses import BAD_USES
from tests.covering import each

import dsae
from dsae import (
    DeepSparseAutoencoder,
    DSAFeatureSelector,
    DSAOutlierDetector,
    DSARecommender,
    MultimodalAutoencoder,
    Runtime,
)
from dsae.interpret import CodeIndex

BAD_CALLS = BAD_FITS | BAD_USES


@pytest.fixture(scope="module")
def fitted():
    topk = small(code_activation="topk", k=2).fit(X)
    detector, selector = DSAOutlierDetector(n_estimators=1, random_state=0).fit(X), DSAFeatureSelector(small()).fit(X)
    recommender = DSARecommender(n_neighbours=2).fit(X)
    joint = MultimodalAutoencoder(n_components=2, density=0.8, max_iter=1, random_state=0).fit({"a": X, "b": X[:, :3]})
    others = {"detector": detector, "selector": selector, "recommender": recommender, "joint": joint}
    return SimpleNamespace(dsa=small().fit(X), topk=topk, **others)


@pytest.mark.filterwarnings("ignore:.*mean of the rows")
@each(verb=BAD_CALLS)
def test_a_bad_call_says_what_to_do(fitted, verb):
    for call, message in BAD_CALLS[verb]:
        with pytest.raises((ValueError, TypeError)) as caught:
            call(fitted)
        assert message in str(caught.value)
        if message.endswith((".", "?")):
            assert str(caught.value) == message


BY_SCIKIT_LEARN = {f"set_{verb}_request" for verb in ("fit", "partial_fit", "score", "transform", "inverse_transform")}


def verbs(kind):
    """Public functions that a class of ours defines itself."""
    own = {name for base in kind.__mro__ if base.__module__.startswith("dsae") for name in vars(base)}
    return {name for name, _ in getmembers(kind, isfunction) if name in own and not name.startswith("_")}


@each(
    kind=[
        DeepSparseAutoencoder,
        DSAFeatureSelector,
        DSAOutlierDetector,
        DSARecommender,
        MultimodalAutoencoder,
        Runtime,
        CodeIndex,
    ]
)
def test_every_verb_has_a_bad_call_here(kind):
    assert verbs(kind), "this check can fail"
    assert verbs(kind) - BY_SCIKIT_LEARN <= set(BAD_CALLS)


def test_every_public_name_has_a_bad_call_here():
    classes = {"DeepSparseAutoencoder", "DSAFeatureSelector", "DSAOutlierDetector", "DSARecommender", "Runtime"}
    classes |= {"MultimodalAutoencoder", "__version__"}
    assert set(dsae.__all__) - classes <= set(BAD_CALLS)


def test_other_columns_than_in_training_are_named():
    named = pd.DataFrame(X).add_prefix("gene ")
    for estimator in (small(), DSAOutlierDetector(n_estimators=1, random_state=0), DSAFeatureSelector(small())):
        estimator.fit(named)
        verb = estimator.score_samples if hasattr(estimator, "score_samples") else estimator.transform
        with pytest.raises(ValueError, match="The feature names should match those that were passed during fit"):
            verb(named[named.columns[::-1]])
