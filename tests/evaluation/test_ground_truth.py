"""Edges against the true network and the true effects."""

import numpy as np
import pytest

from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.ground_truth import (
    average_precision,
    effect_recovery,
    orientation_accuracy,
    precision,
    rank_scores,
)
from catran_causalbench.evaluation.reachability import reachable

GENES = 15


@pytest.fixture(scope="module")
def truth():
    """Network, effects, and some edges, best first."""
    rng = np.random.default_rng(0)
    network = (rng.random((GENES, GENES)) < 0.15) & ~np.eye(GENES, dtype=bool)
    effects = rng.standard_normal((GENES, GENES)).astype(np.float32)
    pairs = rng.permutation([(a, b) for a in range(GENES) for b in range(GENES) if a != b])[:60]
    for a, b in pairs[:3]:
        network[a, b] = network[b, a] = True  # feedback has no one direction
    return network, effects, pairs[:, 0], pairs[:, 1]


def test_precision_counts_direct_edges_and_ancestors(truth):
    network, _, source, target = truth
    edges = list(zip(source, target, strict=True))
    assert precision(source, target, network) == sum(network[edge] for edge in edges) / 60
    ancestors = reachable(network)
    assert precision(source, target, ancestors) == sum(ancestors[edge] for edge in edges) / 60
    assert np.isnan(precision(source[:0], target[:0], network))


def test_average_precision_is_a_loop_over_thresholds(truth):
    network = truth[0]
    rng = np.random.default_rng(2)
    for scores in (rng.random((GENES, GENES)), rng.integers(0, 6, (GENES, GENES)), np.zeros((GENES, GENES))):
        pairs = [(a, b) for a in range(GENES) for b in range(GENES) if a != b]
        expected, recall_before = 0.0, 0.0
        for threshold in sorted({scores[pair] for pair in pairs}, reverse=True):
            found = [network[pair] for pair in pairs if scores[pair] >= threshold]
            recall = sum(found) / network.sum()
            expected += (recall - recall_before) * sum(found) / len(found)
            recall_before = recall
        assert average_precision(scores, network) == pytest.approx(expected)
    assert average_precision(np.zeros((GENES, GENES)), network) == pytest.approx(network.sum() / (GENES * (GENES - 1)))
    assert average_precision(network.astype(float), network) == 1.0
    assert np.isnan(average_precision(np.zeros((3, 3)), np.zeros((3, 3), bool)))


@pytest.mark.parametrize("rank", range(1, 7))
def test_average_precision_of_one_edge_is_one_over_its_rank(rank):
    pairs = ~np.eye(3, dtype=bool)
    scores, network = np.zeros((3, 3)), np.zeros((3, 3), bool)
    scores[pairs] = range(6, 0, -1)
    network[pairs] = np.arange(1, 7) == rank
    assert average_precision(scores, network) == pytest.approx(1 / rank)


def test_average_precision_of_a_list_ties_the_rest(truth):
    metrics = pytest.importorskip("sklearn.metrics")
    network, _, source, target = truth
    scores = rank_scores(source, target, GENES)
    assert scores[source[0], target[0]] == 60
    assert scores[source[-1], target[-1]] == 1
    assert (scores > 0).sum() == 60
    pairs = ~np.eye(GENES, dtype=bool)
    assert average_precision(scores, network) == pytest.approx(
        metrics.average_precision_score(network[pairs], scores[pairs])
    )


def test_average_precision_refuses_what_has_no_order(truth):
    network = truth[0]
    with pytest.raises(InputError, match="scores: found NaN"):
        average_precision(np.full((GENES, GENES), np.nan), network)
    with pytest.raises(InputError, match="scores: found shape"):
        average_precision(np.zeros((2, 2)), network)


def test_orientation_is_judged_where_truth_has_one_direction(truth):
    network, _, source, target = truth
    one_way = [(a, b) for a, b in zip(source, target, strict=True) if network[a, b] != network[b, a]]
    assert len(one_way) > 5
    expected = sum(network[edge] for edge in one_way) / len(one_way)
    assert orientation_accuracy(source, target, network) == expected
    one, other = np.nonzero(network & ~network.T)
    assert orientation_accuracy(one, other, network) == 1
    assert orientation_accuracy(other, one, network) == 0
    both = np.concatenate([one, other]), np.concatenate([other, one])
    assert orientation_accuracy(*both, network) == 0.5
    assert np.isnan(orientation_accuracy(source[:0], target[:0], network))


def test_effect_recovery_is_a_share_of_the_oracles(truth):
    _, effects, source, target = truth
    recovered = np.mean([abs(float(effects[edge])) for edge in zip(source, target, strict=True)])
    sizes = sorted((abs(float(effects[a, b])) for a in range(GENES) for b in range(GENES) if a != b), reverse=True)
    assert effect_recovery(source, target, effects) == pytest.approx(recovered / np.mean(sizes[:60]))
    # The diagonal, a perturbation's effect on its own gene, does not count.
    off_diagonal = np.abs(np.where(np.eye(GENES), 0, effects))
    best = np.unravel_index(np.argsort(-off_diagonal, axis=None)[:60], effects.shape)
    assert effect_recovery(*best, effects + 50 * np.eye(GENES)) == pytest.approx(1)
    assert np.isnan(effect_recovery(source[:0], target[:0], effects))


@pytest.mark.parametrize("metric", [precision, orientation_accuracy, effect_recovery, rank_scores])
def test_repeated_edges_and_self_edges_are_refused(truth, metric):
    last = {effect_recovery: truth[1], rank_scores: GENES}.get(metric, truth[0])
    with pytest.raises(InputError, match="edges: found column 1 → column 2 again at position 2"):
        metric(np.array([1, 0, 1]), np.array([2, 4, 2]), last)
    with pytest.raises(InputError, match="edges: found the self-edge column 3 → column 3 at position 1"):
        metric(np.array([1, 3]), np.array([2, 3]), last)
