"""How much precision is lost where perturbations and batches are confounded, and how much ``batch_key`` brings back.

SIMULATED data. Writes the table of docs/user_guide/data.md to standard output; each seed takes a minute of one core.

Usage: python scripts/experiments/batches.py [SEEDS]      for example 10,11,12,13,14
"""

from __future__ import annotations

import logging
import sys
import warnings

import anndata
import numpy as np
import pandas as pd

import catran_causalbench as catran
from catran_causalbench.data.dataset import CONTROL_LABEL
from catran_causalbench.simulation.batches import simulate_batches
from catran_causalbench.simulation.causal_model import CausalModel, SimulationConfig, sample_causal_model
from catran_causalbench.simulation.expression import Cells, simulate_cells

GENES, CELLS, EDGES = 60, 10_800, 100
SHIFT = 0.5  # standard deviation of a batch's shifts, natural log
DEPTHS = 0.5, 1.0  # of the first and the last batch
CONFOUNDED = 0.9  # share of a perturbation's cells in one batch
# Where each design puts the cells, by its name: number of batches, and whether controls are apart from perturbed cells.
DESIGNS = {
    "each perturbation 90 % in one of 2 batches, controls in both": (2, False),
    "each perturbation 90 % in one of 8 batches, controls in all": (8, False),
    "perturbed cells 90 % in one batch, controls 90 % in the other": (2, True),
}


def assign_batches(labels: np.ndarray, batches: int, controls_apart: bool, rng: np.random.Generator) -> np.ndarray:
    """Draw the batch of each cell; controls are divided evenly unless they are apart."""
    batch = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        home = rng.integers(batches) if not controls_apart else int(label != CONTROL_LABEL)
        share = np.full(batches, (1 - CONFOUNDED) / (batches - 1))
        share[home] = CONFOUNDED
        if label == CONTROL_LABEL and not controls_apart:
            share[:] = 1 / batches
        cells = np.flatnonzero(labels == label)
        batch[cells] = rng.choice(batches, len(cells), p=share)
    return batch


def precision(model: CausalModel, cells: Cells, batch: np.ndarray | None) -> float:
    """Return the share of direct edges among the first; without batches the method knows of none."""
    obs = pd.DataFrame({"target": cells.labels}, index=np.arange(len(cells.labels)).astype(str))
    if batch is not None:
        obs["batch"] = batch
    adata = anndata.AnnData(cells.expression, obs, pd.DataFrame(index=list(model.gene_ids)))
    network = catran.fit(adata, perturbation_key="target", batch_key=None if batch is None else "batch")
    edges = network.edges(EDGES)
    true = {(model.gene_ids[source], model.gene_ids[target]) for source, target in model.edges()}
    return float(np.mean([pair in true for pair in zip(edges["source"], edges["target"], strict=True)]))


def compare(seed: int) -> dict[str, list[float]]:
    """Return the precision by design: batches at random and known, confounded and not known, confounded and known."""
    model = sample_causal_model(SimulationConfig(genes=GENES, cells=CELLS), seed)
    plain, rng = simulate_cells(model), np.random.default_rng(seed)
    found = {"no batches": [precision(model, plain, None), np.nan, np.nan]}
    for name, (batches, controls_apart) in DESIGNS.items():
        shifts = rng.normal(0, SHIFT, (batches, GENES))
        depths = np.linspace(*DEPTHS, batches)
        batch = assign_batches(plain.labels, batches, controls_apart, rng)
        shuffled = rng.permutation(batch)
        confounded, independent = (simulate_batches(model, which, shifts, depths) for which in (batch, shuffled))
        found[name] = [
            precision(model, independent, shuffled),
            precision(model, confounded, None),
            precision(model, confounded, batch),
        ]
    return found


def main() -> None:
    """Print one row per design: mean ± standard deviation over the data sets."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    seeds = [int(seed) for seed in (sys.argv[1] if len(sys.argv) > 1 else "10,11,12,13,14").split(",")]
    results = []
    for seed in seeds:
        results.append(compare(seed))
        print(seed, results[-1], file=sys.stderr, flush=True)
    print("| | batches at random, with the key | confounded, without the key | confounded, with the key | ratio |")
    print("|---|---|---|---|---|")
    for name in results[0]:
        values = np.array([result[name] for result in results])
        mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1)
        cells = ["" if np.isnan(m) else f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, spread, strict=True)]
        ratio = "" if np.isnan(mean[2]) else f"{mean[2] / mean[0]:.2f}"
        print(f"| {name} | {' | '.join(cells)} | {ratio} |")


if __name__ == "__main__":
    main()
