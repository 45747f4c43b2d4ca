"""Metrics for a fair comparison of methods: by number of edges, and over all omitted pairs instead of a sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from catran_causalbench.evaluation.edge_lists import check_ranking, edge_columns
from catran_causalbench.evaluation.held_out import HeldOutEvaluator
from catran_causalbench.evaluation.reachability import adjacency_matrix, reachable


def wasserstein_curve(evaluator: HeldOutEvaluator, edges: Sequence[tuple[str, str]]) -> np.ndarray:
    """Return the mean Wasserstein distance of the K best edges for K = 1, …, E, since it falls as edges are added.

    Edges are distinct and sorted, best first; the result is float64, length E, on the scale of the data. Raise
    InputError where an edge is repeated, a self-edge, unknown or without held-out cells.
    """
    source, target = edge_columns(edges, evaluator.gene_names)
    check_ranking(source, target, evaluator.gene_names)
    return np.cumsum(evaluator.compare(source, target).wasserstein) / np.arange(1, len(source) + 1)


def false_omission_rate(
    evaluator: HeldOutEvaluator,
    edges: Sequence[tuple[str, str]],
    max_path_length: int = -1,
    significant: np.ndarray | None = None,
) -> float:
    """Return the share of significant pairs among all that the network omits; NaN where it omits none.

    A pair is omitted where its genes differ, its source has held-out cells, and no path leads from source to target.
    CausalBench estimates the rate from a sample of these pairs. ``max_path_length`` is that of
    :mod:`~catran_causalbench.evaluation.reachability`; with 1, only the edges themselves count as paths.
    ``significant`` (bool, G × G, source × target) spares the tests where their outcome is known.
    """
    genes = len(evaluator.gene_names)
    joined = reachable(adjacency_matrix(*edge_columns(edges, evaluator.gene_names), genes), max_path_length)
    omitted = (evaluator.num_cells > 0)[:, None] & ~np.eye(genes, dtype=bool) & ~joined
    if not omitted.any():
        return float("nan")
    tested = evaluator.compare(*np.nonzero(omitted)).significant if significant is None else significant[omitted]
    return float(tested.mean())
