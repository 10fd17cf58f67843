"""Laws of descriptions: plain figures on small models, and planted truth."""

from functools import cache

import numpy as np
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae import DeepSparseAutoencoder
from dsae.data import make_sparse_features, named_rows, open_rows
from dsae.interpret import describe, norms_of, relevance, responses
from dsae.interpret._describe import name_of
from dsae.interpret._reading import Reading
from dsae.interpret._records import Effect
from dsae.interpret._relevance import largest
from dsae.runtime import Runtime

NAMES = [f"f{j}" for j in range(12)]
LABELS = np.array(["a", "b", "c"])[np.arange(90) % 3]


def rows(n=90, width=12):
    return np.random.default_rng(1).normal(0, 1, (n, width)).astype(np.float32)


@each(code=[("relu", None), ("topk", 2), ("sigmoid", None)], changes=[{}, {"hidden_layer_sizes": (9,)}])
def test_figures_equal_a_plain_computation(make_model, code, changes):
    model = make_model(n_components=8, code_activation=code[0], k=code[1], live=0.7, **changes)
    X, runtime = rows(), Runtime(model)
    codes = runtime.encode(X).astype(np.float64)
    on_at_all = np.abs(codes) > (0.5 if code[0] == "sigmoid" else 0)
    found = describe(model, X, names=NAMES, labels=LABELS)
    rms = np.sqrt((codes**2).mean(0))
    if changes:
        atoms = [runtime.decode(codes.mean(0)[None] + rms[i] * np.eye(8)[[i]]) for i in range(8)]
        atoms = np.concatenate(atoms) - runtime.decode(codes.mean(0)[None])
        energy = np.square(atoms).sum(1)
    else:
        atoms = model.layers["decoder.0"].to_dense().T
        energy = rms**2 * np.square(atoms).sum(1)
    alive = on_at_all.any(0)
    assert [at.latent for at in found] == [i for i in np.argsort(-energy, kind="stable") if alive[i]]
    for at in found:
        on = on_at_all[:, at.latent]
        z = np.where(on, codes[:, at.latent], 0)
        assert (at.count, at.rate) == (on.sum(), on.mean())
        assert at.mean == pytest.approx(z[on].mean())
        assert at.highest == pytest.approx(z[np.abs(z).argmax()])
        assert at.energy == pytest.approx(energy[at.latent], rel=1e-3)
        assert at.share == pytest.approx(energy[at.latent] / energy.sum(), rel=1e-3)
        assert at.norm * rms[at.latent] == pytest.approx(np.sqrt(energy[at.latent]), rel=1e-3)
        for other in (*at.together, *at.against):
            both = on & on_at_all[:, other.latent]
            assert other.lift == pytest.approx(both.mean() / (on.mean() * on_at_all[:, other.latent].mean()))
        assert [e.row for e in at.examples] == np.argsort(-z, kind="stable")[: min(12, on.sum())].tolist()
        assert all(e.label == LABELS[e.row] and e.value == np.float32(z[e.row]) for e in at.examples)
        assert all(z[e.row] != 0 for part in at.quantiles for e in part)
        assert len(at.quantiles) == 5
        effects = [e.feature for e in at.writes]
        assert effects == np.argsort(-np.abs(atoms[at.latent]), kind="stable")[: len(effects)].tolist()
        assert all(e.name == NAMES[e.feature] for e in [*at.writes, *at.distinctive, *at.reads])
        best = at.labels[0]
        assert best.lift == pytest.approx(on[best.label == LABELS].mean() / on.mean())
        assert str(at).startswith(f"latent {at.latent}: ")


