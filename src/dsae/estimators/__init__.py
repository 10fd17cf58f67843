"""Estimators with scikit-learn's interface."""

from dsae.estimators._autoencoder import DeepSparseAutoencoder as DeepSparseAutoencoder
from dsae.estimators._multimodal import MultimodalAutoencoder as MultimodalAutoencoder
from dsae.estimators._outlier import DSAOutlierDetector as DSAOutlierDetector
from dsae.estimators._recommender import DSARecommender as DSARecommender
from dsae.estimators._selector import DSAFeatureSelector as DSAFeatureSelector
