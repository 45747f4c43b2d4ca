"""The table of what a screen holds, which commands print before work starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catran_causalbench.utils.distributed import is_main_process

if TYPE_CHECKING:
    from catran_causalbench.data.anndata_reader import Screen

_CELLS = {
    "perturbed": "perturbed",
    "control": "control",
    "combined": "excluded: several perturbed genes",
    "other": "excluded: another gene than those considered",
    "unmeasured": "excluded: no measured gene in the label",
    "unlabelled": "excluded: no label",
    "uncontrolled": "excluded: no control in the batch",
}


def print_screen(screen: Screen) -> None:
    """Print the numbers of cells of each kind, and of genes that are sources and targets, to standard error."""
    from rich.console import Console
    from rich.table import Table

    if not is_main_process():
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column()
    table.add_column(justify="right")
    for row, (kind, number) in enumerate(screen.cells.items()):
        table.add_row("" if row else "cells", _CELLS.get(kind, f"excluded: {kind}"), f"{number:,}")
    table.add_row("genes", "sources (perturbed)", f"{screen.num_sources:,}")
    table.add_row("", "targets", f"{len(screen.gene_names):,}")
    Console(stderr=True, highlight=False).print(table)
