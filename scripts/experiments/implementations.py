#!/usr/bin/env python
"""Do the literal and the factored network end with edges equally good? The preset paper on the demo's SIMULATED world.

Both forms start from the same parameters and see the same minibatches, for five seeds. Rounding differs, and Lion moves
by the sign of a gradient, so single edges may change; the question is whether quality changes by more than it does from
seed to seed.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
from rich.console import Console
from rich.table import Table

from catran_causalbench import infer_network, load_config, validate_dataset
from catran_causalbench.evaluation import effect_recovery, precision
from catran_causalbench.simulation.causal_model import SimulationConfig, sample_causal_model
from catran_causalbench.simulation.expression import simulate_cells, true_effects

NUM_EDGES = 1000


def main() -> None:
    """Train both forms and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=range(5))
    parser.add_argument("--genes", type=int, default=100)
    parser.add_argument("--cells", type=int, default=16_000)
    arguments = parser.parse_args()
    world = sample_causal_model(SimulationConfig(genes=arguments.genes, cells=arguments.cells), 0)
    cells, effects = simulate_cells(world), true_effects(world)
    dataset = validate_dataset(cells.expression, cells.labels.tolist(), world.gene_ids)
    paper = load_config("paper")
    column = {name: place for place, name in enumerate(world.gene_ids)}
    table, results = Table(title=f"{NUM_EDGES} edges, SIMULATED world"), []
    for name in ("seed", "captured: literal", "factored", "precision: literal", "factored", "edges in common"):
        table.add_column(name, justify="right")
    for seed in arguments.seeds:
        found = []
        for form in ("literal", "factored"):
            config = replace(paper, network=replace(paper.network, form=form))
            edges = infer_network(dataset, config, seed).edges(NUM_EDGES)
            found.append(tuple(edges[end].map(column).to_numpy() for end in ("source", "target")))
        common = len(set(zip(*found[0], strict=True)) & set(zip(*found[1], strict=True))) / NUM_EDGES
        captured = [effect_recovery(*edges, effects) for edges in found]
        precise = [precision(*edges, world.weights != 0) for edges in found]
        results.append([*captured, *precise, common])
        table.add_row(str(seed), *(f"{value:.3f}" for value in results[-1]))
    mean, spread = np.mean(results, axis=0), np.std(results, axis=0, ddof=1)
    table.add_row("mean ± sd", *(f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, spread, strict=True)))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
