"""Features that float32 cannot tell from their mean are refused by name, whatever holds the rows."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.covering import each

from dsae.data import as_source, open_rows, write_rows

N, COLUMN = 3000, 3
ROWS = np.random.default_rng(0).random((N, 5))
ROWS[:, COLUMN] += 1e8
FRAME = pd.DataFrame(ROWS, columns=list("abcde"))
YES = np.arange(N) % 2 == 0
KEPT = np.where(np.arange(5) == COLUMN, ROWS - 1e8, ROWS)


class Own:
    """A source of one's own, of rows in double precision."""

    n_features = 5

    def __len__(self):
        return N

    def batches(self, batch_size, seed=None):
        for start in range(0, N, batch_size):
            yield ROWS[start : start + batch_size]


class OwnMoments(Own):
    def moments(self):
        return ROWS.mean(axis=0).astype(np.float32), ROWS.std(axis=0).astype(np.float32)


def adata():
    anndata = pytest.importorskip("anndata")
    return anndata.AnnData(sp.csr_matrix(ROWS), var=pd.DataFrame(index=pd.Index(list("abcde"), dtype=object)))


def torch_rows(kind):
    torch = pytest.importorskip("torch")
    data, tensor = torch.utils.data, torch.tensor(ROWS)

    class Items(data.Dataset):
        def __len__(self):
            return N

        def __getitem__(self, i):
            return tensor[i]

    class Stream(data.IterableDataset):
        def __iter__(self):
            return iter(tensor)

    return {"tensors": lambda: data.TensorDataset(tensor), "items": Items, "stream": Stream}[kind]()


OBJECTS = {
    "frame with booleans": lambda: FRAME.assign(f=YES),
    "frame of Float64": lambda: FRAME.astype("Float64"),
    "objects": lambda: ROWS.astype(object),
    "Decimal": lambda: [[Decimal(value) for value in row] for row in ROWS[:40]],
    "lists": lambda: ROWS[:40].tolist(),
    "list of lists": lambda: sp.lil_matrix(ROWS),
    "AnnData": adata,
    "TensorDataset": lambda: torch_rows("tensors"),
    "Dataset": lambda: torch_rows("items"),
    "IterableDataset": lambda: torch_rows("stream"),
    "own source": Own,
    "own source with moments": OwnMoments,
}


@each(kind=OBJECTS)
def test_objects(kind):
    given, name = OBJECTS[kind](), "'d'" if "frame" in kind or kind == "AnnData" else COLUMN
    with pytest.raises(ValueError, match=rf"^\[fit\] Column {name} must be centred: its values differ by 0\.[23]"):
        as_source("fit", given, training=True).moments()


def table(**more):
    import pyarrow as pa

    return pa.table({**{name: FRAME[name] for name in FRAME}, **more})


def parquet(**more):
    import pyarrow.parquet

    return lambda path: pyarrow.parquet.write_table(table(**more), path)


def as_list(path):
    import pyarrow as pa
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.table({"v": pa.array(ROWS.tolist(), pa.list_(pa.float64()))}), path)


def as_decimals(path):
    import pyarrow as pa

    parquet(d=pa.array([Decimal(str(value)) for value in FRAME["d"].round(3)]))(path)


def constant_at_first(path):
    """Files of a folder of which only the last tells that a feature varies."""
    path.mkdir()
    first = ROWS.copy()
    first[:, COLUMN] = 1e8
    np.save(path / "0.npy", first)
    np.save(path / "1.npy", ROWS)


def svmlight(path):
    from sklearn.datasets import dump_svmlight_file

    dump_svmlight_file(ROWS, np.zeros(N), str(path))


FILES = {
    "parquet with booleans": ("x.parquet", parquet(f=YES)),
    "parquet with decimals": ("x.parquet", parquet(f=[Decimal(i % 7) for i in range(N)])),
    "parquet of decimals": ("x.parquet", as_decimals),
    "parquet of lists": ("x.parquet", as_list),
    "csv with booleans": ("x.csv", lambda path: FRAME.assign(f=YES).to_csv(path, index=False)),
    "csv.gz": ("x.csv.gz", lambda path: FRAME.to_csv(path, index=False)),
    "folder": ("x", constant_at_first),
    "sparse npz": ("x.npz", lambda path: sp.save_npz(path, sp.csr_matrix(ROWS))),
    "svmlight": ("x.svm", svmlight),
}


@each(loaded=[False, True], kind=FILES)
def test_files(tmp_path, kind, loaded):
    if kind != "sparse npz":
        pytest.importorskip("pyarrow")
    name, make = FILES[kind]
    make(tmp_path / name)
    column = "'d'" if "lists" not in kind and ("parquet" in kind or "csv" in kind) else COLUMN
    source = open_rows(tmp_path / name)
    with pytest.raises(ValueError, match=rf"^\[fit\] Column {column} must be centred: its values differ by 0\.[23]"):
        (source.load() if loaded else source).moments()


def test_what_float32_holds_is_taken(tmp_path):
    """Centred rows, and features that are constant or that float32 has rounded already."""
    for rows in (KEPT, np.full((N, 5), 1e8), ROWS.astype(np.float32)):
        mean, _ = as_source("fit", rows, training=True).moments()
        write_rows(tmp_path / "x.npy", rows)
        np.testing.assert_allclose(open_rows(tmp_path / "x.npy").moments()[0], mean, rtol=1e-5)
