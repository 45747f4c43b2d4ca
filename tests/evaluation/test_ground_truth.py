"""What the evaluator adds: truth, references, the null of the Wasserstein distance."""

import itertools

import numpy as np
import pytest
from scipy import stats

from catran_causalbench.errors import InputError
from catran_causalbench.evaluation import (
    HeldOutEvaluator,
    adjacency_matrix,
    average_precision,
    effect_recovery,
    excess_wasserstein,
    null_wasserstein,
    orientation_accuracy,
    precision,
    rank_scores,
    reachable,
    recovered_effect,
    reference_metrics,
)

GENES = 15
NAMES = tuple(f"G{index}" for index in range(GENES))


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


def search_ancestors(network):
    """Depth-first search, as slow as it is plain."""
    joined = np.zeros_like(network)
    for start in range(len(network)):
        stack = list(np.flatnonzero(network[start]))
        while stack:
            gene = stack.pop()
            if not joined[start, gene]:
                joined[start, gene] = True
                stack.extend(np.flatnonzero(network[gene]))
        joined[start, start] = False
    return joined


def test_ancestors_are_all_that_a_search_finds():
    rng = np.random.default_rng(1)
    for density in (0.02, 0.05, 0.1, 0.3):
        network = rng.random((40, 40)) < density
        np.fill_diagonal(network, False)
        np.testing.assert_array_equal(reachable(network), search_ancestors(network))


def test_precision_counts_direct_edges_and_ancestors(truth):
    network, _, source, target = truth
    edges = list(zip(source, target, strict=True))
    assert precision(source, target, network) == sum(network[edge] for edge in edges) / 60
    ancestors = search_ancestors(network)
    assert precision(source, target, reachable(network)) == sum(ancestors[edge] for edge in edges) / 60
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


def test_captured_effect_is_a_share_of_the_oracles(truth):
    _, effects, source, target = truth
    captured = np.mean([abs(float(effects[edge])) for edge in zip(source, target, strict=True)])
    sizes = sorted((abs(float(effects[a, b])) for a in range(GENES) for b in range(GENES) if a != b), reverse=True)
    assert recovered_effect(source, target, effects) == pytest.approx(captured)
    assert effect_recovery(source, target, effects) == pytest.approx(captured / np.mean(sizes[:60]))
    # The diagonal, a perturbation's effect on its own gene, is nobody's to capture.
    off_diagonal = np.abs(np.where(np.eye(GENES), 0, effects))
    best = np.unravel_index(np.argsort(-off_diagonal, axis=None)[:60], effects.shape)
    assert effect_recovery(*best, effects + 50 * np.eye(GENES)) == pytest.approx(1)


@pytest.mark.parametrize("metric", [precision, orientation_accuracy, recovered_effect, effect_recovery])
def test_padding_a_list_is_refused(truth, metric):
    table = truth[1] if metric in (recovered_effect, effect_recovery) else truth[0]
    with pytest.raises(InputError, match="edges: found column 1 → column 2 again at position 2; expected distinct"):
        metric(np.array([1, 0, 1]), np.array([2, 4, 2]), table)
    with pytest.raises(InputError, match="edges: found the self-edge column 3 → column 3 at position 1"):
        metric(np.array([1, 3]), np.array([2, 3]), table)


def test_reference_metrics_by_hand():
    reference = [("a", "b"), ("b", "a"), ("c", "b"), ("c", "d"), ("a", "a"), ("a", "unmeasured")]
    edges = [("b", "a"), ("a", "b"), ("b", "c"), ("d", "e")]
    undirected = reference_metrics(edges, reference, "abcde")
    assert (undirected.true_positives, undirected.num_predicted, undirected.num_reference) == (2, 3, 3)
    assert (undirected.precision, undirected.recall, undirected.f1) == (2 / 3, 2 / 3, 2 / 3)
    directed = reference_metrics(edges, reference, "abcde", directed=True)
    assert (directed.true_positives, directed.num_predicted, directed.num_reference) == (2, 4, 4)
    assert directed.f1 == 2 * directed.precision * directed.recall / (directed.precision + directed.recall)
    nothing = reference_metrics([], [("a", "x")], "abc")
    assert np.isnan([nothing.precision, nothing.recall, nothing.f1]).all()
    with pytest.raises(InputError, match="found a → b again at position 1"):
        reference_metrics([("a", "b"), ("a", "b")], reference, "abc")


