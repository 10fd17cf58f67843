"""What a bad call of every public verb says: operation, expected, got, remedy."""

from inspect import getmembers, isfunction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.covering import each

import dsae
from dsae import (
    DeepSparseAutoencoder,
    DSAFeatureSelector,
    DSAOutlierDetector,
    DSARecommender,
    MultimodalAutoencoder,
    Runtime,
    SparseLinear,
    Topology,
)
from dsae.data import read_rows, write_rows
from dsae.interpret import (
    CodeIndex,
    ablate,
    atoms,
    contributions,
    describe,
    feature_importances,
    reads,
    steer,
    top_examples,
)
from dsae.sampling import fit_sampler

SETTINGS = {"n_components": 3, "hidden_layer_sizes": (8,), "density": 0.5, "max_iter": 1, "random_state": 0}
X = np.random.default_rng(0).random((30, 6)).astype(np.float32)


def small(**changes):
    return DeepSparseAutoencoder(**SETTINGS | changes)


@pytest.fixture(scope="module")
def fitted():
    topk = small(code_activation="topk", k=2).fit(X)
    detector, selector = DSAOutlierDetector(n_estimators=1, random_state=0).fit(X), DSAFeatureSelector(small()).fit(X)
    recommender = DSARecommender(n_neighbours=2).fit(X)
    joint = MultimodalAutoencoder(n_components=2, density=0.8, max_iter=1, random_state=0).fit({"a": X, "b": X[:, :3]})
    others = {"detector": detector, "selector": selector, "recommender": recommender, "joint": joint}
    return SimpleNamespace(dsa=small().fit(X), topk=topk, **others)


SHAPE = "must have 6 columns, the model's input width; got shape (30, 5)."
ASKED = "X has 5 features, but {} is expecting 6 features as input."
NAN = np.where(X > 0.5, X, np.nan)
FINITE = (
    'X must be finite; it holds NaN, first in row 0. Fit with missing="mask" if such values are not known, or impute '
    "or drop them first."
)
WEIGHTS = "sample_weight must have 30 numbers, one for each row of X; got shape (7,)."
WEIGHT = (
    "sample_weight must be None: every row counts the same; got ndarray. Sample rows by weight instead: "
    "X[rng.choice(len(X), len(X), p=weight / weight.sum())]."
)