def test_the_order_does_not_depend_on_an_arbitrary_scale(make_model):
    model = make_model(n_components=8, code_activation="relu", live=0.8)
    before = describe(model, rows())
    encoder, decoder = model.layers["encoder.0"], model.layers["decoder.0"]
    scale = np.float32([100, 1, 0.01, 10, 1, 3, 0.5, 7])
    scaled = {
        "encoder.0": encoder._replace(values=encoder.values * scale[encoder.topology.rows], bias=encoder.bias * scale),
        "decoder.0": decoder._replace(values=decoder.values / scale[decoder.topology.cols]),
    }
    after = describe(make_model(n_components=8, code_activation="relu").__class__(model.config, scaled), rows())
    assert len(before) > 3
    for one, other in zip(before, after, strict=True):
        assert (one.latent, one.name, one.count) == (other.latent, other.name, other.count)
        assert one.energy == pytest.approx(other.energy, rel=1e-4)
        assert [e.row for e in one.examples] == [e.row for e in other.examples]
        assert [p.latent for p in one.alike] == [p.latent for p in other.alike]
        for effects in ("writes", "distinctive", "reads"):
            assert [e.feature for e in getattr(one, effects)] == [e.feature for e in getattr(other, effects)]


@each(kind=["array", "csr", "file"])
def test_rows_of_any_kind_are_read_twice(make_model, kind, tmp_path):
    model = make_model(code_activation="relu", live=0.8)
    X = rows()
    np.save(tmp_path / "x.npy", X)
    given = {"array": X, "csr": sp.csr_matrix(X), "file": open_rows(tmp_path / "x.npy")}[kind]
    found = describe(model, given, [3, 1], labels=LABELS, ids=[f"row {i}" for i in range(90)])
    assert [at.latent for at in found] == [3, 1]
    for at, other in zip(found, describe(model, X, [3, 1], labels=LABELS), strict=True):
        assert [e.row for e in at.examples] == [e.row for e in other.examples]
        assert all(e.id == f"row {e.row}" and e.label == LABELS[e.row] for e in at.examples)
        assert (at.count, at.writes, at.labels) == (other.count, other.writes, other.labels)


def test_names_ids_and_labels_travel_with_rows(make_model):
    X = named_rows(rows(), NAMES, ids=[f"row {i}" for i in range(90)], labels=LABELS)
    (at,) = describe(make_model(code_activation="relu"), X, [2])
    assert at.examples[0].id == f"row {at.examples[0].row}"
    assert at.labels
    assert at.writes[0].name == NAMES[at.writes[0].feature]


def test_rows_with_numbers_of_their_own_keep_their_labels(make_model):
    source = named_rows(rows(), ids=[f"row {i}" for i in range(90)], labels=LABELS)
    held_out = source.split(0.5, 0)[1]
    runtime = Runtime(make_model(code_activation="relu"))
    reading = Reading.of("describe", runtime, held_out)
    shown, _ = reading.summary.strongest.of(0)
    assert set(shown) <= set(held_out.rows.numbers)
    assert max(shown) > 45
    ids, labels = reading.known_of(shown)
    assert ids == [f"row {i}" for i in shown]
    assert labels == LABELS[shown].tolist()


def test_a_dead_latent_can_be_described(make_model):
    model = make_model(code_activation="relu")
    model.layers["encoder.0"].bias[1] = -100
    (at,) = describe(model, rows(), [1], labels=LABELS)
    assert (at.count, at.rate, at.energy) == (0, 0, 0)
    assert np.isnan(at.mean)
    assert np.isnan(at.highest)
    assert at.examples == []
    assert at.labels == []
    assert at.together == []
    assert "latent 1" in str(at)
    assert 1 not in [at.latent for at in describe(model, rows())]