def test_reference_metrics_count_the_harness_s_true_positives():
    module = pytest.importorskip("causalscbench.evaluation.biological_evaluation")
    rng = np.random.default_rng(0)
    pairs = [(a, b) for a in NAMES for b in NAMES if a < b]
    reference = [pairs[index] for index in rng.permutation(len(pairs))[:40]]
    edges = [pair if rng.random() < 0.5 else pair[::-1] for pair in pairs[:50]] + [("G0", "G14")]
    edges = list(dict.fromkeys(edges))
    harness = module.Evaluator({*reference, *(pair[::-1] for pair in reference)}).evaluate_network(edges)
    assert reference_metrics(edges, reference, NAMES).true_positives == harness["true_positives"] > 5


def cells(rng, shift, genes=GENES, controls=80, cells_of=12):
    """Zero-heavy cells; each perturbation moves every other gene by `shift`."""
    labels = ["non-targeting"] * controls + list(np.repeat(NAMES[:genes], cells_of))
    expression = np.log1p(rng.poisson(rng.gamma(2, 0.7, (len(labels), genes))))
    expression[controls:] += shift
    return HeldOutEvaluator(expression, labels, NAMES[:genes])


def pairs_of(genes):
    return np.nonzero(~np.eye(genes, dtype=bool))


def test_null_is_the_mean_over_every_permutation():
    rng = np.random.default_rng(0)
    for draw in (rng.standard_normal(9), rng.integers(0, 3, 9).astype(float)):
        for perturbed in (1, 2, 4, 8):
            expression = np.stack([draw, draw], axis=1)
            labels = ["A"] * perturbed + ["non-targeting"] * (9 - perturbed)
            null = null_wasserstein(HeldOutEvaluator(expression, labels, ["A", "B"]), np.array([0]), np.array([1]))
            distances = [
                stats.wasserstein_distance(draw[list(chosen)], np.delete(draw, chosen))
                for chosen in itertools.combinations(range(9), perturbed)
            ]
            assert null[0] == pytest.approx(np.mean(distances), rel=1e-9)


def test_excess_is_zero_without_effects_and_positive_with():
    source, target = pairs_of(GENES)
    without = [excess_wasserstein(cells(np.random.default_rng(seed), 0.0), source, target).mean() for seed in range(30)]
    assert abs(np.mean(without)) < 3 * np.std(without) / np.sqrt(30) + 1e-12
    evaluator = cells(np.random.default_rng(0), 0.0)
    assert evaluator.compare(source, target).wasserstein.mean() > 20 * abs(np.mean(without))
    excess = excess_wasserstein(cells(np.random.default_rng(0), 0.5), source, target)
    assert excess.mean() > 0.2
    assert (excess > 0).mean() > 0.95


def test_excess_does_not_reward_noisy_genes():
    rng = np.random.default_rng(0)
    excess, distance = [], []
    for _ in range(20):
        expression = rng.standard_normal((200, 2)) * [1, 10]
        evaluator = HeldOutEvaluator(expression, ["non-targeting"] * 180 + ["A"] * 20, ["A", "B"])
        edge = np.array([0]), np.array([1])
        excess.append(excess_wasserstein(evaluator, *edge)[0])
        distance.append(evaluator.compare(*edge).wasserstein[0])
    assert np.mean(distance) > 1
    assert abs(np.mean(excess)) < 3 * np.std(excess) / np.sqrt(20)


def test_adjacency_matrix_marks_source_by_target():
    np.testing.assert_array_equal(
        np.argwhere(adjacency_matrix(np.array([0, 2]), np.array([1, 0]), 3)), [[0, 1], [2, 0]]
    )
