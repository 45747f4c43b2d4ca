"""Send the runs of a plan to workers, and go on where an earlier start was stopped."""

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
from catran_causalbench.sweep.plan import Run, SweepPlan
from catran_causalbench.sweep.store import check_identity, is_done, remove_unfinished, write_failure
from catran_causalbench.sweep.worker import Outcome, execute_by
from catran_causalbench.utils.locking import lock_directory

if TYPE_CHECKING:
    from distributed import Client, Future


def run_sweep(
    plan: SweepPlan,
    output: Path,
    announce: Callable[[Outcome], None],
    workers: int | None = None,
    scheduler: str | None = None,
) -> None:
    """Do all runs of a plan that are not done; failed ones are tried again.

    Parameters
    ----------
    plan
        What to run.
    output
        The sweep's folder; see :mod:`~catran_causalbench.sweep.store`.
    announce
        Called with every run that ends.
    workers, scheduler
        See :func:`~catran_causalbench.sweep.dask_cluster.connected`. The workers of a scheduler must see the same files and
        have the same code.

    Raises
    ------
    InputError
        Before any work starts; later, where a scheduler goes away or a worker has other code.
    """
    if scheduler and workers:
        raise InputError.of("workers", f"{workers} beside a scheduler", "one of the two: a scheduler has its workers")
    output = output.absolute()
    with lock_directory(output, "output", "sweep"):
        check_identity(output, plan.identity)
        runs = pending(plan, output)
        if not runs:
            return
        if scheduler is None:
            remove_unfinished(output)
        try:
            with connected(scheduler, workers) as client:
                for outcome in _outcomes(client, runs, plan, output):
                    announce(outcome)
        finally:
            if scheduler is None:  # elsewhere, workers may still be at work
                remove_unfinished(output)


def pending(plan: SweepPlan, output: Path) -> list[Run]:
    """List the runs of a plan that are not done yet."""
    return [run for run in plan.runs() if not is_done(output / run.folder)]


def _outcomes(client: Client, runs: list[Run], plan: SweepPlan, output: Path) -> Iterator[Outcome]:
    """Keep every worker busy with one run, so that a worker that dies takes no other run's chances with it."""
    waiting = iter(runs)
    running: dict[Future, Run] = {}
    ended = as_completed()

    def top_up() -> None:
        free = max(1, len(client.nthreads())) - len(running)
        for run in islice(waiting, max(0, free)):
            given = plan.identity["code"], run, plan.rules, output
            future = client.submit(execute_by, *given, key=f"run-{output.absolute() / run.folder}", pure=False)
            running[future] = run
            ended.add(future)

    top_up()
    while running:
        future = next(ended)
        run = running.pop(future)
        yield _outcome(future, run, output)
        top_up()


def _outcome(future: Future, run: Run, output: Path) -> Outcome:
    """Give what the run says of itself, or what Dask says where the run could not: its workers died."""
    try:
        return future.result()
    except (CancelledError, CommClosedError, InputError):  # these end the sweep
        raise
    except Exception as error:
        if not is_done(output / run.folder):
            write_failure(output / run.folder, error, traceback.format_exc())
        return Outcome(run, error=f"{type(error).__name__}: {error}")
