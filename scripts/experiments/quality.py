#!/usr/bin/env python
"""CaTran against its rivals on simulated worlds whose truth is known, and on real data by held-out cells.

Every method sees the same training cells (80 % of each label; in partial regimes those of a share of the perturbed
genes, and all controls) and gives the same number of edges. Results are kept per world and method, so a run that was
stopped goes on where it was; without --worlds and --real the tables are printed from what is there. Results of other
code do not count: they are made anew.

Columns: captured true effect as a share of the oracle's; precision against direct edges; mean Wasserstein distance and
its excess over its null; false omission rate over all pairs left out; AUPRC of large effects among sources never
perturbed; overlap of the edges from two halves of the cells; seconds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table
from scipy import integrate
from sklearn.model_selection import train_test_split

from catran_causalbench import PerturbationDataset, infer_network, load_config, validate_dataset
from catran_causalbench.baselines import edges_of_scores, rival_scores
from catran_causalbench.causalbench.build.from_screen import read_own_data
from catran_causalbench.data.dataset import CONTROL_LABEL
from catran_causalbench.evaluation import (
    HeldOutEvaluator,
    average_precision,
    effect_recovery,
    excess_wasserstein,
    false_omission_rate,
    mean_wasserstein,
    precision,
)
from catran_causalbench.grn.edges import RankedEdges, rank_matrix
from catran_causalbench.models.evidence.module import PairEvidence
from catran_causalbench.simulation.causal_model import sample_causal_model
from catran_causalbench.simulation.expression import simulate_cells, true_effects
from catran_causalbench.simulation.presets import size_preset
from catran_causalbench.utils.atomic_io import write_json
from catran_causalbench.utils.fingerprint import code_version

FRACTIONS = (0.25, 0.5, 0.75, 1.0)
REAL_SETS = ("schraivogel2020_tapseq_k562_crispri", "sachs2005_all14", "dixit2016_bmdc_24tf")
REAL_SPLITS = 10
RIVALS = ("random", "correlation", "mean_difference", "effect_size", "guanlab")
METHODS = ("oracle", *RIVALS, "evidence", "paper")
# Columns of the gates' features and evidence that an ablation sets to zero.
ABLATIONS = {
    "no-covariation": ((11,), (2,)),
    "no-masked-prediction": ((4, 5, 8, 9), (1,)),
    "no-activities": ((6, 7, 8, 9), ()),
    "shift-only": ((4, 5, 6, 7, 8, 9, 10, 11), (1, 2)),
}

Split = tuple[PerturbationDataset, HeldOutEvaluator]


def main() -> None:
    """Run what was asked for, then print every table there are results for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("quality"), help="folder for the results")
    parser.add_argument("--shape", default="rpe1", help="shape of the simulated worlds")
    parser.add_argument("--worlds", type=int, nargs="*", default=[], help="seeds of the simulated worlds")
    parser.add_argument("--methods", nargs="*", default=METHODS, choices=[*METHODS, *ABLATIONS], metavar="METHOD")
    parser.add_argument("--real", type=Path, help="folder with the real data sets (.npz)")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for seed in arguments.worlds:
        start = arguments.output / f"world-{arguments.shape}-{seed}"
        for method, rows in world_rows(seed, arguments.shape, missing(start, arguments.methods)):
            keep(Path(f"{start}-{method}.json"), rows)
    for name in REAL_SETS if arguments.real else ():
        start = arguments.output / f"real-{name}"
        for method, rows in real_rows(arguments.real / f"{name}.npz", missing(start, arguments.methods)):
            keep(Path(f"{start}-{method}.json"), rows)
    report(arguments.output, arguments.shape)


def missing(start: Path, methods: list[str]) -> list[str]:
    """Name the methods whose rows this code has not made yet."""
    return [method for method in methods if not kept(Path(f"{start}-{method}.json"))]