UNKNOWN = "X has a modality 'c' that the model does not know. Known: a, b."
BAD_CALLS = {
    "push": [
        (lambda m: m.dsa.runtime_.push("digits"), "[push] repo_id must be user/repo; got 'digits'."),
        (
            lambda m: m.dsa.runtime_.push("user/digits", license="My own"),
            "[push] license must be an identifier such as bsd-3-clause or mit; got 'My own'.",
        ),
    ],
    "coherence": [
        (
            lambda m: m.joint.coherence({"a": X}, np.zeros(3)),
            "[coherence] y must hold one label for each of 30 rows; got shape (3,).",
        )
    ],
    "fvu_table": [(lambda m: m.joint.fvu_table({"c": X}), f"[fvu_table] {UNKNOWN}")],
    "judges": [
        (lambda m: m.joint.judges({"c": X}, np.zeros(30)), f"[judges] {UNKNOWN}"),
        (
            lambda m: m.joint.judges({"a": X}, [1]),
            "[judges] y must hold one label for each of 30 rows; got shape (1,).",
        ),
    ],
    "render": [(lambda m: m.joint.render("c", X), "[render] The model has no modality 'c'. Known: a, b.")],
    "table": [(lambda m: m.joint.table({"c": X}), f"[table] {UNKNOWN}")],
    "translate": [
        (lambda m: m.joint.translate({"a": X}, to="c"), "[translate] The model has no modality 'c'. Known: a, b."),
        (
            lambda m: m.joint.translate({"a": X[:, :5]}, to="b"),
            "[translate] X['a'] must have 6 columns, as in training; got 5.",
        ),
    ],
    "fit": [
        (lambda m: small().fit(NAN), f"[fit] {FINITE}"),
        (lambda m: small().fit(X, sample_weight=np.ones(7)), f"[fit] {WEIGHTS}"),
        (lambda m: small().fit(X, weights=1), "[fit] There is no argument 'weights'."),
        (
            lambda m: small(shrink="satiency").fit(X),
            "shrink must be one of random, gradient, saliency, magnitude, tempered, set, rigl, granet, none; "
            "got 'satiency'. Did you mean 'saliency'?",
        ),
        (
            lambda m: small(shrink="RigL").fit(X),
            "shrink must be one of random, gradient, saliency, magnitude, tempered, set, rigl, granet, none; "
            "got 'RigL'. Did you mean 'rigl'?",
        ),
        (
            lambda m: small(density={"encoder0": 0.1}).fit(X),
            "density has no setting 'encoder0'. Did you mean 'encoder.0'?",
        ),
        (
            lambda m: small(density={0: 0.1}).fit(X),
            "density has no setting 0. Known: encoder.0, encoder.1, decoder.0, decoder.1.",
        ),
        (
            lambda m: small(hidden_layer_sizes="atuo").fit(X),
            "hidden_layer_sizes must be widths such as (256, 64), or 'auto'; got 'atuo'. Did you mean 'auto'?",
        ),
        (lambda m: small(max_iter="many").fit(X), "max_iter must be a number of epochs, or 'auto'; got 'many'."),
        (
            lambda m: small(learning_rate_init="Auto").fit(X),
            "learning_rate_init must be a number above 0, or 'auto'; got 'Auto'. Did you mean 'auto'?",
        ),
        (lambda m: small(early_stopping="no").fit(X), "early_stopping must be True or False; got 'no'."),
        (lambda m: small(warm_start="no").fit(X), "warm_start must be True or False; got 'no'."),
        (
            lambda m: small(sparse_output=True).fit(X),
            "sparse_output=True is for codes with zeros (relu, topk, batchtopk, jumprelu); "
            "got code_activation='identity'.",
        ),
        (
            lambda m: DSAOutlierDetector(contamination="Auto").fit(X),
            "contamination must be a number in (0, 0.5], or 'auto'; got 'Auto'. Did you mean 'auto'?",
        ),
        (
            lambda m: DSAOutlierDetector(contamination=0.7).fit(X),
            "contamination must be a number in (0, 0.5]; got 0.7.",
        ),
        (
            lambda m: DSAOutlierDetector(n_estimators=0).fit(X),
            "n_estimators must be a whole number of at least 1; got 0.",
        ),
        (lambda m: DSAOutlierDetector().fit(X, sample_weight=np.ones(30)), f"[fit] {WEIGHT}"),
        (
            lambda m: DSAFeatureSelector(m.dsa, n_features_to_select=9, prefit=True).fit(X),
            "n_features_to_select must be at most 6, the features of X; got 9.",
        ),
        (
            lambda m: DSAFeatureSelector(m.dsa, n_features_to_select=1.5, prefit=True).fit(X),
            "n_features_to_select must be a number in (0, 1]; got 1.5.",
        ),
        (lambda m: DSAFeatureSelector(m.dsa, prefit=True).fit(X[:, :5]), f"[fit] X {SHAPE}"),
        (
            lambda m: DSAFeatureSelector(small(), prefit=True).fit(X),
            "[fit] prefit=True needs a fitted DeepSparseAutoencoder, a Runtime or a model folder as estimator; "
            "got DeepSparseAutoencoder.",
        ),
    ],
    "partial_fit": [
        (lambda m: small().partial_fit(NAN), f"[partial_fit] {FINITE}"),
        (lambda m: small().fit(X).partial_fit(X[:, :5]), ASKED.format("DeepSparseAutoencoder")),
    ],
    "set_params": [
        (
            lambda m: small().set_params(n_componets=3),
            "[set_params] DeepSparseAutoencoder has no parameter 'n_componets'. Did you mean 'n_components'?",
        ),
        (
            lambda m: DSAOutlierDetector(small()).set_params(estimator__densty=0.1),
            "[set_params] DeepSparseAutoencoder has no parameter 'densty'. Did you mean 'density'?",
        ),
        (
            lambda m: DSAFeatureSelector().set_params(zzz=1),
            "[set_params] DSAFeatureSelector has no parameter 'zzz'. Known: estimator, n_features_to_select, prefit, "
            "random_state.",
        ),
    ],
    "transform": [
        (lambda m: m.dsa.transform(X[:, :5]), ASKED.format("DeepSparseAutoencoder")),
        (lambda m: m.dsa.transform(NAN), f"[encode] {FINITE}"),
        (
            lambda m: (
                small(code_activation="topk", k=2, sparse_output=True).set_output(transform="pandas").fit_transform(X)
            ),
            "[transform] A pandas data frame cannot hold a sparse matrix. Use sparse_output=False, or "
            "set_output(transform='default').",
        ),
        (lambda m: m.selector.transform(X[:, :5]), "X has 5 features, but DSAFeatureSelector is expecting 6 features"),
    ],
    "inverse_transform": [
        (
            lambda m: m.dsa.inverse_transform(X),
            "[decode] X must have 3 columns, the code's width; got shape (30, 6).",
        ),
    ],
    "score": [
        (lambda m: m.dsa.score(X, sample_weight=np.ones(7)), f"[score] {WEIGHTS}"),
        (
            lambda m: DeepSparseAutoencoder(n_component=3),
            "DeepSparseAutoencoder has no parameter 'n_component'. Did you mean 'n_components'?",
        ),
        (
            lambda m: DSAFeatureSelector(n_features=3),
            "DSAFeatureSelector has no parameter 'n_features'. Did you mean 'n_features_to_select'?",
        ),
        (lambda m: m.dsa.partial_fit(X, sample_weight=np.ones(7)), f"[partial_fit] {WEIGHTS}"),
        (lambda m: m.dsa.score(X[:, :5]), ASKED.format("DeepSparseAutoencoder")),
    ],
    "save": [
        (lambda m: m.dsa.save(__file__), f"[save] {__file__} exists and is not a model folder"),
        (lambda m: m.dsa.runtime_.save(__file__), f"[save] {__file__} exists and is not a model folder"),
    ],
    "load": [
        (lambda m: dsae.load("nowhere"), "[load] nowhere is not a model folder: it has no config.json."),
        (
            lambda m: dsae.load("nowhere", revision="v1"),
            "[load] revision is for a model of the Hub, hf://user/repo; got nowhere. Leave it out.",
        ),
        (lambda m: DeepSparseAutoencoder.load("nowhere"), "[load] nowhere is not a model folder: it has no"),
    ],
    "encode": [
        (lambda m: m.dsa.runtime_.encode(X[:, :5]), f"[encode] X {SHAPE}"),
        (lambda m: m.topk.runtime_.encode(NAN, sparse_output=True), f"[encode] {FINITE}"),
        (lambda m: m.topk.runtime_.encode(X, k=4), "[encode] k must be at most 3, the width of the code; got 4."),
        (lambda m: m.topk.runtime_.encode(X, k=0), "[encode] k must be a whole number of at least 1; got 0."),
        (
            lambda m: m.dsa.runtime_.encode(X, k=2),
            "[encode] k is for topk, batchtopk, jumprelu codes; got k=2 with 'identity'.",
        ),
    ],
    "decode": [
        (
            lambda m: m.dsa.runtime_.decode(sp.csr_matrix(X)),
            "[decode] X must have 3 columns, the code's width; got shape (30, 6).",
        ),
    ],
    "impute": [
        (
            lambda m: m.dsa.impute(NAN),
            '[impute] The model must have missing="mask"; it has missing=\'error\'. Fit it again with missing="mask".',
        ),
    ],
    "fit_sampler": [
        (lambda m: m.dsa.fit_sampler(X[:, :5]), ASKED.format("DeepSparseAutoencoder")),
        (
            lambda m: m.topk.fit_sampler(X),
            '[fit_sampler] kind must be "neighbours" for topk codes, which Gaussians cannot stand for; got '
            "'mixture'. Give kind=\"neighbours\".",
        ),
    ],
    "sample": [
        (
            lambda m: m.dsa.sample(3),
            "[sample] The model must have a sampler; it has none. Fit one: fit_sampler(X) of the estimator, or "
            "dsae fit --sampler mixture.",
        ),
    ],
    "with_sampler": [
        (
            lambda m: m.dsa.runtime_.with_sampler(fit_sampler(X, "neighbours")),
            "[with_sampler] sampler must draw codes of 3 numbers, as the model's are; got one of 6. Fit it to codes of "
            "this model.",
        ),
    ],
    "sample_codes": [(lambda m: m.dsa.runtime_.sample_codes(3), "[sample] The model must have a sampler; it has none")],
    "interpolate": [
        (lambda m: m.dsa.runtime_.interpolate(X, X[:, :5]), f"[interpolate] b {SHAPE}"),
        (lambda m: m.dsa.interpolate(X, X[:7]), "[interpolate] a and b must have as many rows; got 30 and 7."),
    ],
    "denoise": [
        (
            lambda m: m.dsa.denoise(X),
            "[denoise] The model must be trained on rows with noise; it saw clean ones, and would give noise back. Fit "
            "it with noise=1.0 (--noise 1.0), with mask= where values are wrong, or on pairs: fit(noisy, "
            "target=clean).",
        ),
    ],
    "normalize_atoms": [
        (
            lambda m: m.dsa.normalize_atoms(),
            "[normalize_atoms] The model must have a decoder of one layer and a code of",
        )
    ],
    "exposed": [
        (lambda m: m.dsa.runtime_.exposed(X[:3], X), "[exposed] output must have a row for each of 30 rows; got 3.")
    ],
    "filled": [(lambda m: Runtime(m.dsa.runtime_.model).encode(m.dsa.runtime_.filled(NAN)), f"[encode] {FINITE}")],
    "reconstruct": [
        (lambda m: m.dsa.runtime_.reconstruct(X[0]), "[reconstruct] X must be 2-D, [n_samples, n_features]; got 1-D"),
    ],
    "reconstruction_error": [
        (lambda m: m.dsa.reconstruction_error(X[:, :5]), ASKED.format("DeepSparseAutoencoder")),
        (lambda m: m.dsa.runtime_.reconstruction_error(X[:, :5]), f"[reconstruction_error] X {SHAPE}"),
    ],
    "activate": [
        (
            lambda m: m.dsa.runtime_.activate("encoder.9", X),
            "[activate] name must be one of encoder.0, encoder.1, decoder.0, decoder.1; got 'encoder.9'. "
            "Did you mean 'encoder.1'?",
        )
    ],
    "score_samples": [
        (lambda m: m.dsa.runtime_.score_samples(NAN), f"[score_samples] {FINITE}"),
        (
            lambda m: m.dsa.score_samples(X, scale=[1, 2]),
            "[score_samples] scale must hold 6 numbers of at least 0, one per feature; got shape (2,).",
        ),
        (lambda m: m.detector.score_samples(X[:, :5]), ASKED.format("DSAOutlierDetector")),
    ],
    "decision_function": [(lambda m: m.detector.decision_function(NAN), f"[decision_function] {FINITE}")],
    "predict": [(lambda m: m.detector.predict(X[:, :5]), ASKED.format("DSAOutlierDetector"))],
    "explain": [(lambda m: m.detector.explain(NAN), f"[explain] {FINITE}")],
    "explore": [
        (
            lambda m: dsae.explore(m.dsa, X, labels=[1, 2]),
            "[explore] labels must be one for each of 30 rows, in their order; got 2. Give those of the same rows.",
        ),
        (
            lambda m: dsae.explore(m.dsa, X, names=["a"]),
            "[explore] names must name 6 features; got 1. Give one name for each.",
        ),
        (
            lambda m: dsae.explore(m.dsa, X, Path(__file__).parent),
            f"[explore] {Path(__file__).parent} must be a new folder or an explorer; it holds something else.",
        ),
        (lambda m: dsae.explore(m.dsa), "[explore] Either X or codes must be given; got both or neither."),
        (lambda m: dsae.explore(m.dsa, X[:, :5]), f"[explore] X {SHAPE}"),
    ],
    "compare": [
        (lambda m: dsae.compare(X, X[:, :5]), "[compare] X must have 6 columns, as many as X; got shape (30, 5).")
    ],
    "Topology": [
        (
            lambda m: Topology((2, 2), np.zeros(2, np.int32), np.zeros(1, np.int32)),
            "[Topology] indptr must have 3 numbers that rise from 0 to 1.",
        )
    ],
    "SparseLinear": [(lambda m: SparseLinear(3, 3, density=2), "density must be a number in (0, 1]; got 2.")],
    "Autoencoder": [
        (lambda m: dsae.Autoencoder(3), "[Autoencoder] config must be a dsae.config.AutoencoderConfig; got int.")
    ],
    "CodeIndex": [
        (
            lambda m: CodeIndex(X, metric="cosinus"),
            "metric must be one of cosine, euclidean; got 'cosinus'. Did you mean 'cosine'?",
        ),
        (
            lambda m: CodeIndex(NAN),
            "[CodeIndex] X must be finite; it holds NaN, first in row 0. Impute or drop such values first.",
        ),
    ],
    "recommend": [
        (
            lambda m: m.dsa.recommend(X, 1),
            "[recommend] n must be at most 0, the fewest items left to a row without those seen or excluded; got 1. 30 "
            "of 30 rows have fewer left, first row 0. Ask for fewer, or set fill=True, which gives them shorter lists, "
            "or exclude_seen=False.",
        ),
        (lambda m: m.dsa.recommend(X, 0), "[recommend] n must be a whole number of at least 1; got 0."),
        (lambda m: m.dsa.runtime_.recommend(X[:, :5]), f"[recommend] X {SHAPE}"),
    ],
    "similar_items": [
        (
            lambda m: m.recommender.similar_items([6]),
            "[similar_items] Items must be the model's, columns from 0 to 5; got 6. Leave out what is new, or fit "
            "again.",
        ),
    ],
    "rows": [
        (lambda m: m.recommender.rows([["tea"]]), "[rows] Items must be the model's, columns from 0 to 5; got 'tea'")
    ],
    "nearest": [
        (
            lambda m: CodeIndex(X).nearest(X[:, :5]),
            "[nearest] X must have 6 columns, as many as the index; got shape (30, 5).",
        ),
        (lambda m: CodeIndex(X).nearest(X, 0), "[nearest] n_rows must be a whole number of at least 1; got 0."),
    ],
    "atoms": [(lambda m: atoms(m.dsa.runtime_, latents=[7]), "[atoms] latents must lie in 0..2; got 7..7.")],
    "top_examples": [(lambda m: top_examples(m.dsa.runtime_, X[:, :5]), f"[top_examples] X {SHAPE}")],
    "errors_of": [
        (
            lambda m: m.dsa.runtime_.errors_of(X, X[:, :5]),
            "[errors_of] X_hat must have the shape of X, (30, 6); got (30, 5).",
        ),
    ],
    "entering": [(lambda m: m.dsa.runtime_.entering("reads", X * np.nan), "[reads] X must be finite; it holds NaN")],
    "describe": [(lambda m: describe(m.dsa.runtime_, X[:, :5]), f"[describe] X {SHAPE}")],
    "contributions": [(lambda m: contributions(m.dsa.runtime_, X[:, :5]), f"[contributions] X {SHAPE}")],
    "reads": [(lambda m: reads(m.dsa.runtime_, X, [7]), "[reads] latents must lie in 0..2; got 7..7.")],
    "ablate": [(lambda m: ablate(m.dsa.runtime_, X[:, :5], [0]), f"[ablate] X {SHAPE}")],
    "steer": [
        (
            lambda m: steer(m.dsa.runtime_, X, [0]),
            "[steer] Exactly one of to, add and times must be given; got none.",
        ),
    ],
    "feature_importances": [
        (
            lambda m: feature_importances(m.dsa.runtime_, method="paths"),
            "method must be one of sensitivity, strength, path; got 'paths'. Did you mean 'path'?",
        ),
    ],
    "read_rows": [(lambda m: read_rows("rows.xls"), "[read] rows.xls must end in .npy")],
    "write_rows": [(lambda m: write_rows("rows.xls", X), "[write] rows.xls must end in .npy")],
}


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
