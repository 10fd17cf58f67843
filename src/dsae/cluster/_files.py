"""Files of rows to files of codes, each by one worker, each written whole or not at all."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from dsae.cluster._encode import Encode
from dsae.data import check_source, copied, open_rows, place_of, targets, writing

Told = Callable[[int, int], object]


class Job(NamedTuple):
    """A file of rows, and where what is made of it goes."""

    source: str
    target: str
    kind: str | None
    sparse: bool
    reading: Mapping[str, Any]


class Written(NamedTuple):
    """A file that is there."""

    target: str
    n_rows: int


class Encoded(NamedTuple):
    """What `encode_files` has written.

    Attributes
    ----------
    files : list of str
        In the order of the files that they were made of.
    n_rows : int
        In all of them.
    n_workers : int
        Processes that worked on them, when the last was done.
    seconds : float
        From the first file to the last.
    """

    files: list[str]
    n_rows: int
    n_workers: int
    seconds: float


def encode_files(
    model: Any,
    data: str | Path,
    output: str | Path,
    *,
    cluster: Any = None,
    processes: int | None = None,
    k: int | None = None,
    format: str | None = None,
    sparse: bool = False,
    retries: int = 2,
    told: Told | None = None,
    **reading: Any,
) -> Encoded:
    """Codes of all files of a folder, one file each, as `dsae encode` writes them, by the workers of a Dask cluster.

    A file is written under another name and renamed when its last row is in it. So a file that is there is whole,
    however often a worker was lost on the way: its rows are neither fewer nor twice. Every worker must see the files of
    both folders under the same names, as on shared storage or in a store (``s3://bucket/rows``).

    Parameters
    ----------
    model : str, Path or Runtime
        A model folder, or what `dsae.load` gives; it is sent to the workers.
    data : str or Path
        A folder of files of one format; see `dsae.data.open_rows`. A file is the work of one worker.
    output : str or Path
        A folder, which is made.
    cluster : str or dask.distributed.Client, optional
        Address of a scheduler, such as ``tcp://10.0.0.1:8786``, or a client of one.
    processes : int, optional
        Instead of a cluster, so many processes of this machine, but no more than there are files. With neither, or for
        a single file, this process does it all.
    k : int, optional
        Non-zeros per code, as in `Runtime.encode`.
    format : str, optional
        Of the files written; by default that of ``data``.
    sparse : bool
        Whether codes are CSR matrices, for ``npz``.
    retries : int
        How often a file is tried again where reading or writing it fails; a lost worker's files go to others anyway.
    told : callable, optional
        Called as ``told(n_done, n_rows)`` when a file is done.
    **reading
        Options of `open_rows`.

    Returns
    -------
    Encoded

    Raises
    ------
    ValueError
        If the files are not rows of the model, or the workers have another version of dsae.
    OSError
        If a file cannot be read or written, or workers are lost over it time and again.
    ImportError
        If there is no Dask: ``pip install "dsae[cluster]"``.

    Examples
    --------
    >>> encode_files("model/", "rows/", "codes/", processes=4)                           # doctest: +SKIP
    """
    if cluster is not None and processes is not None:
        raise ValueError("[encode] cluster and processes exclude one another; give one.")
    encode = model if isinstance(model, Encode) else Encode(model, k=k)
    known = encode.runtime
    reading = {**reading, "n_features": known.config.n_features, "missing": known.missing}
    source = open_rows(data, **reading)
    check_source("encode", source, known.config.n_features, known.model.feature_names)
    if str(output) == "-" or str(data) == "-":
        raise ValueError("[encode] data and output must be files or folders, which workers can open; got '-'.")
    places = [(part.path, target) for part, target in targets(source, str(output), format)]
    if len(places) == 1 and source.is_folder:
        raise ValueError(
            f"[encode] output must be a folder, where each of the files of {data} has its own; got {output}."
        )
    # a single file as it was given: an array in it may be named behind a colon
    paths = [path for path, _ in places] if source.is_folder else [data]
    targets_ = [_sent(target) for _, target in places]
    jobs = [Job(_sent(path), to, format, sparse, reading) for path, to in zip(paths, targets_, strict=True)]
    begun, total, done = time.perf_counter(), len(source), 0
    written: dict[str, Written] = {}
    with _engine(cluster, processes, len(jobs)) as engine:
        try:
            for result in engine.run(encode, jobs, retries):
                written[result.target] = result
                done += result.n_rows
                if told is not None:
                    told(done, total)
            n_workers = min(engine.n_workers, len(jobs))
        finally:
            for job in jobs:
                _sweep(job.target)
    return Encoded([job.target for job in jobs], done, n_workers, time.perf_counter() - begun)


def _sent(place: Any) -> str:
    """A place as workers are told it, whatever folder they run in."""
    place = place_of(place)
    return str(place.absolute()) if isinstance(place, Path) else place.uri


@contextmanager
def _engine(cluster: Any, processes: int | None, n_files: int) -> Iterator[Any]:
    wanted = min(processes or 1, n_files)
    if cluster is None and wanted == 1:
        yield _Here()
        return
    from dsae.cluster._dask import workers

    with workers(cluster, wanted) as found:
        yield found


class _Here:
    """The process itself, one file after another."""

    n_workers = 1

    def run(self, encode: Encode, jobs: list[Job], retries: int) -> Iterator[Written]:
        """What has been written, file by file."""
        for job in jobs:
            yield self._written(encode, job, retries)

    @staticmethod
    def _written(encode: Encode, job: Job, retries: int) -> Written:
        for _ in range(retries):
            try:
                return encode_file(encode, job)
            except FileNotFoundError:
                raise
            except OSError:  # storage may answer the next time
                continue
        return encode_file(encode, job)


def encode_file(encode: Encode, job: Job) -> Written:
    """What a worker does with a file; until its last row is written, there is no file of its name."""
    source = open_rows(job.source, **job.reading)
    config, model = encode.runtime.config, encode.runtime.model
    check_source("encode", source, config.n_features, model.feature_names)
    names = [f"dsa{i}" for i in range(config.n_components)]
    like = None if job.sparse else copied(source, job.target, job.kind)
    with writing(job.target, len(source), names, source.id_name, job.kind, job.sparse, like) as writer:
        for chunk in source.chunks():
            writer.write(encode.of_rows(chunk.rows, job.sparse), chunk.ids)
    return Written(job.target, len(source))


def _sweep(target: str) -> None:
    """Remove what workers that were lost had begun of a file."""
    place = place_of(target)
    if isinstance(place, Path):
        for begun in place.parent.glob(f".{glob.escape(place.name)}.*.tmp"):
            with suppress(OSError):
                begun.unlink()
