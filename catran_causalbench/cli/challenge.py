"""The command that checks a submission to the CausalBench challenge."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from catran_causalbench.causalbench import PLUGIN_FILE
from catran_causalbench.cli.checklist import finish_with
from catran_causalbench.cli.console import AsJson, Quiet, command, show_progress

if TYPE_CHECKING:
    from catran_causalbench.causalbench.submission.checks import Trial


@command
def check_submission(
    main: Annotated[Path, typer.Argument(help="The file to submit.", show_default="CaTran's plugin")] = PLUGIN_FILE,
    data_directory: Annotated[
        Path | None, typer.Option(help="Benchmark directory to run it on.", show_default="a small simulated one")
    ] = None,
    time_limit: Annotated[float, typer.Option(help="Seconds allowed for each run.", min=1)] = 600,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check what the challenge asks of a submission: one class, 1,000 edges, no duplicates, all fractions, and more.

    The file is run six times, each time in its own process; this takes half a minute for CaTran. The exit code is 1 if
    a check fails.

    Example: catran-causalbench check-submission main.py --data-directory mydata --json
    """
    from rich.console import Console
    from rich.progress import Progress

    from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
    from catran_causalbench.causalbench.submission import checks as submission

    with (
        tempfile.TemporaryDirectory(prefix="check-submission-") as scratch,
        Progress(console=Console(stderr=True), transient=True, disable=not show_progress(quiet)) as bar,
    ):
        task = bar.add_task("Starting", total=len(submission.TRIALS))

        def announce(trial: Trial) -> None:
            bar.update(task, description=trial.title, completed=submission.TRIALS.index(trial))

        data = data_directory or Path(scratch) / "simulated"
        if data_directory is None:
            write_simulated_directory(data, submission.PRACTICE_SETTINGS, seed=0)
        checks = submission.check_submission(main, submission.find_dataset(data), time_limit, announce=announce)
    title = f"{main.name} as a submission, run on {data_directory or 'SIMULATED cells, 40 genes'}"
    finish_with({title: checks}, as_json)
