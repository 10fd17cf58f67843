"""Whatever kind of array holds the rows, every verb gives what it gives for plain ones."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from tests.covering import covering, each

from dsae import DeepSparseAutoencoder, DSAFeatureSelector, DSAOutlierDetector, compare
from dsae.data import Batch, StreamSource, as_source, open_rows
from dsae.interpret import CodeIndex, top_examples
from dsae.metrics import evaluate
from dsae.report import collect
from dsae.runtime import Runtime

N_ROWS, WIDTH = 40, 6
SETTINGS = {"n_components": 2, "hidden_layer_sizes": (5,), "density": 0.6, "max_iter": 2, "random_state": 0}


def rows():
    """Small whole numbers, which every type of number holds, mostly zeros; one row is all zeros."""
    X = np.random.default_rng(0).choice([0, 1, 3], size=(N_ROWS, WIDTH), p=[0.6, 0.2, 0.2]).astype(np.float32)
    X[7] = 0
    return X


def made(**given):
    return DeepSparseAutoencoder(**SETTINGS | given)


@cache
def fitted():
    return made().fit(rows())


@cache
def detector():
    return DSAOutlierDetector(n_estimators=1, random_state=0).fit(rows())


def weights(model):
    return np.concatenate([layer.values for layer in model.runtime_.layers.values()])


VERBS = {
    "fit": lambda X: weights(made().fit(X)),
    "fit early stopping": lambda X: weights(made(early_stopping=True, shrink="set").fit(X)),
    "partial_fit": lambda X: weights(made().partial_fit(X).partial_fit(X)),
    "transform": lambda X: fitted().transform(X),
    "score": lambda X: fitted().score(X),
    "score_samples": lambda X: fitted().score_samples(X),
    "reconstruction_error": lambda X: fitted().reconstruction_error(X, per_feature=True),
    "encode": lambda X: fitted().runtime_.encode(X),
    "encode sparsely": lambda X: fitted().runtime_.encode(X, sparse_output=True).toarray(),
    "reconstruct": lambda X: fitted().runtime_.reconstruct(X),
    "evaluate": lambda X: evaluate(fitted().runtime_, X)["fvu"],
    "top_examples": lambda X: np.concatenate(top_examples(fitted().runtime_, X, n_examples=3).rows),
    "neighbours": lambda X: CodeIndex(X, model=fitted().runtime_).nearest(X, 2).rows,
    "outliers": lambda X: detector().score_samples(X),
    "fit outliers": lambda X: DSAOutlierDetector(n_estimators=1, random_state=0).fit(X).offset_,
    "report": lambda X: collect(fitted().runtime_.model, X)["metrics"]["fvu"],
    "encode in float64": lambda X: Runtime(fitted().runtime_.model, np.float64).encode(X),
    "select": lambda X: DSAFeatureSelector(made(), n_features_to_select=2).fit(X).get_support(),
}


def dense_form(dtype, layout, container):
    X = rows().astype(dtype)
    if layout == "F":
        X = np.asfortranarray(X)
    elif layout == "strided":
        X = np.repeat(X, 2, axis=1)[:, ::2]
    elif layout == "reversed":
        X = X[::-1].copy()[::-1]
    elif layout == "read-only":
        X.flags.writeable = False
    if container in ("tensor", "tensor with grad"):
        X = torch.tensor(X.astype(X.dtype.newbyteorder("=")))
        if container == "tensor with grad" and X.is_floating_point():
            X.requires_grad_(True)
        return X
    return {"array": np.asarray, "list": np.ndarray.tolist, "frame": pd.DataFrame, "masked": np.ma.array}[container](X)


def sparse_form(indices, indptr, dtype, order, doubled, zeros, flags, container):
    """The rows in CSR form of any kind: values in any order, those of 3 as 1 and 2, zeros among them, read-only."""
    X, parts = rows(), []
    for i, row in enumerate(X):
        at = np.flatnonzero(row)
        values = row[at]
        if doubled:
            three = at[values == 3]
            at, values = np.append(at, three), np.append(np.where(values == 3, 1, values), np.full(three.size, 2))
        if zeros and i != 7:
            none = np.flatnonzero(row == 0)[:1]
            at, values = np.append(at, none), np.append(values, np.zeros(none.size))
        where = np.argsort(at, kind="stable")[:: 1 if order == "sorted" else -1]
        parts.append((at[where], values[where]))
    ends = np.cumsum([0, *(at.size for at, _ in parts)])
    made = sp.csr_matrix(X.shape, dtype=np.float32)
    made.data = np.concatenate([values for _, values in parts]).astype(dtype)
    made.indices = np.concatenate([at for at, _ in parts]).astype(indices)
    made.indptr = ends.astype(indptr)
    if flags == "spare room":
        made.data, made.indices = np.append(made.data, [9, 9]), np.append(made.indices, [99, 99])
        made.data, made.indices = made.data.astype(dtype), made.indices.astype(indices)
    if flags == "strided":
        made.data, made.indices, made.indptr = (
            np.repeat(array, 2)[::2] for array in (made.data, made.indices, made.indptr)
        )
    if flags == "read-only":
        for array in (made.data, made.indices, made.indptr):
            array.flags.writeable = False
    if container == "matrix":
        return made
    native = (made.data.astype(float), made.indices.astype(int), made.indptr.astype(int))
    if container == "tensor csr":
        return torch.sparse_csr_tensor(*(torch.tensor(native[i]) for i in (2, 1, 0)), size=X.shape)
    array = sp.csr_array(native, shape=X.shape)
    if container == "tensor coo":
        coo = array.tocoo()
        return torch.sparse_coo_tensor(np.stack([coo.row, coo.col]), torch.tensor(coo.data), X.shape)
    return array if container == "array" else array.asformat(container)


pytestmark = pytest.mark.filterwarnings("ignore:Sparse (CSR|invariant):UserWarning")


@covering(
    verb=tuple(VERBS),
    dtype=("f4", "f8", ">f4", ">f8", "f2", "i8", "u1"),
    layout=("C", "F", "strided", "reversed", "read-only"),
    container=("array", "list", "frame", "masked", "tensor", "tensor with grad"),
    by="verb",
)
def test_dense_rows_of_any_kind(verb, dtype, layout, container):
    np.testing.assert_allclose(*results(verb, dense_form(dtype, layout, container), rows()), rtol=1e-9)


@covering(
    verb=tuple(VERBS),
    indices=("i4", "i8", ">i4"),
    indptr=("i4", "i8", ">i8"),
    dtype=("f4", "f8", ">f8", "i1", "i8"),
    order=("sorted", "reversed"),
    doubled=(False, True),
    zeros=(False, True),
    flags=("plain", "read-only", "spare room", "strided"),
    container=("matrix", "array", "csc", "coo", "lil", "tensor csr", "tensor coo"),
    by="verb",
)
def test_sparse_rows_of_any_kind(verb, indices, indptr, dtype, order, doubled, zeros, flags, container):
    if container != "matrix":
        dtype, flags = "f8", "plain"
    given = sparse_form(indices, indptr, dtype, order, doubled, zeros, flags, container)
    found, asked = results(verb, given, sp.csr_matrix(rows()))
    np.testing.assert_allclose(found, asked, rtol=1e-5, atol=1e-6)  # a written zero is one more term of a sum


@cache
def plain(verb, sparse):
    return VERBS[verb](sp.csr_matrix(rows()) if sparse else rows())


class Items(torch.utils.data.Dataset):
    """Rows and labels, one after another."""

    def __len__(self):
        return N_ROWS

    def __getitem__(self, i):
        return torch.tensor(rows()[i]), i % 3


def hugging_face():
    import datasets

    columns = {f"x{j}": column for j, column in enumerate(rows().T)} | {"kind": [i % 3 for i in range(N_ROWS)]}
    features = {f"x{j}": datasets.Value("float32") for j in range(WIDTH)} | {"kind": datasets.ClassLabel(3)}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def anndata(X=None):
    import anndata

    names = pd.Index([f"x{j}" for j in range(WIDTH)])
    return anndata.AnnData(rows() if X is None else X, var=pd.DataFrame(index=names))


OBJECTS = {
    "AnnData": anndata,
    "sparse AnnData": lambda: anndata(sp.csc_matrix(rows())),
    "Hugging Face": hugging_face,
    "torch Dataset": Items,
    "TensorDataset": lambda: torch.utils.data.TensorDataset(torch.tensor(rows())),
    "DataLoader": lambda: torch.utils.data.DataLoader(Items(), batch_size=7, shuffle=True),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:Transforming to str index")
@covering(verb=tuple(VERBS), kind=tuple(OBJECTS), by="verb")
def test_rows_in_an_object_of_another_library(verb, kind):
    X = OBJECTS[kind]()
    if verb == "fit early stopping" and isinstance(as_source("fit", X), StreamSource):
        assert np.isfinite(VERBS[verb](X)).all()  # other rows are held out of a stream
        return
    reference = sp.csr_matrix(rows()) if kind == "sparse AnnData" else rows()
    np.testing.assert_allclose(*results(verb, X, reference), rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:Transforming to str index")
@each(kind=["AnnData", "Hugging Face"])
def test_names_in_an_object_of_another_library_are_kept_and_checked(kind):
    X = OBJECTS[kind]()
    names = [f"x{j}" for j in range(WIDTH)]
    other = X[:, ::-1] if kind == "AnnData" else X.select_columns([*names[::-1], "kind"])
    selector = DSAFeatureSelector(made(), n_features_to_select=2).fit(X)
    prefit = DSAFeatureSelector(selector.estimator_, prefit=True).fit(X)
    ensemble = DSAOutlierDetector(n_estimators=1, random_state=0).fit(X)
    for fitted in (selector, prefit, ensemble):
        assert fitted.feature_names_in_.tolist() == names
    np.testing.assert_array_equal(selector.transform(X), rows()[:, selector.get_support()])
    for use in (selector.transform, ensemble.score_samples):
        with pytest.raises(ValueError, match=r"X column 1 must be 'x0', as in training; got 'x5'|must be 'x0'"):
            use(other)
    table = compare(X, **{**SETTINGS, "max_iter": 1, "verbose": 0})
    assert table.models["DSA"].model.feature_names == names


@each(verb=["encode", "encode in float64", "outliers", "report"])
def test_a_batch_is_its_rows(verb):
    np.testing.assert_allclose(VERBS[verb](Batch.of(rows())), plain(verb, False))


@each(verb=["outliers", "fit outliers", "encode"])
def test_rows_that_are_read_in_pieces_are_the_users_to_read(verb, tmp_path):
    np.save(tmp_path / "x.npy", rows())
    with pytest.raises(TypeError, match=r"^\[\w+\] X must be rows in memory; got .*x\.npy.*Give X\.read\(\)"):
        VERBS[verb](open_rows(tmp_path / "x.npy"))


def results(verb, given, reference):
    return VERBS[verb](given), plain(verb, sp.issparse(reference))


def test_a_comparison_takes_tensors():
    few = {**SETTINGS, "max_iter": 1, "verbose": 0}
    tables = [compare(X, **few) for X in (rows(), torch.tensor(rows(), requires_grad=True))]
    np.testing.assert_array_equal(*([row.mse for row in table.rows] for table in tables))


@each(
    {
        "make, error, message": [
            (lambda: np.zeros((2, 6), "M8[s]"), TypeError, r"got times of dtype datetime64\[s\]"),
            (lambda: np.ma.array(rows(), mask=rows() == 3), ValueError, r"it holds NaN"),
            (
                lambda: sp.csr_matrix((1, 2**31), dtype=np.float32),
                ValueError,
                r"fewer than 2\^31 columns and non-zeros",
            ),
        ]
    },
    verb=["fit", "partial_fit", "transform", "encode", "evaluate", "top_examples"],
)
def test_every_verb_says_its_name_and_what_is_wrong(verb, make, error, message):
    with pytest.raises(error, match=rf"^\[\w+\] X (must|has) .*{message}"):
        VERBS[verb](make())
