"""Adaptive shrinkage: the posterior mean of each perturbation effect under a unimodal prior that the effects tell.

M. Stephens (2017), the R package ashr with half-uniform components, written from its paper. The prior of all effects is
a mixture of no effect and of uniform distributions from 0 up and from 0 down, whose widths grow by √2 from a tenth of
the smallest error to twice the largest effect. Its weights are learned by sequential quadratic programming, as in
mixsqp (Y. Kim and others 2020), which ashr uses.

One thing differs from ashr: where there are more than 100,000 pairs, the weights are learned from every n-th.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls
from scipy.special import log_ndtr

GRID_RATIO = 2**0.5
NULL_PAIRS = 9  # the weights are learned as if as many more pairs without effect had been seen, as in ashr
MAX_PAIRS = 100_000
FIRST_STEPS = 20  # of expectation-maximisation
MAX_STEPS = 100
TOLERANCE = 1e-3  # of the log likelihood
_NEAR = 1.0  # the same: from here on, a step goes all the way
_RIDGE = 1e-10
_HALVINGS = 20
_BLOCK = 2**16


def shrunk_effects(effects: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return the posterior means of measured effects, from their standard errors above 0; float64, one per pair."""
    low, high = half_uniforms(effects, errors)
    every = -(-len(effects) // MAX_PAIRS)
    weights = mixture_weights(effects[::every], errors[::every], low, high)
    return posterior_means(effects, errors, low, high, weights)


def half_uniforms(effects: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the limits of the components of the prior: the first is [0, 0], each other one begins or ends at 0."""
    smallest = errors.min() / 10
    beyond_noise = np.max(effects**2 - errors**2)
    largest = 2 * np.sqrt(beyond_noise) if beyond_noise > 0 else 8 * smallest
    steps = int(np.ceil(np.log(largest / smallest) / np.log(GRID_RATIO)))
    widths = largest * GRID_RATIO ** np.arange(-steps, 1.0)
    none = np.zeros(len(widths))
    return np.concatenate([[0], none, -widths]), np.concatenate([[0], widths, none])


def mixture_weights(effects: np.ndarray, errors: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the weights of the components, by penalised maximum likelihood, to within ``TOLERANCE`` of the maximum.

    Parameters
    ----------
    effects, errors
        float64, one per pair: effects as measured, and their standard errors, above 0.
    low, high
        float64, one per component: limits of a uniform distribution; the first is the point 0.
    """
    likelihood = log_likelihoods(effects, errors, low, high)
    likelihood = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
    likelihood = np.concatenate([likelihood, np.tile(np.eye(1, len(low)), (NULL_PAIRS, 1))])  # pairs × components
    weights = np.full(len(low), 1 / len(low))
    for _ in range(FIRST_STEPS):
        weights = weights * (likelihood.T @ (1 / (likelihood @ weights))) / len(likelihood)
    for _ in range(MAX_STEPS):
        ratio = likelihood / (likelihood @ weights)[:, None]
        slope = ratio.sum(axis=0)
        missing = slope.max() - len(ratio)  # no other weights have a log likelihood that is larger by more
        if missing < TOLERANCE:
            break
        # Far from the maximum, no weight falls below a tenth: the model knows nothing of likelihoods near 0.
        step = (1.0 if missing < _NEAR else 0.9) * (_best_of_quadratic_model(ratio, slope) - weights)
        moved = _likelier(likelihood, weights, step)
        if moved is weights:
            break
        weights = moved
    return weights


def _best_of_quadratic_model(ratio: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Return the weights, 0 or above, where the second-order model of the log likelihood minus pairs · Σ w is largest.

    That objective has its maximum where the likelihood of weights that sum to 1 has it.
    """
    curvature = ratio.T @ ratio
    curvature[np.diag_indices_from(curvature)] += _RIDGE * np.trace(curvature)
    root = cholesky(curvature)
    return nnls(root, solve_triangular(root, 2 * slope - len(ratio), trans="T"))[0]


def _likelier(likelihood: np.ndarray, weights: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return the weights after a step that is halved until they are likelier; as they were where it never is."""

    def log_likelihood(weights: np.ndarray) -> float:
        with np.errstate(divide="ignore"):
            return np.log(likelihood @ weights).sum()

    before = log_likelihood(weights)
    for _ in range(_HALVINGS):
        moved = weights + step
        moved /= moved.sum()
        if log_likelihood(moved) > before:
            return moved
        step = step / 2
    return weights


def posterior_means(
    effects: np.ndarray, errors: np.ndarray, low: np.ndarray, high: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the expected true effects, float64, one per pair; the arguments are those of `mixture_weights`."""
    return np.concatenate(
        [
            _posterior_means(effects[start : start + _BLOCK], errors[start : start + _BLOCK], low, high, weights)
            for start in range(0, len(effects), _BLOCK)
        ]
    )


def _posterior_means(
    effects: np.ndarray, errors: np.ndarray, low: np.ndarray, high: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    used = weights > 0
    low, high, weights = low[used], high[used], weights[used]
    likelihood = log_likelihoods(effects, errors, low, high) + np.log(weights)
    share = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    # A normal distribution around the measured effect, truncated to the component.
    start, end = (low - effects[:, None]) / errors[:, None], (high - effects[:, None]) / errors[:, None]
    inside = _log_probability(start, end)
    with np.errstate(over="ignore", invalid="ignore"):  # at the point 0
        densities = np.exp(-0.5 * start**2 - inside) - np.exp(-0.5 * end**2 - inside)
        mean = effects[:, None] + errors[:, None] * densities / np.sqrt(2 * np.pi)
    return (share * np.clip(np.where(high > low, mean, 0), low, high)).sum(axis=1)


def log_likelihoods(effects: np.ndarray, errors: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the log density of each measured effect under each component, float64, pairs × components."""
    effects, errors = effects[:, None], errors[:, None]
    width = high - low
    with np.errstate(divide="ignore", invalid="ignore"):
        uniform = _log_probability((low - effects) / errors, (high - effects) / errors) - np.log(width)
    point = -0.5 * (effects / errors) ** 2 - np.log(errors * np.sqrt(2 * np.pi))
    return np.where(width > 0, uniform, point)


def _log_probability(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the log of the probability that a standard normal variable lies between two limits; −inf if they agree."""
    flip = start > 0  # in the lower tail, differences keep their digits
    lower, upper = np.where(flip, -end, start), np.where(flip, -start, end)
    with np.errstate(divide="ignore", invalid="ignore"):
        below, whole = log_ndtr(lower), log_ndtr(upper)
        return whole + np.log1p(-np.exp(below - whole))
