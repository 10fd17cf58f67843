"""Interpretation of trained models: important inputs, the meaning of latents, similar rows."""

from dsae.interpret._atoms import atoms as atoms
from dsae.interpret._atoms import normalize_atoms as normalize_atoms
from dsae.interpret._examples import TopExamples as TopExamples
from dsae.interpret._examples import top_examples as top_examples
from dsae.interpret._importance import feature_importances as feature_importances
from dsae.interpret._importance import most_important as most_important
from dsae.interpret._neighbours import CodeIndex as CodeIndex
from dsae.interpret._neighbours import Neighbours as Neighbours
