"""Dask's workers: of this machine, or of a cluster that runs already."""

from __future__ import annotations

import logging
import pickle
import secrets
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import dsae
from dsae.cluster._encode import Encode
from dsae.cluster._files import Job, Written, encode_file

_CONNECTED_WITHIN = 30  # seconds


class _Refused(NamedTuple):
    """What no further attempt would mend."""

    error: Exception


class Workers:
    """Workers that a client speaks to.

    Parameters
    ----------
    client : dask.distributed.Client
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def n_workers(self) -> int:
        """How many there are at the moment."""
        return len(self._client.nthreads())

    def run(self, encode: Encode, jobs: list[Job], retries: int) -> Iterator[Written]:
        """What has been written, in the order in which it is done.

        Raises
        ------
        OSError
            If workers were lost over one file time and again.
        """
        from distributed import KilledWorker, as_completed

        token, data = secrets.token_hex(4), pickle.dumps(encode)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of the size of the model, which is sent once
            # A task, not scattered data: it is made again where the worker that holds it is lost.
            shared = self._client.submit(pickle.loads, data, key=f"dsae-model-{token}")
        futures = [
            self._client.submit(_attempt, shared, job, key=f"dsae-encode-{token}-{i}", retries=retries)
            for i, job in enumerate(jobs)
        ]
        of_future = {future.key: job for future, job in zip(futures, jobs, strict=True)}
        try:
            for future in as_completed(futures):
                try:
                    result = future.result()
                except KilledWorker as error:
                    source = of_future[future.key].source
                    raise OSError(
                        f"[encode] {source} could not be encoded: the workers that tried were lost, which mostly means "
                        f"that they had too little memory ({' '.join(str(error).split())[:200]}). Give each more, or "
                        "write smaller row groups."
                    ) from None
                if isinstance(result, _Refused):
                    raise result.error
                yield result
                future.release()
        except BaseException:
            self._client.cancel([shared, *futures])
            raise


def _attempt(encode: Encode, job: Job) -> Any:
    """The file, or an error that another attempt would meet again."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of columns, told where the folder was opened
            return encode_file(encode, job)
    except FileNotFoundError as error:
        return _Refused(
            FileNotFoundError(f"{error} Every worker must see the files under the same names, as on shared storage.")
        )
    except (ValueError, TypeError, ImportError) as error:
        return _Refused(error)


@contextmanager
def workers(cluster: Any, processes: int | None) -> Iterator[Workers]:
    """The workers of a cluster, by its address or a client of it, or new processes that end with this context.

    Raises
    ------
    ImportError
        If Dask is not installed.
    OSError
        If there is no scheduler at the address.
    ValueError
        If workers have another version of dsae.
    """
    try:
        import distributed
    except ImportError:
        raise ImportError('[encode] Several processes need Dask: pip install "dsae[cluster]".') from None
    with ExitStack() as stack:
        if isinstance(cluster, distributed.Client):
            client = cluster
        elif cluster is not None:
            client = stack.enter_context(_connected(distributed, str(cluster)))
        else:
            local = stack.enter_context(local_workers(processes or 1))
            client = stack.enter_context(distributed.Client(local))
        _check_versions(client)
        yield Workers(client)


@contextmanager
def local_workers(n: int) -> Iterator[Any]:
    """Dask's processes on this machine, a core each."""
    import dask.config
    import distributed

    local: Any = distributed.LocalCluster
    # By default Dask looks at the stack of every worker a hundred times a second, and has free memory given back
    # to the system, which is then asked for again: encoding took a tenth longer.
    ours = {
        "distributed.worker.profile.enabled": False,
        "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
    }
    with (
        dask.config.set(ours),
        # any port for the page of figures: another cluster of this machine may have the usual one
        local(n_workers=n, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL) as cluster,
    ):
        yield cluster


def _connected(distributed: Any, address: str) -> Any:
    try:
        return distributed.Client(address, timeout=_CONNECTED_WITHIN)
    except (OSError, ValueError) as error:
        raise OSError(
            f"[encode] There must be a Dask scheduler at {address}; got no answer in {_CONNECTED_WITHIN} s ({error}). "
            "Start one: dask scheduler, and workers: dask worker ADDRESS."
        ) from None


def _check_versions(client: Any) -> None:
    def installed() -> str | None:  # nested, so that it is sent as it is: a worker may have no dsae
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("dsae")
        except PackageNotFoundError:
            import importlib.util

            return "0" if importlib.util.find_spec("dsae") else None

    try:
        client.wait_for_workers(1, timeout=_CONNECTED_WITHIN)
    except TimeoutError:
        raise OSError(
            f"[encode] The cluster must have a worker; it had none for {_CONNECTED_WITHIN} s. Start some: dask worker "
            "ADDRESS."
        ) from None
    found = client.run(installed)
    for worker, version in found.items():
        if version != dsae.__version__:
            raise ValueError(
                f"[encode] Every worker must have dsae {dsae.__version__}, as this process; {worker} has "
                f"{version or 'none'}. Install it there."
            )
