"""Commands that make benchmark directories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from catran_causalbench.cli import console
from catran_causalbench.cli.screen_table import print_screen
from catran_causalbench.cli.stages import stages_shown

if TYPE_CHECKING:
    from rich.progress import ProgressColumn, TaskID


@console.command
def simulate(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The directory to make, or screen.h5ad.", show_default=False),
    ],
    size: Annotated[str, typer.Option(help="tiny, small, rpe1 or k562.")] = "small",
    genes: Annotated[int | None, typer.Option(help="Number of genes, instead of the size's.")] = None,
    cells: Annotated[int | None, typer.Option(help="Number of cells, instead of the size's.")] = None,
    difficulty: Annotated[str, typer.Option(help="easy, standard or hard.")] = "standard",
    graph: Annotated[
        Path | None, typer.Option(help="True edges: .csv or .tsv with columns source, target and perhaps sign or mode.")
    ] = None,
    seed: console.Seed = 0,
    overwrite: console.Overwrite = False,
) -> None:
    """Simulate a Perturb-seq experiment with known ground truth, as a directory that causalbench_run reads.

    If the output ends in .h5ad, it is a screen for fit and convert instead, with the targets in the column target_gene.

    Examples: catran-causalbench simulate --output simulated --genes 200 --cells 36000 --difficulty hard

    catran-causalbench simulate --output screen.h5ad --size tiny
    """
    from dataclasses import replace

    from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
    from catran_causalbench.simulation.graph import read_regulatory_graph
    from catran_causalbench.simulation.presets import size_preset, with_difficulty
    from catran_causalbench.simulation.to_anndata import write_simulated_screen

    changes = {name: value for name, value in (("genes", genes), ("cells", cells)) if value is not None}
    settings = with_difficulty(replace(size_preset(size), **changes), difficulty)
    regulatory_graph = None
    if graph:
        table = read_regulatory_graph(graph)
        left_out = f"{table.self_loops} edges from a gene to itself and {table.repeats} duplicates left out"
        typer.echo(f"{table.name}: {table.edges.sum()} edges among {len(table.gene_names)} genes; {left_out}", err=True)
        regulatory_graph = table.neighbourhood(settings.genes, seed)
    if output.suffix == ".h5ad":
        screen = write_simulated_screen(output, settings, seed, overwrite, regulatory_graph)
        typer.echo(f"Wrote {screen} (SIMULATED DATA); the true network is in varp['true_weights'].")
        return
    path = write_simulated_directory(output, settings, seed, overwrite, regulatory_graph)
    typer.echo(f"Wrote {path} (SIMULATED DATA); the true network is in {path / 'true_network.csv'}.")


@console.command
def convert(
    source: Annotated[Path, typer.Argument(help="Your screen: .h5ad, .zarr or .npz.", show_default=False)],
    output: console.Output,
    perturbation_key: console.PerturbationKey = "gene",
    control: console.Control = None,
    label_pattern: console.LabelPattern = None,
    combination_separator: console.CombinationSeparator = "+",
    gene_names: console.GeneNames = None,
    layer: console.Layer = None,
    genes: console.Genes = "perturbed",
    min_cells: console.MinCells = 100,
    counts: console.Counts = False,
    reference_network: Annotated[Path | None, typer.Option(help="CSV (source, target) to evaluate against.")] = None,
    overwrite: console.Overwrite = False,
    quiet: console.Quiet = False,
) -> None:
    """Convert your screen to a directory that causalbench_run reads.

    Example: catran-causalbench convert screen.h5ad --output mydata --perturbation-key target_gene --control NT --counts
    """
    from catran_causalbench.causalbench.build.from_screen import convert_screen

    with console.hushed(quiet), stages_shown(quiet):
        path = convert_screen(
            output,
            source,
            perturbation_key=perturbation_key,
            control=control or "non-targeting",
            label_pattern=label_pattern,
            combination_separator=combination_separator,
            gene_names=gene_names,
            layer=layer,
            genes=console.chosen_genes(genes),
            min_cells=min_cells,
            counts=counts,
            reference_network=reference_network,
            overwrite=overwrite,
            on_screen=print_screen,
        )
    typer.echo(f"Wrote {path}.")


@console.command
def download(
    output: Annotated[Path, typer.Option("--output", "-o", help="CausalBench's data directory.", show_default=False)],
    have: Annotated[Path | None, typer.Option(help="Directory of files to check and use, not download.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only check the files that are there.")] = False,
    quiet: console.Quiet = False,
) -> None:
    """Download the K562 and RPE1 data of CausalBench, 19 GB; an interrupted download continues where it stopped.

    Example: catran-causalbench download --output data --have ~/Downloads
    """
    from catran_causalbench.causalbench.download.download import check_files, download_files

    if check:
        faults = check_files(output)
        for name, fault in faults.items():
            typer.echo(f"{name:32}{fault or 'intact'}")
        raise typer.Exit(int(any(faults.values())))

    from rich.progress import DownloadColumn, TransferSpeedColumn

    with _progress(quiet, DownloadColumn(), TransferSpeedColumn()) as (say, progress):
        download_files(output, have=have, say=say, progress=progress)
    typer.echo(f"{output} holds all files; catran-causalbench prepare makes small ones of the same cells.")


@console.command
def prepare(
    data: Annotated[Path, typer.Argument(help="The directory that download filled.", show_default=False)],
    output: console.Output,
    overwrite: console.Overwrite = False,
    quiet: console.Quiet = False,
) -> None:
    """Prepare CausalBench's K562 and RPE1 data, so that causalbench_run starts in seconds and in little memory.

    Example: catran-causalbench prepare data --output prepared
    """
    from catran_causalbench.causalbench.prepare.directory import prepare_directory

    with _progress(quiet) as (say, progress):
        found = prepare_directory(data, output, overwrite, say=say, progress=progress)
    for sentence in found:
        typer.echo(sentence)
    typer.echo(f"{output} is ready for causalbench_run --data_directory.")


@contextmanager
def _progress(
    quiet: bool, *columns: ProgressColumn
) -> Iterator[tuple[Callable[[str], object], Callable[[str, int, int | None], object]]]:
    """Yield a function that prints a message, and one that draws how much of something is done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = Console(stderr=True, quiet=quiet, markup=False)  # names of directories may look like markup
    all_columns = (TextColumn("{task.description}"), BarColumn(), *columns, TimeRemainingColumn())
    with Progress(*all_columns, console=terminal, disable=not console.show_progress(quiet)) as bars:
        bar_of: dict[str, TaskID] = {}

        def progress(name: str, done: int, total: int | None) -> None:
            if name not in bar_of:
                bar_of[name] = bars.add_task(name)
            bars.update(bar_of[name], completed=done, total=total)

        yield terminal.print, progress
