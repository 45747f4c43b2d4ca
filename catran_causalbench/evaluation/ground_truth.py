"""Edges against the true network and the true effects of a simulated world.

Networks are bool matrices, G × G, source × target. What is asked of the direct edges can be asked of ancestors as well:
pass ``reachable(network)``, whose pairs are joined by a path of any length.
"""

from __future__ import annotations

import numpy as np

from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.edge_lists import check_ranking


def precision(source: np.ndarray, target: np.ndarray, network: np.ndarray) -> float:
    """Give the share of the edges that are in the network; NaN without edges.

    Parameters
    ----------
    source, target
        Length E: columns of distinct edges.
    network
        bool, G × G, source × target.

    Raises
    ------
    InputError
        An edge is repeated or a self-edge.
    """
    check_ranking(source, target)
    return _mean(network[source, target])


def orientation_accuracy(source: np.ndarray, target: np.ndarray, network: np.ndarray) -> float:
    """Give the share that points the right way, among edges that the network has in one direction only.

    A method that gives both directions of a pair is right once and wrong once, so guessing scores 0.5. NaN where there
    is no such edge.

    Parameters
    ----------
    source, target
        Length E: columns of distinct edges.
    network
        bool, G × G, source × target.

    Raises
    ------
    InputError
        An edge is repeated or a self-edge.
    """
    check_ranking(source, target)
    forward, backward = network[source, target], network[target, source]
    return _mean(forward[forward != backward])


def average_precision(scores: np.ndarray, network: np.ndarray) -> float:
    """Compute the area under the precision–recall curve over all ordered pairs of different genes.

    It is the sum over falling thresholds of precision × gain in recall, without interpolation; pairs of equal score
    enter together. Guessing scores the network's density. NaN where the network has no edge.

    Parameters
    ----------
    scores
        G × G, source × target, greater is surer, the diagonal is not looked at; for a list of edges see `rank_scores`.
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
    """Turn E distinct edges, best first, into scores: E, E − 1, …, 1, and 0 for every other pair.

    Parameters
    ----------
    source, target
        Length E: columns of the genes.
    num_genes
        G.

    Returns
    -------
    np.ndarray
        int64, G × G, source × target.

    Raises
    ------
    InputError
        An edge is repeated or a self-edge.
    """
    check_ranking(source, target)
    scores = np.zeros((num_genes, num_genes), np.int64)
    scores[source, target] = np.arange(len(source), 0, -1)
    return scores


def recovered_effect(source: np.ndarray, target: np.ndarray, effects: np.ndarray) -> float:
    """Give the mean true absolute effect of the edges, on the scale of the effects; NaN without edges.

    Parameters
    ----------
    source, target
        Length E: columns of distinct edges.
    effects
        G × G, source × target: noise-free shift of the target when the source is perturbed.

    Raises
    ------
    InputError
        An edge is repeated or a self-edge.
    """
    check_ranking(source, target)
    return _mean(np.abs(effects[source, target]))


def effect_recovery(source: np.ndarray, target: np.ndarray, effects: np.ndarray) -> float:
    """Divide the captured effect by the oracle's, who takes as many pairs of different genes by their true effects.

    Parameters
    ----------
    source, target, effects
        As for `recovered_effect`.

    Raises
    ------
    InputError
        An edge is repeated or a self-edge.
    """
    captured = recovered_effect(source, target, effects)
    sizes = np.sort(np.abs(effects[~np.eye(len(effects), dtype=bool)]))
    return captured / _mean(sizes[len(sizes) - len(source) :])


def _mean(values: np.ndarray) -> float:
    return float(values.mean(dtype=np.float64)) if len(values) else float("nan")
