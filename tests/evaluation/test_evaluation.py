"""The fast evaluator against CausalBench's own, edge by edge and number by number."""

import random
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from catran_causalbench.errors import InputError
from catran_causalbench.evaluation import (
    HeldOutEvaluator,
    adjacency_matrix,
    edge_columns,
    evaluate_network,
    false_omission_rate,
    held_out,
    mean_wasserstein,
    reachable,
    wasserstein_curve,
)

GENES = tuple(f"G{index}" for index in range(12))


def harness_evaluator(expression, labels, gene_names):
    module = pytest.importorskip("causalscbench.evaluation.statistical_evaluation")
    return module.Evaluator(expression, labels, list(gene_names))


def counts(rng, shape):
    """Log-normalised counts: many zeros, many ties."""
    return np.log1p(rng.poisson(rng.uniform(0.1, 3, shape[1]), shape)).astype(np.float32)


def continuous(rng, shape):
    return rng.standard_normal(shape).astype(np.float32)


def offset(rng, shape):
    """Small differences of large values, where sums over controls lose digits."""
    return 10_000 + rng.standard_normal(shape)


def constant(rng, shape):
    values = counts(rng, shape)
    values[:, ::3] = 0.0
    values[:, 1] = 1.5
    return values


def held_out_cells(draw, seed, cells_of=(3, 60), controls=150):
    """Cells in random order; every perturbation shifts some genes, so that some edges are significant."""
    rng = np.random.default_rng(seed)
    labels = ["non-targeting"] * controls + ["excluded"] * 20 + ["elsewhere"] * 10
    for gene in GENES:
        labels += [gene] * int(rng.integers(*cells_of))
    expression = draw(rng, (len(labels), len(GENES)))
    shifts = rng.exponential(0.3, (len(GENES), len(GENES))) * (rng.random((len(GENES), len(GENES))) < 0.5)
    for row, gene in enumerate(GENES):
        of_gene = np.array(labels) == gene
        shifted = expression[of_gene] + shifts[row].astype(expression.dtype)
        expression[of_gene] = np.where(rng.random(shifted.shape) < 0.7, shifted, expression[of_gene])
    order = rng.permutation(len(labels))
    return expression[order], [np.str_(labels[cell]) for cell in order]


def random_network(seed, edges):
    pairs = [(a, b) for a in GENES for b in GENES if a != b]
    return random.Random(seed).sample(pairs, edges)


def all_pairs():
    return np.nonzero(~np.eye(len(GENES), dtype=bool))


@pytest.mark.parametrize("draw", [counts, continuous, offset, constant])
@pytest.mark.parametrize("cells_of", [(1, 2), (1, 12), (15, 60)])
def test_every_edge_is_scipys(draw, cells_of):
    for controls in (1, 7, 8, 9, 150):
        expression, labels = held_out_cells(draw, controls, cells_of, controls)
        evaluator = HeldOutEvaluator(expression, labels, GENES)
        source, target = all_pairs()
        comparison = evaluator.compare(source, target)
        harness = harness_evaluator(expression, labels, GENES)
        for edge, (parent, child) in enumerate(zip(source, target, strict=True)):
            samples = harness.get_observational(GENES[child]), harness.get_interventional(GENES[child], GENES[parent])
            p_value = stats.mannwhitneyu(*samples).pvalue
            assert comparison.p_value[edge] == pytest.approx(p_value, rel=1e-12)
            assert comparison.significant[edge] == (p_value < 0.05)
            distance = stats.wasserstein_distance(*samples)
            # What rounding leaves where samples are equal is far below any distance between float32 values.
            assert comparison.wasserstein[edge] == pytest.approx(distance, rel=1e-6, abs=1e-9)
        # Each single decision is the harness's own, too.
        for edge in range(0, len(source), 7):
            result = harness.evaluate_network([(GENES[source[edge]], GENES[target[edge]])], max_path_length=0)
            assert result["output_graph"]["true_positives"] == comparison.significant[edge]


