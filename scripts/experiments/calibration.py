"""Whether weights are the effects that they claim to be, for perturbed sources and for those never perturbed.

Keeps the cells of a share of the perturbed genes, and 90 % of these, and writes a table to standard output. In it, mean
weight over mean true effect of the edges, which are as many as the network has direct ones, over all draws together and
from the lowest to the highest single draw; the edges of each kind per draw; and effect recovery. Data sets are all .npz
of a directory (with X, labels, names, direct and total: source × target), and worlds of this project's simulator with
factors of the usual strength, three and five times as strong, one for each seed. Run the same script with an earlier
version of the package in PYTHONPATH to compare.

The last column shows what the choice of sources alone does: take as many of the never perturbed sources as were
perturbed, and from their true effects, without noise, the scale that fits them best: by what factor (median) is it
wrong for the other never perturbed sources? No calibration on perturbed sources can be more exact.

Usage: python scripts/experiments/calibration.py DIRECTORY [SEEDS]      for example 10,11,12,13,14
"""

from __future__ import annotations

import logging
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from known_screens import Screen, draw, read_screen

from catran_causalbench import infer_network
from catran_causalbench.data.dataset import CONTROL_LABEL
from catran_causalbench.evaluation.ground_truth import effect_recovery
from catran_causalbench.grn.edges import rank_edges
from catran_causalbench.simulation.causal_model import sample_causal_model
from catran_causalbench.simulation.expression import simulate_cells, true_effects
from catran_causalbench.simulation.presets import size_preset

FRACTIONS = (0.25, 0.5, 1.0)
FACTOR_STRENGTHS = (1, 3, 5)
SPLITS = 20  # of the never perturbed sources
FEWEST_EDGES = 10  # of a kind, for the ratio of a single draw
NO_EFFECT = 1e-9  # a sum that is nothing but rounding


def simulated_world(strength: float, seed: int) -> Screen:
    """Simulate 60 genes, all perturbed, with three latent factors that are stronger than usual."""
    model = sample_causal_model(replace(size_preset("small"), genes=60, cells=8000), seed)
    model = replace(model, loadings=model.loadings * np.float32(strength))
    cells = simulate_cells(model)
    return {
        "X": cells.expression,
        "labels": cells.labels.astype(str),
        "names": np.array(model.gene_ids),
        "direct": model.weights,
        "total": true_effects(model),
    }


def effects_on_the_scale_of_the_data(data: Screen) -> np.ndarray:
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


def measure(data: Screen, fraction: float, seed: int) -> list[float]:
    """Return sum of weights, sum of true effects and number of edges, for either kind of sources, and two more.

    These are effect recovery and the factor of :func:`between_sources`.
    """
    effects = effects_on_the_scale_of_the_data(data)
    dataset, perturbed = draw(data, fraction, seed)
    weights = infer_network(dataset, "evidence", seed).weights
    edges = rank_edges(weights, int((data["direct"] != 0).sum()))
    column = np.array([data["names"].tolist().index(name) for name in dataset.gene_names])
    source, target = column[edges.source], column[edges.target]
    found = []
    for kind in (perturbed[source], ~perturbed[source]):
        found += [float(edges.weight[kind].sum()), float(effects[source, target][kind].sum()), float(kind.sum())]
    factor = between_sources(weights, effects[np.ix_(column, column)], perturbed[column], seed)
    return [*found, effect_recovery(source, target, effects), factor]


def between_sources(weights: np.ndarray, effects: np.ndarray, perturbed: np.ndarray, seed: int) -> float:
    """Return the median factor between the best scales of two samples of the never perturbed sources."""
    rng = np.random.default_rng(seed)
    product, square = (weights * effects).sum(axis=1, dtype=float), (weights**2).sum(axis=1, dtype=float)
    others = np.flatnonzero(~perturbed)
    size = min(int(perturbed.sum()), len(others) // 2)
    if not size or not square[others].all():
        return np.nan
    logs = []
    for _ in range(SPLITS):
        parts = np.split(rng.permutation(others), [size])
        one, other = (product[part].sum() / square[part].sum() for part in parts)
        logs.append(abs(np.log(one / other)))
    return float(np.exp(np.median(logs)))


def ratio(weight: np.ndarray, effect: np.ndarray, edges: np.ndarray) -> str:
    """Return the ratio over all draws, its range over draws with enough edges, and the number of edges per draw."""
    if edges.mean() < FEWEST_EDGES / 2:
        return "–"
    enough = edges >= FEWEST_EDGES
    single = np.divide(weight, effect, out=np.full_like(weight, np.inf), where=effect > NO_EFFECT)[enough]
    spread = f" ({single.min():.2f} to {single.max():.2f})".replace("inf", "∞") if enough.any() else ""
    return f"{weight.sum() / effect.sum():.2f}{spread}, {edges.mean():.0f} edges"


def row(values: np.ndarray) -> str:
    """Return the cells of a row from what was measured, draws × 8."""
    factor = "–" if np.isnan(values[:, 7]).all() else f"{np.nanmedian(values[:, 7]):.1f}"
    recovery = f"{values[:, 6].mean():.3f} ± {values[:, 6].std(ddof=1):.3f}"
    return f"{ratio(*values[:, :3].T)} | {ratio(*values[:, 3:6].T)} | {recovery} | {factor}"


def main() -> None:
    """Print a row per data set and share."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    seeds = [int(seed) for seed in (sys.argv[2] if len(sys.argv) > 2 else "10,11,12,13,14").split(",")]
    print("| SIMULATED data, share perturbed | perturbed | never perturbed | effect recovery | between sources |")
    print("|---|---|---|---|---|")
    for path in sorted(Path(sys.argv[1]).glob("*.npz")):
        data = read_screen(path)
        for fraction in FRACTIONS:
            values = np.array([measure(data, fraction, seed) for seed in seeds])
            print(f"| {path.stem}, {fraction:.0%} | {row(values)} |", flush=True)
    for strength in FACTOR_STRENGTHS:
        values = np.array([measure(simulated_world(strength, seed), 0.25, seed) for seed in seeds])
        print(f"| factors × {strength}, 25% | {row(values)} |", flush=True)


if __name__ == "__main__":
    main()
