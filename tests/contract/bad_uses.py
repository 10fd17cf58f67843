"""Bad calls of what uses a trained model, and what they say; see `test_messages`."""

from pathlib import Path

import numpy as np
import scipy.sparse as sp
from tests.contract.bad_fits import ASKED, FINITE, NAN, SHAPE, X, small

import dsae
from dsae import DeepSparseAutoencoder, Runtime
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

UNKNOWN = "X has a modality 'c' that the model does not know. Known: a, b."
BAD_USES = {
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
