"""Sufficient statistics against loops over cells, and partial correlations against regressions."""

import numpy as np
import pytest
from helpers import random_data
from sklearn.linear_model import Ridge

from catran_causalbench import validate_dataset
from catran_causalbench.data.dataset import CONTROL
from catran_causalbench.models.evidence import statistics as module
from catran_causalbench.models.evidence.statistics import (
    Associations,
    PerturbationEffects,
    knockdown_depths,
    partial_correlations,
    sufficient_statistics,
)


@pytest.fixture
def dataset():
    return validate_dataset(*random_data())


def test_effects_equal_a_loop_over_cells(dataset):
    measured = sufficient_statistics(dataset, 3, seed=0).effects([0, 1, 2])
    expression = dataset.expression.astype(float)
    controls = expression[dataset.intervention == CONTROL]
    for gene in range(dataset.num_genes):
        squares, freedom = 0.0, 0
        for code in [*dataset.perturbed_genes, CONTROL]:
            if code != gene:
                values = expression[dataset.intervention == code, gene]
                squares += ((values - values.mean()) ** 2).sum()
                freedom += len(values) - 1
        assert measured.deviation[gene] == pytest.approx(np.sqrt(squares / freedom), rel=1e-4)
        for source in dataset.perturbed_genes:
            cells = expression[dataset.intervention == source]
            difference = cells[:, gene].mean() - controls[:, gene].mean()
            assert measured.effect[source, gene] * measured.deviation[gene] == pytest.approx(difference, abs=1e-6)
            assert measured.error[source] == pytest.approx(np.sqrt(1 / len(cells) + 1 / len(controls)))


def test_unperturbed_sources_have_no_error_and_no_effect(dataset):
    measured = sufficient_statistics(dataset, 2, seed=0).effects([0, 1])
    unperturbed = np.setdiff1d(np.arange(dataset.num_genes), dataset.perturbed_genes)
    assert len(unperturbed)
    assert np.isnan(measured.error[unperturbed]).all()
    assert not measured.effect[unperturbed].any()


def test_folds_share_out_every_cell_but_the_excluded_ones(dataset):
    statistics = sufficient_statistics(dataset, 4, seed=0)
    included = dataset.intervention >= CONTROL
    assert statistics.count.sum() == included.sum() < dataset.num_cells
    total = statistics.total.sum(axis=(0, 1)) + included.sum() * statistics.centre
    np.testing.assert_allclose(total, dataset.expression[included].sum(axis=0), rtol=1e-5)
    assert np.ptp(statistics.count, axis=0).max() <= 1


def test_a_fold_does_not_know_the_cells_of_another(dataset):
    statistics = sufficient_statistics(dataset, 3, seed=0)
    rest = statistics.effects([0, 1])
    statistics.total[2] += 100
    np.testing.assert_array_equal(statistics.effects([0, 1]).effect, rest.effect)
    assert not np.array_equal(statistics.effects([1, 2]).effect, rest.effect)


def test_partial_correlation_is_what_is_left_after_regressing_on_all_other_genes(monkeypatch):
    monkeypatch.setattr(module, "_RIDGE", 0)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6))
    values -= values.mean(axis=0)
    partial = partial_correlations(values.T @ values / 399)
    for one, other in ((0, 1), (4, 2)):
        rest = np.delete(values, (one, other), axis=1)
        left = [values[:, gene] - rest @ np.linalg.lstsq(rest, values[:, gene], rcond=None)[0] for gene in (one, other)]
        assert partial[one, other] == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-9)


def test_partial_correlation_finds_the_parent_and_not_the_grandparent():
    rng = np.random.default_rng(0)
    grandparent = rng.normal(size=5000)
    parent = grandparent + rng.normal(size=5000)
    child = parent + rng.normal(size=5000)
    partial = partial_correlations(np.cov([grandparent, parent, child]))
    assert partial[1, 2] > 0.4
    assert abs(partial[0, 2]) < 0.1
    assert not np.diag(partial).any()


def test_associations_come_from_the_cells_of_all_folds(dataset):
    statistics = sufficient_statistics(dataset, 3, seed=0)
    associations = Associations.of(statistics)
    np.testing.assert_array_equal(associations.partial, np.float32(partial_correlations(statistics.covariance)))
    assert associations.num_cells == (dataset.intervention >= CONTROL).sum()


def test_without_perturbations_partial_and_plain_correlation_count_together(dataset):
    associations = Associations.of(sufficient_statistics(dataset.controls_only(), 3, seed=0))
    controls = dataset.control_cells().astype(float)
    plain, partial = np.corrcoef(controls.T), partial_correlations(np.cov(controls.T))
    for source in range(dataset.num_genes):
        for target in set(range(dataset.num_genes)) - {source}:
            mean = (abs(plain[source, target]) * abs(partial[source, target])) ** 0.5
            expected = mean if partial[source, target] > 0 else -mean
            assert associations.partial[source, target] == pytest.approx(expected, abs=1e-4)
    assert not np.diag(associations.partial).any()


def test_knockdown_depths_are_measured_or_expected(dataset):
    measured = sufficient_statistics(dataset, 2, seed=0).effects([0, 1])
    depths = knockdown_depths(measured)
    perturbed = dataset.perturbed_genes
    np.testing.assert_allclose(depths[perturbed], np.diag(measured.effect)[perturbed])
    assert np.isfinite(depths).all()
    controls = sufficient_statistics(dataset.controls_only(), 2, seed=0).effects([0, 1])
    np.testing.assert_array_equal(knockdown_depths(controls), -1)


def measured_depths(depth, level, perturbed):
    """Effects whose diagonal is given; nothing else of them is needed here."""
    genes = len(depth)
    error = np.where(perturbed, 0.1, np.nan)
    return PerturbationEffects(np.diag(np.where(perturbed, depth, 0.0)), error, np.ones(genes), level)


def test_the_depth_of_other_genes_is_predicted_by_ridge_regression():
    rng = np.random.default_rng(0)
    level, perturbed = rng.uniform(1, 4, 40), np.arange(40) < 15
    depth = -0.4 * level + rng.normal(0, 0.1, 40)
    depths = knockdown_depths(measured_depths(depth, level, perturbed))
    terms = np.stack([level, level**2], axis=1)
    terms = (terms - terms[perturbed].mean(axis=0)) / terms[perturbed].std(axis=0)
    model = Ridge(alpha=1.0).fit(terms[perturbed], -depth[perturbed])
    expected = model.predict(terms).clip(-depth[perturbed].max(), -depth[perturbed].min())
    np.testing.assert_allclose(depths[~perturbed], -expected[~perturbed], rtol=1e-6)


def test_the_depth_of_other_genes_lies_within_the_range_of_those_measured():
    level = np.array([1.0, 1.1, 1.2, 1.3, 50.0, -50.0])
    depths = knockdown_depths(measured_depths(-level, level, np.arange(6) < 4))
    assert ((depths[4:] >= -1.3) & (depths[4:] <= -1.0)).all()


def test_knockdowns_in_both_directions_do_not_cancel():
    """Some screens set genes to a value, which lies above that of controls for some and below for others."""
    depth = np.array([-3.0, 3.0, -3.0, 3.0, -3.0, 0.0])
    for usual, given in ((-3.0, depth), (3.0, -depth)):
        depths = knockdown_depths(measured_depths(given, np.ones(6), np.arange(6) < 5))
        assert depths[5] == pytest.approx(usual)
