"""Users are given and answered by lists of items: by name, by column, or as rows."""

import numpy as np
import pandas as pd
import pytest
from tests.estimators.users import GROUPS, N_ITEMS, NAMES, SETTINGS, X, rows_of

from dsae import DSARecommender
from dsae.data import interactions


@pytest.fixture(scope="module")
def model():
    return DSARecommender(**SETTINGS).fit(X, items=NAMES)


def test_names_go_in_and_out(model):
    named = model.recommend([["film 0", "film 4"], ["film 1"]], 2)
    plain = model.recommend(rows_of([0, 4], [1]), 2, names=False)
    assert named.items.tolist() == [[NAMES[j] for j in row] for row in plain.items]
    assert set(named.items[0]) <= {f"film {j}" for j in range(0, N_ITEMS, GROUPS)}
    similar = model.similar_items(["film 2"], 4)
    assert {name.split()[1] for name in similar.items[0]} <= {str(j) for j in range(2, N_ITEMS, GROUPS)}
    np.testing.assert_array_equal(similar.items[0], model.recommend([["film 2"]], 4).items[0])


def test_items_whose_names_are_numbers_go_by_name():
    ids = np.arange(N_ITEMS)[::-1] + 5
    model = DSARecommender(**SETTINGS).fit(X, items=ids)
    column = {item: j for j, item in enumerate(ids.tolist())}
    wanted = model.recommend(rows_of([column[7], column[9]]), 3).items
    for given in ([[7, 9]], [["7", "9"]], [np.array([7, 9])], [np.array(["7", "9"])], [pd.Series([7, 9])], ({7, 9},)):
        np.testing.assert_array_equal(model.recommend(given, 3).items, wanted)
    np.testing.assert_array_equal(model.similar_items([7], 3).items, model.recommend(rows_of([column[7]]), 3).items)
    pairs = interactions([1, 1], [7, 9], items=model.feature_names_in_)
    np.testing.assert_array_equal(pairs.X.toarray(), rows_of([column[7], column[9]]))
    again = interactions([1, 1], [7.0, 9.0], items=model.feature_names_in_)
    np.testing.assert_array_equal(again.X.toarray(), pairs.X.toarray())
    with pytest.raises(ValueError, match="n must be at most 0"):
        model.recommend([ids.tolist()], 1)  # all items, not strengths
    with pytest.raises(ValueError, match=r"numbers that repeat.*np\.asarray"):
        model.recommend(X[:2].toarray().tolist())


def test_items_without_names_go_by_column_unless_lists_are_whole_rows():
    model = DSARecommender(**SETTINGS).fit(X)
    wanted = model.recommend(rows_of([3, 5], []), 3).items
    np.testing.assert_array_equal(model.recommend([[3, 5], []], 3).items, wanted)
    np.testing.assert_array_equal(model.recommend(rows_of([3, 5], []).tolist(), 3).items, wanted)
    with pytest.raises(ValueError, match="got a list of 39 numbers that repeat"):
        model.recommend([[0, 1, 1] * 13])
    with pytest.raises(ValueError, match="columns from 0 to 39; got True"):
        model.rows([[True]])


def test_excluded_items_come_by_name_too(model):
    gone = rows_of(list(range(20)))
    np.testing.assert_array_equal(
        model.recommend(X[:5], 3, exclude=[NAMES[:20]]).items, model.recommend(X[:5], 3, exclude=gone).items
    )


def test_a_user_with_few_items_left_gets_a_shorter_list_where_it_is_asked_for(model):
    users = rows_of(range(N_ITEMS - 2), [0])
    with pytest.raises(ValueError, match=r"at most 2, .* got 4\. 1 of 2 rows have fewer left, first row 0"):
        model.recommend(users, 4)
    items, scores = model.recommend(users, 4, fill=True, names=False)
    assert sorted(items[0]) == [-1, -1, N_ITEMS - 2, N_ITEMS - 1]
    assert np.isnan(scores[0]).tolist() == [False, False, True, True]
    np.testing.assert_array_equal(items[1], model.recommend(users[1:], 4, names=False).items[0])
    assert model.recommend(users, 4, fill=True).items[0, 2:].tolist() == ["", ""]
    wide = model.recommend(users, N_ITEMS + 3, fill=True, names=False).items
    assert wide.shape == (2, N_ITEMS + 3)
    assert (wide[1] >= 0).sum() == N_ITEMS - 1


def test_a_frame_names_the_items():
    frame = pd.DataFrame(X.toarray(), columns=NAMES)
    model = DSARecommender(**SETTINGS).fit(frame)
    assert list(model.feature_names_in_) == NAMES
    assert model.recommend(frame[:2], 1).items[0, 0] in NAMES
    with pytest.raises(ValueError, match="feature names should match"):
        model.recommend(frame[NAMES[::-1]])