def test_bad_arguments_are_refused(make_model):
    model, X = make_model(code_activation="relu"), rows()
    with pytest.raises(ValueError, match=r"\[describe\] labels must be one for each of 90 rows; got 89"):
        describe(model, X, labels=LABELS[:89])
    with pytest.raises(ValueError, match=r"\[describe\] ids must be one for each of 90 rows; got shape \(90, 1\)"):
        describe(model, X, ids=LABELS[:, None])
    with pytest.raises(ValueError, match=r"\[describe\] names must name 12 features; got 11"):
        describe(model, X, names=NAMES[:11])
    with pytest.raises(ValueError, match=r"\[describe\] latents must lie in 0\.\.4; got 5\.\.5"):
        describe(model, X, [5])
    with pytest.raises(ValueError, match=r"\[describe\] n_features must be a whole number of at least 1; got 0"):
        describe(model, X, n_features=0)
    with pytest.raises(ValueError, match=r"weight must"):
        describe(model, X, weight=1.5)


def test_relevance_goes_from_large_to_distinctive():
    effects, variance = np.array([[4.0, 1.0, 5.0]]), np.array([16.0, 0.25, 0.0])
    np.testing.assert_allclose(relevance(effects, variance, 1), [[4, 1, 0]])
    np.testing.assert_allclose(relevance(effects, variance, 0.5), [[1, 2, 0]])
    np.testing.assert_allclose(relevance(effects, variance, 0), [[0.25, 4, 0]])
    np.testing.assert_allclose(relevance(effects, variance, 0.5, reads=True), [[16, 0.5, 0]])
    sparse = relevance(sp.csr_matrix(effects), variance, 0.5)
    np.testing.assert_allclose(sparse.toarray(), [[1, 2, 0]])
    assert relevance(effects, None) is effects


def test_largest_and_norms_of_dense_and_sparse_rows():
    row = np.array([0.0, -3.0, 2.0, 3.0, 0.0])
    for kind in (row, sp.csr_matrix(row)):
        places, values = largest(kind, 4)
        assert places.tolist() == [1, 3, 2]
        assert values.tolist() == [-3, 3, 2]
    atoms = np.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(norms_of(atoms), [5, 0])
    np.testing.assert_allclose(norms_of(sp.csr_matrix(atoms)), [5, 0])


def test_names_are_of_what_a_latent_raises():
    effects = [Effect(0, "low", -5.0), Effect(1, "high", 4.0), Effect(2, "higher", 3.0)]
    assert name_of(7, effects) == "high, higher"
    assert name_of(7, effects, -1.0) == "low"
    assert name_of(7, effects[:1]) == "\N{MINUS SIGN}low"
    assert name_of(7, []) == "latent 7"


@cache
def planted():
    made = make_sparse_features(
        2000, n_features=24, n_atoms=24, n_trees=0, max_rate=0.15, min_rate=0.02, random_state=0
    )
    dsa = DeepSparseAutoencoder(
        24, code_activation="topk", k=3, density=1.0, shrink="none", max_iter=12, batch_size=64, random_state=0
    )
    return made, dsa.fit(made.X).runtime_


def test_planted_atoms_are_found():
    """The latent nearest to an atom writes its largest coordinates, reads them, and fires where the atom does."""
    made, runtime = planted()
    fired = made.codes.toarray() > 0
    labels = fired.argmax(1).astype(object)
    labels[fired.sum(1) != 1] = None  # rows of one atom alone are labelled by it
    found = {at.latent: at for at in describe(runtime, made.X, labels=labels, weight=1.0, n_features=4)}
    atoms = responses(runtime).toarray()
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    near = made.atoms @ atoms.T
    known = [a for a in range(24) if near[a].max() > 0.9]
    assert len(known) >= 16
    enriched = 0
    for a in known:
        at = found[int(near[a].argmax())]
        largest_of_atom = set(np.argsort(-np.abs(made.atoms[a]))[:4].tolist())
        assert len({e.feature for e in at.writes} & largest_of_atom) >= 3
        assert len({e.feature for e in at.reads} & set(np.argsort(-np.abs(made.atoms[a]))[:8].tolist())) >= 2
        assert sum(fired[e.row, a] for e in at.examples) >= 11
        enriched += {e.label: e.lift for e in at.labels}.get(a, 0) > 2
    assert enriched > len(known) * 3 / 4
