"""Whether weights are the effects that they claim to be, for perturbed sources and for those never perturbed.

Reads data sets whose network is known (.npz with X, labels, names, direct and total: source × target), keeps the cells
of a share of the perturbed genes, and 90 % of these, and writes a table to standard output: mean weight over mean true
effect of the edges, which are as many as the network has direct ones; and effect recovery. Run the same script with an
earlier version of the package in PYTHONPATH to compare.

Usage: python scripts/experiments/calibration.py DIRECTORY [SEEDS]      for example 10,11,12,13,14
"""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

import numpy as np
from known_screens import draw, read_screen

from catran_causalbench import infer_network
from catran_causalbench.data.dataset import CONTROL_LABEL
from catran_causalbench.evaluation.ground_truth import effect_recovery
from catran_causalbench.grn.edges import rank_edges

FRACTIONS = (0.25, 0.5, 1.0)


def effects_on_the_scale_of_the_data(data: dict[str, np.ndarray]) -> np.ndarray:
    """Return absolute true effects, G × G, times the slope of the measured effects on them.

    Some simulators tell effects before measurement, which shrinks them; the slope is 1 for those that do not.
    """
    values, labels, names = data["X"].astype(float), data["labels"], data["names"]
    controls = values[labels == CONTROL_LABEL].mean(axis=0)
    measured = np.array([values[labels == name].mean(axis=0) - controls for name in names])
    true = data["total"].astype(float)
    np.fill_diagonal(true, 0)
    slope = (measured * true).sum() / (true**2).sum()
    return np.abs(true) * (slope if abs(slope - 1) > 0.1 else 1.0)


def measure(data: dict[str, np.ndarray], effects: np.ndarray, fraction: float, seed: int) -> tuple[float, float, float]:
    """Return weight over true effect of perturbed and of unperturbed sources, and effect recovery."""
    dataset, perturbed = draw(data, fraction, seed)
    edges = rank_edges(infer_network(dataset, "evidence", seed).weights, int((data["direct"] != 0).sum()))
    column = np.array([data["names"].tolist().index(name) for name in dataset.gene_names])
    source, target = column[edges.source], column[edges.target]
    ratios = []
    for kind in (perturbed[source], ~perturbed[source]):
        true = effects[source, target][kind].sum()
        ratios.append(float(edges.weight[kind].sum() / true) if kind.sum() >= 10 and true else np.nan)
    return ratios[0], ratios[1], effect_recovery(source, target, effects)


def main() -> None:
    """Print a row per data set and share: mean ± standard deviation, and the number of draws with ten such edges."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    seeds = [int(seed) for seed in (sys.argv[2] if len(sys.argv) > 2 else "10,11,12,13,14").split(",")]
    print("| data, share perturbed | ratio, perturbed | ratio, never perturbed | effect recovery |")
    print("|---|---|---|---|")
    for path in sorted(Path(sys.argv[1]).glob("*.npz")):
        data = read_screen(path)
        effects = effects_on_the_scale_of_the_data(data)
        for fraction in FRACTIONS:
            values = np.array([measure(data, effects, fraction, seed) for seed in seeds])
            cells = []
            for column in values.T:
                known = column[~np.isnan(column)]
                spread = known.std(ddof=1) if len(known) > 1 else np.nan
                cells.append(f"{known.mean():.2f} ± {spread:.2f} ({len(known)})" if len(known) else "–")
            print(f"| {path.stem}, {fraction:.0%} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
