"""The command that looks at the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from catran_causalbench.cli.checklist import finish_with
from catran_causalbench.cli.console import AsJson, command


@command
def doctor(
    data_directory: Annotated[
        Path | None, typer.Argument(help="A benchmark directory, to look for the harness's files in.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what this machine has, what is missing or known to fail, and what to do about it.

    Ends with 1 where something is broken.

    Example: catran-causalbench doctor mydata
    """
    from catran_causalbench.cli.diagnosis import diagnose

    finish_with(diagnose(data_directory), as_json)
