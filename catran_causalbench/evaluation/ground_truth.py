"""Evaluation of edges against the true network and the true effects of a simulated causal model.

Edges are two arrays of length E, the columns of their genes, best first. Every function raises InputError for a
repeated edge and for a self-edge. Networks are bool matrices, G × G, source × target. To evaluate against ancestors
instead of direct causes, pass ``reachable(network)``.
"""

from __future__ import annotations

import numpy as np

from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.edge_lists import check_ranking


def precision(source: np.ndarray, target: np.ndarray, network: np.ndarray) -> float:
    """Return the share of the edges that are in the network; NaN without edges."""
    check_ranking(source, target)
    return _mean(network[source, target])


def orientation_accuracy(source: np.ndarray, target: np.ndarray, network: np.ndarray) -> float:
    """Return the share of correctly oriented edges, among those that the network has in one direction only.

    A method that returns both directions of a pair is right once and wrong once, so guessing scores 0.5. NaN where
    there is no such edge.
    """
    check_ranking(source, target)
    forward, backward = network[source, target], network[target, source]
    return _mean(forward[forward != backward])


def average_precision(scores: np.ndarray, network: np.ndarray) -> float:
    """Return the area under the precision–recall curve over all ordered pairs of different genes.

    It is the sum over falling thresholds of precision × gain in recall, without interpolation; pairs of equal score
    enter together. Guessing scores the network's density. NaN where the network has no edge.

    Parameters
    ----------
    scores
        G × G, source × target, higher for a surer edge; the diagonal is ignored. See `rank_scores` for edge lists.
    network
        bool, G × G, source × target.

    Raises
    ------
    InputError
        The shapes differ or a score is NaN.
    """
    if scores.shape != network.shape:
        raise InputError.of("scores", f"shape {scores.shape}", f"that of the network, {network.shape}")
    pairs = ~np.eye(len(network), dtype=bool)
    score, true = scores[pairs], network[pairs]
    if np.isnan(score).any():
        raise InputError.of("scores", "NaN", "a number for every pair of different genes")
    order = np.argsort(-score, kind="stable")
    score, found = score[order], np.cumsum(true[order])
    if found[-1] == 0:
        return float("nan")
    last_of_ties = np.flatnonzero(np.append(score[1:] != score[:-1], True))
    found = found[last_of_ties]
    return float(np.sum(np.diff(found, prepend=0) * found / (last_of_ties + 1)) / found[-1])


def rank_scores(source: np.ndarray, target: np.ndarray, num_genes: int) -> np.ndarray:
    """Return scores that rank the edges: E, E − 1, …, 1, and 0 for all other pairs; int64, G × G, source × target."""
    check_ranking(source, target)
    scores = np.zeros((num_genes, num_genes), np.int64)
    scores[source, target] = np.arange(len(source), 0, -1)
    return scores


def effect_recovery(source: np.ndarray, target: np.ndarray, effects: np.ndarray) -> float:
    """Return the mean absolute true effect of the edges as a share of the oracle's; NaN without edges.

    The oracle picks as many pairs of different genes, those with the largest true effects. ``effects`` is G × G, source
    × target: the noise-free change of the target when the source is perturbed.
    """
    check_ranking(source, target)
    recovered = _mean(np.abs(effects[source, target]))
    sizes = np.sort(np.abs(effects[~np.eye(len(effects), dtype=bool)]))
    return recovered / _mean(sizes[len(sizes) - len(source) :])


def _mean(values: np.ndarray) -> float:
    return float(values.mean(dtype=np.float64)) if len(values) else float("nan")
