"""All metrics of a network: CausalBench's own, fairer variants, and agreement with the ground truth if it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from catran_causalbench.causalbench.benchmark_dataset import BenchmarkDataset
from catran_causalbench.causalbench.ground_truth import GroundTruth
from catran_causalbench.causalbench.reference_networks import DIRECTED
from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.causalbench_metrics import evaluate_network
from catran_causalbench.evaluation.edge_lists import edge_columns
from catran_causalbench.evaluation.ground_truth import (
    average_precision,
    effect_recovery,
    orientation_accuracy,
    precision,
    rank_scores,
)
from catran_causalbench.evaluation.permutation_null import excess_wasserstein
from catran_causalbench.evaluation.ranked_metrics import false_omission_rate, wasserstein_curve
from catran_causalbench.evaluation.reachability import adjacency_matrix, reachable
from catran_causalbench.evaluation.reference_network import ReferenceMetrics
from catran_causalbench.grn.edges import rank_edges
from catran_causalbench.sweep.records import Calibration, Curve, GroundTruthScores, NetworkScores

CURVE_POINTS = 40
_CALIBRATION_GROUPS = 8

Edges = Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Scores(NetworkScores):
    """All scores of a network.

    Attributes
    ----------
    metrics
        What CausalBench writes into metrics.json, without ``run_time``.
    omissions
        Number of omitted pairs that were drawn: fewer than asked for if fewer pairs are without a path.
    """

    metrics: dict[str, Any]
    omissions: int


def score_edges(
    data: BenchmarkDataset,
    edges: Edges,
    max_path_length: int,
    omission_estimation_size: int,
    exact_omission_rate: bool = False,
) -> Scores:
    """Score the distinct edges (source, target) of a network, best first.

    Parameters
    ----------
    max_path_length, omission_estimation_size
        As in CausalBench.
    exact_omission_rate
        Whether to compute ``exact_false_omission_rate``: once for each data set, it tests all pairs of genes.

    Raises
    ------
    InputError
        There is no edge, or one is repeated, a self-edge, unknown, or without held-out cells.
    """
    if not edges:
        raise InputError.of("edges", "none", "at least one")
    held_out, genes = data.held_out, len(data.held_out.gene_names)
    curve = wasserstein_curve(held_out, edges)
    source, target = edge_columns(edges, held_out.gene_names)
    joined = reachable(adjacency_matrix(source, target, genes), max_path_length)
    # CausalBench never ends if it is to draw more pairs than there are.
    omissions = min(omission_estimation_size, genes * (genes - 1) - int(np.count_nonzero(joined)))
    statistics = evaluate_network(held_out, edges, max_path_length, omissions)
    agreement = data.known.agreement(source, target)
    exact = float("nan")
    if exact_omission_rate:
        exact = false_omission_rate(held_out, edges, max_path_length, data.significant)
    return Scores(
        metrics=_causalbench_metrics(statistics, agreement),
        omissions=omissions,
        num_edges=len(edges),
        mean_wasserstein=statistics["output_graph"]["wasserstein_distance"]["mean"],
        false_omission_rate=statistics["false_omission_rate"] if omissions else float("nan"),
        exact_false_omission_rate=exact,
        excess_wasserstein=float(np.mean(excess_wasserstein(held_out, source, target))),
        wasserstein=_curve(curve),
        references=_references(agreement),
        truth=_truth_scores(data.truth, source, target) if data.truth else None,
    )


def unperturbed_average_precision(
    data: BenchmarkDataset, dataset: PerturbationDataset, weights: np.ndarray, num_edges: int
) -> float:
    """Return the average precision of all pairs whose source was never perturbed in training.

    The ``num_edges`` pairs of genes with the largest true effects count as true. NaN if all sources were perturbed, or
    if none of the others has such an effect.

    Parameters
    ----------
    data, dataset
        Simulated data, and what was trained on.
    weights
        G × G, source × target, in the order of the dataset's genes; -inf where a method knows no edge.
    num_edges
        How many edges were asked for.
    """
    assert data.truth is not None
    order = [data.held_out.gene_names.index(gene) for gene in dataset.gene_names]
    effects = np.abs(data.truth.effects[np.ix_(order, order)])
    np.fill_diagonal(effects, 0)
    large = effects >= np.sort(effects, axis=None)[-num_edges]
    lowest = np.finfo(np.float32).min
    scores = np.where(np.isfinite(weights), weights, lowest)
    scores[dataset.perturbed_genes], large[dataset.perturbed_genes] = lowest, False  # ranked last, none counts as true
    return average_precision(scores, large)


def calibration(
    data: BenchmarkDataset, dataset: PerturbationDataset, weights: np.ndarray, num_edges: int, perturbed: bool
) -> Calibration:
    """Compare the weights of the best ``num_edges`` edges with their true effects.

    Only edges whose source was perturbed in training, or only the others. See :func:`unperturbed_average_precision`
    for data, dataset and weights.
    """
    assert data.truth is not None
    order = [data.held_out.gene_names.index(gene) for gene in dataset.gene_names]
    effects = np.abs(data.truth.effects[np.ix_(order, order)])
    edges = rank_edges(weights, num_edges)
    chosen = np.isin(edges.source, dataset.perturbed_genes) == perturbed
    source, target = edges.source[chosen], edges.target[chosen]
    groups = np.array_split(np.arange(len(source)), min(_CALIBRATION_GROUPS, len(source)) or 1)
    return Calibration(
        *(
            [float(matrix[source[group], target[group]].mean()) for group in groups if len(group)]
            for matrix in (weights, effects)
        )
    )


def direct_average_precision(data: BenchmarkDataset, dataset: PerturbationDataset, weights: np.ndarray) -> float:
    """Return the average precision of all pairs, ranked by weight, against the direct edges.

    The arguments are those of :func:`unperturbed_average_precision`.
    """
    assert data.truth is not None
    order = [data.held_out.gene_names.index(gene) for gene in dataset.gene_names]
    return average_precision(weights, data.truth.network[np.ix_(order, order)])


def _curve(values: np.ndarray) -> Curve:
    """Keep a metric at numbers of edges that are evenly spaced on a logarithmic scale."""
    edges = np.unique(np.geomspace(1, len(values), CURVE_POINTS).round().astype(int))
    return Curve(edges.tolist(), values[edges - 1].tolist())


def _causalbench_metrics(statistics: dict[str, Any], agreement: dict[str, ReferenceMetrics]) -> dict[str, Any]:
    """Return the content of metrics.json, in CausalBench's order."""
    metrics: dict[str, Any] = {}
    for name, found in agreement.items():
        if name == "string_network":
            metrics["quantitative_test_evaluation"] = statistics
        # CausalBench halves the number of unordered pairs that it finds in both directions: a fraction in JSON.
        count = found.true_positives if name in DIRECTED else float(found.true_positives)
        metrics[f"{name}_evaluation"] = {"true_positives": count}
    return metrics


def _references(agreement: dict[str, ReferenceMetrics]) -> dict[str, dict[str, float]]:
    names = ("true_positives", "precision", "recall", "f1")
    return {
        reference: {name: getattr(found, name) for name in names}
        for reference, found in agreement.items()
        if found.num_reference
    }


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
