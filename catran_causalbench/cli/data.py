"""Commands that make benchmark directories."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from catran_causalbench.cli.console import (
    Control,
    Counts,
    Genes,
    Layer,
    MinCells,
    Overwrite,
    PerturbationKey,
    Quiet,
    Seed,
    chosen_genes,
    command,
    show_progress,
)

if TYPE_CHECKING:
    from rich.progress import TaskID

Folder = Annotated[Path, typer.Argument(help="The benchmark directory to make.", show_default=False)]


@command
def simulate(
    folder: Folder,
    size: Annotated[str, typer.Option(help="tiny, small, rpe1 or k562.")] = "small",
    genes: Annotated[int | None, typer.Option(help="Genes, instead of the size's.")] = None,
    cells: Annotated[int | None, typer.Option(help="Cells, instead of the size's.")] = None,
    difficulty: Annotated[str, typer.Option(help="easy, standard or hard.")] = "standard",
    graph: Annotated[
        Path | None,
        typer.Option(
            help="Table of the true edges: .csv or .tsv with columns source, target and perhaps sign or mode."
        ),
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Simulate a Perturb-seq experiment whose true network is known, as a directory that causalbench_run reads.

    Examples: catran-causalbench simulate mydata --genes 100 --cells 16000

    catran-causalbench simulate mydata --genes 200 --cells 36000 --graph trrust.tsv --difficulty hard
    """
    from dataclasses import replace

    from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
    from catran_causalbench.simulation.graph import read_regulatory_graph
    from catran_causalbench.simulation.presets import size_preset, with_difficulty

    changes = {name: value for name, value in (("genes", genes), ("cells", cells)) if value is not None}
    settings = with_difficulty(replace(size_preset(size), **changes), difficulty)
    regulatory_graph = None
    if graph:
        table = read_regulatory_graph(graph)
        left_out = f"{table.self_loops} edges to the gene itself and {table.repeats} repeated ones left out"
        typer.echo(f"{table.name}: {table.edges.sum()} edges among {len(table.gene_names)} genes; {left_out}", err=True)
        regulatory_graph = table.neighbourhood(settings.genes, seed)
    path = write_simulated_directory(folder, settings, seed, overwrite, regulatory_graph)
    typer.echo(f"Wrote {path} (SIMULATED DATA); the true network is in {path / 'true_network.csv'}.")


@command
def convert(
    output: Folder,
    source: Annotated[Path, typer.Argument(help="Your screen: .h5ad or .npz.", show_default=False)],
    perturbation_key: PerturbationKey = "gene",
    control: Control = "non-targeting",
    layer: Layer = None,
    genes: Genes = "perturbed",
    min_cells: MinCells = 100,
    counts: Counts = False,
    reference_network: Annotated[
        Path | None, typer.Option(help="CSV (source, target) of known interactions to score against.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Convert your own screen to a directory that causalbench_run reads.

    Example: catran-causalbench convert mydata screen.h5ad --perturbation-key target_gene --control NT --counts
    """
    from catran_causalbench.causalbench.build.from_screen import convert_screen

    path = convert_screen(
        output,
        source,
        perturbation_key=perturbation_key,
        control=control,
        layer=layer,
        genes=chosen_genes(genes),
        min_cells=min_cells,
        counts=counts,
        reference_network=reference_network,
        overwrite=overwrite,
    )
    typer.echo(f"Wrote {path}.")


@command
def download(
    folder: Annotated[Path, typer.Argument(help="CausalBench's data directory.", show_default=False)],
    have: Annotated[
        Path | None, typer.Option(help="Folder with files that you have: they are checked, not downloaded.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only check what is in the folder.")] = False,
    quiet: Quiet = False,
) -> None:
    """Download the K562 and RPE1 data of CausalBench, 19 GB; an interrupted download continues where it stopped.

    Examples: catran-causalbench download data

    catran-causalbench download data --have ~/Downloads

    catran-causalbench download data --check
    """
    from catran_causalbench.causalbench.download.download import check_files, download_files

    if check:
        faults = check_files(folder)
        for name, fault in faults.items():
            typer.echo(f"{name:32}{fault or 'whole'}")
        raise typer.Exit(int(any(faults.values())))

    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True, quiet=quiet, markup=False)  # folders' names may look like markup
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not show_progress(quiet)) as bars:
        bar_of: dict[str, TaskID] = {}

        def progress(name: str, arrived: int, total: int | None) -> None:
            if name not in bar_of:
                bar_of[name] = bars.add_task(name)
            bars.update(bar_of[name], completed=arrived, total=total)

        download_files(folder, have=have, say=console.print, progress=progress)
    typer.echo(f"{folder} holds all files.")
