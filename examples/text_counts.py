"""Text counts: a CSR matrix from scikit-learn's vectoriser goes in as it is, topics come out.

The texts are made here: each of 600 documents mixes two of six topics, each topic a vocabulary of its own.
"""

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from dsae import DeepSparseAutoencoder

TOPICS = {
    "space": "orbit rocket launch moon satellite shuttle planet telescope mission astronaut",
    "medicine": "doctor patient disease treatment hospital symptom vaccine surgery infection therapy",
    "hockey": "goal puck ice team playoff skate season coach penalty arena",
    "cars": "engine wheel brake dealer mileage gear clutch oil tyre driver",
    "graphics": "pixel image render texture shader polygon colour screen vector animation",
    "faith": "church belief prayer scripture god soul sermon priest worship grace",
}


def make_documents(n: int, rng: np.random.Generator) -> list[str]:
    """Sixty words each, from two topics, and a few that all share."""
    common = ["the", "people", "time", "year", "thing", "work", "day", "part", "place", "way"]
    vocabularies = [words.split() for words in TOPICS.values()]
    documents = []
    for _ in range(n):
        one, other = rng.choice(len(vocabularies), 2, replace=False)
        words = [*rng.choice(vocabularies[one], 35), *rng.choice(vocabularies[other], 15), *rng.choice(common, 10)]
        documents.append(" ".join(words))
    return documents


rng = np.random.default_rng(0)
vectoriser = TfidfVectorizer()
X = vectoriser.fit_transform(make_documents(600, rng))
X_test = vectoriser.transform(make_documents(200, rng))
filled = X.nnz / np.prod(X.shape)
print(f"{type(X).__name__}: {X.shape[0]} documents, {X.shape[1]} words, {filled:.0%} of the table filled")

dsa = DeepSparseAutoencoder(
    n_components=6,
    code_activation="topk",  # two topics in each document: two latents on
    k=2,
    density=0.3,
    max_iter=200,
    batch_size=64,
    learning_rate_init=3e-3,
    random_state=0,
).fit(X)
print(f"explained variance of unseen documents: {dsa.score(X_test):.3f}, with {dsa.nnz_:,} weights")

words = vectoriser.get_feature_names_out()
code, rest = np.eye(6, dtype=np.float32), np.zeros((1, 6), np.float32)
atoms = dsa.inverse_transform(code) - dsa.inverse_transform(rest)
for latent, atom in enumerate(atoms):
    print(f"latent {latent}: {' '.join(words[np.argsort(-atom)[:6]])}")
