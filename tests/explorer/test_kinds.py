"""Explorers of all kinds of models and rows, and what is refused."""

import base64
import io
import wave

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae import MultimodalAutoencoder, Runtime, explore
from dsae.config import ACTIVATIONS
from dsae.data import named_rows, open_rows
from dsae.explorer import _folder, _network, read_shard
from dsae.features import AudioRows, ImageRows, TextRows, prepare


@pytest.fixture(name="X")
def some(rng):
    return rng.normal(0, 1, (60, 12)).astype(np.float32)


@pytest.fixture(scope="session")
def topk(make_model):
    return make_model(12, 9, live=0.5, seed=3, code_activation="topk", k=3)


def entries(lists, i, *keys):
    some = slice(lists["ptr"][i], lists["ptr"][i + 1])
    return [np.asarray(lists[key][some]) for key in keys]


def through(network, rows):
    """What the page makes of codes by the layers that it was given."""
    (layers,) = network["layers"]
    for layer in layers:
        weights = sp.csr_matrix((layer["value"], layer["column"], layer["ptr"]), (len(layer["bias"]), rows.shape[1]))
        rows = rows @ weights.toarray().T + layer["bias"]
        ACTIVATIONS[layer["activation"]].apply(rows, 0, None)
    return rows


@each(code=["relu", "sigmoid", "softmax"], output=["identity", "exp"])
def test_deep_models_have_effects_measured_by_decoding(make_model, X, tmp_path, code, output):
    model = make_model(12, 5, hidden_layer_sizes=(7,), live=0.8, code_activation=code, output_activation=output)
    runtime, folder = Runtime(model), explore(model, X, tmp_path / "e")
    index, shard, latents = (read_shard(folder, name) for name in ("index", "rows/0", "latents/0"))
    assert [index[name] for name in ("exact", "exact_reads", "decoder")] == [False, False, True]
    Z = runtime.encode(X).astype(np.float64)
    on = np.abs(Z) > index["threshold"]
    assert shard["n_on"].tolist() == on.sum(axis=1).tolist()
    assert read_shard(folder, "columns")["n_on"].tolist() == on.sum(axis=0).tolist()
    fvu = ((X - runtime.reconstruct(X)) ** 2).sum() / (60 * X.var(axis=0).sum())
    np.testing.assert_allclose(read_shard(folder, "health")["fvu"], fvu, rtol=1e-4)
    np.testing.assert_allclose(through(read_shard(folder, "network"), Z), runtime.decode(Z), rtol=1e-2, atol=1e-3)

    def error(row, code):
        return float(((X[row] - runtime.decode(code[None].astype(np.float32))[0].astype(np.float64)) ** 2).mean())

    for row in range(20):
        found, drops, offs = entries(shard["code"], row, "latent", "drop", "off")
        np.testing.assert_allclose(shard["start"][row], error(row, np.zeros(5)), rtol=3e-4)
        code_, before = np.zeros(5), error(row, np.zeros(5))
        for latent, drop, off in zip(found, drops, offs, strict=True):
            code_[latent] = Z[row, latent]
            np.testing.assert_allclose(drop, before - error(row, code_), rtol=1e-3, atol=1e-3 * before)
            before = error(row, code_)
            without = Z[row].copy()
            without[latent] = 0
            rise = error(row, without) - error(row, Z[row])
            np.testing.assert_allclose(off, rise, rtol=1e-3, atol=1e-3 * shard["start"][row])
    mean, rms = Z.mean(axis=0), np.sqrt((Z**2).mean(axis=0))
    for i in range(5):
        step = rms[i] if rms[i] > 0 else 1.0
        codes = np.stack([mean + step * np.eye(5)[i], mean]).astype(np.float32)
        response = np.subtract(*runtime.decode(codes).astype(np.float64)) / step
        features, values = entries(latents["writes"], i, "feature", "value")
        np.testing.assert_allclose(values, response[features], rtol=5e-3, atol=1e-3)
    said = " ".join(read_shard(folder, "about")["sampled"])
    assert "effect at the mean code" in said
    assert "gradient" in said


