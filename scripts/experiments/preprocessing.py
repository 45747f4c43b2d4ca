#!/usr/bin/env python
"""What each preprocessing of the paper's §1.1 does to the scores, on simulated worlds whose truth is known.

All train on the same cells (80 % of each label), changed by one preprocessing, and are scored on the same held-out
cells, which nothing changes. Columns: captured true effect as a share of the oracle's, precision against direct edges,
mean Wasserstein distance beyond its null, seconds of training. The table is printed and written as JSON and Markdown.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import Progress
from sklearn.model_selection import train_test_split

from catran_causalbench import infer_network, load_config, validate_dataset
from catran_causalbench.config import DataSettings
from catran_causalbench.data.preprocessing import METHODS
from catran_causalbench.evaluation import HeldOutEvaluator, effect_recovery, excess_wasserstein, precision
from catran_causalbench.simulation.causal_model import CausalModel, sample_causal_model
from catran_causalbench.simulation.expression import simulate_cells, true_effects
from catran_causalbench.simulation.presets import size_preset
from catran_causalbench.utils.atomic_io import write_atomically, write_json

FIGURES = {"captured": "captured ↑", "precision": "precision ↑", "excess": "Wasserstein beyond its null ↑"}


def main() -> None:
    """Score every preprocessing on every world with every preset; write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)), help="seeds of the worlds")
    parser.add_argument("--shape", default="small", help="shape of the worlds")
    parser.add_argument("--presets", nargs="+", default=["evidence"], help="presets to train")
    parser.add_argument("--edges", type=int, help="number of edges; by default three for each gene")
    parser.add_argument("--output", type=Path, default=Path("preprocessing"), help="folder for the tables")
    arguments = parser.parse_args()
    methods = ["none", *(name for name in METHODS if name != "magic" or find_spec("magic"))]
    rows = []
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=len(arguments.seeds) * len(arguments.presets) * len(methods))
        for seed in arguments.seeds:
            world = sample_causal_model(size_preset(arguments.shape), seed)
            for row in world_rows(world, arguments.presets, methods, arguments.edges):
                bar.update(task, advance=1, description="{preset}, {preprocessing}, world {world}".format(**row))
                rows.append(row)
    arguments.output.mkdir(parents=True, exist_ok=True)
    table = markdown(pd.DataFrame(rows), arguments.shape)
    write_json(arguments.output / "preprocessing.json", rows)
    write_atomically(arguments.output / "preprocessing.md", lambda path: path.write_text(table, encoding="utf-8"))
    print(table)


def world_rows(
    world: CausalModel, presets: list[str], methods: list[str], num_edges: int | None
) -> list[dict[str, Any]]:
    """Train with every preset and preprocessing on one world, and score the edges against its truth."""
    cells, effects = simulate_cells(world), np.abs(true_effects(world))
    genes, labels = list(world.gene_ids), np.array(cells.labels)
    train, test = train_test_split(np.arange(len(labels)), test_size=0.2, random_state=0, stratify=labels)
    dataset = validate_dataset(cells.expression[train], labels[train].tolist(), genes)
    assert dataset.gene_names == tuple(genes), "gene ids of simulated worlds are sorted"
    held_out = HeldOutEvaluator(cells.expression[test], labels[test].tolist(), genes)
    column = {gene: index for index, gene in enumerate(genes)}
    rows = []
    for preset in presets:
        for method in methods:
            config = replace(load_config(preset), data=DataSettings(preprocessing=method))
            start = time.perf_counter()
            edges = infer_network(dataset, config, seed=0).edges(num_edges or 3 * len(genes))
            seconds = time.perf_counter() - start
            source, target = (edges[end].map(column).to_numpy() for end in ("source", "target"))
            rows.append(
                {
                    "preset": preset,
                    "preprocessing": method,
                    "world": world.seed,
                    "genes": len(genes),
                    "cells": len(labels),
                    "edges": len(edges),
                    "captured": effect_recovery(source, target, effects),
                    "precision": precision(source, target, world.weights != 0),
                    "excess": float(np.mean(excess_wasserstein(held_out, source, target))),
                    "seconds": seconds,
                }
            )
    return rows


def markdown(rows: pd.DataFrame, shape_name: str) -> str:
    """Give mean ± standard deviation over the worlds, one row for each preset and preprocessing."""
    worlds = ", ".join(map(str, sorted(rows["world"].unique())))
    first = rows.iloc[0]
    lines = [
        f"SIMULATED worlds of the shape `{shape_name}` ({first['genes']} genes, {first['cells']:,} cells; seeds "
        f"{worlds}), {first['edges']} edges; mean ± standard deviation over the worlds.",
        "",
        f"| preset | preprocessing | {' | '.join(FIGURES.values())} | seconds |",
        f"|---|---|{'---|' * (len(FIGURES) + 1)}",
    ]
    for (preset, method), group in rows.groupby(["preset", "preprocessing"], sort=False):
        shown = [f"{group[name].mean():.3f} ± {group[name].std():.3f}" for name in FIGURES]
        lines.append(f"| `{preset}` | `{method}` | {' | '.join(shown)} | {group['seconds'].mean():.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
