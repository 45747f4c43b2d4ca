"""Effects against loops over cells, and their p-values against permutations, null screens and known effects."""

import tracemalloc

import networkx as nx
import numpy as np
import pytest
from helpers import random_data
from scipy.stats import false_discovery_control, kstest

from catran_causalbench import validate_dataset
from catran_causalbench.data.dataset import CONTROL, PerturbationDataset
from catran_causalbench.data.effects import measure_effects, warn_of_direction
from catran_causalbench.simulation.causal_model import SimulationConfig, sample_causal_model
from catran_causalbench.simulation.expression import simulate_cells


def null_screen(seed, genes=60, cells=100, controls=1000, batches=1):
    """Counts that no perturbation changes, from 1 in 100 cells to several per cell; batches have shifts."""
    rng = np.random.default_rng(seed)
    mean = np.exp(np.linspace(np.log(0.01), np.log(5), genes))
    batch = rng.integers(batches, size=genes * cells + controls)
    library = rng.lognormal(0, 0.35, (len(batch), 1))
    rates = mean * library * np.exp(rng.normal(0, 0.5, (batches, genes)))[batch]
    expression = np.log1p(rng.poisson(rates * rng.gamma(5, 0.2, rates.shape)) / library)
    intervention = np.concatenate([np.repeat(np.arange(genes), cells), np.full(controls, CONTROL)])
    names = tuple(f"gene{number:03d}" for number in range(genes))
    return PerturbationDataset(expression.astype(np.float32), names, intervention, batch if batches > 1 else None)


@pytest.mark.parametrize("batches", [1, 4])
def test_effects_equal_a_loop_over_cells(batches):
    dataset = null_screen(seed=0, genes=8, cells=15, controls=60, batches=batches)
    batch = np.zeros(dataset.num_cells, int) if dataset.batch is None else dataset.batch
    effect = measure_effects(dataset).effect
    for source in range(8):
        for target in range(8):
            differences, weights = [], []
            for number in range(batches):
                perturbed, controls = (
                    dataset.expression[(dataset.intervention == code) & (batch == number), target].astype(float)
                    for code in (source, CONTROL)
                )
                if len(perturbed):
                    differences.append(perturbed.mean() - controls.mean())
                    weights.append(1 / (1 / len(perturbed) + 1 / len(controls)))
            assert effect[source, target] == pytest.approx(np.average(differences, weights=weights), abs=1e-6)


def test_unperturbed_sources_have_neither_effect_nor_p_value():
    dataset = validate_dataset(*random_data())
    measured = measure_effects(dataset)
    perturbed = np.isin(np.arange(dataset.num_genes), dataset.perturbed_genes)
    for array in measured:
        assert (np.isnan(array).all(axis=1) == ~perturbed).all()
        assert np.isfinite(array[perturbed]).all()
    assert all(np.isnan(array).all() for array in measure_effects(dataset.controls_only()))


@pytest.mark.parametrize("batches", [1, 3])
def test_p_values_are_those_of_a_permutation_test(batches):
    """The test itself: perturbed and control cells of a batch change places twenty thousand times."""
    dataset = null_screen(seed=3, genes=12, cells=30, controls=150, batches=batches)
    dataset.expression[:30, 6:] *= 0.8
    rng = np.random.default_rng(0)
    rows = np.flatnonzero(np.isin(dataset.intervention, (0, CONTROL)))
    expression = dataset.expression[rows].astype(float)
    batch = np.zeros(len(rows), int) if dataset.batch is None else dataset.batch[rows]
    is_perturbed = dataset.intervention[rows] == 0
    statistic = np.zeros(12)
    drawn = np.zeros((20_000, 12))
    for number in range(batches):
        cells = np.flatnonzero(batch == number)
        values = expression[cells] - expression[cells].mean(axis=0)
        statistic += values[is_perturbed[cells]].sum(axis=0)
        places = rng.random((len(drawn), len(cells))).argsort(axis=1) < is_perturbed[cells].sum()
        drawn += places @ values
    # Half of the draws that equal the statistic count: with sparse counts there are many.
    above, below = ((sign * drawn > sign * statistic + 1e-9).mean(axis=0) for sign in (1, -1))
    expected = (2 * np.minimum(above, below) + (1 - above - below)).clip(max=1)
    found = measure_effects(dataset).p_value[0]
    expressed = (expression > 0).sum(axis=0) > 12
    assert expressed.sum() >= 7
    assert expected.min() < 0.02
    np.testing.assert_allclose(found[expressed], expected[expressed], rtol=0.15, atol=0.01)


