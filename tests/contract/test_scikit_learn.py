"""scikit-learn's own checks, none of them expected to fail."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from dsae import DeepSparseAutoencoder


@parametrize_with_checks([DeepSparseAutoencoder()])
def test_the_estimator_keeps_the_contract(estimator, check):
    check(estimator)
