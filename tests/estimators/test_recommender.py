"""Items are recommended to users by what they have, and a model folder does what the estimator did."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each
from tests.estimators.users import GROUPS, N_ITEMS, N_USERS, NAMES, SETTINGS, X, ratings, weights

import dsae
from dsae import DeepSparseAutoencoder, DSARecommender
from dsae.data import ArraySource
from dsae.estimators._users import without_a_fifth
from dsae.linear import sparse_ridge
from dsae.metrics import ndcg_at_k, ranking
from dsae.runtime import Runtime


@pytest.fixture(scope="module")
def model():
    return DSARecommender(**SETTINGS).fit(X, items=NAMES)


def test_items_of_the_same_group_are_recommended(model):
    items, scores = model.recommend(ratings(50, seed=1), 3, names=False)
    assert scores.shape == items.shape == (50, 3)
    assert (np.diff(scores, axis=1) <= 0).all()
    fresh = ratings(50, seed=1).toarray()
    group = np.stack([fresh[:, np.arange(N_ITEMS) % GROUPS == g].sum(axis=1) for g in range(GROUPS)]).argmax(axis=0)
    assert (items % GROUPS == group[:, None]).mean() > 0.9


def test_scores_are_the_ridge_layers_and_own_items_are_left_out(model):
    layer, counts = sparse_ridge(X, 8, 5.0, unseen=0.3), np.asarray(X.sum(axis=0))
    np.testing.assert_array_equal(weights(model).topology.indices, layer.topology.indices)
    plain = X @ layer.to_csr().T.toarray() / counts**0.15
    plain[X.toarray() > 0] = -np.inf
    items, scores = model.recommend(X, 5, names=False)
    wanted = np.sort(plain, axis=1)[:, ::-1][:, :5]
    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    assert not np.take_along_axis(X.toarray(), items, axis=1).any()


def test_seen_items_come_where_they_are_asked_for(model):
    items, _ = model.recommend(X, N_ITEMS, exclude_seen=False, names=False)
    np.testing.assert_array_equal(np.sort(items, axis=1), np.tile(np.arange(N_ITEMS), (N_USERS, 1)))


def test_items_out_of_stock_are_left_out_for_all_or_for_some(model):
    gone = np.zeros((1, N_ITEMS))
    gone[0, :20] = 1
    assert model.recommend(X, 5, exclude=gone, names=False).items.min() >= 20
    some = sp.csr_matrix(np.vstack([gone, np.zeros((1, N_ITEMS))]))
    both = model.recommend(X[:2], 5, exclude=some, names=False).items
    np.testing.assert_array_equal(both[0], model.recommend(X[:1], 5, exclude=gone, names=False).items[0])
    np.testing.assert_array_equal(both[1], model.recommend(X[1:2], 5, names=False).items[0])


def test_the_diagonal_is_empty_and_the_layer_has_its_inputs(model):
    W = weights(model).to_csr()
    assert not W.diagonal().any()
    assert np.diff(W.indptr).max() == 8
    assert model.nnz_ == W.nnz
    assert model.density_ == W.nnz / N_ITEMS**2


def test_new_users_give_what_all_users_would_have_given():
    in_parts = DSARecommender(**SETTINGS).partial_fit(X[:100]).partial_fit(X[100:150]).partial_fit(X[150:])
    whole = DSARecommender(**SETTINGS).fit(X)
    np.testing.assert_array_equal(weights(in_parts).topology.indices, weights(whole).topology.indices)
    np.testing.assert_array_equal(weights(in_parts).values, weights(whole).values)
    assert in_parts.n_users_ == N_USERS


@each(strengths=[1.0, 0.5])
def test_a_folder_does_what_the_estimator_did_and_goes_on(strengths, tmp_path):
    some, others = X[:200] * strengths, X[200:] * strengths
    model = DSARecommender(**SETTINGS).fit(some, items=NAMES)
    folder = model.save(tmp_path / "model")
    loaded, runtime = DSARecommender.load(folder), dsae.load(folder)
    for other in (loaded, runtime):
        items, scores = other.recommend(others, 4)
        np.testing.assert_array_equal(items, model.recommend(others, 4).items)
        np.testing.assert_array_equal(scores, model.recommend(others, 4).scores)
    assert (loaded.n_users_, loaded.nnz_, loaded.get_params()) == (200, model.nnz_, model.get_params())
    np.testing.assert_array_equal(
        weights(loaded.partial_fit(others)).values, weights(DSARecommender(**SETTINGS).fit(X * strengths)).values
    )


def test_a_folder_without_its_users_cannot_go_on(model, tmp_path):
    model.save(tmp_path / "model")
    dsae.load(tmp_path / "model").save(tmp_path / "without")
    other = DSARecommender.load(tmp_path / "without")
    np.testing.assert_array_equal(other.recommend(X, 3).items, model.recommend(X, 3).items)
    with pytest.raises(ValueError, match=r"saved without them\. Fit it to all users again"):
        other.partial_fit(X)


def test_another_model_is_no_recommender(make_model, tmp_path):
    Runtime(make_model(6, 3)).save(tmp_path / "model")
    with pytest.raises(ValueError, match="must hold a DSARecommender; got another model"):
        DSARecommender.load(tmp_path / "model")


def test_a_recommender_is_not_loaded_as_an_autoencoder(tmp_path):
    DSARecommender().fit(sp.csr_matrix(np.eye(6, dtype=np.float32) + np.eye(6, k=1))).save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"it holds a recommender\. Read it with DSARecommender\.load"):
        DeepSparseAutoencoder.load(tmp_path / "model")


def test_users_without_items_get_the_most_popular_ones(model):
    counts = np.asarray(X.sum(axis=0)).ravel()
    items, _ = model.recommend(sp.csr_matrix((1, N_ITEMS), dtype=np.float32), 5, names=False)
    np.testing.assert_array_equal(items[0], np.lexsort((np.arange(N_ITEMS), -counts))[:5])


def test_items_that_nobody_has_come_last_and_users_without_items_teach_nothing():
    wider = sp.hstack([X, sp.csr_matrix((N_USERS, 2))], format="csr")
    model = DSARecommender(**SETTINGS).fit(sp.vstack([wider, sp.csr_matrix((5, N_ITEMS + 2))], format="csr"))
    np.testing.assert_array_equal(weights(model).values, weights(DSARecommender(**SETTINGS).fit(X)).values)
    items, scores = model.recommend(wider[:1], N_ITEMS + 2, exclude_seen=False, names=False)
    assert (scores[items >= N_ITEMS] == 0).all()
    assert model.similar_items([N_ITEMS], 3, names=False).scores.max() < 1e-5


def test_a_user_of_nearly_all_items_leaves_few_places_to_score():
    seen = np.zeros((2, N_ITEMS))
    seen[0, :-3], seen[1, :5] = 1, 1
    held_out = np.roll(np.eye(2, N_ITEMS), -1, axis=1)
    model = DSARecommender(**SETTINGS).fit(X)
    found = ndcg_at_k(model.recommend(seen, 3, names=False).items, held_out, 3).mean()
    assert model.score(seen, held_out) == pytest.approx(found)


def test_a_fifth_of_the_items_of_a_user_is_hidden_but_never_the_only_one():
    rows = sp.csr_matrix(np.tri(12, dtype=np.float32))
    seen, held_out = without_a_fifth(rows, np.random.RandomState(0))
    assert np.diff(held_out.indptr).tolist() == [0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3]
    np.testing.assert_array_equal((seen + held_out).toarray(), rows.toarray())


def test_the_score_is_the_ndcg_of_what_is_found():
    model = DSARecommender(**SETTINGS).fit(X)
    seen, held_out = X.multiply(np.arange(N_ITEMS) < 30).tocsr(), X.multiply(np.arange(N_ITEMS) >= 30).tocsr()
    k = min(20, N_ITEMS - int(np.diff(seen.indptr).max()))
    wanted = np.nanmean(ndcg_at_k(model.recommend(seen, k, names=False).items, held_out, k))
    assert model.score(seen, held_out) == pytest.approx(wanted)
    hidden = DSARecommender(**SETTINGS, random_state=0).fit(X)
    assert 0.3 < hidden.score(ratings(100, seed=2)) < 1
    assert hidden.score(X) == hidden.score(X, np.zeros(N_USERS))
    popular = lambda rows: np.tile(np.asarray(X.sum(axis=0)), (rows.shape[0], 1))  # noqa: E731
    assert model.score(seen, held_out) > 1.5 * ranking(popular, seen, held_out, k)[f"ndcg@{k}"]


@each(deep=[False, True])
def test_rows_from_a_source_come_in_pieces(model, monkeypatch, deep):
    monkeypatch.setattr("dsae.estimators._base.ROWS_AT_ONCE", 64)
    if deep:
        model = DeepSparseAutoencoder(4, hidden_layer_sizes=(), max_iter=1, density=0.5, random_state=0).fit(X)

    class Pieces:
        n_features = N_ITEMS

        def __len__(self):
            return N_USERS

        def batches(self, batch_size, seed=None):
            return (rows.rows for rows in ArraySource(X).batches(batch_size, seed))

    np.testing.assert_array_equal(model.recommend(Pieces(), 3).items, model.recommend(X, 3).items)
    others = ratings(seed=3)
    with pytest.raises(ValueError, match=r"exclude must have 300 rows, as many as X, or one; got 301\."):
        model.recommend(Pieces(), 3, exclude=sp.vstack([others, others[:1]]))
    wanted = model.recommend(X, 3, exclude=others).items
    np.testing.assert_array_equal(model.recommend(Pieces(), 3, exclude=others).items, wanted)


def test_few_rows_at_a_time_give_the_same(model, monkeypatch):
    whole = model.recommend(X, 3)
    monkeypatch.setattr("dsae.metrics._best._SCORES_AT_ONCE", 7 * N_ITEMS)
    np.testing.assert_array_equal(model.recommend(X, 3).items, whole.items)
    np.testing.assert_allclose(model.recommend(X, 3).scores, whole.scores, atol=1e-6)


def test_any_autoencoder_recommends():
    dsa = DeepSparseAutoencoder(6, hidden_layer_sizes=(), density=1.0, shrink="none", max_iter=20, random_state=0).fit(
        X
    )
    items, scores = dsa.recommend(X, 3)
    plain = dsa.inverse_transform(dsa.transform(X))
    plain[X.toarray() > 0] = -np.inf
    np.testing.assert_allclose(scores, np.sort(plain, axis=1)[:, ::-1][:, :3], atol=1e-5)
    np.testing.assert_array_equal(items, np.argsort(-plain, axis=1, kind="stable")[:, :3])


def test_sparse_rows_pass_the_identity_by(model):
    in_double = Runtime(model.runtime_.model, np.float64)
    np.testing.assert_allclose(in_double.reconstruct(X), model.runtime_.reconstruct(X), atol=1e-5)
    np.testing.assert_allclose(model.runtime_.reconstruct(X.toarray()), model.runtime_.reconstruct(X), atol=1e-5)
    np.testing.assert_array_equal(model.runtime_.encode(X), X.toarray())
    np.testing.assert_allclose(model.runtime_.decode(X), model.runtime_.reconstruct(X), atol=1e-6)


@pytest.mark.filterwarnings("error")
def test_ratings_that_look_explicit_get_a_word():
    with pytest.warns(UserWarning, match=r"X holds values up to 5, which count as strengths.*X >= 4"):
        DSARecommender(**SETTINGS).fit(X * 5)
    DSARecommender(**SETTINGS).fit(X * 0.5)


FEW = sp.csr_matrix((2, N_ITEMS - 1), dtype=np.float32)


BAD = {
    "no items at all": (
        lambda m: m.fit(sp.csr_matrix((3, 4))),
        "[fit] X must hold items of users; got 3 rows of zeros.",
    ),
    "negative": (lambda m: m.fit(-X), "[fit] Negative values in data: X must hold none; got -1 in row"),
    "negative, more": (lambda m: m.partial_fit(-X), "[partial_fit] Negative values in data"),
    "neighbours": (lambda m: m.set_params(n_neighbours=0).fit(X), "n_neighbours must be a whole number of at least 1"),
    "ridge": (lambda m: m.set_params(ridge=-1).fit(X), "ridge must be a number in (0, inf); got -1."),
    "unseen": (lambda m: m.set_params(unseen=-1).fit(X), "unseen must be a number in [0, inf); got -1."),
    "discount": (lambda m: m.set_params(discount=-1).fit(X), "discount must be a number in [0, inf); got -1."),
    "grown": (lambda m: m.set_params(grown=2).fit(X), "grown must be a number in [0, 1]; got 2."),
    "parameter": (
        lambda m: DSARecommender(neighbours=3),
        "has no parameter 'neighbours'. Did you mean 'n_neighbours'?",
    ),
    "names": (lambda m: m.fit(X, items=["a", "b"]), "[fit] items must be 40 different names, one for each column"),
    "weights": (lambda m: m.fit(X, sample_weight=np.ones(300)), "[fit] sample_weight must be None"),
    "width": (lambda m: m.recommend(FEW), "X has 39 features, but DSARecommender is expecting 40"),
    "too many": (
        lambda m: m.recommend(X[:3], 40),
        "first row 0. Ask for fewer, or set fill=True, which gives them shorter lists, or exclude_seen=False.",
    ),
    "none": (lambda m: m.recommend(X, 0), "[recommend] n must be a whole number of at least 1; got 0."),
    "unknown": (
        lambda m: m.recommend([["film 0", "film x"]]),
        "[recommend] Items must be the model's, one of its 40 names; got 'film x'.",
    ),
    "hint": (lambda m: m.similar_items(["fil 7"]), "got 'fil 7'. Did you mean 'film 7'?"),
    "column": (
        lambda m: m.similar_items([40]),
        "[similar_items] Items must be the model's, one of its 40 names; got 40.",
    ),
    "apart": (lambda m: m.similar_items("film 3"), "[similar_items] items must be a list of items; got 'film 3'."),
    "flat": (lambda m: m.recommend(["film 3", "film 4"]), "Give [['film 3']] for one user of that item."),
    "flat, out": (lambda m: m.recommend(X, exclude=["film 3"]), "Give [['film 3']] for one user of that item."),
    "all similar": (lambda m: m.similar_items(["film 3"], 40), "[similar_items] n must be at most 39, the other items"),
    "negative users": (lambda m: m.recommend(-X), "[recommend] Negative values in data"),
    "negative, loaded": (lambda m: m.runtime_.recommend(-X.toarray()), "hold none; got -1 in row 0."),
    "nan in fit": (lambda m: m.fit(X * np.nan), "first in row 0. Impute or drop such values first."),
    "excluded": (lambda m: m.recommend(X, exclude=np.ones((2, 40))), "[recommend] exclude must have the shape of X"),
    "seen": (lambda m: m.recommend(X, exclude_seen="no"), "exclude_seen must be True or False; got 'no'."),
    "nan": (lambda m: m.recommend(X * np.nan), "first in row 0. Impute or drop such values first."),
}


@each(case=BAD)
def test_bad_calls_say_what_was_expected(case):
    call, message = BAD[case]
    fitted = DSARecommender(**SETTINGS).fit(X, items=NAMES)
    with pytest.raises((ValueError, TypeError)) as error:
        call(fitted)
    assert message in str(error.value)


def test_damaged_users_are_told_of(model, tmp_path):
    from tests.folders import change_state

    for key, value in (("indices", np.int32([99])), ("values", np.float32([-1]))):
        folder = DSARecommender(**SETTINGS).fit(X * 0.5).save(tmp_path / key)
        change_state(folder, "learning.safetensors", lambda state, k=key, v=value: state["users"].update({k: v}))
        with pytest.raises(ValueError, match=r"\[load\] The users' rows are damaged"):
            DSARecommender.load(folder)
        assert dsae.load(folder).recommend(X, 1).items.shape == (N_USERS, 1)
