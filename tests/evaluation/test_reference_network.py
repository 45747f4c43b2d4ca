"""Precision, recall and F1 against a reference network."""

import numpy as np
import pytest

from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.reachability import adjacency_matrix
from catran_causalbench.evaluation.reference_network import reference_metrics


def columns(pairs, names):
    return (np.array([names.index(pair[end]) for pair in pairs], int) for end in (0, 1))


def test_reference_metrics_by_hand():
    network = adjacency_matrix(*columns(["ab", "ba", "cb", "cd", "aa"], "abcde"), 5)
    edges = [*columns(["ba", "ab", "bc", "de"], "abcde")]
    undirected = reference_metrics(*edges, network)
    assert (undirected.true_positives, undirected.num_predicted, undirected.num_reference) == (2, 3, 3)
    assert (undirected.precision, undirected.recall, undirected.f1) == (2 / 3, 2 / 3, 2 / 3)
    directed = reference_metrics(*edges, network, directed=True)
    assert (directed.true_positives, directed.num_predicted, directed.num_reference) == (2, 4, 4)
    assert directed.f1 == 2 * directed.precision * directed.recall / (directed.precision + directed.recall)
    nothing = reference_metrics(*columns([], "abc"), np.eye(3, dtype=bool))
    assert np.isnan([nothing.precision, nothing.recall, nothing.f1]).all()
    with pytest.raises(InputError, match="found column 0 → column 1 again at position 1"):
        reference_metrics(*columns(["ab", "ab"], "abcde"), network)
    with pytest.raises(InputError, match="found the self-edge column 0 → column 0"):
        reference_metrics(*columns(["aa"], "abcde"), network)


def test_reference_metrics_count_causalbenchs_true_positives():
    module = pytest.importorskip("causalscbench.evaluation.biological_evaluation")
    rng = np.random.default_rng(0)
    names = [f"G{index}" for index in range(15)]
    pairs = [(a, b) for a in names for b in names if a < b]
    reference = [pairs[index] for index in rng.permutation(len(pairs))[:40]]
    edges = [pair if rng.random() < 0.5 else pair[::-1] for pair in pairs[:50]] + [("G0", "G14")]
    edges = list(dict.fromkeys(edges))
    both_ways = module.Evaluator({*reference, *(pair[::-1] for pair in reference)})
    network = adjacency_matrix(*columns(reference, names), 15)
    for directed, evaluator in ((False, both_ways), (True, module.Evaluator(set(reference)))):
        theirs = evaluator.evaluate_network(edges, directed)
        ours = reference_metrics(*columns(edges, names), network, directed)
        assert ours.true_positives == theirs["true_positives"] > 5