def test_large_decoders_are_left_out(make_model, X, tmp_path, monkeypatch):
    monkeypatch.setattr(_network, "_WEIGHTS", 10)
    folder = explore(make_model(12, 5, hidden_layer_sizes=(7,)), X, tmp_path / "e")
    assert not read_shard(folder, "index")["decoder"]
    assert not (folder / "data" / "network.js").exists()


def test_rows_beyond_the_limit_are_counted_and_said(topk, rng, tmp_path):
    X = rng.normal(0, 1, (300, 12)).astype(np.float32)
    X[123] *= 30  # the worst row
    folder = explore(topk, X, tmp_path / "e", n_rows=50)
    stored, index = read_shard(folder, "stored")["row"], read_shard(folder, "index")
    assert (index["n_stored"], index["n_rows"], stored.size) == (50, 300, 50)
    assert (np.diff(stored.astype(int)) > 0).all()
    assert 123 in stored
    assert read_shard(folder, "rows/0")["row"].tolist() == stored.tolist()
    assert "250 are counted" in " ".join(read_shard(folder, "about")["sampled"])
    shard = read_shard(folder, "latents/0")
    strongest = [entries(shard["examples"], i, "row")[0] for i in range(9)]
    first = [rows[0] for rows in strongest if rows.size]
    assert np.isin(first, stored).all()


def test_codes_alone_tell_what_needs_no_rows(topk, X, tmp_path):
    codes = sp.csr_matrix(Runtime(topk).encode(X))

    class Codes:
        n_features = 9

        def __len__(self):
            return 60

        def batches(self, batch_size, seed=None):
            yield codes[:17]
            yield codes[17:]

    alone = explore(topk, None, tmp_path / "alone", codes=Codes(), labels=np.arange(60) % 2)
    whole = explore(topk, X, tmp_path / "whole", labels=np.arange(60) % 2)
    assert not read_shard(alone, "index")["has_rows"]
    for name, keys in (("columns", ("n_on", "energy", "max", "label")), ("latents/0", ("hist", "examples", "cofire"))):
        one, other = read_shard(alone, name), read_shard(whole, name)
        for key in keys:
            assert str(one[key]) == str(other[key])
    assert read_shard(alone, "rows/0")["code"].keys() == {"ptr", "latent", "value"}
    assert read_shard(alone, "rows/0")["n_on"].tolist() == np.diff(codes.indptr).tolist()
    assert np.isnan(read_shard(alone, "moments")["mean"]).all()
    with pytest.raises(ValueError, match=r"\[explore\] codes must have 9 columns"):
        explore(topk, None, tmp_path / "other", codes=type("Wide", (Codes,), {"n_features": 8})())


@each(loss=["mse", "multinomial"])
def test_values_that_are_not_known_count_in_no_error(make_model, X, tmp_path, loss):
    from dsae.store import Inputs

    X = np.abs(X) if loss == "multinomial" else X
    inputs = Inputs(*(np.full(12, v, np.float32) for v in (0.5, -9, 9)))
    output = {"output_activation": "softmax"} if loss == "multinomial" else {}
    given = {"inputs": inputs, "training": {"loss": loss}}
    model = make_model(12, 9, live=0.5, code_activation="relu", missing="mask", model=given, **output)
    X[3, 4] = np.nan
    folder = explore(model, X, tmp_path / "e")
    shard = read_shard(folder, "rows/0")
    np.testing.assert_allclose(shard["error"], Runtime(model).reconstruction_error(X), rtol=3e-4)
    assert (shard["n_known"][3], shard["n_known"][4]) == (11, 12)
    assert read_shard(folder, "index")["error"] == ("deviance" if loss == "multinomial" else "squared error")
    features, values = entries(shard["x"], 3, "feature", "value")
    assert np.isnan(values[features == 4]).all()
    assert 4 not in entries(shard["shown"], 3, "feature")[0]
    np.testing.assert_allclose(read_shard(folder, "moments")["fill"], 0.5)
    assert read_shard(folder, "moments")["mean"][4] == pytest.approx(np.nanmean(X[:, 4]), rel=1e-3)
    # Shares times a total that depends on which of them are known are nothing for the page.
    assert read_shard(folder, "index")["decoder"] == (loss == "mse")


