"""The command ``catran-causalbench``: one module per group of commands, each function a command."""

from __future__ import annotations

import typer

from catran_causalbench.command_line import benchmark, data

app = typer.Typer(
    help="CaTran for CausalBench: directed gene networks from Perturb-seq data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for group, commands in {
    "Data": (data.simulate, data.datadir),
    "Benchmark": (benchmark.plugin, benchmark.presets, benchmark.scores),
}.items():
    for function in commands:
        app.command(rich_help_panel=group)(function)
