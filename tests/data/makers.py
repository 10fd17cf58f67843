"""A small file of each format, written by the tool that usually writes it.

Each maker takes a folder and gives what `open_rows` opens and the options for it. The rows are always `ROWS`, cells by
genes, named by `IDS` and `NAMES` where the format has a place for them.
"""

from __future__ import annotations

import gzip
import warnings

import numpy as np
import scipy.io
import scipy.sparse as sp

N_ROWS, N_COLUMNS = 60, 12
ROWS = np.where(
    np.random.default_rng(0).random((N_ROWS, N_COLUMNS)) < 0.6,
    0,
    np.random.default_rng(1).integers(1, 9, (N_ROWS, N_COLUMNS)) / 2,
).astype(np.float32)
ROWS[:, 0] = 1 + np.arange(N_ROWS) % 7  # no row is empty
NAMES, IDS = [f"gene{i}" for i in range(N_COLUMNS)], [f"cell-{i}" for i in range(N_ROWS)]
LABELS = ["ill" if i % 3 else "well" for i in range(N_ROWS)]
MAKERS = {}


def maker(title, tool, ids=False, names=False, labels=False, fields=()):
    """A maker, with what its file keeps of the rows besides their numbers."""

    def put(make):
        MAKERS[title] = make
        make.tool, make.keeps = tool, {"ids": ids, "names": names, "labels": labels, "fields": fields}
        return make

    return put


def frame():
    import pandas as pd

    return pd.DataFrame(ROWS, index=pd.Index(IDS, name="cell"), columns=NAMES)


def embedding_table(kind):
    import pyarrow as pa

    vectors = pa.array(ROWS.tolist(), kind)
    texts = [f"a text of row {i % 5}" for i in range(N_ROWS)]
    return pa.table({"id": IDS, "label": LABELS, "text": texts, "vector": vectors, "likes": list(range(N_ROWS))})


def adata(X=ROWS, **more):
    import anndata
    import pandas as pd

    obs = pd.DataFrame({"state": pd.Categorical(pd.Series(LABELS, dtype=object))}, index=pd.Index(IDS, dtype=object))
    return anndata.AnnData(X, obs, pd.DataFrame(index=pd.Index(NAMES, dtype=object)), **more)


@maker(".npy", "numpy")
def npy(folder):
    np.save(folder / "x.npy", ROWS)
    return folder / "x.npy", {}


@maker(".npy of images [n, h, w]", "numpy", fields=(3, 4))
def images(folder):
    np.save(folder / "x.npy", ROWS.reshape(-1, 3, 4))
    return folder / "x.npy", {}


@maker(".npz, several arrays", "numpy")
def npz(folder):
    np.savez_compressed(folder / "x.npz", train=ROWS, y=ROWS[:, 0])
    return f"{folder}/x.npz:train", {}


@maker(".npz of images [n, c, h, w]", "numpy", fields=(2, 2, 3))
def npz_images(folder):
    np.savez(folder / "x.npz", ROWS.reshape(-1, 2, 2, 3))
    return folder / "x.npz", {}


for form in ("csr", "csc", "coo"):

    @maker(f".npz of a {form.upper()} matrix", "scipy")
    def sparse_npz(folder, form=form):
        sp.save_npz(folder / "x.npz", sp.csr_matrix(ROWS).asformat(form))
        return folder / "x.npz", {}


@maker(".csv with pandas' index", "pandas", ids=True, names=True)
def csv(folder):
    frame().rename_axis(None).to_csv(folder / "x.csv")
    return folder / "x.csv", {}


@maker(".csv with a label", "polars", names=True, labels=True)
def polars_csv(folder):
    import polars as pl

    pl.DataFrame({**{name: ROWS[:, i] for i, name in enumerate(NAMES)}, "state": LABELS}).write_csv(folder / "x.csv")
    return folder / "x.csv", {"label_column": "state"}


@maker(".csv.gz", "pandas", ids=True, names=True)
def csv_gz(folder):
    frame().to_csv(folder / "x.csv.gz")
    return folder / "x.csv.gz", {}


@maker(".csv with semicolons and decimal commas", "pandas", ids=True, names=True)
def german(folder):
    frame().to_csv(folder / "x.csv", sep=";", decimal=",", encoding="latin-1")
    return folder / "x.csv", {"decimal": ",", "encoding": "latin-1"}


@maker(".tsv.gz", "pandas", ids=True, names=True)
def tsv_gz(folder):
    frame().to_csv(folder / "x.tsv.gz", sep="\t")
    return folder / "x.tsv.gz", {}