def test_names_labels_ids_and_texts_travel_with_their_rows(topk, X, tmp_path):
    words = [f"word{j}" for j in range(12)]
    labels = np.array([None, "b", float("nan"), *["a"] * 57], object)
    source = named_rows(X, words, ids=[f"doc-{i}" for i in range(60)], labels=labels)
    texts = [None, "word3 " * 3, *["short"] * 58]
    folder = explore(topk, source, tmp_path / "e", texts=texts)
    assert read_shard(folder, "features")["name"] == words
    shard, index = read_shard(folder, "rows/0"), read_shard(folder, "index")
    assert shard["id"][:2] == ["doc-0", "doc-1"]
    assert index["labels"] == {
        "names": ["a", "b"] if index["labels"]["names"][0] == "a" else ["b", "a"],
        "counts": index["labels"]["counts"],
        "beside": False,
    }
    assert sorted(index["labels"]["counts"]) == [1, 57]
    assert [shard["label"][0], shard["label"][2]] == [2, 2]
    assert read_shard(folder, "ids")["id"] == [f"doc-{i}" for i in range(60)]
    assert shard["text"][:2] == [None, "word3 word3 word3 "]
    assert shard["length"][:2].tolist() == [0, 18]
    assert index["has"] == {
        **{"ids": True, "texts": True, "labels": True, "names": True},
        **{"sounds": False, "pictures": False, "presence": False},
    }


def test_many_labels_are_joined(topk, rng, tmp_path):
    X = rng.normal(0, 1, (600, 12)).astype(np.float32)
    labels = np.array([*np.arange(300), *np.arange(250), *np.zeros(50)], int)
    folder = explore(topk, X, tmp_path / "e", labels=labels)
    found = read_shard(folder, "index")["labels"]
    assert len(found["names"]) == 256
    assert found["names"][:3] == ["0", "1", "2"]
    assert found["names"][-1] == "(other)"
    assert sum(found["counts"]) == 600
    assert "45 others are one" in " ".join(read_shard(folder, "about")["sampled"])


@each(what=["labels", "ids", "texts"])
def test_other_lengths_are_refused_before_any_work(topk, X, tmp_path, what):
    with pytest.raises(
        ValueError, match=rf"\[explore\] {what} must be one for each of 60 rows, in their order; got 59"
    ):
        explore(topk, X, tmp_path / "e", **{what: ["a"] * 59})
    assert not (tmp_path / "e").exists()


def test_a_single_file_has_everything_inside(topk, X, tmp_path, monkeypatch):
    folder = explore(topk, X, tmp_path / "e", single=True)
    assert [path.name for path in folder.iterdir()] == ["index.html"]
    page = (folder / "index.html").read_text()
    assert all(f'data-shard="{name}"' in page for name in ("index", "columns", "latents/0", "rows/0"))
    monkeypatch.setattr(_folder, "LARGEST_SINGLE", 1000)
    with pytest.raises(
        ValueError, match=r"\[explore\] A single file must stay below .* the folder .*e opens by double"
    ):
        explore(topk, X, tmp_path / "e", single=True)
    assert (folder / "index.html").read_text() == page  # what was there stays
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e"]


@each(strange=["page", "data", "beside"])
def test_a_folder_of_somebody_else_is_refused_and_kept(topk, X, tmp_path, strange):
    folder = explore(topk, X, tmp_path / "e")
    if strange == "page":
        (folder / "index.html").write_text("<h1>mine</h1>")
    elif strange == "data":
        (folder / "data" / "mine.csv").write_text("keep")
    else:
        (folder / "mine.txt").write_text("keep")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(
        ValueError, match=r"\[explore\] .*e must be a new folder or an explorer; it holds something else"
    ):
        explore(topk, X, folder)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_working_directory_is_not_replaced(topk, X, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"\[explore\] \. must be a folder of its own"):
        explore(topk, X, ".")


