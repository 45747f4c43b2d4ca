"""Metrics by number of edges and over all omitted pairs."""

import numpy as np
import pytest
from held_out_cells import GENES, all_pairs, evaluator, held_out_cells, random_network

from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.causalbench_metrics import evaluate_network
from catran_causalbench.evaluation.edge_lists import edge_columns
from catran_causalbench.evaluation.held_out import HeldOutEvaluator
from catran_causalbench.evaluation.ranked_metrics import false_omission_rate, wasserstein_curve
from catran_causalbench.evaluation.reachability import adjacency_matrix, reachable


@pytest.mark.parametrize("max_path_length", [1, 2, -1])
def test_false_omission_rate_is_that_of_all_pairs_without_a_path(max_path_length):
    network = random_network(1, 10)
    joined = reachable(adjacency_matrix(*edge_columns(network, GENES), 12), max_path_length)
    pairs = [pair for pair in zip(*all_pairs(), strict=True) if not joined[pair]]
    rate = false_omission_rate(evaluator(1), network, max_path_length)
    assert rate == evaluator(1).compare(*np.array(pairs).T).significant.mean()
    assert 0 < rate < 1
    # CausalBench draws all of them when it is asked for as many as there are.
    drawn = evaluate_network(evaluator(1), network, max_path_length, len(pairs))
    assert rate == pytest.approx(drawn["false_omission_rate"])


def test_paths_of_any_length_join_by_default():
    network = random_network(1, 10)
    rates = [false_omission_rate(evaluator(1), network, length) for length in (1, -1)]
    assert false_omission_rate(evaluator(1), network) == rates[1] != rates[0]


def test_one_held_out_cell_makes_a_source_testable():
    few = evaluator(3, cells_of=(1, 2))
    edges = [("G0", "G1")]
    source, target = np.array([pair for pair in zip(*all_pairs(), strict=True) if pair != (0, 1)]).T
    assert false_omission_rate(few, edges) == few.compare(source, target).significant.mean()


def test_a_source_without_held_out_cells_gives_no_omitted_pairs():
    expression, labels = held_out_cells(seed=1)
    kept = [cell for cell, label in enumerate(labels) if label != "G3"]
    without = HeldOutEvaluator(expression[kept], [labels[cell] for cell in kept], GENES)
    pairs = [pair for pair in zip(*all_pairs(), strict=True) if pair != (0, 3) and pair[0] != 3]
    expected = without.compare(*np.array(pairs).T).significant.mean()
    assert false_omission_rate(without, [("G0", "G3")]) == expected


def test_without_omitted_pairs_there_is_no_rate():
    everything = [(a, b) for a in GENES for b in GENES if a != b]
    assert np.isnan(false_omission_rate(evaluator(1), everything))


def test_wasserstein_curve_is_the_mean_at_every_size():
    network = random_network(4, 30)
    curve = wasserstein_curve(evaluator(1), network)
    assert len(curve) == 30
    for size in (1, 2, 17, 30):
        expected = evaluate_network(evaluator(1), network[:size], 1)["output_graph"]["wasserstein_distance"]["mean"]
        assert curve[size - 1] == pytest.approx(expected)


def test_repeated_edges_and_self_edges_are_refused():
    network = random_network(4, 30)
    with pytest.raises(InputError, match=r"edges: found .* again at position 30; expected distinct"):
        wasserstein_curve(evaluator(1), [*network, network[0]])
    with pytest.raises(InputError, match="edges: found the self-edge G2 → G2 at position 0"):
        wasserstein_curve(evaluator(1), [("G2", "G2")])