@maker(".txt of numbers", "numpy")
def txt(folder):
    np.savetxt(folder / "x.txt", ROWS)
    return folder / "x.txt", {}


@maker(".dat with a line of names", "numpy", names=True)
def dat(folder):
    np.savetxt(folder / "x.dat", ROWS, header=" ".join(NAMES), fmt="%9.4f")
    return folder / "x.dat", {}


@maker(".parquet", "pandas", ids=True, names=True)
def parquet(folder):
    frame().to_parquet(folder / "x.parquet", row_group_size=25)
    return folder / "x.parquet", {}


@maker(".parquet of half floats, decimals, categories and booleans", "pyarrow", names=True)
def mixed_parquet(folder):
    import pyarrow as pa
    import pyarrow.parquet

    columns = {name: pa.array(ROWS[:, i]) for i, name in enumerate(NAMES)}
    columns["gene1"] = pa.array(ROWS[:, 1].astype(np.float16))
    columns["gene2"] = columns["gene2"].cast(pa.decimal128(6, 2))
    columns["gene3"] = columns["gene3"].dictionary_encode()
    columns["gene4"] = pa.array(ROWS[:, 4] > 0)
    pa.parquet.write_table(pa.table(columns), folder / "x.parquet")
    return folder / "x.parquet", {}


@maker(".parquet of polars", "polars", ids=True, names=True)
def polars_parquet(folder):
    import polars as pl

    pl.DataFrame({"cell": IDS, **{name: ROWS[:, i] for i, name in enumerate(NAMES)}}).write_parquet(
        folder / "x.parquet"
    )
    return folder / "x.parquet", {}


@maker(".parquet with a column of embeddings (lists)", "pyarrow", labels=True, ids=True)
def lists(folder):
    import pyarrow as pa
    import pyarrow.parquet

    pa.parquet.write_table(embedding_table(pa.list_(pa.float32())), folder / "x.parquet")
    return folder / "x.parquet", {"id_column": "id", "label_column": "label"}


@maker(".arrow with a column of embeddings (fixed size)", "pyarrow", labels=True, ids=True)
def fixed_lists(folder):
    import pyarrow as pa

    table = embedding_table(pa.list_(pa.float16(), N_COLUMNS))
    with pa.ipc.new_file(str(folder / "x.arrow"), table.schema) as writer:
        writer.write_table(table)
    return folder / "x.arrow", {"id_column": "id", "label_column": "label"}


@maker(".feather", "pandas", ids=True, names=True)
def feather(folder):
    frame().reset_index().to_feather(folder / "x.feather")
    return folder / "x.feather", {}


@maker("folder of .arrow files", "Hugging Face datasets", names=True, labels=True)
def saved_dataset(folder):
    import datasets

    columns = {name: ROWS[:, i] for i, name in enumerate(NAMES)}
    data = datasets.Dataset.from_dict({**columns, "state": LABELS})
    data.save_to_disk(str(folder / "x"), num_shards=2)
    return folder / "x", {"label_column": "state"}


@maker("folder of .parquet files", "polars", ids=True, names=True)
def folder_of_files(folder):
    import polars as pl

    (folder / "x").mkdir()
    for part, rows in enumerate(np.array_split(np.arange(N_ROWS), 3)):
        columns = {name: ROWS[rows, i] for i, name in enumerate(NAMES)}
        pl.DataFrame({"cell": [IDS[i] for i in rows], **columns}).write_parquet(folder / "x" / f"{part}.parquet")
    return folder / "x", {}


@maker(".mtx.gz", "scipy")
def mtx_gz(folder):
    with gzip.open(folder / "x.mtx.gz", "wb") as file:
        scipy.io.mmwrite(file, sp.coo_matrix(ROWS))
    return folder / "x.mtx.gz", {}


@maker("10x folder (genes x cells)", "as Cell Ranger writes it", ids=True, names=True)
def tenx(folder):
    with gzip.open(folder / "matrix.mtx.gz", "wb") as file:
        scipy.io.mmwrite(file, sp.coo_matrix(ROWS.T))
    with gzip.open(folder / "barcodes.tsv.gz", "wt") as file:
        file.writelines(f"{barcode}\n" for barcode in IDS)
    with gzip.open(folder / "features.tsv.gz", "wt") as file:
        file.writelines(f"ENSG{i:05}\t{name}\tGene Expression\n" for i, name in enumerate(NAMES))
    return folder, {}