def test_an_explorer_replaces_an_older_one(topk, X, tmp_path):
    folder = explore(topk, X, tmp_path / "e")
    assert sorted(path.name for path in folder.iterdir()) == ["data", "index.html"]
    explore(topk, X[:10], folder)
    assert read_shard(folder, "index")["n_rows"] == 10
    assert [path.name for path in tmp_path.iterdir()] == ["e"]


def test_pictures_and_sounds_of_rows(make_model, rng, tmp_path):
    X = rng.random((20, 64)).astype(np.float32)
    model = make_model(64, 6, live=0.5, code_activation="topk", k=2)
    folder = explore(model, X, tmp_path / "image", image_shape=(8, 8))
    shard, index, latents = (read_shard(folder, name) for name in ("rows/0", "index", "latents/0"))
    assert index["modalities"][0]["shape"] == [8, 8, 1]
    assert read_shard(folder, "features")["name"][10] == "pixel[1,2]"
    low, high = X.min(), X.max()
    levels = np.rint(255 * (X - low) / (high - low))
    assert np.abs(shard["pictures"][""]["x"].reshape(20, 64) - levels).max() <= 1
    made = np.clip(np.rint(255 * (Runtime(model).reconstruct(X) - low) / (high - low)), 0, 255)
    assert np.abs(shard["pictures"][""]["rebuilt"].reshape(20, 64) - made).max() <= 1
    atoms = model.layers["decoder.0"].to_dense().T
    shown = latents["atom"][""].reshape(6, 64) / 127 * latents["atom_scale"][""][:, None]
    assert np.abs(shown - atoms).max() <= np.abs(atoms).max() / 100
    heard = explore(model, X, tmp_path / "audio", audio=8000)
    wav = read_shard(heard, "sounds/0")["sounds"][""]["x"][3]
    with wave.open(io.BytesIO(base64.b64decode(wav))) as sound:
        assert (sound.getframerate(), sound.getnframes()) == (8000, 64)
        assert np.abs(np.frombuffer(sound.readframes(64), "<i2") / 32767 - X[3]).max() < 1e-3
    with pytest.raises(ValueError, match=r"\[explore\] image_shape must be \(height, width\)"):
        explore(model, X, tmp_path / "other", image_shape=(8, 9))


