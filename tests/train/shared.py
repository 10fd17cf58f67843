"""Ranks that read shares of files, and what they write."""

import contextlib
import os

import numpy as np
import torch.distributed as dist
from tests.train.cases import rows


def estimator(rank, folder):
    """With rank 0's seed, since none is given."""
    from dsae import DeepSparseAutoencoder

    told = []
    dsa = DeepSparseAutoencoder(3, hidden_layer_sizes=(6,), density=0.5, max_iter=3, batch_size=20, distributed=True)
    dsa.fit(rows(), on_epoch=lambda row: told.append(row["epoch"]) or row["epoch"] == 2)
    dsa.save(folder / f"estimator{rank}")
    values = np.concatenate([layer.values for layer in dsa.runtime_.model.layers.values()])
    return {
        "values": values,
        "told": told,
        "history": dsa.history_,
        "kept": "distributed" in dsa.runtime_.model.training["given"],
    }


@contextlib.contextmanager
def counted():
    """How many rows of files are read, as the only entry of a list."""
    from dsae.data import _stream

    read, opened = [0], _stream.StreamSource._kept

    def kept(self, chunks):
        for batch in opened(self, chunks):
            read[0] += batch.n_rows
            yield batch

    _stream.StreamSource._kept = kept
    try:
        yield read
    finally:
        _stream.StreamSource._kept = opened


def stream(rank, folder):
    """Each rank reads its own files of a folder."""
    from dsae import DeepSparseAutoencoder, data

    if rank == 0:
        (folder / "rows").mkdir(exist_ok=True)
        for i, part in enumerate(np.array_split(rows(303), 4)):
            np.save(folder / "rows" / f"{i}.npy", part)
    dist.barrier()
    with counted() as read:
        how = {"max_iter": 2, "batch_size": 64, "random_state": 0, "code_activation": "batchtopk", "k": 2}
        dsa = DeepSparseAutoencoder(4, hidden_layer_sizes=(6,), density=0.5, distributed=True, **how)
        dsa.fit(data.open_rows(folder / "rows"))
    values = np.concatenate([layer.values for layer in dsa.runtime_.model.layers.values()])
    return {"values": values, "read": read[0], "threshold": dsa.runtime_.model.threshold, "history": dsa.history_}


def joint_stream(rank, folder):
    """The same of rows of two modalities, as if they were too many for memory."""
    from dsae import MultimodalAutoencoder, data
    from dsae.data import _stream

    if rank == 0:
        (folder / "joint").mkdir()
        with data.ModalityWriter(
            folder / "joint", [data.Modality("a", (14,)), data.Modality("b", (8,))], False
        ) as writer:
            has = np.random.default_rng(6).random(303) < 0.4
            for some in np.array_split(np.arange(303), 4):
                parts = {"a": rows(303)[some], "b": rows(303, 8)[some]}
                writer.write(parts, {"a": np.ones(len(some), bool), "b": has[some]}, [f"r{i}" for i in some], None)
    dist.barrier()
    _stream._SMALL, small = 0, _stream._SMALL
    try:
        with counted() as read:
            how = {"max_iter": 2, "batch_size": 64, "random_state": 0, "hidden_layer_sizes": (6,)}
            mm = MultimodalAutoencoder(n_components=4, density=0.5, distributed=True, **how)
            mm.fit(data.open_rows(folder / "joint"))
    finally:
        _stream._SMALL = small
    models = mm.runtime_.model.models.values()
    values = np.concatenate([layer.values for model in models for layer in model.layers.values()])
    return {"values": values, "read": read[0], "history": mm.history_}


@contextlib.contextmanager
def as_torchrun(rank, **more):
    """The variables by which torchrun tells a process which it is."""
    given = {"RANK": str(rank), "WORLD_SIZE": "2", **more}
    os.environ |= given
    try:
        yield
    finally:
        for name in given:
            del os.environ[name]


def command(rank, folder):
    """What `kills.fit` trains, undisturbed."""
    from tests.train import kills

    from dsae.cli import run

    np.save(folder / f"X{rank}.npy", rows(kills.N_ROWS))
    with as_torchrun(rank):
        return run(["fit", str(folder / f"X{rank}.npy"), "-o", str(folder / "model"), "--distributed", *kills.HOW])