@maker("10x .h5", "as Cell Ranger writes it", ids=True, names=True)
def tenx_h5(folder):
    import h5py

    matrix = sp.csc_matrix(ROWS.T)
    with h5py.File(folder / "x.h5", "w") as file:
        group = file.create_group("matrix")
        for part in ("data", "indices", "indptr"):
            group.create_dataset(part, data=getattr(matrix, part), compression="gzip")
        group["shape"] = np.array(matrix.shape, np.int32)
        group["barcodes"] = np.array(IDS, "S")
        features = group.create_group("features")
        features["id"], features["name"] = np.array([f"ENSG{i}" for i in range(N_COLUMNS)], "S"), np.array(NAMES, "S")
        features["feature_type"] = np.array(["Gene Expression"] * N_COLUMNS, "S")
    return folder / "x.h5", {}


@maker(".h5:dataset", "h5py")
def hdf5(folder):
    import h5py

    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("deep/rows", data=ROWS, compression="lzf", chunks=True)
        file["other"] = ROWS[:3]
    return f"{folder}/x.h5:deep/rows", {}


for form, make in (("dense", np.asarray), ("CSR", sp.csr_matrix), ("CSC", sp.csc_matrix)):

    @maker(f".h5ad, {form}", "anndata", ids=True, names=True, labels=True)
    def h5ad(folder, make=make):
        adata(make(ROWS)).write_h5ad(folder / "x.h5ad", compression="gzip")
        return folder / "x.h5ad", {"label_column": "state"}


@maker(".h5ad, a layer", "anndata", ids=True, names=True)
def h5ad_layer(folder):
    adata(np.zeros_like(ROWS), layers={"counts": sp.csr_matrix(ROWS)}).write_h5ad(folder / "x.h5ad")
    return folder / "x.h5ad", {"layer": "counts"}


@maker(".h5ad, obsm", "anndata", ids=True)
def h5ad_obsm(folder):
    adata(np.zeros_like(ROWS), obsm={"X_pca": ROWS}).write_h5ad(folder / "x.h5ad")
    return folder / "x.h5ad", {"obsm": "X_pca"}


@maker(".h5ad, raw", "anndata", ids=True, names=True)
def h5ad_raw(folder):
    data = adata(sp.csr_matrix(ROWS))
    data.raw = data.copy()
    data[:, :5].copy().write_h5ad(folder / "x.h5ad")
    return folder / "x.h5ad", {"raw": True}


@maker(".zarr", "anndata", ids=True, names=True, labels=True)
def zarr(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zarr's versions
        adata(sp.csr_matrix(ROWS)).write_zarr(folder / "x.zarr")
    return folder / "x.zarr", {"label_column": "state"}


@maker(".svm", "scikit-learn", labels=True)
def svm(folder):
    from sklearn.datasets import dump_svmlight_file

    dump_svmlight_file(ROWS, np.arange(N_ROWS) % 3, str(folder / "x.svm"))
    return folder / "x.svm", {"n_features": N_COLUMNS}


@maker(".safetensors:tensor", "safetensors")
def safetensors(folder):
    from safetensors.numpy import save_file

    save_file({"embedding": ROWS, "other": ROWS[:2], "bias": ROWS[0].copy()}, folder / "x.safetensors")
    return f"{folder}/x.safetensors:embedding", {}


@maker(".safetensors in bfloat16", "safetensors with torch")
def bfloat16(folder):
    import torch
    from safetensors.torch import save_file

    save_file({"embedding": torch.from_numpy(ROWS).bfloat16()}, folder / "x.safetensors")
    return folder / "x.safetensors", {}


@maker(".pt", "torch")
def pt(folder):
    import torch

    torch.save({"rows": torch.from_numpy(ROWS), "step": 3, "bias": torch.zeros(3)}, folder / "x.pt")
    return folder / "x.pt", {}


for form, how in {"dense": {}, "sparse": {"sparse": True}}.items():

    @maker(f"prepared rows, {form}", "dsae.data.ModalityWriter", ids=True, labels=True, fields=(N_COLUMNS,))
    def prepared(folder, how=how):
        from dsae.data import Modality, ModalityWriter

        (folder / "rows").mkdir()
        with ModalityWriter(folder / "rows", [Modality("vector", (N_COLUMNS,), **how)], True) as writer:
            rows = sp.csr_matrix(ROWS) if how else ROWS
            writer.write({"vector": rows}, {"vector": np.ones(N_ROWS, bool)}, IDS, LABELS)
        return folder / "rows", {}