def test_prepared_sounds_of_one_modality_can_be_heard(make_model, rng, tmp_path):
    """Rows are bands of a spectrogram, whose encoder lies beside the files."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    for at in range(6):
        with wave.open(str(folder / f"{at}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 800, "NONE", ""))
            file.writeframes(rng.integers(-9000, 9000, 800).astype("<i2").tobytes())
    encoder = AudioRows(8000, 0.1, 8, n_iter=1)
    prepare(folder, tmp_path / "rows", encoders={"audio": encoder})
    source = open_rows(tmp_path / "rows")
    model = make_model(source.n_features, 4, live=0.9, code_activation="relu")
    heard = explore(model, source, tmp_path / "heard")
    (modality,) = read_shard(heard, "index")["modalities"]
    assert (modality["kind"], modality["rate"], modality["shape"][1]) == ("audio", 8000, 8)
    for explored in (heard, explore(model, source.load(), tmp_path / "given", encoder=encoder)):
        wav = read_shard(explored, "sounds/0")["sounds"][""]["x"][2]
        with wave.open(io.BytesIO(base64.b64decode(wav))) as sound:
            assert (sound.getframerate(), sound.getnframes()) == (8000, 800)
    with pytest.raises(ValueError, match=rf"encoder must make rows of 9 features, .* it makes {source.n_features}"):
        explore(make_model(9), np.ones((5, 9), np.float32), tmp_path / "e", encoder=encoder)
    with pytest.raises(TypeError, match="encoder must be AudioRows, ImageRows or TextRows; got str"):
        explore(make_model(9), np.ones((5, 9), np.float32), tmp_path / "e", encoder="audio")
    with pytest.raises(ValueError, match="Encoders, and models of several modalities, know their own"):
        explore(model, source.load(), tmp_path / "e", encoder=encoder, audio=8000)


def test_several_modalities_have_one_numbering(rng, tmp_path):
    images = rng.integers(0, 255, (30, 4, 4)).astype(np.uint8)
    sounds = [rng.normal(0, 0.1, 800).astype(np.float32) for _ in range(30)]
    texts = [f"{a} {b}" for a, b in rng.choice(["red", "green", "blue", "pear"], (30, 2))]
    encoders = {"image": ImageRows(4), "sound": AudioRows(8000, 0.1, 8, n_iter=1), "text": TextRows("counts")}
    X = {"image": [*images[:29], None], "sound": sounds, "text": texts}
    model = MultimodalAutoencoder(
        encoders, n_components=6, code_activation="topk", k=2, hidden_layer_sizes=(), density=0.9, max_iter=1,
        random_state=0,
    ).fit(X)  # fmt: skip
    folder = explore(model, X, tmp_path / "e", texts=texts)
    index, shard, latents = (read_shard(folder, name) for name in ("index", "rows/0", "latents/0"))
    runtime = model.runtime_
    kinds = {m["name"]: (m["kind"], m["first"], m["shape"]) for m in index["modalities"]}
    widths = {name: of.config.n_features for name, of in runtime.modalities.items()}
    assert kinds["image"] == ("image", 0, [4, 4, 1])
    assert kinds["sound"][:2] == ("audio", 16)
    assert kinds["text"] == ("text", 16 + widths["sound"], None)
    source = runtime.source("explore", X)
    codes = runtime.codes(source)
    assert shard["present"].reshape(30, 3).tolist() == [[1, 1, 1]] * 29 + [[0, 1, 1]]
    made = {name: runtime.decode(codes, name) for name in widths}
    whole = {n: np.asarray(r.toarray() if sp.issparse(r) else r) for n, r in source.rows.items()}
    there = {name: source.has(name) for name in widths}
    for row in (0, 29):
        errors = [(whole[n][row] - made[n][row]) ** 2 for n in widths if there[n][row]]
        np.testing.assert_allclose(shard["error"][row], np.concatenate(errors).mean(), rtol=1e-3)
        found, values = entries(shard["code"], row, "latent", "value")
        np.testing.assert_allclose(values, codes[row, found], rtol=1e-3)
    names = read_shard(folder, "features")["name"]
    assert names[16 + widths["sound"] :] == sorted({"red", "green", "blue", "pear"})
    assert index["has"]["sounds"]
    assert read_shard(folder, "sounds/0")["sounds"]["sound"]["rebuilt"][0]
    assert (latents["n"], len(latents["atom"]["image"])) == (6, 6 * 16)
    assert index["exact"] == (len(runtime.modalities["image"].config.decoder_widths) == 2)


def test_inputs_of_latents_that_read_many(make_model, rng, tmp_path):
    X = rng.normal(0, 1, (10, 80)).astype(np.float32)
    model = make_model(80, 6, live=0.9, code_activation="topk", k=2)
    shard = read_shard(explore(model, X, tmp_path / "e"), "rows/0")
    W, parts = model.layers["encoder.0"].to_dense(), shard["code"]["parts"]
    for i in range(10):
        for entry in range(shard["code"]["ptr"][i], shard["code"]["ptr"][i + 1]):
            products = W[shard["code"]["latent"][entry]] * X[i]
            features, values = entries(parts, entry, "feature", "value")
            assert features.tolist() == np.argsort(-np.abs(products))[:3].tolist()
            np.testing.assert_allclose(values, products[features], rtol=3e-4)
