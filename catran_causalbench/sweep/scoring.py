"""All that is said of a network: the harness's metrics, what they leave open, and the truth where it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from catran_causalbench.causalbench.benchmark_dataset import BenchmarkDataset
from catran_causalbench.causalbench.ground_truth import GroundTruth
from catran_causalbench.causalbench.reference_networks import DIRECTED, NAMES
from catran_causalbench.errors import InputError
from catran_causalbench.evaluation import (
    HeldOutEvaluator,
    adjacency_matrix,
    average_precision,
    edge_columns,
    effect_recovery,
    evaluate_network,
    excess_wasserstein,
    orientation_accuracy,
    precision,
    rank_scores,
    reachable,
    reference_metrics,
    wasserstein_curve,
)
from catran_causalbench.sweep.records import Curve, GroundTruthScores

CURVE_POINTS = 40

Edges = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Scores:
    """How good a network is.

    Attributes
    ----------
    metrics
        What the harness writes into metrics.json, but for ``run_time``.
    num_edges, mean_wasserstein, false_omission_rate, excess_wasserstein, wasserstein, references, truth
        As in :class:`~catran_causalbench.sweep.records.RunResult`, without references that have no pair of the genes.
    omissions
        Pairs that were drawn for the false omission rate: fewer than asked for where fewer are without a path.
    """

    metrics: dict[str, Any]
    num_edges: int
    mean_wasserstein: float
    false_omission_rate: float
    excess_wasserstein: float
    wasserstein: Curve
    references: dict[str, dict[str, float]]
    truth: GroundTruthScores | None
    omissions: int


def score_edges(data: BenchmarkDataset, edges: Edges, max_path_length: int, omission_estimation_size: int) -> Scores:
    """Score a network.

    Parameters
    ----------
    data
        What to score against.
    edges
        Distinct edges (source, target), best first.
    max_path_length, omission_estimation_size
        As the harness knows them.

    Raises
    ------
    InputError
        There is no edge, or one is repeated, a self-edge, unknown, or without held-out cells.
    """
    if not edges:
        raise InputError.of("edges", "none", "at least one")
    held_out = data.held_out
    curve = wasserstein_curve(held_out, edges)
    source, target = edge_columns(edges, held_out.gene_names)
    omissions = min(omission_estimation_size, _omitted_pairs(held_out, source, target, max_path_length))
    statistics = evaluate_network(held_out, edges, max_path_length, omissions)
    true_positives = data.known.true_positives(edges)
    head = ("corum_evaluation", "ligand_receptor_evaluation")
    metrics = {name: true_positives.pop(name) for name in head}  # in the harness's order
    metrics |= {"quantitative_test_evaluation": statistics, **true_positives}
    return Scores(
        metrics=metrics,
        num_edges=len(edges),
        mean_wasserstein=statistics["output_graph"]["wasserstein_distance"]["mean"],
        false_omission_rate=statistics["false_omission_rate"] if omissions else float("nan"),
        excess_wasserstein=float(np.mean(excess_wasserstein(held_out, source, target))),
        wasserstein=_curve(curve),
        references=_references(data, edges),
        truth=_truth_scores(data.truth, source, target) if data.truth else None,
        omissions=omissions,
    )


def _omitted_pairs(held_out: HeldOutEvaluator, source: np.ndarray, target: np.ndarray, max_path_length: int) -> int:
    """Count the pairs from which the harness would draw; it never ends where it is to draw more."""
    genes = len(held_out.gene_names)
    joined = reachable(adjacency_matrix(source, target, genes), max_path_length)
    return int(genes * (genes - 1) - np.count_nonzero(joined))


def _curve(values: np.ndarray) -> Curve:
    """Keep a figure at numbers of edges that grow evenly on a logarithmic scale."""
    edges = np.unique(np.geomspace(1, len(values), CURVE_POINTS).round().astype(int))
    return Curve(edges.tolist(), values[edges - 1].tolist())


def _references(data: BenchmarkDataset, edges: Edges) -> dict[str, dict[str, float]]:
    found = {}
    for name in NAMES:
        agreement = reference_metrics(edges, data.known.pairs[name], data.held_out.gene_names, name in DIRECTED)
        if agreement.num_reference:
            found[name] = {"precision": agreement.precision, "recall": agreement.recall, "f1": agreement.f1}
    return found


def _truth_scores(truth: GroundTruth, source: np.ndarray, target: np.ndarray) -> GroundTruthScores:
    ancestors = reachable(truth.network)
    ranks = rank_scores(source, target, len(truth.network))
    found = np.cumsum(truth.network[source, target])
    return GroundTruthScores(
        effect_recovery=effect_recovery(source, target, truth.effects),
        average_precision=average_precision(ranks, truth.network),
        ancestor_average_precision=average_precision(ranks, ancestors),
        orientation=orientation_accuracy(source, target, truth.network),
        precision=_curve(found / np.arange(1, len(found) + 1)),
        recall=_curve(found / truth.network.sum()),
        ancestor_precision=precision(source, target, ancestors),
    )
