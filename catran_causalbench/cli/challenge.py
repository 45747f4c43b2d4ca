"""Commands around the CausalBench challenge."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from catran_causalbench.cli.checklist import finish_with
from catran_causalbench.cli.console import AsJson, Quiet, command, show_progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from catran_causalbench.causalbench.submission.checks import Trial

PLUGIN = Path(__file__).parent.parent / "plugin.py"


@command
def check_submission(
    main: Annotated[Path, typer.Argument(help="The file to submit.", show_default="CaTran's plugin")] = PLUGIN,
    data_directory: Annotated[
        Path | None, typer.Option(help="Benchmark directory to try it on.", show_default="a small simulated one")
    ] = None,
    time_limit: Annotated[float, typer.Option(help="Seconds that one run may take.", min=1)] = 600,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Test what the challenge tests of a submission: one class, 1,000 edges, none twice, all four fractions, and more.

    The file is run six times, each in a process of its own; about a minute for CaTran. Ends with 1 where a check fails.

    Examples: catran-causalbench check-submission main.py

    catran-causalbench check-submission main.py --data-directory mydata --json
    """
    from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
    from catran_causalbench.causalbench.submission import checks as submission

    with tempfile.TemporaryDirectory(prefix="check-submission-") as scratch:
        if data_directory is None:
            folder, tried_on = Path(scratch) / "world", "SIMULATED cells, 40 genes"
            write_simulated_directory(folder, submission.PRACTICE_WORLD, seed=0)
        else:
            folder, tried_on = data_directory, str(data_directory)
        dataset = submission.find_dataset(folder)
        with _progress(len(submission.TRIALS), show_progress(quiet)) as announce:
            checks = submission.check_submission(main, dataset, time_limit, announce=announce)
    finish_with({f"{main.name} as a submission, tried on {tried_on}": checks}, as_json)


@contextmanager
def _progress(runs: int, shown: bool) -> Iterator[Callable[[Trial], None]]:
    """Give a function that moves the bar on to the next run."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not shown) as bar:
        task = bar.add_task("Starting", total=runs)
        started = 0

        def announce(trial: Trial) -> None:
            nonlocal started
            bar.update(task, description=trial.title, completed=started)
            started += 1

        yield announce
