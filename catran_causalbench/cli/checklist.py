"""Checklists on the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import typer

from catran_causalbench.cli.console import print_json, table_console
from catran_causalbench.utils.checks import Check

_MARKS = {True: "[green]✓[/green]", False: "[bold red]✗[/bold red]", None: "–"}


def finish_with(sections: Mapping[str, Sequence[Check]], as_json: bool) -> None:
    """Print checks under their titles, and end the command; the exit code is 1 if a check failed."""
    results = [check.passed for section in sections.values() for check in section]
    failed = results.count(False)
    if as_json:
        listed = [{"title": title, "checks": list(map(asdict, section))} for title, section in sections.items()]
        print_json({"passed": not failed, "sections": listed})
    else:
        _print_sections(sections)
        typer.echo(f"\n{results.count(True)} checks passed, {failed or 'none'} failed.")
    raise typer.Exit(int(failed > 0))


def _print_sections(sections: Mapping[str, Sequence[Check]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    console = table_console()
    width = max(len(check.name) for section in sections.values() for check in section)
    for title, section in sections.items():
        table = Table(title=escape(title), title_justify="left", title_style="bold", box=None, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, min_width=width)
        table.add_column(overflow="fold")
        for check in section:
            advice = f"\n[yellow]→ {escape(check.advice)}[/yellow]" if check.advice else ""
            table.add_row(_MARKS[check.passed], escape(check.name), escape(check.found) + advice)
        console.print(table)
