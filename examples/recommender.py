"""Films for users, from the films that they have: python examples/recommender.py."""

import numpy as np
import scipy.sparse as sp

from dsae import DSARecommender
from dsae.data import interactions, make_ratings
from dsae.metrics import ranking

# 3,000 users of 600 films; a fifth of everybody's films is hidden, to be found again
X = make_ratings(3000, 600, per_user=20, random_state=0)
hidden = np.random.default_rng(0).random(X.nnz) < 0.2
seen, held_out = X.copy(), X.copy()
seen.data[hidden], held_out.data[~hidden] = 0, 0
seen.eliminate_zeros()
held_out.eliminate_zeros()

model = DSARecommender(n_neighbours=50).fit(seen, items=[f"film {j}" for j in range(600)])
popular = np.asarray(seen.sum(axis=0))
for name, scores in (
    ("the most popular films", lambda rows: np.repeat(popular, rows.shape[0], axis=0)),
    ("DSARecommender", model),
):
    found = ranking(scores, seen, held_out, k=20)
    print(f"{name}: recall@20 {found['recall@20']:.3f}, NDCG@20 {found['ndcg@20']:.3f}")
print(f"{model.nnz_:,} weights of {600 * 600:,}, fitted in {model.fit_time_:.1f} s")

# by name, also for users that the model has never seen
print(model.recommend([["film 7", "film 12"]], n=3).items)
print(model.similar_items(["film 7"], n=3).items)

# ratings usually come as pairs of a user and an item
pairs = interactions(
    users=["ann", "bob", "ann"], items_of=["film 7", "film 12", "film 40"], items=model.feature_names_in_
)
print(pairs.users, model.recommend(pairs.X, n=2).items.tolist())
print(sp.vstack([seen, pairs.X]).shape[0], "users after", model.partial_fit(pairs.X).n_users_)
