"""Dask: worker processes on this machine, or a scheduler that is already running."""

from __future__ import annotations

import logging
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import dask
from dask.system import CPU_COUNT
from distributed import CancelledError, Client, LocalCluster, WorkerPlugin
from distributed import TimeoutError as DaskTimeoutError  # Python's own from 3.11 on only

from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    from distributed import Worker

# Each worker has one thread, and numerical libraries must not add their own. Dask sets the first three by itself.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
_SETTINGS = {
    "distributed.scheduler.worker-ttl": None,  # a method may hold Python's lock for minutes
    "distributed.admin.system-monitor.gil.enabled": False,
}
_SECONDS_TO_ANSWER, _SECONDS_FOR_A_WORKER = 10, 60  # for a scheduler to answer, and for its first worker to join


class _Isolation(WorkerPlugin):
    """Keep workers from writing on the terminal or into the working directory."""

    name = "isolation"

    def setup(self, worker: Worker) -> None:
        os.chdir(worker.local_directory)
        silence = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(silence, stream)
        os.close(silence)


@contextmanager
def connected(scheduler: str | None, workers: int | None) -> Iterator[Client]:
    """Yield a client of a scheduler, or of a cluster on this machine that lives as long as the block.

    Parameters
    ----------
    scheduler, workers
        Its address, or None to start a cluster with so many processes, by default one per core.

    Raises
    ------
    InputError
        The address does not answer, no worker joins, or the scheduler goes away while the block runs.
    """
    for logger in ("distributed", "distributed.client"):  # the sweep itself reports what matters
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    if scheduler:
        with _client_of(scheduler) as client:
            try:
                yield client
            except (CancelledError, OSError) as error:
                if isinstance(error, OSError) and client.status == "running":  # such as a full disk
                    raise
                expected = "it to keep running; repeat the command to resume"
                raise InputError.of("scheduler", f"that {scheduler!r} went away", expected) from None
        return
    with (
        tempfile.TemporaryDirectory(prefix="catran-sweep-") as directory,
        dask.config.set({**_SETTINGS, "temporary-directory": directory}),
    ):
        cluster = LocalCluster(
            n_workers=workers or CPU_COUNT,
            threads_per_worker=1,
            memory_limit=None,  # else Dask pauses and ends workers by its own estimate
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # the scheduler serves HTTP anyway: on any free port
            local_directory=directory,
            silence_logs=logging.CRITICAL,
            env=_ONE_THREAD,
            security=True,  # temporary certificates: without them, anyone who reached the port could run code here
        )
        try:
            with Client(cluster, set_as_default=False) as client:
                try:
                    client.register_plugin(_Isolation())
                    yield client
                except BaseException:
                    _kill(cluster)
                    raise
        finally:
            with suppress(TimeoutError):
                cluster.close(timeout=5)


def _client_of(scheduler: str) -> Client:
    try:
        client = Client(scheduler, timeout=_SECONDS_TO_ANSWER, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:  # TypeError for an encrypted scheduler without its certificate
        raise InputError.of("scheduler", f"no answer from {scheduler!r} ({error})", "a scheduler's address") from None
    try:
        client.wait_for_workers(1, timeout=_SECONDS_FOR_A_WORKER)
    except DaskTimeoutError:
        client.close()
        found = f"no worker at {scheduler!r} within {_SECONDS_FOR_A_WORKER} seconds"
        raise InputError.of("scheduler", found, "at least one, as dask worker starts them") from None
    return client


def _kill(cluster: LocalCluster) -> None:
    """Kill the workers at once: they hold no results, and may be in the middle of a long run."""
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        with suppress(ProcessLookupError, TypeError):
            os.kill(nanny.pid, signal.SIGKILL)
