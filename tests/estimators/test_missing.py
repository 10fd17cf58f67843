"""Training on rows with missing values, and filling them in."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_digits
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from tests.covering import covering, each
from tests.html import without_scripts

from dsae import DeepSparseAutoencoder, DSAFeatureSelector, compare, load
from dsae.data import open_rows
from dsae.report import write_report

SMALL = {"n_components": 3, "hidden_layer_sizes": (16,), "density": 0.5, "max_iter": 4, "batch_size": 32}
NAMES = [f"gene{i}" for i in range(8)]


def small(**changes):
    return DeepSparseAutoencoder(**SMALL | {"missing": "mask", "random_state": 0} | changes)


@pytest.fixture(scope="module")
def rows():
    """Two directions in eight features far from zero, and the same with a quarter of the values missing."""
    rng = np.random.default_rng(0)
    whole = (20 + rng.normal(size=(300, 2)) @ rng.normal(size=(2, 8))).astype(np.float32)
    return whole, np.where(rng.random(whole.shape) < 0.25, np.nan, whole).astype(np.float32)


def weights(dsa):
    return np.concatenate([layer.values for layer in dsa.runtime_.layers.values()])


def test_what_stands_in_the_place_of_nan_does_not_matter(rows):
    """Masked arrays hold numbers there, which nothing may see."""
    _, holed = rows
    fits = []
    for hidden in (0.0, 1e6):
        masked = np.ma.array(np.where(np.isnan(holed), hidden, holed), mask=np.isnan(holed))
        fits.append(small().fit(masked))
    fits.append(small().fit(pd.DataFrame(holed)))
    for other in fits[1:]:
        np.testing.assert_array_equal(weights(fits[0]), weights(other))
        assert fits[0].history_[-1]["loss"] == other.history_[-1]["loss"]
        np.testing.assert_array_equal(fits[0].feature_importances_, other.feature_importances_)


@covering(
    code=["identity", "topk", "batchtopk"],
    kind=["dense", "csr"],
    schedule=["joint", "stagewise"],
    density=[0.5, 1.0],
    stopping=[False, True],
)
def test_every_training_takes_missing_values(rows, code, kind, schedule, density, stopping):
    _, holed = rows
    given = sp.csr_matrix(np.where(holed > 20, holed, np.where(np.isnan(holed), np.nan, 0))) if kind == "csr" else holed
    settings = {"code_activation": code, "k": None if code == "identity" else 2, "density": density}
    settings |= {"shrink": "none" if density == 1 else "tempered", "schedule": schedule, "early_stopping": stopping}
    settings["max_iter"] = 6
    dsa = small(**settings).fit(given)
    assert np.isfinite(weights(dsa)).all()
    assert np.isfinite([row["loss"] for row in dsa.history_]).all()
    assert np.isfinite(dsa.score(given))
    found = dsa.impute(given)
    assert not np.isnan(found.data if sp.issparse(found) else found).any()


@each(kind=["dense", "csr"], transform=["none", "log1p"])
def test_zeros_and_ones_with_holes(kind, transform):
    """Guesses are rates, and the mean that stands for a hole is one before the input transform."""
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(200, 2)) @ rng.normal(size=(2, 8)) > 0).astype(np.float32)
    holed = np.where(rng.random(X.shape) < 0.2, np.nan, X)
    given = sp.csr_matrix(holed) if kind == "csr" else holed
    dsa = small(loss="bce", input_transform=transform).fit(given).partial_fit(given).partial_fit(given)
    np.testing.assert_allclose(dsa.runtime_.model.inputs.mean, np.nanmean(holed, axis=0), rtol=1e-5)
    found = dsa.impute(given)
    found = found.toarray() if kind == "csr" else found
    assert ((found >= 0) & (found <= 1)).all()
    assert np.isfinite(dsa.score(given))


def test_a_trained_model_guesses_better_than_means(rows):
    whole, holed = rows
    dsa = small(max_iter=80, density=1.0, shrink="none").fit(holed)
    holes = np.isnan(holed)
    error = np.square(dsa.impute(holed) - whole)[holes].mean()
    assert error < 0.5 * np.square(SimpleImputer().fit_transform(holed) - whole)[holes].mean()


def test_a_share_is_hidden_in_training_unless_another_is_asked_for(rows):
    _, holed = rows
    default, same = small().fit(holed), small(mask=(0.0, 0.8), mask_rescale=False).fit(holed)
    np.testing.assert_array_equal(weights(default), weights(same))
    other = small(mask=0.3).fit(holed)
    assert (weights(default) != weights(other)).any()
    assert default.runtime_.model.training["mask"] == (0.0, 0.8)


def test_a_code_as_wide_as_the_data_gets_hidden_layers(rows):
    _, holed = rows
    wide = {"n_components": 32, "hidden_layer_sizes": "auto", "max_iter": 1}
    assert small(**wide).fit(holed).runtime_.config.hidden_layer_sizes
    assert not small(**wide, missing="error").fit(rows[0]).runtime_.config.hidden_layer_sizes


def test_streams_and_arrays_train_alike(rows, tmp_path):
    _, holed = rows
    pd.DataFrame(holed, columns=NAMES).to_csv(tmp_path / "x.csv", index=False, na_rep="NA")
    from_file = small().fit(open_rows(tmp_path / "x.csv"))
    in_memory = small().fit(holed)
    frame = pd.DataFrame(holed, columns=NAMES)
    assert from_file.score(open_rows(tmp_path / "x.csv")) == pytest.approx(from_file.score(frame), rel=1e-5)
    np.testing.assert_allclose(*(dsa.runtime_.model.inputs.mean for dsa in (from_file, in_memory)), rtol=1e-6)
    np.testing.assert_array_equal(from_file.runtime_.model.inputs.low, in_memory.runtime_.model.inputs.low)
    np.testing.assert_allclose(from_file.impute(open_rows(tmp_path / "x.csv")), from_file.impute(frame), rtol=1e-5)


def test_a_file_with_holes_is_refused_by_a_model_that_does_not_take_them(rows, tmp_path):
    np.save(tmp_path / "x.npy", rows[1])
    for source in (open_rows(tmp_path / "x.npy"), open_rows(tmp_path / "x.npy", missing="mask")):
        with pytest.raises(ValueError, match=r"Set missing=\"mask\" \(--missing mask\)"):
            small(missing="error").fit(source)
    with pytest.raises(ValueError, match=r"missing must be one of error, mask; got 'maks'\. Did you mean 'mask'"):
        small(missing="maks").fit(rows[1])


def test_columns_and_rows_without_a_value_are_named(rows):
    holed = rows[1].copy()
    holed[5] = holed[9] = np.nan
    with pytest.warns(UserWarning, match=r"^\[fit\] No value is known of 2 of 300 rows, the first of which is row 5"):
        dsa = small().fit(holed)
    with pytest.warns(UserWarning, match=r"^\[impute\] No value is known of 2 rows, the first of which is row 5"):
        found = dsa.impute(holed)
    np.testing.assert_array_equal(found[5], dsa.runtime_.model.inputs.mean)
    holed[:, [2, 4]] = np.nan
    for verb in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=rf"^\[{verb}\] Column 'gene2' \(and 1 more\) must hold a known value"):
            getattr(small(), verb)(pd.DataFrame(holed, columns=NAMES))


def test_rows_without_a_value_teach_nothing(rows):
    holed = rows[1]
    empty = np.full((40, 8), np.nan, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        more = small(batch_size=400, max_iter=3).fit(np.concatenate([holed, empty]))
    alone = small(batch_size=400, max_iter=3).fit(holed)
    np.testing.assert_allclose(weights(more), weights(alone), rtol=1e-3, atol=1e-5)


def test_a_model_learns_on_from_chunks_with_holes(rows):
    _, holed = rows
    dsa = small()
    for chunk in np.split(holed, 3):
        dsa.partial_fit(chunk)
    inputs = dsa.runtime_.model.inputs
    np.testing.assert_array_equal(inputs.low, np.nanmin(holed, axis=0))
    np.testing.assert_array_equal(inputs.high, np.nanmax(holed, axis=0))
    np.testing.assert_allclose(inputs.mean, np.nanmean(holed[:100], axis=0), rtol=1e-6)
    assert np.isfinite(dsa.impute(holed)).all()


def test_a_run_that_was_stopped_hides_the_same_values(rows, tmp_path):
    def stop(facts):
        if facts["step"] == 25:
            raise RuntimeError("stop")

    _, holed = rows
    kept = {"checkpoint": tmp_path / "run", "checkpoint_every": 0}
    with pytest.raises(RuntimeError, match="stop"):
        small(**kept).fit(holed, on_step=stop, every=1)
    again, whole = small(**kept).fit(holed), small().fit(holed)
    np.testing.assert_array_equal(weights(again), weights(whole))
    assert again.history_[-1]["loss"] == whole.history_[-1]["loss"]


def test_a_saved_model_knows_what_it_takes(rows, tmp_path):
    _, holed = rows
    dsa = small().fit(holed)
    dsa.save(tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").impute(holed), dsa.impute(holed))
    again = DeepSparseAutoencoder.load(tmp_path / "model")
    assert again.missing == "mask"
    assert again.fit(holed).__sklearn_tags__().input_tags.allow_nan


@each(missing=["error", "mask"])
def test_the_tags_follow_the_setting(missing):
    assert small(missing=missing).__sklearn_tags__().input_tags.allow_nan == (missing == "mask")
    selector = DSAFeatureSelector(small(missing=missing))
    assert selector.__sklearn_tags__().input_tags.allow_nan == (missing == "mask")


def test_frames_come_back_as_they_were(rows):
    frame = pd.DataFrame(rows[1].astype(np.float64), columns=NAMES, index=[f"cell {i}" for i in range(300)])
    dsa = small().fit(frame).set_output(transform="pandas")
    found = dsa.impute(frame)
    assert isinstance(found, pd.DataFrame)
    pd.testing.assert_index_equal(found.index, frame.index)
    assert list(found.columns) == NAMES
    known = frame.notna().to_numpy()
    assert found.to_numpy()[known].tobytes() == frame.to_numpy()[known].tobytes()
    assert not found.isna().any().any()
    assert dsa.transform(frame).shape == (300, 3)
    with pytest.raises(ValueError, match="feature names should match"):
        dsa.impute(frame[NAMES[::-1]])


def test_scores_selection_comparison_and_report_count_what_is_known(rows, tmp_path):
    _, holed = rows
    dsa = small(max_iter=60).fit(holed)
    made, known = dsa.runtime_.reconstruct(holed), ~np.isnan(holed)
    about = np.nansum((holed - np.nanmean(holed, axis=0)) ** 2)
    assert dsa.score(holed) == pytest.approx(1 - np.square(made - holed)[known].sum() / about, rel=1e-4)
    assert np.isfinite(dsa.score_samples(holed)).all()
    selector = DSAFeatureSelector(small(), n_features_to_select=3).fit(holed)
    assert np.isnan(selector.transform(holed)).any()
    table = compare(holed, missing="mask", verbose=0, **SMALL | {"max_iter": 1, "random_state": 0})
    assert all(np.isfinite(row.fvu) for row in table.rows)
    page = write_report(tmp_path / "report.html", dsa.runtime_.model, holed)
    assert not re.search(r"\b(nan|NaN)\b", without_scripts(page.read_text()))


def test_a_pipeline_hands_holes_on():
    X = load_digits().data[:200]
    X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        pipeline = make_pipeline(small(), "passthrough").fit(X)
    assert np.isfinite(pipeline.transform(X)).all()


def test_rows_of_which_nothing_is_known_have_no_error_and_a_warning(rows, tmp_path):
    dsa = small().fit(rows[1])
    blank = np.concatenate([rows[1][:5], np.full((2, 8), np.nan, np.float32)])
    for verb in (dsa.score_samples, dsa.reconstruction_error, dsa.runtime_.score_samples):
        with pytest.warns(UserWarning, match="No value is known of 2 rows, the first of which is row 5: they get NaN"):
            assert np.isnan(verb(blank)).tolist() == [False] * 5 + [True] * 2
    assert np.isnan(dsa.reconstruction_error(blank, per_feature=True)[5:]).all()


def test_a_mask_of_two_zeros_hides_nothing(rows):
    """And 0 stands for the default."""
    masks = [small(max_iter=1, mask=mask).fit(rows[1]).runtime_.model.training["mask"] for mask in (0, (0, 0))]
    assert np.ravel(masks[0]).tolist() == [0.0, 0.8]
    assert masks[1] == 0


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_anndata_comes_back_as_anndata(kind):
    anndata = pytest.importorskip("anndata")
    rows = np.where(np.random.default_rng(0).random((40, 6)) < 0.2, np.nan, 1 + np.arange(240).reshape(40, 6) % 7)
    cells = anndata.AnnData(kind(rows))
    cells.obs_names, cells.var_names = [f"cell {i}" for i in range(40)], [f"gene {j}" for j in range(6)]
    cells.layers["counts"] = np.ones((40, 6))
    cells.obs["batch"] = "a"
    dsa = DeepSparseAutoencoder(3, density=0.8, max_iter=2, missing="mask", random_state=0).fit(cells)
    whole = dsa.impute(cells)
    assert isinstance(whole, anndata.AnnData)
    assert type(whole.X) is type(cells.X)
    assert list(whole.obs_names) == list(cells.obs_names)
    assert list(whole.var_names) == list(cells.var_names)
    assert whole.obs.equals(cells.obs)
    found, plain = (m.toarray() if sp.issparse(m) else m for m in (whole.X, dsa.runtime_.impute(kind(rows))))
    np.testing.assert_array_equal(found, plain)
    np.testing.assert_array_equal(found[~np.isnan(rows)], rows[~np.isnan(rows)])
    assert np.isnan(cells.X.toarray() if sp.issparse(cells.X) else cells.X).any(), "what was given stays as it is"