def test_decisions_of_both_kinds_were_compared():
    expression, labels = held_out_cells(counts, 150, (15, 60))
    significant = HeldOutEvaluator(expression, labels, GENES).compare(*all_pairs()).significant
    assert 0.1 < significant.mean() < 0.9


def test_blocks_do_not_show(monkeypatch):
    expression, labels = held_out_cells(counts, 0)
    evaluator = HeldOutEvaluator(expression, labels, GENES)
    whole = evaluator.compare(*all_pairs())
    monkeypatch.setattr(held_out, "_VALUES_PER_BLOCK", 200)
    blocks = evaluator.compare(*all_pairs())
    np.testing.assert_array_equal(blocks.p_value, whole.p_value)
    np.testing.assert_array_equal(blocks.wasserstein, whole.wasserstein)


def assert_same_metrics(ours, harness):
    """Equal but for the order of summation, which in the harness changes with the process's hash seed."""
    assert ours.keys() == harness.keys()
    for key, value in harness.items():
        if isinstance(value, dict):
            assert_same_metrics(ours[key], value)
        elif isinstance(value, list):
            assert len(ours[key]) == len(value)
            for one, other in zip(ours[key], value, strict=True):
                assert_same_metrics(one, other)
        else:
            assert ours[key] == pytest.approx(value, rel=1e-9, nan_ok=True), key


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
@pytest.mark.parametrize("max_path_length", [0, 1, 2, 3, -1])
@pytest.mark.parametrize("edges", [0, 1, 8, 15, 100])
def test_metrics_are_the_harness_s(max_path_length, edges):
    expression, labels = held_out_cells(counts, edges)
    evaluator, harness = HeldOutEvaluator(expression, labels, GENES), harness_evaluator(expression, labels, GENES)
    network = random_network(edges, edges)
    joined = reachable(adjacency_matrix(*edge_columns(network, GENES), 12), max_path_length)
    omissions = min(25, 132 - int(joined.sum()))  # the harness never ends where it finds fewer
    assert_same_metrics(
        evaluate_network(evaluator, network, max_path_length, omissions),
        harness.evaluate_network(network, max_path_length, omissions > 0, omissions),
    )


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
def test_self_edges_repeated_edges_and_cycles_count_as_in_the_harness():
    expression, labels = held_out_cells(counts, 3)
    evaluator, harness = HeldOutEvaluator(expression, labels, GENES), harness_evaluator(expression, labels, GENES)
    network = [("G0", "G0"), ("G0", "G1"), ("G1", "G2"), ("G2", "G0"), ("G0", "G1"), ("G5", "G6"), ("G7", "G7")]
    for max_path_length in (1, 2, 3, -1):
        assert_same_metrics(
            evaluate_network(evaluator, network, max_path_length, 40),
            harness.evaluate_network(network, max_path_length, True, 40),
        )


def test_defaults_are_the_harness_s():
    expression, labels = held_out_cells(counts, 3)
    evaluator, harness = HeldOutEvaluator(expression, labels, GENES), harness_evaluator(expression, labels, GENES)
    network = random_network(0, 8)
    assert_same_metrics(evaluate_network(evaluator, network), harness.evaluate_network(network))


def test_one_pair_is_enough_for_a_false_omission_rate():
    expression, labels = held_out_cells(counts, 3)
    evaluator, harness = HeldOutEvaluator(expression, labels, GENES), harness_evaluator(expression, labels, GENES)
    network = random_network(0, 8)
    assert_same_metrics(evaluate_network(evaluator, network, 1, 1), harness.evaluate_network(network, 1, True, 1))
    assert false_omission_rate(evaluator, network, 1).num_tested == 1


