"""Bad calls of what makes and trains models, and what they say; see `test_messages`."""

import numpy as np

import dsae
from dsae import DeepSparseAutoencoder, DSAFeatureSelector, DSAOutlierDetector, SparseLinear, Topology

SETTINGS = {"n_components": 3, "hidden_layer_sizes": (8,), "density": 0.5, "max_iter": 1, "random_state": 0}
X = np.random.default_rng(0).random((30, 6)).astype(np.float32)


def small(**changes):
    return DeepSparseAutoencoder(**SETTINGS | changes)


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

BAD_FITS = {
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
    "fit_sampler": [
        (lambda m: m.dsa.fit_sampler(X[:, :5]), ASKED.format("DeepSparseAutoencoder")),
        (
            lambda m: m.topk.fit_sampler(X),
            '[fit_sampler] kind must be "neighbours" for topk codes, which Gaussians cannot stand for; got '
            "'mixture'. Give kind=\"neighbours\".",
        ),
    ],
    "normalize_atoms": [
        (
            lambda m: m.dsa.normalize_atoms(),
            "[normalize_atoms] The model must have a decoder of one layer and a code of",
        )
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
}
