"""The command ``catran-causalbench``: a module for each group of commands, a public function for each command.

The modules import only what their options need, so that help and completion are fast; commands import the rest.
"""

from __future__ import annotations

import shutil
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from catran_causalbench import __version__
from catran_causalbench.cli import benchmark, challenge, data, doctor, fit, sweeping
from catran_causalbench.cli.streams import accept_any_text


class _Commands(TyperGroup):
    """All commands, which print on any terminal, their help and errors in their options included."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        accept_any_text()
        return super().main(*arguments, **options)


# The boxes of wide terminals would cut off the names of options.
_NARROW = 100
app = typer.Typer(
    cls=_Commands,
    rich_markup_mode="rich" if shutil.get_terminal_size().columns >= _NARROW else None,
    help="CaTran for CausalBench: directed gene networks from Perturb-seq data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for group, commands in {
    "Network": (fit.fit,),
    "Data": (data.simulate, data.convert, data.download, data.prepare),
    "Benchmark": (
        *(benchmark.plugin, benchmark.presets, benchmark.methods, benchmark.compare, benchmark.evaluate),
        *(sweeping.sweep, benchmark.report),
    ),
    "Challenge and setup": (challenge.check_submission, doctor.doctor),
}.items():
    for function in commands:
        app.command(rich_help_panel=group)(function)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Declare the options that precede a command."""
