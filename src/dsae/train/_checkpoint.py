"""Checkpoints: the state of an unfinished run on disk, from which it continues as if uninterrupted."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from dsae import ops
from dsae.config import AutoencoderConfig, JointConfig, TrainConfig
from dsae.data import JointSource, Source
from dsae.store import Committed, JointModel, Model, commit, committed, holds_only, state_from_bytes, state_to_bytes

_HEAD, _STATE, _FORMAT = "checkpoint.json", "state.safetensors", "dsae checkpoint"
_VERSION = 2
_SAMPLE = 64  # rows
_MOMENTS = ("mean", "deviation")
# Means of data that several processes have read are added up in another order with another number of them.
_SAME = 1e-6


class Checkpoints:
    """One folder that holds the newest state of an unfinished run.

    Parameters
    ----------
    folder : str or Path
    every : float
        Minutes from one checkpoint to the next; 0 writes one after every step.

    Attributes
    ----------
    saved : dict or None
        State from which the run continues; set by `open`.
    seconds : float
        That the run took before it was stopped.
    """

    def __init__(self, folder: str | Path, every: float = 10.0) -> None:
        self.folder, self.every = Path(folder), every
        self.saved: dict[str, Any] | None = None
        self.seconds = 0.0
        self._run: dict[str, Any] = {}
        self._written = time.monotonic()

    @property
    def exists(self) -> bool:
        """Whether there is an unfinished run in the folder."""
        return (self.folder / _HEAD).is_file()

    def seed(self, drawn: int) -> int:
        """That of the unfinished run, or ``drawn`` where there is none."""

        def kept() -> int:
            seed = self._read()[0]["run"].get("seed") if self.exists else None
            return seed if isinstance(seed, int) else drawn

        return ops.ranks().first(kept)

    def open(self, run: dict[str, Any]) -> None:
        """Take up the run in the folder, which must be ``run``: its settings, seed and data.

        Of several processes rank 0 reads it, and later writes; the others need not see the folder.

        Raises
        ------
        ValueError
            If it is another run, and what differs, or if the folder is damaged or something else.
        """
        self._run, self._written = json.loads(json.dumps(run)), time.monotonic()
        self.saved, self.seconds = ops.ranks().first(self._found)

    def _found(self) -> tuple[dict[str, Any] | None, float]:
        """The state in the folder, and the seconds that it took."""
        if not self.exists:
            self._check_way(self.folder)
            self._check(self.folder)
            return None, 0.0
        content, state = self._read()
        _compare(self.folder, content["run"], self._run)
        self._compare_threads(content)
        with self.taking_up():
            return state, float(state["seconds"])

    def _compare_threads(self, content: Mapping[str, Any]) -> None:
        then, now = content.get("threads"), ops.most_threads()
        processes, size = content.get("processes", 1), ops.ranks().size
        on, remedy = (then, now), f"Set OMP_NUM_THREADS={then}"
        what = "threads"
        if processes != size:
            on, what, remedy = (processes, size), "processes", f"Start {processes}"
        if on[0] != on[1]:
            warnings.warn(
                f"[fit] {self.folder} was written by a run on {on[0]} {what}, which goes on on {on[1]}: its sums are "
                "rounded in another order, so the weights will not be, bit for bit, those of a run that never stopped. "
                f"{remedy} for that.",
                UserWarning,
                stacklevel=2,
            )

    def taking_up(self) -> contextlib.AbstractContextManager[None]:
        """For whoever puts back what was `saved`: a damaged checkpoint is a ValueError that names it."""
        return restoring(f"[fit] {self.folder} is damaged", "Remove the folder to start over.")

    def due(self) -> bool:
        """Whether it is time for the next."""
        return time.monotonic() - self._written >= 60 * self.every

    def write(self, state: Mapping[str, Any]) -> None:
        """Replace the newest state; if that fails, warn and continue."""
        content = {"format": _FORMAT, "format_version": _VERSION, "threads": ops.most_threads()}
        content |= {"processes": ops.ranks().size}
        try:
            self._check(self.folder)
            commit(self.folder, _HEAD, {**content, "run": self._run}, [(_STATE, state_to_bytes(state))])
        except OSError as error:
            warnings.warn(f"{error} Training continues without this checkpoint.", RuntimeWarning, stacklevel=2)
        self._written = time.monotonic()

    def remove(self) -> None:
        """The run needs it no more."""
        if self.exists and not ops.ranks().rank:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self) -> tuple[dict[str, Any], dict[str, Any]]:
        try:
            return committed(self.folder, _HEAD, _parts)
        except ValueError as error:
            raise ValueError(f"[fit] {error} Remove the folder to start over.") from None

    @staticmethod
    def _check_way(target: Path) -> None:
        for parent in target.parents:
            if parent.exists():
                if not parent.is_dir():
                    raise ValueError(
                        f"[fit] checkpoint must be the path of a folder; got {target}, but {parent} is a file. Choose "
                        "another path."
                    )
                return

    @staticmethod
    def _check(target: Path) -> None:
        if target.exists() and not holds_only(target, _HEAD, _FORMAT):
            raise ValueError(f"[fit] {target} exists and is not a checkpoint; choose another path or remove it.")


def _parts(found: Committed) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the run is, and its state."""
    content = found.content
    if content.get("format") != _FORMAT or not isinstance(content.get("run"), dict):
        raise ValueError(f"{found.folder} is not a checkpoint.")
    if content.get("format_version") != _VERSION:
        raise ValueError(f"{found.folder} was written by another version of dsae.")
    return content, found.read(_STATE, state_from_bytes)


