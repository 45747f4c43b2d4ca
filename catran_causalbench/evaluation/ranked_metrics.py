"""Measures that compare methods fairly: mean Wasserstein distance at equal numbers of edges, omissions by choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.edge_lists import check_ranking, edge_columns
from catran_causalbench.evaluation.held_out import HeldOutEvaluator
from catran_causalbench.evaluation.reachability import adjacency_matrix, reachable


def wasserstein_curve(evaluator: HeldOutEvaluator, edges: Sequence[tuple[str, str]]) -> np.ndarray:
    """Give the mean Wasserstein distance of the K best edges, for every K.

    Parameters
    ----------
    evaluator
        The held-out cells.
    edges
        Distinct edges (source, target), best first.

    Returns
    -------
    np.ndarray
        float64, length E: element K − 1 is the mean over the first K edges.

    Raises
    ------
    InputError
        An edge is repeated, a self-edge, unknown or without held-out cells.
    """
    source, target = edge_columns(edges, evaluator.gene_names)
    check_ranking(source, target, evaluator.gene_names)
    return np.cumsum(evaluator.compare(source, target).wasserstein) / np.arange(1, len(source) + 1)


def mean_wasserstein(evaluator: HeldOutEvaluator, edges: Sequence[tuple[str, str]], num_edges: int) -> float:
    """Give the mean Wasserstein distance of exactly the `num_edges` best edges.

    The mean falls as edges are added, so only equal numbers compare.

    Parameters
    ----------
    evaluator
        The held-out cells.
    edges
        Distinct edges (source, target), best first.
    num_edges
        K, at least 1 and at most the number of edges.

    Raises
    ------
    InputError
        There are fewer edges, or one is invalid as for `wasserstein_curve`.
    """
    if not 1 <= num_edges <= len(edges):
        raise InputError.of("num_edges", f"{num_edges}", f"1 to {len(edges)}, the edges there are")
    return float(wasserstein_curve(evaluator, edges[:num_edges])[-1])


@dataclass(frozen=True)
class Omissions:
    """Pairs that a network leaves without a path.

    Attributes
    ----------
    rate
        False omission rate: share of the tested pairs that are significant.
    mean_wasserstein
        Mean Wasserstein distance of the tested pairs.
    num_tested, num_negatives
        How many pairs were tested, and how many there are.
    """

    rate: float
    mean_wasserstein: float
    num_tested: int
    num_negatives: int


def false_omission_rate(
    evaluator: HeldOutEvaluator,
    edges: Sequence[tuple[str, str]],
    num_pairs: int | None = None,
    max_path_length: int = -1,
    seed: int = 0,
) -> Omissions:
    """Estimate the false omission rate, or compute it from all negatives.

    A negative is an ordered pair of different genes, the source with held-out cells, that no path of the network joins.

    Parameters
    ----------
    evaluator
        The held-out cells.
    edges
        Edges (source, target).
    num_pairs
        Negatives drawn at random without replacement; None tests all, which leaves no sampling error.
    max_path_length
        As CausalBench's (see `path_closures`); 1 counts all but the edges themselves as negatives.
    seed
        Of the draw.

    Raises
    ------
    InputError
        There are no negatives, or fewer than asked for.
    """
    genes = len(evaluator.gene_names)
    joined = reachable(adjacency_matrix(*edge_columns(edges, evaluator.gene_names), genes), max_path_length)
    testable = (evaluator.num_cells > 0)[:, None] & ~np.eye(genes, dtype=bool)
    source, target = np.nonzero(testable & ~joined)
    negatives = len(source)
    tested = negatives if num_pairs is None else num_pairs
    if not 1 <= tested <= negatives:
        raise InputError.of(
            "num_pairs", f"{tested}", f"at least 1 and at most {negatives}, the testable pairs without a path"
        )
    if tested < negatives:
        chosen = np.random.default_rng(seed).choice(negatives, tested, replace=False)
        source, target = source[chosen], target[chosen]
    comparison = evaluator.compare(source, target)
    return Omissions(float(comparison.significant.mean()), float(comparison.wasserstein.mean()), tested, negatives)