def kept(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a file that this code made; none of another."""
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return [row for row in rows if row["code"] == code_version()]


def keep(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows whole or not at all, with the code that made them."""
    write_json(path, [{**row, "code": code_version()} for row in rows])
    print(f"Wrote {path}", flush=True)


def ranked(method: str, dataset: PerturbationDataset, num_edges: int) -> tuple[RankedEdges, np.ndarray]:
    """Edges of a method, and its scores for all pairs (source × target)."""
    if method in RIVALS:
        scores = rival_scores(method)(dataset, 0)
        return edges_of_scores(scores, num_edges, 0), scores
    if method in ABLATIONS:
        with mock.patch.object(PairEvidence, "look_up", ablated(*ABLATIONS[method])):
            return ranked("evidence", dataset, num_edges)
    network = infer_network(dataset, load_config(method), seed=0).network
    with torch.no_grad():
        scores = network.attention_rows(torch.arange(dataset.num_genes)).numpy().T
    return rank_matrix(scores, num_edges), scores


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


def world_rows(seed: int, shape_name: str, methods: list[str]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Score methods on one simulated world at every fraction; the oracle ranks all pairs by their true effect."""
    if not methods:
        return
    world = sample_causal_model(size_preset(shape_name), seed)
    cells, effects = simulate_cells(world), np.abs(true_effects(world))
    np.fill_diagonal(effects, 0)
    genes, network = list(world.gene_ids), world.weights != 0
    num_edges = 1000 if len(genes) > 300 else round(2.5 * len(genes))
    large = effects >= np.sort(effects, axis=None)[-num_edges]
    splits = [split(cells.expression, np.array(cells.labels), genes, fraction, seed) for fraction in FRACTIONS]
    for method in methods:
        rows = []
        for fraction, (dataset, held_out) in zip(FRACTIONS, splits, strict=True):
            assert dataset.gene_names == tuple(genes), "gene ids of simulated worlds are sorted"
            start = time.perf_counter()
            if method == "oracle":
                edges, scores = rank_matrix(effects, num_edges), effects
            else:
                edges, scores = ranked(method, dataset, num_edges)
            seconds = time.perf_counter() - start
            row = {"world": seed, "fraction": fraction, "method": method, "edges": num_edges, "seconds": seconds}
            row |= held_out_scores(held_out, edges, dataset.gene_names)
            row["precision"] = precision(edges.source, edges.target, network)
            row["captured"] = effect_recovery(edges.source, edges.target, effects)
            row["unperturbed"] = unperturbed_average_precision(scores, large, dataset)
            if fraction == 1 and method != "oracle":
                row["stability"] = stability(method, dataset, num_edges)
            rows.append(row)
        yield method, rows


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


def real_rows(path: Path, methods: list[str]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Score methods on real cells, over several splits; a third of all pairs are edges."""
    data = read_own_data(path, perturbation_key="gene", control=CONTROL_LABEL, min_cells=100, counts=False)
    genes = list(data.gene_ids)
    num_edges = len(genes) * (len(genes) - 1) // 3
    for method in [name for name in methods if name != "oracle"]:  # here nobody knows the truth
        rows = []
        for seed in range(REAL_SPLITS):
            dataset, held_out = split(data.expression, np.array(data.labels), genes, 1.0, seed)
            edges, _ = ranked(method, dataset, num_edges)
            excess = float(np.mean(excess_wasserstein(held_out, edges.source, edges.target)))
            rows.append({"data": path.stem, "split": seed, "method": method, "edges": num_edges, "excess": excess})
        yield method, rows


def report(folder: Path, shape_name: str) -> None:
    """Print a table for each kind of result, the worlds' of one shape."""
    console = Console(width=190)
    files = [sorted(folder.glob(f"{start}*.json")) for start in (f"world-{shape_name}-[0-9]", "real-")]
    worlds, rows = ([row for path in paths for row in kept(path)] for paths in files)
    if others := [path.name for paths in files for path in paths if not kept(path)]:
        console.print(f"Left out, as other code made them: {', '.join(others)}")
    if worlds:
        print_worlds(console, pd.DataFrame(worlds))
    if rows:
        table = pd.DataFrame(rows).groupby(["data", "method"], sort=False)["excess"]
        console.print("Real data, mean Wasserstein distance in excess of its null: mean ± deviation over splits")
        console.print(
            (table.mean().round(4).astype(str) + " ± " + table.std().round(4).astype(str)).unstack(0).to_string()
        )


def print_worlds(console: Console, rows: pd.DataFrame) -> None:
    """Print mean ± standard deviation over worlds for each fraction and method."""
    worlds = sorted(rows["world"].unique())
    title = f"SIMULATED worlds (seeds {worlds[0]} to {worlds[-1]}), {rows['edges'].iloc[0]} edges; mean ± deviation"
    figures = ("captured", "precision", "wasserstein", "excess", "omission", "unperturbed", "stability", "seconds")
    printed = Table(title=title)
    for column in ("fraction", "method", "worlds", *figures):
        printed.add_column(column, justify="right", no_wrap=True)
    rows = rows.assign(order=rows["method"].map({name: i for i, name in enumerate((*METHODS, *ABLATIONS))}))
    for (fraction, _, method), group in rows.groupby(["fraction", "order", "method"]):
        shown = [
            f"{group[name].mean():.3f} ± {group[name].std():.3f}" if group[name].notna().any() else ""
            for name in figures
        ]
        printed.add_row(f"{fraction:.2f}", method, str(len(group)), *shown)
    console.print(printed)
    scores = rows.groupby(["world", "method"]).apply(challenge_score, include_groups=False).groupby("method")
    table = pd.DataFrame({"mean": scores.mean(), "deviation": scores.std(), "worlds": scores.size()})
    console.print("Challenge score: area under mean Wasserstein over the fractions")
    console.print(table.sort_values("mean", ascending=False).round(4).to_string())


def challenge_score(group: pd.DataFrame) -> float:
    """Trapezoid area of mean Wasserstein over the fractions of perturbed genes, as the challenge plots it."""
    ordered = group.sort_values("fraction")
    return float(integrate.trapezoid(ordered["wasserstein"], ordered["fraction"]))


if __name__ == "__main__":
    main()