@contextlib.contextmanager
def restoring(what: str, remedy: str) -> Iterator[None]:
    """Whatever a damaged state breaks is a ValueError that says what is damaged and what to do."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ValueError(f"{what} ({reason}). {remedy}") from None


def fingerprint(source: Source, moments: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    """What tells data apart: shape, mean and standard deviation of every column, and some rows."""
    size = {"n_samples": len(source), "n_features": source.n_features}
    if hasattr(source, "head"):  # a stream, of which each of several processes may read a part
        batch, exact = source.head(_SAMPLE), ()  # pyright: ignore
        size |= {name: float(values.mean(dtype=float)) for name, values in zip(_MOMENTS, moments, strict=True)}
    else:
        batch, exact = next(iter(source.batches(_SAMPLE, seed=0))), moments
    kept: list[Any] = [rows for rows in (batch.rows, batch.target, batch.weight) if rows is not None]
    parts = [part for rows in kept for part in (_arrays(rows) if sp.issparse(rows) else (rows,))]
    return {**size, "sha256": _sha256(*exact, *parts)}


def joint_fingerprint(source: JointSource, moments: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """The same of rows of several modalities, with which rows have each."""
    size: dict[str, Any] = {"n_samples": len(source), "n_features": source.n_features}
    if hasattr(source, "head"):  # as above
        batch, kept = source.head(_SAMPLE), []  # pyright: ignore
        for name, pair in moments.items():
            size |= {f"{what} of {name}": float(of.mean(dtype=float)) for what, of in zip(_MOMENTS, pair, strict=True)}
    else:
        batch, kept = next(iter(source.batches(_SAMPLE, seed=0))), [np.concatenate(pair) for pair in moments.values()]
    rows = [part for some in batch.parts.values() for part in (_arrays(some) if sp.issparse(some) else (some,))]
    has = [source.has(name) for name in source.parts]
    return {**size, "sha256": _sha256(*kept, *has, *rows)}


def identity(
    model: AutoencoderConfig | JointConfig,
    training: TrainConfig,
    seed: int,
    start: Model | JointModel | None,
    data: dict[str, Any],
) -> dict[str, Any]:
    """What must be the same for a run to go on."""
    settings = dataclasses.asdict(training)
    return {"model": model.to_dict(), "training": settings, "seed": seed, "start": _digest(start), "data": data}


def _digest(start: Model | JointModel | None) -> str | None:
    if start is None:
        return None
    if isinstance(start, JointModel):
        return "".join(_digest(model) or "" for model in start.models.values()) + _sha256(*start.weight.values())
    arrays = [a for topology, *rest in start.layers.values() for a in (topology.indptr, topology.indices, *rest)]
    optional = (start.threshold, start.importance, *start.extras.values())
    return _sha256(*arrays, *(array for array in optional if array is not None))


def _arrays(rows: Any) -> tuple[np.ndarray, ...]:
    return rows.indptr, rows.indices, rows.data


def _sha256(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _compare(folder: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    flat_then, flat_now = flat_run(then), flat_run(now)
    different = [
        f"{key} was {flat_then.get(key)!r} and is {flat_now.get(key)!r}"
        for key in sorted({*flat_then, *flat_now})
        if not equal(flat_then.get(key), flat_now.get(key))
    ]
    if different:
        raise ValueError(
            f"[fit] {folder} holds the unfinished run of other settings or data: {'; '.join(different)}. Give the same "
            "again to continue, or remove the folder to start over."
        )


def equal(one: Any, other: Any) -> bool:
    """Whether two settings, or figures of the data, are the same; numbers up to rounding."""
    floats = isinstance(one, float) and isinstance(other, float)
    return one == other or (floats and math.isclose(one, other, rel_tol=_SAME))


def flat_run(run: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, seed and data of a run by name."""
    flat = {}
    for key, value in run.items():
        if isinstance(value, dict) and key in ("model", "training", "data"):
            flat |= {("the data's " if key == "data" else "") + name: part for name, part in value.items()}
        else:
            flat[key] = value
    return flat
