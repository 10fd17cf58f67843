"""The estimator of several modalities."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from tests.covering import each

import dsae
from dsae import MultimodalAutoencoder, store
from dsae.data import Modality, ModalityWriter, open_rows
from dsae.features import TableRows

CLASSES = np.arange(240) % 4


def views(seed=0, classes=CLASSES):
    """Rows of four classes, seen in three ways."""
    rng = np.random.default_rng(seed)
    prototypes = np.random.default_rng(9)
    image, sound, word = (prototypes.normal(size=(4, width)) for width in (20, 15, 8))
    n = len(classes)
    return {
        "image": (image[classes] + 0.2 * rng.normal(size=(n, 20))).astype(np.float32),
        "sound": (30 + 10 * sound[classes] + 2 * rng.normal(size=(n, 15))).astype(np.float32),
        "word": sp.csr_matrix(np.maximum(word[classes], 0).astype(np.float32)),
    }


def small(modalities=None, **changes):
    settings = {"n_components": 6, "hidden_layer_sizes": (16,), "density": 0.4, "max_iter": 25, "batch_size": 32}
    return MultimodalAutoencoder(modalities, **settings | {"learning_rate_init": 0.01, "random_state": 0} | changes)


@pytest.fixture(scope="module")
def fitted():
    return small().fit(views())


def test_every_modality_is_made_from_every_other(fitted):
    X = views(1)
    matrix = fitted.coherence(X, CLASSES)
    assert set(matrix) == {"image", "sound", "word", "image+sound+word", "real"}
    assert min(min(row.values()) for row in matrix.values()) > 0.9
    table = fitted.fvu_table(X)
    assert len(table) == 7
    assert max(row[to] for given, row in table.items() for to in row) < 0.7
    assert table["image+sound+word"]["sound"] <= table["word"]["sound"]
    assert fitted.score(X) > 0.6


def test_judges_are_not_asked_about_the_rows_that_they_learned():
    """Classes by chance of rows wider than they are many: judges of the same rows are always right."""
    rng = np.random.default_rng(0)
    X, y = {name: rng.normal(size=(120, 150)) for name in "ab"}, rng.integers(2, size=120)
    mm = small(max_iter=1).fit(X)
    real = mm.coherence(X, y)["real"]
    assert max(real.values()) < 0.7
    judges = mm.judges(X, y)
    assert min(mm.coherence(X, y, judges=judges)["real"].values()) == 1
    others = {name: rng.normal(size=(120, 150)) for name in "ab"}
    assert max(mm.coherence(others, y, judges=judges)["real"].values()) < 0.7


def test_rows_without_a_class_are_left_out(fitted):
    X, some = views(1), CLASSES != 3
    wanted = fitted.coherence({name: rows[some] for name, rows in X.items()}, CLASSES[some])
    for missing, labels in ((None, np.array(list("abcd"), object)[CLASSES]), (np.nan, CLASSES.astype(float))):
        labels[~some] = missing
        with pytest.warns(UserWarning, match="60 of 240 rows have no label"):
            assert fitted.coherence(X, labels) == wanted
        with pytest.warns(UserWarning, match="60 of 240 rows have no label"):
            assert len(fitted.judges(X, labels)) == 3


@each(y=[np.zeros(240), np.array([None] * 239 + ["a"], object), np.full(240, np.nan)])
def test_judges_need_two_classes(fitted, y):
    with pytest.raises(ValueError, match=r"\[coherence\] There must be at least 2 labels; got [01] in"):
        fitted.coherence(views(1), y)


def test_codes_do_not_need_all_modalities_nor_all_rows(fitted):
    X = views(1)
    image = fitted.transform({"image": X["image"]})
    both = fitted.transform({"image": X["image"], "sound": X["sound"]})
    holed = X["sound"].copy()
    holed[::2] = np.nan
    some = fitted.transform({"image": X["image"], "sound": holed})
    np.testing.assert_allclose(some[::2], image[::2], atol=1e-6)
    np.testing.assert_allclose(some[1::2], both[1::2], atol=1e-6)


def test_a_model_trained_on_holes_learns_from_what_there_is():
    X, rng = views(), np.random.default_rng(0)
    holes = {name: rng.random(len(CLASSES)) < 0.5 for name in X}
    holes["image"] &= ~(holes["sound"] & holes["word"])
    words = [None if hole else row for row, hole in zip(X["word"], holes["word"], strict=True)]
    given = {"image": X["image"], "sound": np.where(holes["sound"][:, None], np.nan, X["sound"]), "word": words}
    given["image"] = np.where(holes["image"][:, None], np.nan, X["image"])
    mm = small().fit(given)
    assert min(mm.coherence(views(1), CLASSES)["image"].values()) > 0.8
    np.testing.assert_allclose(mm.runtime_.modalities["sound"].reconstruct(X["sound"]).mean(), 30, atol=5)


def test_sparse_rows_and_dense_ones_give_one_model():
    X = views()
    one, other = small(max_iter=3).fit(X), small(max_iter=3).fit({**X, "word": X["word"].toarray()})
    np.testing.assert_allclose(one.transform(X), other.transform(X), atol=1e-3)


def test_a_fit_repeats_by_its_seed(fitted):
    again = small().fit(views())
    np.testing.assert_array_equal(again.transform(views()), fitted.transform(views()))
    assert (small(random_state=1, max_iter=2).fit(views()).transform(views()) != fitted.transform(views())).any()


def test_settings_by_modality_are_kept_by_a_folder(tmp_path):
    X = views()
    X["word"] = X["word"].astype(bool).astype(np.float32)
    mm = small(
        hidden_layer_sizes={"image": (12, 8)},
        density={"image": 0.3, "sound": 0.5, "word": 1.0},
        loss={"word": "bce"},
        weights={"sound": 2.0},
        max_iter=2,
    ).fit(X)
    of = mm.runtime_.config.modalities
    assert of["image"].hidden_layer_sizes == (12, 8)
    assert of["sound"].hidden_layer_sizes == (15,)  # by itself as wide as the rows
    assert of["word"].output_activation == "sigmoid"
    mm.save(tmp_path / "model")
    again = MultimodalAutoencoder.load(tmp_path / "model")
    assert again.loss == {"image": "mse", "sound": "mse", "word": "bce"}
    assert again.density == {"image": 0.3, "sound": 0.5, "word": 1.0}
    assert again.weights == {"image": 1.0, "sound": 2.0, "word": 1.0}
    np.testing.assert_array_equal(again.transform(X), mm.transform(X))
    np.testing.assert_array_equal(dsae.load(tmp_path / "model").encode(X), mm.transform(X))
    image = dsae.load(tmp_path / "model" / "image")
    np.testing.assert_array_equal(image.encode(X["image"]), mm.transform({"image": X["image"]}))
    again.fit(X)


def codes(mm):
    return mm.transform(views(1))


def test_what_training_hides_is_set_by_modality(tmp_path):
    short = {"max_iter": 3, "emphasis": 2.0}
    dense = {name: rows for name, rows in views().items() if name != "word"}
    one = small(noise=0.3, mask=(0.1, 0.4), **short).fit(dense)
    same = small(noise=dict.fromkeys(dense, 0.3), mask=dict.fromkeys(dense, (0.1, 0.4)), **short).fit(dense)
    np.testing.assert_array_equal(one.transform(dense), same.transform(dense))
    some = small(noise={"sound": 0.3}, mask={"word": 0.5}, **short).fit(views())  # sparse rows have no noise
    again = MultimodalAutoencoder.load(some.save(tmp_path / "model"))
    assert (again.noise["sound"], again.noise["word"], again.mask["word"]) == (0.3, 0, 0.5)
    assert some.runtime_.modalities["word"].model.training["mask"] == 0.5
    np.testing.assert_array_equal(codes(clone(again).fit(views())), codes(some))
    plain = small(max_iter=3).fit(views())
    assert not np.array_equal(codes(some), codes(plain))
    noisy = {"sound": views(3)["sound"], "word": views(3)["word"]}
    for name, made in some.denoise(noisy).items():
        np.testing.assert_array_equal(made, some.reconstruct(noisy)[name])
    assert list(dsae.load(tmp_path / "model").denoise({"sound": noisy["sound"]})) == ["sound"]
    with pytest.raises(ValueError, match=r"^\[denoise\] The model must be trained on rows with noise; it saw clean"):
        plain.denoise(noisy)
    np.testing.assert_array_equal(codes(again.partial_fit(views(2))), codes(some.partial_fit(views(2))))


def test_tables_come_back_as_tables(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"age": 20.0 + 10 * CLASSES + rng.normal(size=240), "kind": np.array(list("abcd"))[CLASSES]})
    mm = small({"table": TableRows(), "image": None}, max_iter=60).fit({"table": table, "image": views()["image"]})
    made = mm.translate({"image": views(1)["image"]}, to="table")
    assert (mm.render("table", made)["kind"].to_numpy() == table["kind"].to_numpy()).mean() > 0.9
    mm.save(tmp_path / "model")
    loaded = dsae.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.encode({"table": table}), mm.transform({"table": table}))


def test_counts_get_the_totals_of_their_rows():
    texts = [["red apple", "green pear", "blue sea", "grey stone"][c] + " and" * (c + 1) for c in CLASSES]
    counts = CountVectorizer().fit_transform(texts).astype(np.float32)
    mm = small(loss={"text": "multinomial"}).fit({"text": counts, "image": views()["image"]})
    made = mm.reconstruct({"image": views(1)["image"]})["text"]
    np.testing.assert_allclose(made.sum(1), counts.sum() / 240, rtol=1e-4)
    assert mm.score({"text": counts, "image": views()["image"]}) > 0.5
    assert np.argmax(made[0]) == np.argmax(counts[0].toarray())
    lacking = np.arange(240) % 3 == 0
    made = mm.reconstruct({"text": (counts, ~lacking), "image": views(1)["image"]})["text"]
    totals = np.where(lacking, counts.sum() / 240, counts.sum(axis=1).A1)
    np.testing.assert_allclose(made.sum(1), totals, rtol=1e-4)


def test_a_run_that_was_stopped_goes_on(tmp_path):
    whole = small(max_iter=4).fit(views())

    def stop(row):
        raise KeyboardInterrupt

    settings = {"max_iter": 4, "checkpoint": tmp_path / "run", "checkpoint_every": 0}
    with pytest.raises(KeyboardInterrupt):
        small(**settings).fit(views(), on_epoch=stop)
    assert (tmp_path / "run").is_dir()
    again = small(**settings).fit(views())
    np.testing.assert_array_equal(again.transform(views()), whole.transform(views()))
    assert not (tmp_path / "run").exists()


def test_a_run_on_files_that_was_stopped_goes_on(tmp_path, monkeypatch):
    """Rows that are read as they are needed, of which some lack a modality; stopped within an epoch."""
    folder = tmp_path / "rows"
    folder.mkdir()
    X, rng = views(), np.random.default_rng(0)
    with ModalityWriter(folder, [Modality("image", (20,)), Modality("word", (8,), True)], False) as writer:
        for start in (0, 100, 200):
            rows = {name: X[name][start : start + 100] for name in ("image", "word")}
            n = rows["image"].shape[0]
            has = {"image": rng.random(n) < 0.7, "word": np.ones(n, bool)}
            writer.write(rows, has, [str(start + i) for i in range(n)])
    monkeypatch.setattr(type(open_rows(folder)), "is_small", False)
    settings = {"max_iter": 3, "checkpoint_every": 0}
    whole = small(**settings).fit(open_rows(folder))

    def stop(row):
        if row["step"] == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small(**settings, checkpoint=tmp_path / "run").fit(open_rows(folder), on_step=stop, every=1)
    assert (tmp_path / "run").is_dir()
    seen = []
    again = small(**settings, checkpoint=tmp_path / "run").fit(open_rows(folder), on_step=seen.append, every=1)
    assert [row["step"] for row in seen][-1] == 24
    assert len(seen) < 24
    for name, of in whole.runtime_.model.models.items():
        for layer, (topology, values, bias) in of.layers.items():
            twin = again.runtime_.model.models[name].layers[layer]
            for one, other in ((topology.indices, twin.topology.indices), (values, twin.values), (bias, twin.bias)):
                np.testing.assert_array_equal(one, other)


def test_training_stops_by_rows_of_its_own():
    mm = small(early_stopping=True, n_iter_no_change=2, max_iter=60).fit(views())
    assert "validation_loss" in mm.history_[0]
    given = {"image": views(3)["image"]}
    mm = small(early_stopping=True, max_iter=3).fit(views(), validation=given)
    assert "validation_loss" in mm.history_[0]


def test_more_rows_may_lack_what_the_first_had(tmp_path):
    X = views()
    mm = small()
    for start in range(0, 240, 60):
        mm.partial_fit({name: rows[start : start + 60] for name, rows in X.items()})
    mm.partial_fit({"image": X["image"], "word": X["word"]})
    assert mm.n_iter_ == 5
    mm.save(tmp_path / "model")
    again = MultimodalAutoencoder.load(tmp_path / "model").partial_fit(X)
    np.testing.assert_array_equal(again.transform(X), mm.partial_fit(X).transform(X))


def test_rows_after_a_fit_may_lack_what_it_had(tmp_path):
    X, mm = views(), small(max_iter=40).fit(views())
    before, score = mm.runtime_.model.learning, mm.score(views(1))
    mm.save(tmp_path / "model")
    again = MultimodalAutoencoder.load(tmp_path / "model")
    for one in (mm, again):
        for _ in range(3):
            one.partial_fit({"image": X["image"]})
    after = mm.runtime_.model.learning
    assert after["factors"] == before["factors"]
    for name, deviation in before["deviations"].items():
        np.testing.assert_array_equal(after["deviations"][name], deviation)
    np.testing.assert_array_equal(mm.transform(X), again.transform(X))
    assert mm.score(views(1)) > score - 0.2


def test_the_first_rows_have_all_modalities():
    X, mm = views(), small(max_iter=1).fit(views())
    bare = MultimodalAutoencoder.of(replace(mm.runtime_.model, learning=None))
    with pytest.raises(ValueError, match="'sound' is absent"):
        bare.partial_fit({"image": X["image"], "word": X["word"]})
    assert bare.partial_fit(X).n_iter_ == 2


def test_a_fit_goes_on_from_the_last(fitted):
    mm = small(warm_start=True, max_iter=3).fit(views())
    first = mm.history_[0]["loss"]
    mm.fit(views())
    assert mm.n_iter_ == 6
    assert mm.history_[3]["loss"] < first


def test_scikit_learns_habits():
    mm = small({"image": None, "table": TableRows()})
    assert "TableRows()" in repr(mm)
    assert clone(mm).get_params()["n_components"] == 6
    with pytest.raises(NotFittedError):
        mm.transform(views())
    with pytest.raises(TypeError, match="Did you mean 'density'"):
        MultimodalAutoencoder(densty=0.1)
    fitted = small(max_iter=1).fit(views())
    assert fitted.get_feature_names_out()[0] == "multimodalautoencoder0"
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(views()), fitted.transform(views()))


def test_a_score_decodes_a_few_wide_rows_at_once(monkeypatch):
    wide = sp.random(300, 1 << 18, 2e-5, "csr", np.float32, np.random.default_rng(0))
    mm = small(hidden_layer_sizes=(4,), density=1e-4, max_iter=1).fit(
        {"wide": wide, "image": views()["image"][:1].repeat(300, 0)}
    )
    sizes, decode = [], mm.runtime_.decode

    def seen(codes, to, **how):
        made = decode(codes, to, **how)
        sizes.append(made.size)
        return made

    monkeypatch.setattr(mm.runtime_, "decode", seen)
    mm.score({"wide": wide})
    assert max(sizes) <= 1 << 24 < sum(sizes)


def test_what_a_folder_says_of_its_training_does_not_gainsay_its_layers(fitted, tmp_path):
    model = replace(fitted.runtime_.model, training={"density": 0.9, "n_components": 3, "l2": 0.1})
    mm = MultimodalAutoencoder.load(store.write_joint(tmp_path / "model", model))
    assert (mm.density["image"], mm.n_components, mm.l2) == (0.4, 6, 0.1)


@each(n=[0, -3, 1.5])
def test_a_table_has_rows(fitted, n):
    with pytest.raises(ValueError, match=r"\[table\] n must be a whole number of at least 1"):
        fitted.table(views(), n=n)
