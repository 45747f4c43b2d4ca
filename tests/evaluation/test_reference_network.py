"""Precision, recall and F1 against a reference network."""

import numpy as np
import pytest

from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.reference_network import reference_metrics


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


def test_reference_metrics_count_causalbenchs_true_positives():
    module = pytest.importorskip("causalscbench.evaluation.biological_evaluation")
    rng = np.random.default_rng(0)
    names = [f"G{index}" for index in range(15)]
    pairs = [(a, b) for a in names for b in names if a < b]
    reference = [pairs[index] for index in rng.permutation(len(pairs))[:40]]
    edges = [pair if rng.random() < 0.5 else pair[::-1] for pair in pairs[:50]] + [("G0", "G14")]
    edges = list(dict.fromkeys(edges))
    theirs = module.Evaluator({*reference, *(pair[::-1] for pair in reference)}).evaluate_network(edges)
    assert reference_metrics(edges, reference, names).true_positives == theirs["true_positives"] > 5