@pytest.mark.guarantee(
    "Statistics",
    "P-values of effects are uniform on screens without effects, also with batches, and never too small for genes that "
    "few cells express.",
)
@pytest.mark.parametrize(("batches", "cells"), [(1, 100), (1, 25), (8, 100)])
def test_p_values_are_calibrated_where_no_perturbation_has_an_effect(batches, cells):
    datasets = [null_screen(seed, cells=cells, batches=batches) for seed in range(4)]
    p_values = np.concatenate([measure_effects(dataset).p_value for dataset in datasets])
    sparse, others = p_values[:, :20], p_values[:, 30:]  # fewer than 1 count in 12 cells, more than 1 in 5
    assert kstest(others.ravel(), "uniform").statistic < 0.025
    for level in (0.2, 0.05, 0.01):
        assert 0.6 * level < (others <= level).mean() < 1.2 * level
    for level in (0.05, 0.01, 0.001):
        assert (sparse <= level).mean() < 1.2 * level


@pytest.mark.guarantee(
    "Statistics", "Of the pairs with q ≤ 0.05 about 5 % are false, no more, where the true effects are known."
)
def test_the_false_discovery_rate_is_kept_where_the_total_effects_are_known():
    """Without a path from source to target there is no effect."""
    settings = SimulationConfig(genes=40, cells=6000, mean_in_degree=1.0, effect_strength=0.25)
    false = found = 0
    for seed in range(8):
        model = sample_causal_model(settings, seed)
        cells = simulate_cells(model)
        dataset = validate_dataset(cells.expression, cells.labels.tolist(), model.gene_ids)
        graph = nx.DiGraph([(model.gene_ids[source], model.gene_ids[target]) for source, target in model.edges()])
        graph.add_nodes_from(model.gene_ids)
        path = np.array([[other in nx.descendants(graph, gene) for other in model.gene_ids] for gene in model.gene_ids])
        pairs = ~np.eye(40, dtype=bool)
        significant = false_discovery_control(measure_effects(dataset).p_value[pairs]) <= 0.05
        found += significant.sum()
        false += (significant & ~path[pairs]).sum()
    assert found > 150
    assert false / found < 0.08


def test_controls_are_not_copied_as_a_whole():
    labels = ["non-targeting"] * 20_000 + ["gene0"] * 100
    matrix = np.random.default_rng(0).poisson(3.0, (len(labels), 40)).astype(np.float32)
    dataset = validate_dataset(matrix, labels, [f"gene{number}" for number in range(40)])
    measure_effects(dataset)
    tracemalloc.start()
    try:
        measure_effects(dataset)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.5 * matrix.nbytes


def test_a_gene_that_nobody_expresses_has_no_effect():
    dataset = null_screen(seed=0, genes=8, cells=15, controls=60)
    dataset.expression[np.isin(dataset.intervention, (2, CONTROL)), 5] = 0
    measured = measure_effects(dataset)
    assert (measured.effect[2, 5], measured.p_value[2, 5]) == (0, 1)


def test_an_overwhelming_effect_has_a_p_value_above_zero():
    dataset = null_screen(seed=0, genes=8, cells=100, controls=900)
    dataset.expression[dataset.intervention == 2] += 50
    p_values = measure_effects(dataset).p_value[2]
    assert (p_values > 0).all()
    assert (p_values < 1e-30).all()


@pytest.mark.parametrize(
    ("change", "perturbation", "other"),
    [(1, "knockdown", "activation"), (1, "knockout", "activation"), (-1, "activation", "knockdown")],
)
def test_perturbations_that_act_against_their_kind_are_noticed(change, perturbation, other, recwarn):
    effects, p_values = np.full((2, 5, 5), np.nan)
    effects[:4], p_values[:4] = 0.0, 1e-4
    np.fill_diagonal(effects, [change, change, -change, 0, np.nan])
    p_values[3, 3] = 0.1
    with pytest.warns(UserWarning, match=rf"2 of 3 genes .*{other}.*{perturbation}"):
        warn_of_direction(effects, p_values, perturbation)
    recwarn.clear()
    warn_of_direction(-effects, p_values, perturbation)
    warn_of_direction(np.full((3, 3), np.nan), np.full((3, 3), np.nan), perturbation)
    assert not recwarn
