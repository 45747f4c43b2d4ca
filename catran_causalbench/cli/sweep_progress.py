"""A sweep on the terminal: a live line there, a plain line for each run elsewhere."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from catran_causalbench.sweep.records import FAILURE
from catran_causalbench.sweep.worker import Outcome


class SweepProgress:
    """Tells how a sweep goes, and how it ended.

    Parameters
    ----------
    output
        The sweep's folder.
    every, left
        All runs of the plan, and those that are not done yet.
    live
        Whether to draw a line that changes.
    quiet
        Whether to tell failures only.

    Attributes
    ----------
    failed
        Runs that failed in this start.
    """

    def __init__(self, output: Path, every: int, left: int, live: bool, quiet: bool) -> None:
        self.failed: list[Outcome] = []
        self._output, self._every, self._before, self._quiet = output, every, every - left, quiet
        self._ended = 0
        self._start = time.monotonic()
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not live,
            transient=True,
        )
        self._task = self._bar.add_task(self._state(), total=every, completed=self._before)

    def __enter__(self) -> SweepProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if kind is KeyboardInterrupt:
            self._console.print(f"{self._state()}. The same command goes on from here.")
        elif kind is None and not self._quiet:
            self._console.print(f"{self._state()}. Results: {escape(str(self._output))}")

    def show(self, outcome: Outcome) -> None:
        """Count a run that ended, and tell of it."""
        self._ended += 1
        if outcome.error:
            self.failed.append(outcome)
        self._bar.update(self._task, advance=1, description=self._state())
        name = escape(str(outcome.run.folder))
        if outcome.error:
            where = escape(str(self._output / outcome.run.folder / FAILURE))
            reason = escape(outcome.error.splitlines()[0][:200])
            self._console.print(f"[red]failed[/red] {name}: {reason} (see {where})")
        elif not self._quiet and self._bar.disable:
            self._console.print(
                f"done {name}: mean Wasserstein {outcome.mean_wasserstein:.3f}, {outcome.seconds:.1f} s "
                f"({self._before + self._ended} of {self._every})"
            )

    def _state(self) -> str:
        done = self._before + self._ended - len(self.failed)
        per_minute = 60 * self._ended / max(time.monotonic() - self._start, 1e-9)
        speed = f" · {per_minute:.1f} runs a minute" if self._ended else ""
        left = self._every - self._before - self._ended
        return f"{done} done · {len(self.failed)} failed · {left} left{speed}"
