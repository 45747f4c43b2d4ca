"""Simulated cells follow the causal model: determinism, labels, counts and effects."""

from dataclasses import replace

import numpy as np
import pytest

from catran_causalbench.simulation.causal_model import SimulationConfig, sample_causal_model
from catran_causalbench.simulation.expression import simulate_cells, true_effects

SETTINGS = SimulationConfig(genes=60, cells=8_000)
OFF_DIAGONAL = ~np.eye(60, dtype=bool)


@pytest.fixture(scope="module")
def model():
    return sample_causal_model(SETTINGS, 3)


@pytest.fixture(scope="module")
def cells(model):
    return simulate_cells(model)


@pytest.fixture(scope="module")
def effects(model):
    return true_effects(model)


def observed_effects(model, cells):
    means = {label: cells.expression[cells.labels == label].mean(axis=0) for label in np.unique(cells.labels)}
    return np.array([means[gene] - means["non-targeting"] for gene in model.gene_ids])


def test_same_seed_gives_the_same_model_and_cells(model, cells, effects):
    again = sample_causal_model(SETTINGS, 3)
    np.testing.assert_array_equal(again.weights, model.weights)
    np.testing.assert_array_equal(simulate_cells(again).counts, cells.counts)
    np.testing.assert_array_equal(simulate_cells(again).labels, cells.labels)
    np.testing.assert_array_equal(true_effects(again), effects)


def test_the_strongest_regulation_has_a_steady_state():
    model = sample_causal_model(replace(SETTINGS, effect_strength=1.0, mean_in_degree=20.0), 0)
    assert np.abs(np.linalg.eigvals(np.abs(model.weights))).max() == pytest.approx(0.8, abs=1e-3)
    assert np.isfinite(simulate_cells(model).expression).all()


def test_labels_and_numbers_of_cells(model, cells):
    labels, numbers = np.unique(cells.labels, return_counts=True)
    cells_of = dict(zip(labels.tolist(), numbers.tolist(), strict=True))
    assert cells_of.pop("non-targeting") == 800
    assert cells_of.pop("excluded") == 400
    assert sorted(cells_of) == sorted(model.gene_ids)
    assert min(cells_of.values()) >= 101
    assert len(set(cells_of.values())) > 5


def test_unperturbed_genes_have_no_cells():
    settings = SimulationConfig(genes=30, cells=4_500, unperturbed=7)
    model = sample_causal_model(settings, 0)
    labels = set(simulate_cells(model).labels.tolist()) - {"non-targeting", "excluded"}
    assert labels == {gene for gene, perturbed in zip(model.gene_ids, model.is_perturbed, strict=True) if perturbed}
    assert len(labels) == 23


def test_a_knocked_down_gene_drops(model, cells, effects):
    own = observed_effects(model, cells).diagonal()
    assert (effects.diagonal() < 0).all()
    assert (own < 0).mean() > 0.95
    assert own.mean() < -0.4


def test_true_targets_change_more_than_other_genes(model, cells):
    changes = np.abs(observed_effects(model, cells))
    children = (model.weights != 0) & OFF_DIAGONAL
    others = (model.weights == 0) & OFF_DIAGONAL
    assert changes[children].mean() > 1.5 * changes[others].mean()


def test_indirect_effects_exist(model, effects):
    # From a gene to one that it regulates through others only.
    assert np.abs(effects[(model.weights == 0) & OFF_DIAGONAL]).max() > 0.05


def test_true_effects_have_the_sign_of_strong_edges(model, effects):
    # Less of an activator means less of its target, so the signs are opposite.
    strong = np.abs(model.weights) > 0.3
    assert strong.sum() > 15
    assert (np.sign(effects[strong]) == -np.sign(model.weights[strong])).mean() > 0.9


def test_true_effects_are_what_many_cells_show():
    model = sample_causal_model(SimulationConfig(genes=12, cells=200_000, control_share=0.3), 1)
    errors = observed_effects(model, simulate_cells(model)) - true_effects(model, cells_per_gene=2_000)
    # About 10,000 cells per gene give a mean to about 0.01; the effect on the perturbed gene itself varies more.
    assert np.sqrt(np.mean(errors**2)) < 0.015
    assert np.abs(errors).max() < 0.05


def test_counts_are_overdispersed(cells):
    controls = cells.counts[cells.labels == "non-targeting"].astype(float)
    mean, variance = controls.mean(axis=0), controls.var(axis=0)
    assert (variance > mean).mean() > 0.95
    abundant = mean > 3
    assert (variance[abundant] > 1.5 * mean[abundant]).all()
    assert mean.min() < 1 < 5 < mean.max()


def test_excluded_cells_differ_from_controls(cells):
    excluded, controls = (cells.expression[cells.labels == label] for label in ("excluded", "non-targeting"))
    errors = np.sqrt(excluded.var(axis=0) / len(excluded) + controls.var(axis=0) / len(controls))
    scores = (excluded.mean(axis=0) - controls.mean(axis=0)) / errors
    assert (np.abs(scores) > 4).sum() >= 3


def test_latent_factors_are_shared_by_genes():
    def strongest_share(latent_factors):
        settings = replace(SETTINGS, latent_factors=latent_factors)
        cells = simulate_cells(sample_causal_model(settings, 0))
        return np.linalg.eigvalsh(np.corrcoef(cells.expression[cells.labels == "non-targeting"].T))[-1]

    assert strongest_share(3) > strongest_share(0) + 0.3
