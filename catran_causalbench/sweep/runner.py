"""Send the runs of a plan to workers, and resume a sweep that was interrupted."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from distributed import CancelledError, as_completed
from distributed.comm import CommClosedError

from catran_causalbench.errors import InputError
from catran_causalbench.sweep.dask_cluster import connected
from catran_causalbench.sweep.plan import RunSpec, SweepPlan
from catran_causalbench.sweep.records import check_identity, is_done, remove_unfinished, write_failure
from catran_causalbench.sweep.worker import FinishedRun, execute
from catran_causalbench.utils.locking import lock_directory

if TYPE_CHECKING:
    from distributed import Client, Future


def run_sweep(
    plan: SweepPlan,
    output: Path,
    announce: Callable[[FinishedRun], None],
    workers: int | None = None,
    scheduler: str | None = None,
) -> None:
    """Execute all runs of a plan that are not done; failed ones are tried again.

    Parameters
    ----------
    plan, output, announce
        What to run, the sweep's directory, and what to call with every run that ends.
    workers, scheduler
        See :func:`~catran_causalbench.sweep.dask_cluster.connected`. The workers of a scheduler must see the same
        files and have the same code.

    Raises
    ------
    InputError
        Before any work starts; later, if a scheduler goes away or a worker has other code.
    """
    if scheduler and workers:
        raise InputError.of("workers", f"{workers} beside a scheduler", "one of the two: a scheduler has its workers")
    output = output.absolute()
    with lock_directory(output, "output", "sweep"):
        check_identity(output, plan.identity)
        specs = pending(plan, output)
        if not specs:
            return
        if scheduler is None:
            remove_unfinished(output)
        try:
            with connected(scheduler, workers) as client:
                for run in _finished_runs(client, specs, plan, output):
                    announce(run)
        finally:
            if scheduler is None:  # a scheduler's workers may still be running
                remove_unfinished(output)


def pending(plan: SweepPlan, output: Path) -> list[RunSpec]:
    """List the runs of a plan that are not done yet."""
    return [spec for spec in plan.runs() if not is_done(output / spec.directory)]


def _finished_runs(client: Client, specs: list[RunSpec], plan: SweepPlan, output: Path) -> Iterator[FinishedRun]:
    """Keep every worker busy with one run at a time, so that a worker that dies takes only its own run with it."""
    waiting = iter(specs)
    running: dict[Future, RunSpec] = {}
    ended = as_completed(loop=client.loop)

    def top_up() -> None:
        free = max(1, len(client.nthreads())) - len(running)
        for spec in islice(waiting, max(0, free)):
            arguments = spec, plan.protocol, output, plan.identity["code"]
            future = client.submit(execute, *arguments, key=f"run-{output / spec.directory}", pure=False)
            running[future] = spec
            ended.add(future)

    top_up()
    while running:
        future = next(ended)
        yield _finished_run(future, running.pop(future), output)
        top_up()


def _finished_run(future: Future, spec: RunSpec, output: Path) -> FinishedRun:
    """Return what the run reports, or Dask's error if its workers died before it could."""
    try:
        return future.result()
    except (CancelledError, CommClosedError, InputError):  # these end the sweep
        raise
    except Exception as error:
        if not is_done(output / spec.directory):
            write_failure(output / spec.directory, error, traceback.format_exc())
        return FinishedRun(spec, error=f"{type(error).__name__}: {error}")
