"""A recommender with scikit-learn's interface."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from dsae import store
from dsae.config import AutoencoderConfig, in_range, positive_int
from dsae.data import ArraySource, in_memory
from dsae.estimators._base import column_names, refuse_unknown
from dsae.estimators._items import TakesItems
from dsae.estimators._kept import given_back, kept
from dsae.estimators._training import fitted_attributes
from dsae.estimators._users import as_arrays, as_matrix, checked_names, strengths, without_a_fifth
from dsae.linear import sparse_ridge
from dsae.metrics import Recommendations, ranking
from dsae.runtime import Runtime
from dsae.topology import Layer, Topology

_POWERS = (0.5, 0.5)  # of an item's count, where inputs are chosen (docs/design/recommender.md)
_POPULARITY = 1e-6  # of an item's share of the users: decides where nothing else does
_PLACES = 20  # as many as `recommend` gives
_KEY = "recommender"


class DSARecommender(TakesItems):
    """Recommends items to users from the items that they have, by one sparse layer from items to items.

    An item's score is a weighted sum over at most ``n_neighbours`` other items, the user's being 1 and all else 0. No
    item counts for itself. The neighbours are chosen by the data, and their weights are those of ridge regression, in
    closed form: a linear autoencoder without a path from an item to itself, as EASE (Steck 2019) and SLIM (Ning &
    Karypis 2011), of which only the weights that matter exist. There is nothing to train, hence no epochs and no torch.
    Items that no weight joins to those of a user come in the order of their popularity.

    Rows are users, columns items; what counts is which items a user has. Values above 0 are taken as strengths, so
    turn ratings from 1 to 5 into 0 and 1 first: ``X >= 4``.

    Parameters
    ----------
    n_neighbours : int
        Other items from which an item's score is computed, at most. More are better and take longer: time grows with
        the square of this number, the size of the model in proportion to it.
    ridge : float
        Added to the diagonal of the neighbours' co-counts: an item must share more users than about that to count.
    unseen : float
        Weight of the error at an item that a user does not have, beside 1 at one that they have (Hu, Koren & Volinsky
        2008): it may just be unknown to them.
    discount : float
        Scores of an item are divided by its number of users to this power: 0 favours popular items, 0.5 rare ones.
    grown : float
        Share of the neighbours, in [0, 1], that are chosen in a second stage, by what the first ones leave
        unexplained; see `dsae.linear.sparse_ridge`.
    random_state : int, RandomState or None
        Draws what `score` hides. A fit has nothing random.

    Attributes
    ----------
    runtime_ : Runtime
        The model: the identity as encoder, the weights from items to items as decoder.
    density_, nnz_ : float, int
        Share and number of the weights.
    n_features_in_ : int
        Number of items.
    n_users_ : int
        Users that the model has seen.
    fit_time_ : float
        Seconds.

    Examples
    --------
    >>> X = sp.csr_matrix(np.kron(np.eye(2), np.ones((4, 3))) * (np.arange(48).reshape(8, 6) % 5 > 0))
    >>> model = DSARecommender(n_neighbours=3, ridge=1.0).fit(X)
    >>> model.recommend([[1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 0]], n=1).items.tolist()
    [[1], [5]]
    """

    runtime_: Runtime
    n_users_: int
    fit_time_: float

    def __init__(
        self,
        n_neighbours: int = 200,
        *,
        ridge: float = 20.0,
        unseen: float = 0.3,
        discount: float = 0.15,
        grown: float = 0.0,
        random_state: Any = None,
    ) -> None:
        self._assign(locals())

    def fit(self, X: Any, y: Any = None, *, items: Sequence[str] | None = None, **unknown: Any) -> DSARecommender:
        """Learn from the items of users.

        Parameters
        ----------
        X : scipy sparse, array-like or DataFrame, shape (n_users, n_items)
            Not negative. Users without items teach nothing; items without users are recommended last.
        y : ignored
        items : sequence of str, optional
            Names of the columns, where ``X`` does not name them itself.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is invalid, or ``X`` holds negative values or nothing at all.
        """
        refuse_unknown("fit", unknown)
        begun = time.perf_counter()
        self._check_parameters()
        source = in_memory("fit", X, training=True, missing=None)
        names = column_names(X, source) if items is None else checked_names(items, source.n_features)
        self._learn(strengths("fit", source.X), names)
        self.fit_time_ = time.perf_counter() - begun
        return self

    def partial_fit(self, X: Any, y: Any = None, **unknown: Any) -> DSARecommender:
        """Take in more users, with the result of a `fit` to all users so far.

        Their rows are kept for this, and saved beside the model. To give away a model without them, save what
        `dsae.load` reads: ``dsae.load("model").save("model")``.

        Parameters
        ----------
        X : scipy sparse, array-like or DataFrame, shape (n_users, n_items)
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If ``X`` is invalid, or the model was saved without the rows that it was fitted to.
        """
        refuse_unknown("partial_fit", unknown)
        if not hasattr(self, "runtime_"):
            return self.fit(X)
        begun = time.perf_counter()
        self._check_parameters()
        source = in_memory("partial_fit", X, missing=None)
        self._check_source("partial_fit", X, source)
        if self._users is None:
            raise ValueError(
                "[partial_fit] The model must come with the users that it was fitted to; this one was saved without "
                "them. Fit it to all users again."
            )
        users = sp.vstack([self._users, strengths("partial_fit", source.X)], format="csr")
        self._learn(users, self.runtime_.model.feature_names)
        self.fit_time_ += time.perf_counter() - begun
        return self

    def similar_items(self, items: Any, n: int = 10, *, names: bool = True) -> Recommendations:
        """What is recommended to a user who has one item alone.

        Items that no weight joins to it fill the rest, by popularity, with scores of at most 1e-6: no similarity.

        Parameters
        ----------
        items : sequence of str or int
            Names where items have them, else columns.
        n : int
            Items for each.
        names : bool
            As in `recommend`.

        Returns
        -------
        Recommendations
            ``(items, scores)``, each of shape ``(len(items), n)``.

        Raises
        ------
        ValueError
            If an item is unknown, or ``n`` is not below the number of items.
        """
        check_is_fitted(self)
        if isinstance(items, str) or not isinstance(items, Iterable):
            raise TypeError(f"[similar_items] items must be a list of items; got {items!r}. Give [{items!r}].")
        rows = self.rows([[item] for item in items], "similar_items")
        positive_int("[similar_items] n", n)
        if n >= self.n_features_in_:
            raise ValueError(
                f"[similar_items] n must be at most {self.n_features_in_ - 1}, the other items; got {n}. Ask for fewer."
            )
        return self.runtime_.recommend(rows, n, names=names)

    def score(self, X: Any, y: Any = None, **unknown: Any) -> float:
        """NDCG of the first 20 recommendations, the mean over users; see `dsae.metrics.ndcg_at_k`.

        Parameters
        ----------
        X : scipy sparse, array-like or DataFrame, shape (n_users, n_items)
            The items that the model sees.
        y : csr_matrix, shape (n_users, n_items), optional
            The items that it is to find. By default a fifth of each user's items in ``X``, drawn by ``random_state``,
            is hidden from it and to be found. Labels, one a user, are ignored.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If ``X`` is invalid, or nobody has an item to find.
        """
        refuse_unknown("score", unknown)
        source = self._source("score", X)
        source = source if isinstance(source, ArraySource) else source.load()  # pyright: ignore
        rows = strengths("score", source.X, warned=True)
        if y is None or np.ndim(y) == 1:  # labels, as a search over parameters passes them
            rows, held_out = without_a_fifth(rows, check_random_state(self.random_state))
        else:
            held_out = sp.csr_matrix(y)
        # No more places than the user with the most items has others left.
        left = self.n_features_in_ - int(np.diff(rows.indptr).max())
        k = min(_PLACES, max(1, left))
        return ranking(self.runtime_, rows, held_out, k)[f"ndcg@{k}"]

    def save(self, folder: str | Path) -> Path:
        """Write a model folder, with the users' rows, from which `partial_fit` continues; see docs/format.md."""
        check_is_fitted(self)
        kept = None if self._users is None else {"users": as_arrays(self._users)}
        return store.write(folder, replace(self.runtime_.model, learning=kept))

    @classmethod
    def load(cls, folder: str | Path) -> DSARecommender:
        """The fitted recommender of a model folder.

        Raises
        ------
        ValueError
            If the folder holds another model.
        """
        model = store.read(store.fetched(folder, learning=True), learning=True)
        given = model.training.get(_KEY)
        if not isinstance(given, dict):
            raise ValueError(f"[load] {folder} must hold a DSARecommender; got another model. Read it with dsae.load.")
        n_users = given.get("n_users")
        try:
            estimator = cls(**given_back(cls, {name: value for name, value in given.items() if name != "n_users"}))
        except ValueError as error:
            raise ValueError(f"[load] {folder}: {error}") from None
        users = None if model.learning is None else as_matrix(model.learning, model.config.n_features)
        estimator._adopt(replace(model, learning=None), users, int(n_users or 0))
        estimator.fit_time_ = float(model.metrics.get("fit_seconds", 0.0))
        return estimator

    def _check_parameters(self) -> None:
        positive_int("n_neighbours", self.n_neighbours)
        in_range("ridge", self.ridge, 0, open_low=True)
        in_range("unseen", self.unseen, 0)
        in_range("discount", self.discount, 0)
        in_range("grown", self.grown, 0, 1)

    def _learn(self, users: Any, names: list[str] | None) -> None:
        begun, n = time.perf_counter(), users.shape[1]
        most = min(self.n_neighbours, max(1, n - 1))
        weights = sparse_ridge(users, most, self.ridge, grown=self.grown, powers=_POWERS, unseen=self.unseen)
        counts = np.bincount(users.indices, minlength=n)
        # Dividing the weights of an item divides its scores.
        values = weights.values * (np.maximum(counts, 1.0) ** -self.discount).astype(np.float32)[weights.topology.rows]
        itself = Topology((n, n), np.arange(n + 1), np.arange(n))
        model = store.Model(
            AutoencoderConfig(n_features=n, n_components=n),
            {
                "encoder.0": Layer(itself, np.ones(n, np.float32), np.zeros(n, np.float32)),
                "decoder.0": Layer(
                    weights.topology, values, (_POPULARITY / users.shape[0] * counts).astype(np.float32)
                ),
            },
            training={
                "loss": "mse",
                _KEY: {**kept(self.get_params(deep=False)), "n_users": users.shape[0]},
            },
            feature_names=names,
            metrics={"fit_seconds": time.perf_counter() - begun},
        )
        self._adopt(model, users, users.shape[0])

    def _adopt(self, model: store.Model, users: Any, n_users: int) -> None:
        vars(self).pop("feature_names_in_", None)
        own = fitted_attributes(model)
        kept = ("runtime_", "n_features_in_", "feature_names_in_")
        vars(self).update({name: own[name] for name in kept if name in own})
        weights = model.layers["decoder.0"].topology
        self.density_, self.nnz_, self.n_users_, self._users = weights.density, weights.nnz, n_users, users

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        return tags
