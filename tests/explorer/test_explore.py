"""Every number of an explorer, recomputed from the model by loops over dense arrays."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import covering
from tests.explorer.oracle import NEAR, Oracle, entries

from dsae import explore
from dsae.explorer import read_shard

GROUPS = ["left", "right", "up"]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    X = rng.normal(0, 1, (150, 12)).astype(np.float32) * np.linspace(0.2, 3, 12, dtype=np.float32)
    X[rng.random(X.shape) < 0.4] = 0
    labels = np.array([GROUPS[i] for i in rng.integers(0, 3, 150)], object)
    labels[7] = None
    return X, labels


CASES = {"relu": {"code_activation": "relu"}, "topk": {"code_activation": "topk", "k": 3}, "identity": {}}


@pytest.fixture(scope="module", params=CASES)
def explored(request, make_model, data, tmp_path_factory):
    X, labels = data
    model = make_model(12, 9, live=0.5, seed=3, **CASES[request.param])
    folder = explore(
        model, X, tmp_path_factory.mktemp("explorer") / "e", labels=labels, ids=[f"r{i}" for i in range(150)]
    )
    return folder, Oracle(model, X), labels


def test_columns_are_those_of_the_codes(explored):
    folder, oracle, _ = explored
    columns, index = read_shard(folder, "columns"), read_shard(folder, "index")
    assert (index["n_latents"], index["n_rows"], index["n_features"], index["n_stored"]) == (9, 150, 12, 150)
    assert columns["n_on"].tolist() == oracle.on.sum(axis=0).tolist()
    energy = (oracle.Z**2).mean(axis=0) * oracle.norms**2
    np.testing.assert_allclose(columns["energy"], energy / energy.sum(), **NEAR)
    np.testing.assert_allclose(columns["norm"], oracle.norms, **NEAR)
    for i in range(9):
        values = oracle.Z[oracle.on[:, i], i]
        if not values.size:
            assert np.isnan(columns["mean"][i])
            continue
        np.testing.assert_allclose(columns["mean"][i], values.mean(), **NEAR)
        np.testing.assert_allclose(columns["max"][i], values[np.abs(values).argmax()], **NEAR)
        relevant = np.abs(oracle.D[i]) / np.sqrt(oracle.base)
        best = [j for j in np.argsort(-relevant, kind="stable")[:3] if oracle.D[i, j] != 0]
        assert columns["top"][3 * i : 3 * i + len(best)].tolist() == best


def test_cosines_are_those_of_the_atoms(explored):
    folder, oracle, _ = explored
    columns, shard = read_shard(folder, "columns"), read_shard(folder, "latents/0")
    unit = oracle.D / np.where(oracle.norms > 0, oracle.norms, 1)[:, None]
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    np.testing.assert_allclose(shard["norm"], oracle.norms, **NEAR)
    for i in range(9):
        latents, values = entries(shard["cosine"], i, "latent", "value")
        expected = [j for j in np.argsort(-cosines[i], kind="stable") if cosines[i, j] > 0.01][:8]
        assert latents.tolist() == expected
        np.testing.assert_allclose(values, cosines[i, latents], **NEAR)
        if expected:
            assert columns["near"][i] == expected[0]
            np.testing.assert_allclose(columns["cosine"][i], cosines[i].max(), **NEAR)


def test_histograms_count_every_value(explored):
    folder, oracle, _ = explored
    shard, n_bins = read_shard(folder, "latents/0"), read_shard(folder, "index")["n_bins"]
    tables = {1: shard["hist"].reshape(9, n_bins), -1: shard.get("negative", np.zeros(9 * n_bins)).reshape(9, n_bins)}
    for i in range(9):
        q = int(shard["bin"][i]) + np.arange(n_bins + 1)
        edges = 2.0 ** ((q >> 2) - 127) * (1 + (q & 3) / 4)
        for sign, table in tables.items():
            values = np.sort(sign * oracle.Z[:, i])
            values = values[values > 0]
            expected = np.histogram(np.maximum(values, edges[0]), np.append(edges[:-1], np.inf))[0]
            assert table[i].tolist() == expected.tolist()


def test_examples_are_the_strongest_rows_and_some_of_each_fifth(explored):
    folder, oracle, _ = explored
    shard = read_shard(folder, "latents/0")
    for i in range(9):
        rows, values, groups = entries(shard["examples"], i, "row", "value", "group")
        np.testing.assert_allclose(values, oracle.Z[rows.astype(int), i], **NEAR)
        on = np.flatnonzero(oracle.on[:, i])
        expected = sorted(on, key=lambda row: (-abs(oracle.Z[row, i]), row))[:12]
        assert rows[groups == 0].tolist() == expected
        sizes = [np.abs(values[groups == group]) for group in range(1, 6)]
        for weak, strong in zip(sizes, sizes[1:], strict=False):
            if weak.size and strong.size:
                assert weak.max() <= strong.min() * (1 + 1e-3)
        for group in range(1, 6):
            drawn = rows[groups == group]
            assert drawn.size <= 5
            assert np.unique(drawn).size == drawn.size
        if on.size >= 100:
            assert [size.size for size in sizes] == [5] * 5


def test_writes_and_reads_are_weights(explored):
    folder, oracle, _ = explored
    shard, features = read_shard(folder, "latents/0"), read_shard(folder, "moments")
    np.testing.assert_allclose(features["base"], oracle.base, **NEAR)
    for i in range(9):
        written, values = entries(shard["writes"], i, "feature", "value")
        assert sorted(written) == np.flatnonzero(oracle.D[i]).tolist()  # of 12 features all are among the best
        np.testing.assert_allclose(values, oracle.D[i, written], **NEAR)
        assert (np.diff(np.abs(values)) <= 1e-6).all()
        read, weights = entries(shard["reads"], i, "feature", "value")
        order = np.abs(oracle.W[i]) * np.sqrt(oracle.base)
        assert read.tolist() == [j for j in np.argsort(-order, kind="stable") if order[j] > 0]
        np.testing.assert_allclose(weights, oracle.W[i, read], **NEAR)
    assert shard["n_writes"].tolist() == (oracle.D != 0).sum(axis=1).tolist()
    assert shard["n_reads"].tolist() == (oracle.W != 0).sum(axis=1).tolist()


def test_reads_and_bias_are_why_a_latent_fires(explored):
    folder, oracle, _ = explored
    shard = read_shard(folder, "latents/0")
    for i in range(9):
        features, weights = entries(shard["reads"], i, "feature", "value")
        for row in np.flatnonzero(oracle.on[:, i])[:20]:
            parts = weights * oracle.X[row, features]
            np.testing.assert_allclose(parts.sum() + shard["bias"][i], oracle.Z[row, i], rtol=2e-3, atol=2e-3)


def test_the_decoder_gives_back_rows(explored):
    folder, oracle, _ = explored
    shard, features = read_shard(folder, "decoder/0"), read_shard(folder, "moments")
    D = np.zeros((9, 12))
    for i in range(9):
        columns, values = entries(shard, i, "feature", "value")
        D[i, columns] = values
    np.testing.assert_allclose(D, oracle.D, **NEAR)
    np.testing.assert_allclose(features["bias"], oracle.bias, **NEAR)


def test_labels_are_counted(explored):
    folder, oracle, labels = explored
    index, columns, shard = (read_shard(folder, name) for name in ("index", "columns", "latents/0"))
    counts = [int((labels == group).sum()) for group in GROUPS]
    assert index["labels"] == {"names": GROUPS, "counts": counts, "beside": True}
    labelled = np.array([label is not None for label in labels])
    rate = oracle.on[labelled].mean(axis=0)
    for place, group in enumerate(GROUPS):
        of = read_shard(folder, f"labels/{place}")
        assert of["n"].tolist() == oracle.on[labels == group].sum(axis=0).tolist()
        np.testing.assert_allclose(of["sum"], oracle.Z[labels == group].sum(axis=0), rtol=1e-3, atol=1e-4)
    for i in range(9):
        found, n, lifts = entries(shard["labels"], i, "label", "n", "lift")
        fired = oracle.on[labelled, i]
        phi = {
            g: np.corrcoef(fired, labels[labelled] == group)[0, 1] if 0 < fired.mean() < 1 else 0.0
            for g, group in enumerate(GROUPS)
        }
        assert found.tolist() == sorted((g for g in phi if phi[g] > 1e-12), key=lambda g: -phi[g])
        for g, count, lift in zip(found, n, lifts, strict=True):
            inside = oracle.on[labels == GROUPS[g], i]
            assert count == inside.sum()
            np.testing.assert_allclose(lift, inside.mean() / rate[i], **NEAR)
        likely = [g for g in found if oracle.on[labels == GROUPS[g], i].sum() >= 5]
        assert columns["label"][i] == (likely[0] if likely else 3)


def test_latents_that_fire_together(explored):
    folder, oracle, _ = explored
    shard = read_shard(folder, "latents/0")
    for i in range(9):
        for name in ("cofire", "anti"):
            latents, n, lifts = entries(shard[name], i, "latent", "n", "lift")
            for j, count, lift in zip(latents, n, lifts, strict=True):
                both = oracle.on[:, i] & oracle.on[:, j]
                assert count == both.sum()
                chance = oracle.on[:, i].mean() * oracle.on[:, j].mean()
                np.testing.assert_allclose(lift, both.mean() / chance, **NEAR)
                assert (lift > 1) == (name == "cofire")


def test_rows_are_those_given(explored):
    folder, oracle, labels = explored
    seen = 0
    for s in range(2):
        shard = read_shard(folder, f"rows/{s}")
        for i, row in enumerate(shard["row"]):
            row = int(row)
            assert shard["id"][i] == f"r{row}"
            assert shard["label"][i] == (3 if labels[row] is None else GROUPS.index(labels[row]))
            features, values = entries(shard["x"], i, "feature", "value")
            assert features.tolist() == np.flatnonzero(oracle.X[row]).tolist()
            np.testing.assert_allclose(values, oracle.X[row, features], **NEAR)
            features, x, made = entries(shard["shown"], i, "feature", "x", "rebuilt")
            assert features.tolist() == np.argsort(-((oracle.X[row] - oracle.made[row]) ** 2)).tolist()
            np.testing.assert_allclose(x, oracle.X[row, features], **NEAR)
            np.testing.assert_allclose(made, oracle.made[row, features], rtol=3e-4, atol=1e-4)
            seen += 1
    assert seen == 150
    stored = read_shard(folder, "stored")
    assert stored["row"].tolist() == list(range(150))
    for key in ("n_on", "label", "error"):
        of_shards = np.concatenate([read_shard(folder, f"rows/{i}")[key] for i in range(2)])
        np.testing.assert_allclose(stored[key], of_shards, **NEAR)


def test_effects_are_those_of_codes_without_a_latent(explored):
    folder, oracle, _ = explored
    shard = read_shard(folder, "rows/0")
    for i, row in enumerate(shard["row"]):
        latents, values, drops, offs = entries(shard["code"], i, "latent", "value", "drop", "off")
        assert sorted(latents) == np.flatnonzero(oracle.on[row]).tolist()
        np.testing.assert_allclose(values, oracle.Z[row, latents], **NEAR)
        assert (np.diff(offs) <= 1e-3 * np.abs(offs[:-1])).all()
        code, error = np.zeros(9), oracle.error(row, np.zeros(9))
        np.testing.assert_allclose(shard["start"][i], error, **NEAR)
        for latent, drop, off in zip(latents, drops, offs, strict=True):
            code[latent] = oracle.Z[row, latent]
            np.testing.assert_allclose(drop, error - oracle.error(row, code), rtol=3e-4, atol=2e-4)
            error = oracle.error(row, code)
            without = oracle.Z[row].copy()
            without[latent] = 0
            rise = oracle.error(row, without) - oracle.error(row, oracle.Z[row])
            np.testing.assert_allclose(off, rise, rtol=3e-4, atol=2e-4)
        np.testing.assert_allclose(shard["error"][i], error, rtol=3e-4, atol=1e-4)
        assert shard["n_on"][i] == latents.size


def test_features_have_their_moments_and_errors(explored):
    folder, oracle, _ = explored
    features = read_shard(folder, "moments")
    np.testing.assert_allclose(features["mean"], oracle.X.mean(axis=0), **NEAR)
    np.testing.assert_allclose(features["spread"], oracle.X.std(axis=0), **NEAR)
    np.testing.assert_allclose(features["error"], ((oracle.X - oracle.made) ** 2).mean(axis=0), **NEAR)
    searched = read_shard(folder, "search")
    size = (
        np.abs(oracle.D)
        * np.abs([z[on].mean() if on.any() else 0 for z, on in zip(oracle.Z.T, oracle.on.T, strict=True)])[:, None]
    )
    for j in range(12):
        (latents,) = entries(searched, j, "latent")
        best = np.argsort(-size[:, j], kind="stable")[: len(latents)]
        np.testing.assert_allclose(size[latents, j], size[best, j], rtol=1e-5)
        assert len(latents) == min(8, int((oracle.D[:, j] != 0).sum()))


def test_health_counts(explored):
    folder, oracle, labels = explored
    health = read_shard(folder, "health")
    rates = oracle.on.mean(axis=0)
    assert health["dead"] == (rates == 0).sum()
    assert health["frequent"] == (rates > 0.1).sum()
    assert health["constant"] == (rates == 1).sum()
    assert sum(health["l0"]["counts"]) == 150
    np.testing.assert_allclose(health["mean_l0"], oracle.on.sum(axis=1).mean())
    errors = ((oracle.X - oracle.made) ** 2).mean(axis=1)
    assert [row for row, _ in health["worst"]] == np.argsort(-errors)[:12].tolist()
    np.testing.assert_allclose(health["fvu"], errors.mean() / oracle.X.var(axis=0).mean(), rtol=1e-4)
    for place, n, mean in health["by_label"]:
        of = labels == GROUPS[place]
        assert n == of.sum()
        np.testing.assert_allclose(mean, errors[of].mean(), rtol=1e-4)
    assert health["features"][0][0] == ((oracle.X - oracle.made) ** 2).mean(axis=0).argmax()
    assert sum(health["degrees"]["encoder"]["counts"]) == 9


def test_what_is_said_was_tried(explored):
    about = read_shard(explored[0], "about")
    assert len(about["checks"]) == 3
    assert all(check["passed"] for check in about["checks"])
    assert len(dict(about["data"])["SHA-256 of the values"]) == 64


def test_maps_lie_in_their_square(explored):
    folder, oracle, _ = explored
    placed = read_shard(folder, "map")
    assert placed["latents"].size == 18
    assert placed["rows"].size == 300
    assert max(placed["latents"].max(), placed["rows"].max()) <= 65535
    points = placed["latents"].reshape(9, 2)
    assert (points[oracle.on.any(axis=0) & (oracle.norms > 0)] > 0).any()


@covering(sparse=[False, True], batch_size=[7, 64])
def test_shards_do_not_depend_on_batches_or_storage(make_model, data, tmp_path, sparse, batch_size):
    X, labels = data
    model = make_model(12, 9, live=0.5, seed=3, code_activation="topk", k=3)

    class Pieces:
        n_features = 12

        def __len__(self):
            return len(X)

        def batches(self, size, seed=None):
            for start in range(0, len(X), batch_size):
                rows = X[start : start + batch_size]
                yield sp.csr_matrix(rows) if sparse else rows

    whole = explore(model, X, tmp_path / "whole", labels=labels)
    pieces = explore(model, Pieces(), tmp_path / "pieces", labels=labels)
    for name in ("columns", "latents/0", "rows/0", "rows/1", "features", "moments"):
        same(read_shard(whole, name), read_shard(pieces, name))


def same(one, other):
    """Equal but for the last digits of sums."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, np.ndarray) and one.dtype.kind == "f":
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=1e-5)
    elif isinstance(one, np.ndarray):
        assert one.tolist() == other.tolist()
    else:
        assert one == other
