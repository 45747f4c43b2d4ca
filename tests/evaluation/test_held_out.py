"""Test and distance of every edge against scipy's and CausalBench's."""

import subprocess
import sys

import numpy as np
import pytest
from held_out_cells import GENES, all_pairs, causalbench_evaluator, counts, evaluator, held_out_cells
from scipy import stats

from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.held_out import Comparison, HeldOutEvaluator


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


@pytest.mark.parametrize("draw", [counts, continuous, offset, constant])
@pytest.mark.parametrize("cells_of", [(1, 2), (1, 12), (15, 60)])
def test_every_edge_is_scipys(draw, cells_of):
    for controls in (1, 7, 8, 9, 150):
        expression, labels = held_out_cells(draw, controls, cells_of, controls)
        source, target = all_pairs()
        comparison = HeldOutEvaluator(expression, labels, GENES).compare(source, target)
        theirs = causalbench_evaluator(expression, labels)
        for edge, (parent, child) in enumerate(zip(source, target, strict=True)):
            samples = theirs.get_observational(GENES[child]), theirs.get_interventional(GENES[child], GENES[parent])
            p_value = stats.mannwhitneyu(*samples).pvalue
            assert comparison.p_value[edge] == pytest.approx(p_value, rel=1e-12)
            assert comparison.significant[edge] == (p_value < 0.05)
            distance = stats.wasserstein_distance(*samples)
            # What rounding leaves where samples are equal is far below any distance between float32 values.
            assert comparison.wasserstein[edge] == pytest.approx(distance, rel=1e-6, abs=1e-9)
        # Each single decision is CausalBench's own, too.
        for edge in range(0, len(source), 7):
            result = theirs.evaluate_network([(GENES[source[edge]], GENES[target[edge]])], max_path_length=0)
            assert result["output_graph"]["true_positives"] == comparison.significant[edge]


def test_decisions_of_both_kinds_were_compared():
    significant = evaluator(150, cells_of=(15, 60)).compare(*all_pairs()).significant
    assert 0.1 < significant.mean() < 0.9


def test_many_edges_are_compared_as_each_alone():
    # 132 edges of 2,200 values: more than are compared at a time.
    large, each_alone = (evaluator(0, cells_of=(2200, 2300)) for _ in range(2))
    source, target = all_pairs()
    together = large.compare(source, target)
    for edge in range(0, len(source), 5):
        alone = each_alone.compare(source[[edge]], target[[edge]])
        assert alone.p_value[0] == together.p_value[edge]
        assert alone.wasserstein[0] == together.wasserstein[edge]


def test_each_edge_is_compared_once(monkeypatch):
    held_out, compared = evaluator(1), []
    compare_block = held_out._compare_block

    def counting(source, target):
        compared.extend(zip(source.tolist(), target.tolist(), strict=True))
        return compare_block(source, target)

    monkeypatch.setattr(held_out, "_compare_block", counting)
    some, every = (np.array([3, 0, 3]), np.array([1, 2, 1])), all_pairs()
    first, again, all_of_them = (held_out.compare(*edges) for edges in (some, some, every))
    assert sorted(compared) == [*zip(*every, strict=True)]
    for name in ("wasserstein", "p_value"):
        expected = getattr(evaluator(1).compare(*every), name)
        np.testing.assert_array_equal(getattr(all_of_them, name), expected)
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert getattr(first, name)[0] == getattr(first, name)[2] != getattr(first, name)[1]


def test_a_p_value_at_the_threshold_is_not_significant():
    comparison = Comparison(np.zeros(3), np.array([0.0499, 0.05, 0.0501]))
    assert comparison.significant.tolist() == [True, False, False]


def test_whole_numbers_are_compared_as_fractions_are():
    expression, labels = held_out_cells(seed=3)
    whole = np.round(np.expm1(expression)).astype(np.uint16)
    one, other = (HeldOutEvaluator(matrix, labels, GENES) for matrix in (whole, whole.astype(float)))
    np.testing.assert_array_equal(one.compare(*all_pairs()).wasserstein, other.compare(*all_pairs()).wasserstein)


def test_unusable_columns():
    with pytest.raises(InputError, match="target: found column 12; expected 0 to 11"):
        evaluator(1).compare(np.array([0]), np.array([12]))
    with pytest.raises(InputError, match="source: found column -1; expected 0 to 11"):
        evaluator(1).compare(np.array([-1]), np.array([1]))
    with pytest.raises(InputError, match=r"edges: found shapes \(2,\) and \(1,\)"):
        evaluator(1).compare(np.array([0, 1]), np.array([2]))


def test_a_source_without_held_out_cells_is_refused():
    expression, labels = held_out_cells(seed=1)
    kept = [cell for cell, label in enumerate(labels) if label != "G3"]
    without = HeldOutEvaluator(expression[kept], [labels[cell] for cell in kept], GENES)
    with pytest.raises(InputError, match="source: found 'G3'"):
        without.compare(np.array([0, 3]), np.array([1, 1]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expression_matrix": np.zeros(4)}, "expression_matrix: found shape"),
        ({"expression_matrix": np.array([["a", "b"]] * 4)}, "expression_matrix: found shape .* type <U1"),
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
        "import importlib, pkgutil, sys, catran_causalbench.evaluation as folder\n"
        "for module in pkgutil.iter_modules(folder.__path__):\n"
        "    importlib.import_module(f'{folder.__name__}.{module.name}')\n"
        "print(*{'torch', 'causalscbench', 'pandas', 'numba', 'scipy', 'sklearn'} & set(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []
