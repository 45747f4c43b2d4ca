"""The command that reports a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from catran_causalbench.cli.console import AsJson, Overwrite, command, print_json


@command
def report(
    sweeps: Annotated[list[Path], typer.Argument(help="Output folders of sweeps.", show_default=False)],
    output: Annotated[Path, typer.Option(help="Folder to make.", show_default=False)],
    overwrite: Overwrite = False,
    json: AsJson = False,
) -> None:
    """Report sweeps as a page that opens offline, with figures (PNG, PDF), results.csv and a Markdown table.

    Example: catran-causalbench report sweep --output report
    """
    from catran_causalbench.report import write_report

    summary = write_report(sweeps, output, overwrite)
    if json:
        print_json(summary)
        return
    for sentence in summary["headlines"]:
        typer.echo(sentence)
    if summary["failed"]:
        typer.echo(f"{summary['failed']} failed runs are listed in the report.")
    typer.echo(f"Wrote {summary['page']}.")
