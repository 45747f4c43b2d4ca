"""Commands that make benchmark directories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from catran_causalbench.command_line.console import Overwrite, Seed, command

Folder = Annotated[Path, typer.Argument(help="The benchmark directory to make.", show_default=False)]


@command
def simulate(
    folder: Folder,
    shape: Annotated[str, typer.Option(help="tiny, small, rpe1 or k562.")] = "small",
    genes: Annotated[int | None, typer.Option(help="Genes, instead of the shape's.")] = None,
    cells: Annotated[int | None, typer.Option(help="Cells, instead of the shape's.")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Simulate a Perturb-seq experiment whose true network is known, as a directory that causalbench_run reads.

    Example: catran-causalbench simulate world --genes 100 --cells 16000
    """
    from dataclasses import replace

    from catran_causalbench.harness.simulated_data import write_simulated_directory
    from catran_causalbench.simulation import shape as shape_settings

    settings = shape_settings(shape)
    changes = {name: value for name, value in (("genes", genes), ("cells", cells)) if value is not None}
    path = write_simulated_directory(folder, replace(settings, **changes), seed, overwrite)
    typer.echo(f"Wrote {path} (SIMULATED DATA); the true network is in {path / 'true_network.csv'}.")


@command
def datadir(
    folder: Folder,
    source: Annotated[Path, typer.Argument(help="Your data: .h5ad or .npz.", show_default=False)],
    target_column: Annotated[str, typer.Option(help="obs column of an .h5ad that names the perturbed gene.")] = "gene",
    control_label: Annotated[str, typer.Option(help="How your file labels control cells.")] = "non-targeting",
    min_cells: Annotated[int, typer.Option(help="Columns are measured genes with more perturbed cells.")] = 100,
    counts: Annotated[bool, typer.Option("--counts", help="The values are counts: log-normalise them.")] = False,
    known_interactions: Annotated[
        Path | None, typer.Option(help="CSV (source, target) of interactions to be scored against.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn your own data into a directory that causalbench_run reads.

    Example: catran-causalbench datadir mydata screen.h5ad --target-column target_gene --control-label NT --counts
    """
    from catran_causalbench.harness.own_data import write_own_data_directory

    path = write_own_data_directory(
        folder,
        source,
        target_column=target_column,
        control_label=control_label,
        min_cells=min_cells,
        counts=counts,
        known_interactions=known_interactions,
        overwrite=overwrite,
    )
    typer.echo(f"Wrote {path}.")