def test_omitted_pairs_are_drawn_once_each_by_the_seed(monkeypatch):
    evaluator = HeldOutEvaluator(*held_out_cells(counts, 3), GENES)
    network = random_network(0, 8)
    drawn, compare = [], evaluator.compare

    def noted(source, target):
        drawn.append(list(zip(source.tolist(), target.tolist(), strict=True)))
        return compare(source, target)

    monkeypatch.setattr(evaluator, "compare", noted)
    negatives = false_omission_rate(evaluator, network).num_negatives
    for arguments in ((), (-1, 0), (-1, 1)):
        false_omission_rate(evaluator, network, negatives - 1, *arguments)
        assert len(set(drawn[-1])) == negatives - 1
    assert drawn[1] == drawn[2] != drawn[3]


def test_one_held_out_cell_makes_a_source_testable():
    expression, labels = held_out_cells(counts, 3, cells_of=(1, 2))
    evaluator = HeldOutEvaluator(expression, labels, GENES)
    assert false_omission_rate(evaluator, [("G0", "G1")]).num_negatives == 12 * 11 - 1


def test_a_p_value_at_the_threshold_is_not_significant():
    comparison = held_out.Comparison(np.zeros(3), np.array([0.0499, 0.05, 0.0501]))
    assert comparison.significant.tolist() == [True, False, False]


def test_whole_numbers_are_compared_as_fractions_are():
    expression, labels = held_out_cells(counts, 3)
    whole = np.round(np.expm1(expression)).astype(np.uint16)
    one, other = (HeldOutEvaluator(matrix, labels, GENES) for matrix in (whole, whole.astype(float)))
    np.testing.assert_array_equal(one.compare(*all_pairs()).wasserstein, other.compare(*all_pairs()).wasserstein)


def test_evaluation_leaves_global_random_numbers_alone():
    evaluator = HeldOutEvaluator(*held_out_cells(counts, 3), GENES)
    random.seed(5)
    expected = random.Random(5).random()
    evaluate_network(evaluator, random_network(0, 5), 1, 10)
    assert random.random() == expected


def test_rounds_double_the_paths():
    chain = adjacency_matrix(np.arange(9), np.arange(1, 10), 10)
    for max_path_length, longest in ((1, 1), (2, 2), (3, 4), (4, 8), (-1, 9)):
        reached = reachable(chain, max_path_length)
        assert set(np.flatnonzero(reached[0])) == set(range(1, longest + 1))


def test_false_omission_rate_over_all_negatives():
    evaluator = HeldOutEvaluator(*held_out_cells(counts, 1), GENES)
    network = random_network(1, 10)
    joined = reachable(adjacency_matrix(*edge_columns(network, GENES), 12))
    pairs = [pair for pair in zip(*all_pairs(), strict=True) if not joined[pair]]
    comparison = evaluator.compare(*np.array(pairs).T)
    omissions = false_omission_rate(evaluator, network)
    assert omissions.num_tested == omissions.num_negatives == len(pairs)
    assert omissions.rate == comparison.significant.mean()
    assert omissions.mean_wasserstein == pytest.approx(comparison.wasserstein.mean())
    # The harness draws all of them when it is asked for as many as there are.
    harness = evaluate_network(evaluator, network, -1, len(pairs))
    assert omissions.rate == pytest.approx(harness["false_omission_rate"])
    drawn = [false_omission_rate(evaluator, network, 20, seed=seed).rate for seed in range(200)]
    assert np.mean(drawn) == pytest.approx(omissions.rate, abs=0.03)
    assert np.std(drawn) > 0.01


def test_too_few_negatives_are_an_error_and_no_endless_loop():
    evaluator = HeldOutEvaluator(*held_out_cells(counts, 1), GENES)
    ring = [(GENES[gene], GENES[gene - 1]) for gene in range(1, 11)]
    with pytest.raises(InputError, match="omission_estimation_size: found 30; expected at most 22,"):
        evaluate_network(evaluator, [*ring, ("G0", "G10")], -1, 30)
    with pytest.raises(InputError, match="num_pairs: found 200; expected at least 1 and at most 122,"):
        false_omission_rate(evaluator, random_network(0, 10), 200, max_path_length=1)
    everything = [(a, b) for a in GENES for b in GENES if a != b]
    with pytest.raises(InputError, match="num_pairs: found 0; expected at least 1 and at most 0"):
        false_omission_rate(evaluator, everything)


