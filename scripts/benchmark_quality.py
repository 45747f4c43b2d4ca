#!/usr/bin/env python
"""CaTran against its rivals on simulated worlds whose truth is known, and on real data by held-out cells.

Every method sees the same training cells (80 % of each label; in partial regimes those of a share of the perturbed
genes, and all controls) and gives the same number of edges. Results are kept per world and split, so a run that was
stopped goes on where it was; without --worlds and --real the tables are printed from what is there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import train_test_split

from catran_causalbench import PerturbationDataset, infer_network, load_config, validate_dataset
from catran_causalbench.dataset import CONTROL_LABEL
from catran_causalbench.edges import RankedEdges, rank_edges
from catran_causalbench.evaluation import (
    HeldOutEvaluator,
    average_precision,
    captured_effect_share,
    excess_wasserstein,
    false_omission_rate,
    mean_wasserstein,
    precision,
)
from catran_causalbench.gated_attention import PairEvidence
from catran_causalbench.harness.own_data import read_own_data
from catran_causalbench.rivals import rival_edges, rival_scores
from catran_causalbench.simulation import make_world, shape, simulate_cells, true_effects

FRACTIONS = (0.25, 0.5, 0.75, 1.0)
REAL_SETS = ("schraivogel2020_tapseq_k562_crispri", "sachs2005_all14", "dixit2016_bmdc_24tf")
REAL_SPLITS = 10
# Columns of the gates' features and evidence that an ablation sets to zero.
ABLATIONS = {
    "evidence, no masked prediction": ((5, 6, 9, 10, 11), (1,)),
    "evidence, no activities": ((7, 8, 9, 10), ()),
    "evidence, shift only": ((5, 6, 7, 8, 9, 10, 11), (1,)),
}
SIMPLE = ("random", "correlation", "mean_difference", "effect_size", "guanlab")

Split = tuple[PerturbationDataset, HeldOutEvaluator]


def main() -> None:
    """Run what was asked for, then print every table there are results for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("quality"), help="folder for the results")
    parser.add_argument("--shape", default="rpe1", help="shape of the simulated worlds")
    parser.add_argument("--worlds", type=int, nargs="*", default=[], help="seeds of the simulated worlds")
    parser.add_argument("--paper-worlds", type=int, default=3, help="worlds on which the slow preset paper runs too")
    parser.add_argument("--ablate", action="store_true", help="run ablations instead of rivals")
    parser.add_argument("--real", type=Path, help="folder with the real data sets (.npz)")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1 if len(arguments.worlds) else torch.get_num_threads())
    for position, seed in enumerate(arguments.worlds):
        presets = ("evidence", "paper") if position < arguments.paper_worlds else ("evidence",)
        methods = ("evidence", *ABLATIONS) if arguments.ablate else (*SIMPLE, *presets)
        kind = "ablation" if arguments.ablate else "world"
        keep(
            arguments.output / f"{kind}-{arguments.shape}-{seed}.json",
            lambda s=seed, m=methods: world_rows(s, arguments.shape, m),
        )
    for name in REAL_SETS if arguments.real else ():
        keep(arguments.output / f"real-{name}.json", lambda n=name: real_rows(arguments.real / f"{n}.npz"))
    report(arguments.output)


def keep(path: Path, compute: Callable[[], list[dict[str, Any]]]) -> None:
    """Compute rows unless they are there, and write them whole or not at all."""
    if path.exists():
        return
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(compute(), indent=1))
    temporary.replace(path)
    print(f"Wrote {path}", flush=True)


def ranked(method: str, dataset: PerturbationDataset, num_edges: int) -> tuple[RankedEdges, np.ndarray]:
    """Edges of a method, and its scores for all pairs (source × target)."""
    if method in SIMPLE:
        return rival_edges(method, dataset, num_edges, 0), rival_scores(method)(dataset, 0)
    if method in ABLATIONS:
        with mock.patch.object(PairEvidence, "look_up", ablated(*ABLATIONS[method])):
            return ranked("evidence", dataset, num_edges)
    network = infer_network(dataset, load_config(method), seed=0).network
    with torch.no_grad():
        scores = network.attention_rows(torch.arange(dataset.num_genes)).numpy().T
    return rank_edges(lambda targets: scores.T[targets], dataset.num_genes, num_edges), scores


def ablated(features: tuple[int, ...], evidence: tuple[int, ...]) -> Callable[..., tuple[torch.Tensor, ...]]:
    """Make a look-up that shows the gates less."""
    whole = PairEvidence.look_up

    def look_up(self: PairEvidence, *pairs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        seen, sides, sign = whole(self, *pairs)
        seen[:, list(features)] = 0
        sides[:, list(evidence)] = 0
        return seen, sides, sign

    return look_up


def split(expression: np.ndarray, labels: np.ndarray, genes: list[str], fraction: float, seed: int) -> Split:
    """Hold out a fifth of each label, and keep a share of the perturbations for training."""
    train, test = train_test_split(np.arange(len(labels)), test_size=0.2, random_state=seed, stratify=labels)
    kinds = np.unique(labels)
    kept = np.random.default_rng(seed).permutation(kinds)[: int(fraction * len(kinds))]
    train = train[np.isin(labels[train], [*kept, CONTROL_LABEL])]
    dataset = validate_dataset(expression[train], labels[train].tolist(), genes)
    columns = [genes.index(name) for name in dataset.gene_names]  # edges are columns of the sorted dataset
    held_out = HeldOutEvaluator(expression[test][:, columns], labels[test].tolist(), list(dataset.gene_names))
    return dataset, held_out


def world_rows(seed: int, shape_name: str, methods: tuple[str, ...]) -> list[dict[str, Any]]:
    """Score methods on one simulated world at every fraction."""
    world = make_world(shape(shape_name), seed)
    cells, effects = simulate_cells(world), np.abs(true_effects(world))
    np.fill_diagonal(effects, 0)
    genes, network = list(world.gene_ids), world.weights != 0
    num_edges = 1000 if len(genes) > 300 else round(2.5 * len(genes))
    large = effects >= np.sort(effects, axis=None)[-num_edges]
    rows = []
    for fraction in FRACTIONS:
        dataset, held_out = split(cells.expression, np.array(cells.labels), genes, fraction, seed)
        assert dataset.gene_names == tuple(genes), "gene ids of simulated worlds are sorted"
        for method in methods:
            start = time.perf_counter()
            edges, scores = ranked(method, dataset, num_edges)
            seconds = time.perf_counter() - start
            row = {"world": seed, "fraction": fraction, "method": method, "edges": num_edges, "seconds": seconds}
            row |= held_out_scores(held_out, edges, dataset.gene_names)
            row["precision"] = precision(edges.source, edges.target, network)
            row["captured"] = captured_effect_share(edges.source, edges.target, effects)
            row["unperturbed"] = unperturbed_average_precision(scores, large, dataset)
            if fraction == 1:
                row["stability"] = stability(method, dataset, num_edges)
            rows.append(row)
    return rows


def held_out_scores(held_out: HeldOutEvaluator, edges: RankedEdges, genes: tuple[str, ...]) -> dict[str, float]:
    """Compute the harness's figures, the false omission rate over all pairs left out, and W1 beyond its null."""
    pairs = [(genes[source], genes[target]) for source, target in zip(edges.source, edges.target, strict=True)]
    omissions = false_omission_rate(held_out, pairs, max_path_length=1)
    return {
        "wasserstein": mean_wasserstein(held_out, pairs, len(pairs)),
        "excess": float(np.mean(excess_wasserstein(held_out, edges.source, edges.target))),
        "omission": omissions.rate,
    }


def unperturbed_average_precision(scores: np.ndarray, large: np.ndarray, dataset: PerturbationDataset) -> float | None:
    """AUPRC of the largest true effects among sources that were never perturbed in training."""
    unseen = np.setdiff1d(np.arange(dataset.num_genes), dataset.perturbed_genes)
    if not len(unseen):
        return None
    known = np.where(np.isfinite(scores), scores, np.finfo(np.float32).min)
    outside = np.ones(len(scores), dtype=bool)
    outside[unseen] = False
    known[outside] = np.finfo(np.float32).min  # ranked last, and none of their effects counts
    return average_precision(known, np.where(outside[:, None], False, large))


def stability(method: str, dataset: PerturbationDataset, num_edges: int) -> float:
    """Share of the edges that two halves of the cells have in common."""
    half = np.random.default_rng(0).permutation(dataset.num_cells) % 2 == 0
    found = []
    for chosen in (half, ~half):
        part = PerturbationDataset(dataset.expression[chosen], dataset.gene_names, dataset.intervention[chosen])
        edges, _ = ranked(method, part, num_edges)
        found.append(set(zip(edges.source.tolist(), edges.target.tolist(), strict=True)))
    return len(found[0] & found[1]) / num_edges


def real_rows(path: Path) -> list[dict[str, Any]]:
    """Score methods on real cells, over several splits; a third of all pairs are edges."""
    data = read_own_data(path, target_column="gene", control_label=CONTROL_LABEL, min_cells=100, counts=False)
    genes = list(data.gene_ids)
    num_edges = len(genes) * (len(genes) - 1) // 3
    rows = []
    for seed in range(REAL_SPLITS):
        dataset, held_out = split(data.expression, np.array(data.labels), genes, 1.0, seed)
        for method in (*SIMPLE, "evidence", "paper"):
            edges, _ = ranked(method, dataset, num_edges)
            pairs = np.mean(excess_wasserstein(held_out, edges.source, edges.target))
            rows.append(
                {"data": path.stem, "split": seed, "method": method, "edges": num_edges, "excess": float(pairs)}
            )
    return rows


def report(folder: Path) -> None:
    """Print a table for each kind of result."""
    console = Console(width=150)
    for kind, title in (("world", "SIMULATED worlds"), ("ablation", "SIMULATED worlds, ablation")):
        rows = [row for path in sorted(folder.glob(f"{kind}-*.json")) for row in json.loads(path.read_text())]
        if rows:
            print_worlds(console, title, pd.DataFrame(rows))
    rows = [row for path in sorted(folder.glob("real-*.json")) for row in json.loads(path.read_text())]
    if rows:
        table = pd.DataFrame(rows).groupby(["data", "method"], sort=False)["excess"]
        console.print("Real data, mean Wasserstein distance in excess of its null: mean ± deviation over splits")
        console.print(
            (table.mean().round(4).astype(str) + " ± " + table.std().round(4).astype(str)).unstack(0).to_string()
        )


def print_worlds(console: Console, title: str, rows: pd.DataFrame) -> None:
    """Print mean ± standard deviation over worlds for each fraction and method."""
    worlds = sorted(rows["world"].unique())
    printed = Table(title=f"{title}; mean ± standard deviation over worlds (seeds {worlds[0]} to {worlds[-1]})")
    figures = ("captured", "precision", "wasserstein", "excess", "omission", "unperturbed", "stability", "seconds")
    for column in ("fraction", "method", "worlds", *figures):
        printed.add_column(column, justify="right")
    for (fraction, method), group in rows.groupby(["fraction", "method"], sort=False):
        cells = [
            f"{group[name].mean():.3f} ± {group[name].std():.3f}" if group[name].notna().any() else ""
            for name in figures
        ]
        printed.add_row(f"{fraction:.2f}", method, str(len(group)), *cells)
    console.print(printed)
    score = rows.groupby(["world", "method"]).apply(challenge_score, include_groups=False)
    console.print("Challenge score (area under mean Wasserstein over the fractions), mean over worlds:")
    console.print(score.groupby("method").mean().sort_values(ascending=False).round(4).to_string())


def challenge_score(group: pd.DataFrame) -> float:
    """Trapezoid area of mean Wasserstein over the fractions of perturbed genes, as the challenge plots it."""
    ordered = group.sort_values("fraction")
    return float(np.trapezoid(ordered["wasserstein"], ordered["fraction"]))


if __name__ == "__main__":
    main()
