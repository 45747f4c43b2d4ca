"""The metrics of a network against CausalBench's own evaluator, number by number."""

import random

import pytest
from held_out_cells import GENES, causalbench_evaluator, evaluator, held_out_cells, random_network

from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.causalbench_metrics import evaluate_network
from catran_causalbench.evaluation.edge_lists import edge_columns
from catran_causalbench.evaluation.held_out import HeldOutEvaluator
from catran_causalbench.evaluation.reachability import adjacency_matrix, reachable

pytestmark = pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")  # CausalBench's


def both_evaluators(seed):
    expression, labels = held_out_cells(seed=seed)
    return HeldOutEvaluator(expression, labels, GENES), causalbench_evaluator(expression, labels)


def assert_same_metrics(ours, theirs):
    """Equal but for the order of summation, which in CausalBench changes with the process's hash seed."""
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        if isinstance(value, dict):
            assert_same_metrics(ours[key], value)
        elif isinstance(value, list):
            assert len(ours[key]) == len(value)
            for one, other in zip(ours[key], value, strict=True):
                assert_same_metrics(one, other)
        else:
            assert ours[key] == pytest.approx(value, rel=1e-9, nan_ok=True), key


@pytest.mark.parametrize("max_path_length", [0, 1, 2, 3, -1])
@pytest.mark.parametrize("edges", [0, 1, 8, 15, 100])
def test_metrics_are_causalbenchs(max_path_length, edges):
    ours, theirs = both_evaluators(edges)
    network = random_network(edges, edges)
    joined = reachable(adjacency_matrix(*edge_columns(network, GENES), 12), max_path_length)
    omissions = min(25, 132 - int(joined.sum()))  # CausalBench never ends where it finds fewer
    assert_same_metrics(
        evaluate_network(ours, network, max_path_length, omissions),
        theirs.evaluate_network(network, max_path_length, omissions > 0, omissions),
    )


def test_self_edges_repeated_edges_and_cycles_count_as_in_causalbench():
    ours, theirs = both_evaluators(3)
    network = [("G0", "G0"), ("G0", "G1"), ("G1", "G2"), ("G2", "G0"), ("G0", "G1"), ("G5", "G6"), ("G7", "G7")]
    for max_path_length in (1, 2, 3, -1):
        assert_same_metrics(
            evaluate_network(ours, network, max_path_length, 40),
            theirs.evaluate_network(network, max_path_length, True, 40),
        )


def test_defaults_are_causalbenchs():
    ours, theirs = both_evaluators(3)
    network = random_network(0, 8)
    assert_same_metrics(evaluate_network(ours, network), theirs.evaluate_network(network))


def test_one_omitted_pair_is_enough_for_an_estimate():
    ours, theirs = both_evaluators(3)
    network = random_network(0, 8)
    assert_same_metrics(evaluate_network(ours, network, 1, 1), theirs.evaluate_network(network, 1, True, 1))


def test_evaluation_leaves_global_random_numbers_alone():
    random.seed(5)
    expected = random.Random(5).random()
    evaluate_network(evaluator(3), random_network(0, 5), 1, 10)
    assert random.random() == expected


def test_too_few_omitted_pairs_are_an_error_and_no_endless_loop():
    ring = [(GENES[gene], GENES[gene - 1]) for gene in range(1, 11)]
    with pytest.raises(InputError, match="omission_estimation_size: found 23; expected at most 22,"):
        evaluate_network(evaluator(1), [*ring, ("G0", "G10")], -1, 23)
    assert evaluate_network(evaluator(1), [*ring, ("G0", "G10")], -1, 22)["false_omission_rate"] >= 0


def test_a_source_without_held_out_cells_is_refused():
    expression, labels = held_out_cells(seed=1)
    kept = [cell for cell, label in enumerate(labels) if label != "G3"]
    without = HeldOutEvaluator(expression[kept], [labels[cell] for cell in kept], GENES)
    with pytest.raises(InputError, match="source: found 'G3'"):
        evaluate_network(without, [("G0", "G1"), ("G3", "G1")], 1)
    # As a target it is as good as any.
    assert evaluate_network(without, [("G0", "G3")], 1)["output_graph"]["false_positives"] in (0, 1)


def test_an_edge_of_an_unknown_gene_is_refused():
    with pytest.raises(InputError, match="edges: found gene 'nobody'"):
        evaluate_network(evaluator(1), [("G0", "nobody")])
