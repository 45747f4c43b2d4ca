"""The command that infers a network from a screen."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catran_causalbench.cli.console import (
    AsJson,
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
    print_json,
)
from catran_causalbench.errors import InputError
from catran_causalbench.utils.atomic_io import atomic_directory, check_replaceable, check_writable
from catran_causalbench.utils.distributed import is_main_process

if TYPE_CHECKING:
    import pandas as pd

    from catran_causalbench.grn.fitted_network import FittedNetwork

FILES = ("edges.csv", "network.graphml", "network.png", "attention.png", "training.png", "network.npz")
_EDGES_PRINTED = 5


@command
def fit(
    source: Annotated[Path, typer.Argument(help="Your screen: .h5ad or .npz.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to make.", show_default=False)],
    perturbation_key: PerturbationKey = "gene",
    control: Control = "non-targeting",
    layer: Layer = None,
    genes: Genes = "perturbed",
    min_cells: MinCells = 100,
    counts: Counts = False,
    method: Annotated[str, typer.Option(help="catran, catran-PRESET or a baseline.")] = "catran",
    config: Annotated[
        str | None, typer.Option("--config", "--preset", help="A preset or a YAML file.", show_default="evidence")
    ] = None,
    edges: Annotated[int | None, typer.Option(min=1, help="Number of edges, instead of the config's.")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Infer the network behind a screen and write it as a table, as a graph for Cytoscape and as figures.

    The folder gets edges.csv, network.graphml, network.png, attention.png, training.png (of methods that log a
    training), and network.npz, which catran_causalbench.load reads. With the preset paper, several GPUs or machines
    share the work under torchrun: torchrun --nproc-per-node 8 -m catran_causalbench fit …

    Example: catran-causalbench fit screen.h5ad --perturbation-key target_gene --control NT --output network
    """
    _check_output(output, overwrite)
    from dataclasses import replace

    from catran_causalbench import inference
    from catran_causalbench.config import load_config

    settings = load_config(config)
    if edges is not None:
        settings = replace(settings, output=replace(settings.output, edges=edges))
    with contextlib.redirect_stderr(io.StringIO()) if quiet else contextlib.nullcontext():
        network = inference.fit(
            source,
            perturbation_key=perturbation_key,
            control=control,
            layer=layer,
            genes=chosen_genes(genes),
            min_cells=min_cells,
            counts=counts,
            method=method,
            config=settings,
            seed=seed,
        )
    if not is_main_process():
        return
    with atomic_directory(output) as folder:
        _write(network, folder)
    if as_json:
        print_json(_summary(network, output))
    else:
        typer.echo(_best_edges(network).to_string(index=False, float_format="{:.3g}".format))
        if not quiet:
            typer.echo(f"{len(network.edges()):,} edges in {output}: {', '.join(_written(output))}", err=True)


def _check_output(output: Path, overwrite: bool) -> None:
    """Refuse a folder that cannot be written, or whose content would be lost."""
    check_replaceable(output, "output", FILES, overwrite)
    if not output.absolute().parent.is_dir():
        raise InputError.of("output", f"no folder {str(output.absolute().parent)!r}", "an existing one to write into")
    check_writable(output)


def _write(network: FittedNetwork, folder: Path) -> None:
    network.write_csv(folder / "edges.csv")
    network.write_graphml(folder / "network.graphml")
    network.save(folder / "network.npz")
    network.plot_network().savefig(folder / "network.png", dpi=200)
    network.plot_attention().savefig(folder / "attention.png", dpi=200)
    if not network.history.empty:
        network.plot_training().savefig(folder / "training.png", dpi=200)


def _best_edges(network: FittedNetwork) -> pd.DataFrame:
    return network.edges().head(_EDGES_PRINTED)


def _written(output: Path) -> list[str]:
    return [name for name in FILES if (output / name).exists()]


def _summary(network: FittedNetwork, output: Path) -> dict[str, Any]:
    return {
        "output": str(output),
        "files": _written(output),
        "method": network.method,
        "origin": network.origin,
        "genes": len(network.gene_names),
        "perturbed_genes": int(network.perturbed.sum()),
        "cells": network.cells,
        "edges": len(network.edges()),
        "best": _best_edges(network).to_dict("records"),
    }
