"""The command ``fit``, which infers a network from a screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from catran_causalbench.cli import console
from catran_causalbench.cli.console import AsJson, Overwrite, Quiet, command
from catran_causalbench.cli.screen_table import print_screen
from catran_causalbench.cli.stages import stages_shown
from catran_causalbench.errors import InputError
from catran_causalbench.utils.atomic_io import atomic_directory, check_replaceable, check_writable
from catran_causalbench.utils.distributed import is_main_process

if TYPE_CHECKING:
    from catran_causalbench.grn.fitted_network import FittedNetwork

FIGURES = ("network.png", "attention.png", "training.png")
FILES = ("edges.csv", "network.graphml", "network.npz", *FIGURES)
_EDGES_PRINTED = 5


@command
def fit(
    source: Annotated[Path, typer.Argument(help="Your screen: .h5ad, .zarr or .npz.", show_default=False)],
    output: console.Output,
    perturbation_key: console.PerturbationKey = "gene",
    control: console.Control = None,
    label_pattern: console.LabelPattern = None,
    combination_separator: console.CombinationSeparator = "+",
    gene_names: console.GeneNames = None,
    batch_key: Annotated[
        str | None, typer.Option(help="Column of obs with each cell's batch; effects are taken within batches.")
    ] = None,
    perturbation: Annotated[str, typer.Option(help="knockdown, knockout or activation (CRISPRa).")] = "knockdown",
    layer: console.Layer = None,
    genes: console.Genes = "perturbed",
    min_cells: console.MinCells = 100,
    counts: console.Counts = False,
    method: Annotated[str, typer.Option(help="catran, catran-PRESET or a baseline.")] = "catran",
    config: Annotated[
        str | None, typer.Option("--config", "--preset", help="A preset or a YAML file.", show_default="evidence")
    ] = None,
    edges: Annotated[
        int | None, typer.Option(min=1, help="Number of edges.", show_default="a tenth of all pairs, at most 1,000")
    ] = None,
    rank_by: Annotated[
        str | None, typer.Option(help="total effect, or direct: what other genes do not explain.", show_default="total")
    ] = None,
    seed: console.Seed = 0,
    figures: Annotated[bool, typer.Option("--figures", help=f"Draw {', '.join(FIGURES)}, too.")] = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Infer a gene network from a screen and write it as a table and as a graph for Cytoscape.

    The directory gets edges.csv, network.graphml and network.npz, which catran_causalbench.load reads. With --figures,
    it also gets pictures of the strongest edges, of all weights, and of the training if the method is trained. The
    preset paper can train on several GPUs or machines: torchrun --nproc-per-node 8 -m catran_causalbench fit …

    Example: catran-causalbench fit screen.h5ad --perturbation-key target_gene --control NT --output network
    """
    _check_output(output, overwrite)
    from dataclasses import replace

    from catran_causalbench import inference
    from catran_causalbench.config import load_config

    settings = load_config(config)
    if edges is not None:
        settings = replace(settings, output=replace(settings.output, edges=edges))
    if rank_by is not None:
        settings = replace(settings, output=replace(settings.output, rank_by=rank_by))
    with console.hushed(quiet), stages_shown(quiet):
        network = inference.fit(
            source,
            perturbation_key=perturbation_key,
            control=control or "non-targeting",
            label_pattern=label_pattern,
            combination_separator=combination_separator,
            gene_names=gene_names,
            batch_key=batch_key,
            perturbation=perturbation,
            layer=layer,
            genes=console.chosen_genes(genes),
            min_cells=min_cells,
            counts=counts,
            method=method,
            config=settings,
            seed=seed,
            on_screen=print_screen,
        )
    if not is_main_process():
        return
    with atomic_directory(output) as directory:
        _write(network, directory, figures)
    files = [name for name in FILES if (output / name).exists()]
    table = network.edges()
    best = table.head(_EDGES_PRINTED)
    if as_json:
        summary = {
            "output": str(output),
            "files": files,
            "method": network.method,
            "perturbation": network.perturbation,
            "origin": network.origin,
            "genes": len(network.gene_names),
            "perturbed_genes": int(network.perturbed.sum()),
            "cells": network.cells,
            "edges": len(table),
            "pairs": network.num_pairs,
            "significant_pairs": network.num_significant,
            "best": best.to_dict("records"),
        }
        console.print_json(summary)
        return
    typer.echo(best.to_string(index=False, float_format="{:.3g}".format))
    if not quiet:
        typer.echo(f"{len(table):,} edges in {output}: {', '.join(files)}", err=True)
        typer.echo(_advice(network, len(table)), err=True)


def _advice(network: FittedNetwork, edges: int) -> str:
    """Say how many edges the data support, and how to get more or fewer."""
    from catran_causalbench.grn.fitted_network import SIGNIFICANT

    share = f"These are {100 * edges / network.num_pairs:.3g}% of all {network.num_pairs:,} pairs"
    supported = f"{network.num_significant:,} pairs have a significant effect (q_value ≤ {SIGNIFICANT})"
    return f"{share}; {supported}. --edges sets another number."


def _check_output(output: Path, overwrite: bool) -> None:
    """Refuse a directory that cannot be written, or whose content would be lost."""
    check_replaceable(output, "output", FILES, overwrite)
    parent = output.absolute().parent
    if not parent.is_dir():
        raise InputError.of("output", f"no directory {str(parent)!r}", "an existing one to write into")
    check_writable(output)


def _write(network: FittedNetwork, directory: Path, figures: bool) -> None:
    network.write_csv(directory / "edges.csv")
    network.write_graphml(directory / "network.graphml")
    network.save(directory / "network.npz")
    if figures:
        network.plot_network(save=directory / "network.png")
        network.plot_attention(save=directory / "attention.png")
        if not network.history.empty:
            network.plot_training(save=directory / "training.png")
