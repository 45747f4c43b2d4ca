"""The command that checks a submission to the CausalBench challenge."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from catran_causalbench.cli.checklist import finish_with
from catran_causalbench.cli.console import AsJson, Quiet, command, show_progress

if TYPE_CHECKING:
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
    """Check what the challenge asks of a submission: one class, 1,000 edges, no duplicates, all fractions, and more.

    The file is run six times, each time in a process of its own; this takes about a minute for CaTran. The exit code is
    1 if a check fails.

    Examples: catran-causalbench check-submission main.py

    catran-causalbench check-submission main.py --data-directory mydata --json
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

        if data_directory is None:
            folder, tried_on = Path(scratch) / "simulated", "SIMULATED cells, 40 genes"
            write_simulated_directory(folder, submission.PRACTICE_SETTINGS, seed=0)
        else:
            folder, tried_on = data_directory, str(data_directory)
        checks = submission.check_submission(main, submission.find_dataset(folder), time_limit, announce=announce)
    finish_with({f"{main.name} as a submission, tried on {tried_on}": checks}, as_json)
