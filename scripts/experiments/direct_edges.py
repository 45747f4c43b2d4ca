"""How well both rankings find direct edges: AUPRC, and how often the direction is right. SIMULATED data.

Four screens by other people's simulators (SDCD, SERGIO, Harissa and a network model with technical noise; 60 to 120
genes, 60 cells each), read from ../shared/data/independent, which is no part of the repository; the same with factors
added that shift all measurements of a cell; and screens by this project's simulator, also with stronger factors and
with little noise that passes through the network. Prints the table of docs/experiments/evidence.md. Each
row is the mean and standard deviation over draws: 90 % of the cells and, where not all genes are perturbed, other
perturbed genes; or other networks of this project's simulator. A draw takes five seconds of one core.

Usage: python scripts/experiments/direct_edges.py [SEEDS]      for example 0,1,2
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

from catran_causalbench import infer_network, validate_dataset
from catran_causalbench.data.dataset import CONTROL_LABEL, PerturbationDataset
from catran_causalbench.simulation.causal_model import SimulationConfig, sample_causal_model
from catran_causalbench.simulation.expression import simulate_cells

SCREENS = Path(__file__).parents[2].parent / "shared" / "data" / "independent"
SHARES = 1.0, 0.25, 0.0  # of the genes that are perturbed
KEPT_CELLS = 0.9
FACTORS, FACTOR_SIZE = 3, 0.5  # of what is added to the measurements, in a gene's standard deviations
SIMULATED = SimulationConfig(genes=60, cells=10_800)
# What is changed of this project's simulator: how strong the factors are, and the noise that the network passes on.
VARIANTS = {"": (1, 1), ", factors 3 × as strong": (3, 1), ", no factors, little noise passed on": (0, 0.05)}

World = tuple[str, PerturbationDataset, np.ndarray]


def worlds(seed: int) -> Iterator[World]:
    """Yield every data set of a draw: a name, its cells and the true direct edges (G × G, source × target)."""
    for path in sorted(SCREENS.glob("*.npz")):
        with np.load(path) as file:
            matrix, labels, names, edges = (file[key] for key in ("X", "labels", "names", "direct"))
        rng = np.random.default_rng(seed)
        kept = rng.random(len(labels)) < KEPT_CELLS
        order = rng.permutation(names)
        for share in SHARES:
            chosen = kept & np.isin(labels, [*order[: round(share * len(names))], CONTROL_LABEL])
            dataset = validate_dataset(matrix[chosen], labels[chosen].tolist(), names.tolist())
            yield f"{path.stem}, {share:.0%} perturbed", dataset, edges != 0
            if share == 1:
                yield f"{path.stem}, factors added", with_factors(dataset, rng), edges != 0
    model = sample_causal_model(SIMULATED, seed)
    for name, (factors, noise) in VARIANTS.items():
        scales = {"loadings": factors * model.loadings, "noise_scales": np.float32(noise * model.noise_scales)}
        cells = simulate_cells(replace(model, **scales))
        dataset = validate_dataset(cells.expression, cells.labels.tolist(), list(model.gene_ids))
        yield f"this project's simulator{name}", dataset, model.weights != 0


def with_factors(dataset: PerturbationDataset, rng: np.random.Generator) -> PerturbationDataset:
    """Add random factors to the measurements, which do not act through the network."""
    factors = rng.normal(size=(dataset.num_cells, FACTORS)) @ rng.normal(size=(FACTORS, dataset.num_genes))
    added = dataset.expression + FACTOR_SIZE * dataset.expression.std(axis=0) * factors
    return replace(dataset, expression=added.astype(np.float32))


def measure(dataset: PerturbationDataset, edges: np.ndarray, seed: int) -> list[float]:
    """Return AUPRC by total and by direct effect, and two shares in the right direction.

    One is that of all true pairs that are found first, as many pairs as there are edges; the other is that of those
    among them of which a gene was perturbed, NaN if there are none.
    """
    network = infer_network(dataset, {"output": {"rank_by": "direct"}}, seed)
    pairs = ~np.eye(len(edges), dtype=bool)
    values = []
    for rank_by in ("total", "direct"):
        values.append(average_precision_score(edges[pairs], network.adjacency(rank_by=rank_by).to_numpy()[pairs]))
    weights = np.where(pairs, network.direct_weights, -1)
    found = np.unravel_index(np.argsort(-weights, axis=None)[: edges.sum()], edges.shape)
    source, target = (genes[(edges | edges.T)[found]] for genes in found)
    right, tested = edges[source, target], np.isin([source, target], dataset.perturbed_genes).any(axis=0)
    return [*values, right.mean(), right[tested].mean() if tested.any() else np.nan]


def main() -> None:
    """Print one row per world: mean ± standard deviation over the draws."""
    if not SCREENS.is_dir():
        sys.exit(f"skipped: {SCREENS} is absent; the screens are no part of the repository")
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    seeds = [int(seed) for seed in (sys.argv[1] if len(sys.argv) > 1 else "0,1,2").split(",")]
    results: dict[str, list[list[float]]] = {}
    for seed in seeds:
        for name, dataset, edges in worlds(seed):
            results.setdefault(name, []).append(measure(dataset, edges, seed))
            print(seed, name, results[name][-1], file=sys.stderr, flush=True)
    print_table(results)


def print_table(results: dict[str, list[list[float]]]) -> None:
    """Print the draws of every world, as :func:`measure` returns them, as one row."""
    columns = "AUPRC by total effect", "by direct effect", "direction right", "… where a gene was perturbed"
    print("|", " | ".join(("SIMULATED screen", *columns)), "|")
    print("|---|---|---|---|---|")
    for name, draws in sorted(results.items()):
        mean, spread = np.mean(draws, axis=0), np.std(draws, axis=0, ddof=min(1, len(draws) - 1))
        cells = " | ".join(f"{m:.3f} ± {s:.3f}" for m, s in zip(mean[:2], spread[:2], strict=True))
        shares = " | ".join("" if np.isnan(share) else f"{share:.2f}" for share in mean[2:])
        print(f"| {name} | {cells} | {shares} |")


if __name__ == "__main__":
    main()
