"""Adaptive shrinkage against numerical integration and another optimiser."""

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from catran_causalbench.data import shrinkage

LOW, HIGH = np.array([0.0, -3, 0, -1, 0]), np.array([0.0, 0, 3, 0, 0.2])
WEIGHTS = np.array([0.5, 0.1, 0.2, 0.15, 0.05])


@pytest.mark.parametrize("error", [0.01, 0.7, 5])
@pytest.mark.parametrize("effect", [-6.0, -0.4, 0.0, 0.1, 2.9, 40.0])
def test_posterior_means_equal_numerical_integrals(effect, error):
    """Far from every component, float64 has no densities left; the logarithms still have."""
    found = shrinkage.posterior_means(np.array([effect]), np.array([error]), LOW, HIGH, WEIGHTS)[0]
    grids = [np.linspace(low, high, 200_001) for low, high in zip(LOW[1:], HIGH[1:], strict=True)]
    log_densities = [stats.norm.logpdf(effect, 0, error), *(stats.norm.logpdf(effect, grid, error) for grid in grids)]
    top = max(np.max(density) for density in log_densities)
    mass, first = [WEIGHTS[0] * np.exp(log_densities[0] - top)], [0.0]
    for grid, log_density, weight in zip(grids, log_densities[1:], WEIGHTS[1:], strict=True):
        density = weight * np.exp(log_density - top) / (grid[-1] - grid[0])
        mass.append(integrate.simpson(density, x=grid))
        first.append(integrate.simpson(density * grid, x=grid))
    assert found == pytest.approx(sum(first) / sum(mass), rel=1e-4, abs=1e-6)


def test_weights_are_those_of_a_general_optimiser():
    rng = np.random.default_rng(0)
    true = np.where(rng.random(2000) < 0.6, 0, rng.uniform(-3, 0, 2000))
    errors = rng.uniform(0.2, 1, 2000)
    effects = true + errors * rng.normal(size=2000)
    likelihood = np.exp(shrinkage.log_likelihoods(effects, errors, LOW, HIGH))

    def cost(weights):
        return -np.log(likelihood @ weights).sum() - 9 * np.log(weights[0])

    sums_to_1 = {"type": "eq", "fun": lambda weights: weights.sum() - 1}
    best = optimize.minimize(
        cost, np.full(5, 0.2), bounds=[(1e-9, 1)] * 5, constraints=sums_to_1, method="SLSQP", options={"ftol": 1e-10}
    )
    found = shrinkage.mixture_weights(effects, errors, LOW, HIGH)
    assert cost(found) == pytest.approx(best.fun, abs=0.01)
    assert found[:2].sum() == pytest.approx(1, abs=0.1), "no effect, or one between -3 and 0"
    assert found[0] == pytest.approx(0.6, abs=0.1)


@pytest.mark.parametrize("largest", [2, 30])
def test_no_other_weights_are_likelier(largest):
    """A concave function lies below its tangent: weights that sum to 1 gain at most the largest slope minus the pairs.

    With effects of 30 standard errors, densities of most pairs under most components are 0 but for the logarithm.
    """
    rng = np.random.default_rng(0)
    effects = np.where(rng.random(3000) < 0.9, 0, rng.normal(0, largest, 3000)) + rng.normal(size=3000)
    errors = np.ones(3000)
    low, high = shrinkage.half_uniforms(effects, errors)
    weights = shrinkage.mixture_weights(effects, errors, low, high)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    logarithm = shrinkage.log_likelihoods(effects, errors, low, high)
    likelihood = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
    slope = (likelihood / (likelihood @ weights)[:, None]).sum(axis=0)
    slope[0] += 9 / weights[0]  # nine more pairs without effect
    assert slope.max() - 3009 < 0.01


def test_the_grid_reaches_from_a_tenth_of_the_smallest_error_to_twice_the_largest_effect():
    low, high = shrinkage.half_uniforms(np.array([0.1, -5.0]), np.array([0.2, 1.0]))
    assert low[0] == high[0] == 0
    assert high.max() == -low.min() == pytest.approx(2 * np.sqrt(24))
    widths = np.sort(high[high > 0])
    np.testing.assert_allclose(widths[1:] / widths[:-1], np.sqrt(2))
    assert widths[0] <= 0.02 < widths[1]
    only_noise = shrinkage.half_uniforms(np.array([0.1]), np.array([0.2]))[1]
    assert only_noise.max() == pytest.approx(8 * 0.02)
