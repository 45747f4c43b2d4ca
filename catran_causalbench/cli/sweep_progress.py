"""Progress of a sweep: a progress bar on a terminal, one line for each run elsewhere."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from catran_causalbench.sweep.records import FAILURE
from catran_causalbench.sweep.worker import FinishedRun


class SweepProgress:
    """Show the progress of a sweep and its end, with a progress bar if ``live``, or failures only if ``quiet``.

    Of its ``total`` runs, ``left`` are not done yet; ``failed`` counts those that fail from now on.
    """

    def __init__(self, output: Path, total: int, left: int, live: bool, quiet: bool) -> None:
        self._output, self._total, self._before, self._quiet = output, total, total - left, quiet
        self._ended = self.failed = 0
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
        self._task = self._bar.add_task(self._state(), total=total, completed=self._before)

    def __enter__(self) -> SweepProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if kind is KeyboardInterrupt:
            self._console.print(f"{self._state()}. Run the same command to resume.")
        elif kind is None and not self._quiet:
            self._console.print(f"{self._state()}. Results: {escape(str(self._output))}")

    def show(self, run: FinishedRun) -> None:
        """Count a run that ended, and print a line about it."""
        self._ended += 1
        self.failed += bool(run.error)
        self._bar.update(self._task, advance=1, description=self._state())
        name = escape(str(run.spec.directory))
        if run.error:
            where = escape(str(self._output / run.spec.directory / FAILURE))
            reason = escape(run.error.splitlines()[0][:200])
            self._console.print(f"[red]failed[/red] {name}: {reason} (see {where})")
        elif not self._quiet and self._bar.disable:
            self._console.print(
                f"done {name}: mean Wasserstein {run.mean_wasserstein:.3f}, {run.seconds:.1f} s "
                f"({self._before + self._ended} of {self._total})"
            )

    def _state(self) -> str:
        done = self._before + self._ended - self.failed
        per_minute = 60 * self._ended / max(time.monotonic() - self._start, 1e-9)
        speed = f" · {per_minute:.1f} runs a minute" if self._ended else ""
        left = self._total - self._before - self._ended
        return f"{done} done · {self.failed} failed · {left} left{speed}"
