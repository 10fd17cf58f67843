"""Deep sparse autoencoders: train with torch, run without it."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsae.comparison import compare as compare
    from dsae.estimators import DeepSparseAutoencoder as DeepSparseAutoencoder
    from dsae.estimators import DSAFeatureSelector as DSAFeatureSelector
    from dsae.estimators import DSAOutlierDetector as DSAOutlierDetector
    from dsae.estimators import DSARecommender as DSARecommender
    from dsae.estimators import MultimodalAutoencoder as MultimodalAutoencoder
    from dsae.explorer import explore as explore
    from dsae.nn import Autoencoder as Autoencoder
    from dsae.nn import SparseLinear as SparseLinear
    from dsae.runtime import Runtime as Runtime
    from dsae.runtime import load as load
    from dsae.topology import Topology as Topology

try:
    __version__ = version("dsae")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0"

_HOMES = {
    "Autoencoder": "dsae.nn",
    "DSAFeatureSelector": "dsae.estimators",
    "DSAOutlierDetector": "dsae.estimators",
    "DSARecommender": "dsae.estimators",
    "DeepSparseAutoencoder": "dsae.estimators",
    "MultimodalAutoencoder": "dsae.estimators",
    "Runtime": "dsae.runtime",
    "SparseLinear": "dsae.nn",
    "Topology": "dsae.topology",
    "compare": "dsae.comparison",
    "explore": "dsae.explorer",
    "load": "dsae.runtime",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dsae' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
