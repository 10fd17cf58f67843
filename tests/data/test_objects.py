"""Objects of other libraries, given to the estimator as they are."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.covering import each
from tests.data.makers import IDS, LABELS, N_COLUMNS, N_ROWS, NAMES, ROWS, adata
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
)

from dsae import DeepSparseAutoencoder
from dsae.data import as_source, source_of

# of pandas, in anndata
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class Items(Dataset):
    """Rows one after another, with labels or without."""

    def __init__(self, labels=True, shape=(N_COLUMNS,)):
        self.labels, self.shape = labels, shape

    def __len__(self):
        return N_ROWS

    def __getitem__(self, i):
        row = torch.from_numpy(ROWS[i]).reshape(self.shape)
        return (row, i % 3) if self.labels else row


class Stream(IterableDataset):
    """Rows without a number."""

    def __iter__(self):
        return ((row, i % 3) for i, row in enumerate(ROWS))


def hugging_face(**more):
    import datasets

    columns = {name: ROWS[:, i] for i, name in enumerate(NAMES)}
    features = datasets.Features(
        {name: datasets.Value("float32") for name in NAMES} | {"label": datasets.ClassLabel(names=["a", "b", "c"])}
    )
    data = datasets.Dataset.from_dict({**columns, "label": (np.arange(N_ROWS) % 3).tolist()}, features=features)
    return data.select(range(N_ROWS)) if more else data


OBJECTS = {
    "AnnData": adata,
    "AnnData, sparse": lambda: adata(sp.csc_matrix(ROWS)),
    "Hugging Face": hugging_face,
    "Hugging Face, selected": lambda: hugging_face(selected=True),
    "torch Dataset": Items,
    "torch Dataset of rows": lambda: Items(labels=False),
    "torch images": lambda: Items(shape=(3, 4)),
    "TensorDataset": lambda: TensorDataset(torch.from_numpy(ROWS), torch.arange(N_ROWS) % 3),
    "DataLoader": lambda: DataLoader(Items(), batch_size=7, shuffle=True),
    "DataLoader of a stream": lambda: DataLoader(Stream(), batch_size=7),
    "IterableDataset": Stream,
}


def everything(source):
    batches = list(source.batches(17))
    rows = np.concatenate([b.rows.toarray() if sp.issparse(b.rows) else b.rows for b in batches])
    found = [None if batches[0][0:1].ids is None else np.concatenate([b.ids for b in batches])]
    found.append(None if batches[0].labels is None else np.concatenate([b.labels for b in batches]))
    return rows, *found


@each(kind=OBJECTS)
def test_objects_give_their_rows_labels_and_names(kind):
    source = as_source("fit", OBJECTS[kind]())
    rows, ids, labels = everything(source)
    np.testing.assert_array_equal(rows, ROWS)
    names = kind.startswith(("AnnData", "Hugging"))
    assert source.column_names == (NAMES if names else None)
    if kind.startswith("AnnData"):
        assert ids.tolist() == IDS
    elif "of rows" not in kind:
        assert labels.tolist() == (np.arange(N_ROWS) % 3).tolist()
    assert [field.shape for field in source.parts["X"].fields] == ([(3, 4)] if kind == "torch images" else [])


@each(kind=["AnnData", "Hugging Face", "torch Dataset", "DataLoader", "TensorDataset"])
def test_the_estimator_fits_and_transforms_them(kind):
    X = OBJECTS[kind]()
    settings = {"hidden_layer_sizes": (), "density": 0.5, "max_iter": 1, "random_state": 0}
    dsa = DeepSparseAutoencoder(3, **settings).fit(X)
    codes = dsa.transform(X)
    np.testing.assert_allclose(codes, dsa.runtime_.encode(ROWS), rtol=1e-6)
    if kind == "AnnData":
        assert dsa.feature_names_in_.tolist() == NAMES
        with pytest.raises(ValueError, match="must be 'gene0', as in training; got 'gene11'"):
            dsa.transform(X[:, ::-1])


@each(wrap=[lambda d, at: Subset(d, at), lambda d, at: DataLoader(d, sampler=SubsetRandomSampler(at))])
def test_some_rows_of_a_data_set_are_only_these(wrap):
    at = [5, 2, 9]
    rows = everything(as_source("fit", wrap(Items(), at)))[0]
    np.testing.assert_array_equal(rows[np.argsort(rows[:, 1:].sum(1))], ROWS[at][np.argsort(ROWS[at][:, 1:].sum(1))])


@each(
    {
        "how, n_rows": [
            ({"batch_sampler": [[3, 1], [7]]}, 3),
            ({"batch_sampler": BatchSampler(SubsetRandomSampler([1, 2]), 2, False)}, 2),
            ({"batch_sampler": BatchSampler(RandomSampler(Items()), 2, True)}, N_ROWS),
            ({"sampler": RandomSampler(Items(), num_samples=30)}, 30),
            ({"sampler": RandomSampler(Items(), replacement=True, num_samples=N_ROWS + 1)}, N_ROWS + 1),
        ]
    }
)
def test_a_loader_gives_the_rows_of_its_sampler(how, n_rows):
    rows = everything(as_source("fit", DataLoader(Items(), **how)))[0]
    assert len(rows) == n_rows
    if isinstance(how.get("batch_sampler"), list):
        np.testing.assert_array_equal(rows[np.argsort(rows[:, 0])], ROWS[[7, 1, 3]])


@each(
    {
        "items, message": [
            (TensorDataset(*[torch.from_numpy(ROWS)] * 3), "got 3 parts for each item"),
            (DataLoader(TensorDataset(*[torch.from_numpy(ROWS)] * 3)), "got 3 parts"),
            ([(row, 0, i) for i, row in enumerate(ROWS)], "got 3 parts"),
            (DataLoader(ROWS.tolist()), f"got {N_COLUMNS} parts"),
            (DataLoader([{"x": row} for row in ROWS]), "got a mapping of x"),
        ]
    }
)
def test_items_are_rows_with_or_without_a_label(items, message):
    X = Subset(items, range(N_ROWS)) if isinstance(items, list) else items
    with pytest.raises(TypeError, match=rf"\[fit\] X must give rows or \(row, label\); {message}"):
        as_source("fit", X)


def test_a_batch_has_a_row_for_each_item():
    with pytest.raises(ValueError, match=r"a row for each item through collate_fn; got shape \(12, 1\) for 1 item"):
        as_source("fit", DataLoader(Items(labels=False), collate_fn=lambda items: torch.stack(items).T))


def test_a_column_of_embeddings_is_the_rows():
    import datasets

    data = datasets.Dataset.from_dict({"text": [f"text {i}" for i in range(N_ROWS)], "embedding": ROWS.tolist()})
    source = as_source("fit", data)
    rows, ids, _ = everything(source)
    np.testing.assert_array_equal(rows, ROWS)
    assert ids[3] == "text 3"


def test_what_cannot_be_read_is_said():
    import datasets

    splits = datasets.DatasetDict({"train": hugging_face()})
    with pytest.raises(TypeError, match=r"must be one split of a data set; got train\. Give X\['train'\]"):
        as_source("fit", splits)
    with pytest.raises(TypeError, match=r"must have a number of rows; got IterableDataset"):
        as_source("fit", hugging_face().to_iterable_dataset())
    empty = adata()
    empty.X = None
    with pytest.raises(ValueError, match="AnnData must have an X"):
        as_source("fit", empty)
    with pytest.raises(ValueError, match="holds no rows"):
        as_source("fit", Subset(Items(), []))


def test_other_things_stay_as_they_are():
    for X in (ROWS, sp.csr_matrix(ROWS), [[1.0]], LABELS):
        assert source_of("fit", X) is X