def test_wasserstein_curve_is_the_mean_at_every_size():
    evaluator = HeldOutEvaluator(*held_out_cells(counts, 1), GENES)
    network = random_network(4, 30)
    curve = wasserstein_curve(evaluator, network)
    for size in (1, 2, 17, 30):
        expected = evaluate_network(evaluator, network[:size], 1)["output_graph"]["wasserstein_distance"]["mean"]
        assert curve[size - 1] == pytest.approx(expected)
        assert mean_wasserstein(evaluator, network, size) == pytest.approx(expected)
    with pytest.raises(InputError, match="num_edges: found 31; expected 1 to 30"):
        mean_wasserstein(evaluator, network, 31)
    with pytest.raises(InputError, match="again at position 30; expected distinct edges"):
        wasserstein_curve(evaluator, [*network, network[0]])
    with pytest.raises(InputError, match="found the self-edge G2 → G2 at position 0"):
        wasserstein_curve(evaluator, [("G2", "G2")])


def test_sources_without_held_out_cells():
    expression, labels = held_out_cells(counts, 1)
    kept = [cell for cell, label in enumerate(labels) if label != "G3"]
    evaluator = HeldOutEvaluator(expression[kept], [labels[cell] for cell in kept], GENES)
    with pytest.raises(InputError, match="source: found 'G3', which is perturbed in no held-out cell"):
        evaluate_network(evaluator, [("G0", "G1"), ("G3", "G1")], 1)
    # As a target it is as good as any, and it gives no negatives.
    assert evaluate_network(evaluator, [("G0", "G3")], 1)["output_graph"]["false_positives"] in (0, 1)
    assert false_omission_rate(evaluator, [("G0", "G3")]).num_negatives == 11 * 11 - 1


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([("G0", "nobody")], "edges: found gene 'nobody' at position 0; expected one of the 12 genes"),
        ([("G0", "G1"), ("G0", "G1", 0.5)], r"edges: found \('G0', 'G1', 0.5\) at position 1; expected a tuple"),
    ],
)
def test_unusable_edges(edges, message):
    evaluator = HeldOutEvaluator(*held_out_cells(counts, 1), GENES)
    with pytest.raises(InputError, match=message):
        evaluate_network(evaluator, edges)


def test_unusable_columns():
    evaluator = HeldOutEvaluator(*held_out_cells(counts, 1), GENES)
    with pytest.raises(InputError, match="target: found column 12; expected 0 to 11"):
        evaluator.compare(np.array([0]), np.array([12]))
    with pytest.raises(InputError, match="edges: found shapes"):
        evaluator.compare(np.array([0, 1]), np.array([2]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expression_matrix": np.zeros(4)}, "expression_matrix: found shape"),
        ({"expression_matrix": np.array([[0, np.nan]] * 4)}, "expression_matrix: found NaN or infinity"),
        ({"interventions": ["A"] * 3}, "interventions: found 3 labels; expected 4"),
        ({"interventions": ["A"] * 4}, "interventions: found no control cells"),
        ({"gene_names": ["A", "A"]}, "gene_names: found 2 names, 1 distinct; expected 2"),
    ],
)
def test_unusable_cells(changes, message):
    cells = {
        "expression_matrix": np.ones((4, 2)),
        "interventions": ["A", "B", "non-targeting", "A"],
        "gene_names": ["A", "B"],
    }
    HeldOutEvaluator(**cells)
    with pytest.raises(InputError, match=message):
        HeldOutEvaluator(**(cells | changes))


def test_import_is_cheap():
    code = (
        "import sys, catran_causalbench.evaluation;"
        "print(*{'torch', 'causalscbench', 'pandas', 'numba', 'scipy', 'sklearn'} & set(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []
