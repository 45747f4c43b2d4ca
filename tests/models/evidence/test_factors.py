"""How many latent factors there are, 0 included, and what is left of the correlations without them."""

import numpy as np
import pytest

from catran_causalbench.models.evidence.factors import factor_adjusted_correlations

UNPERTURBED = np.zeros(0, int), np.zeros((0, 60)), np.zeros(0)


def correlation_with_factors(factors, genes=60, cells=6000, seed=0):
    """Return correlations by some factors and by a chain 0 → 1 → 2; nothing else joins the genes."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(cells, genes))
    noise[:, 1] += noise[:, 0]
    noise[:, 2] += noise[:, 1]
    drive = rng.normal(size=(cells, factors)) @ rng.normal(size=(factors, genes))
    return np.corrcoef((noise + drive).T)


@pytest.mark.parametrize("factors", [1, 3])
def test_adjusted_correlation_is_correlation_without_the_factors(factors):
    found = factor_adjusted_correlations(correlation_with_factors(factors), *UNPERTURBED)
    chain = np.zeros_like(found, dtype=bool)
    chain[:3, :3] = True
    assert not np.diag(found).any()
    np.testing.assert_allclose(found, found.T, atol=1e-12)
    # Correlations by factors are as large as 0.7 here; what is left of them is sampling noise and the projection's.
    assert np.sqrt(np.mean(found[~chain] ** 2)) < 0.06
    assert found[0, 2] > 0.2, "an indirect effect shows"


def test_nothing_is_removed_without_a_gap_between_the_eigenvalues():
    correlation = np.corrcoef(np.random.default_rng(0).normal(size=(60, 6000)))
    expected = correlation - np.eye(60)
    np.testing.assert_allclose(factor_adjusted_correlations(correlation, *UNPERTURBED), expected, atol=1e-9)


def test_measured_effects_overrule_the_gap():
    """What looks like a factor is none if perturbations move the genes that it joins."""
    correlation = correlation_with_factors(1)
    sources = np.arange(0, 60, 2)
    effects = -10 * correlation[sources] + np.random.default_rng(1).normal(size=(30, 60))
    effects[np.arange(30), sources] = 0
    untouched = correlation - np.eye(60)
    blind = factor_adjusted_correlations(correlation, *UNPERTURBED)
    assert np.abs(blind - untouched).max() > 0.1
    found = factor_adjusted_correlations(correlation, sources, effects, np.full(30, -10.0))
    np.testing.assert_allclose(found, untouched, atol=1e-9)


def test_effects_that_no_correlation_predicts_change_nothing():
    correlation = correlation_with_factors(3)
    sources = np.arange(0, 60, 2)
    noise = np.random.default_rng(1).normal(size=(30, 60))
    found = factor_adjusted_correlations(correlation, sources, noise, np.full(30, -10.0))
    np.testing.assert_array_equal(found, factor_adjusted_correlations(correlation, *UNPERTURBED))


def test_nothing_is_taken_out_of_panels_too_small_to_have_factors():
    correlation = correlation_with_factors(2, genes=19)
    empty = np.zeros(0, int), np.zeros((0, 19)), np.zeros(0)
    np.testing.assert_allclose(factor_adjusted_correlations(correlation, *empty), correlation - np.eye(19), atol=1e-9)
