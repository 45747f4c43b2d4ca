"""The permutation null of the Wasserstein distance, and what exceeds it."""

import itertools

import numpy as np
import pytest
from held_out_cells import GENES, all_pairs
from scipy import stats

from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.held_out import HeldOutEvaluator
from catran_causalbench.evaluation.permutation_null import excess_wasserstein


def cells(rng, effect, controls=80, cells_of=12):
    """Cells with many zeros; each perturbation raises every gene by `effect`."""
    labels = ["non-targeting"] * controls + list(np.repeat(GENES, cells_of))
    expression = np.log1p(rng.poisson(rng.gamma(2, 0.7, (len(labels), len(GENES)))))
    expression[controls:] += effect
    return HeldOutEvaluator(expression, labels, GENES)


def test_the_null_is_the_mean_over_every_permutation():
    rng = np.random.default_rng(0)
    edge = np.array([0]), np.array([1])
    for draw in (rng.standard_normal(9), rng.integers(0, 3, 9).astype(float)):
        for perturbed in (1, 2, 4, 8):
            expression = np.stack([draw, draw], axis=1)
            evaluator = HeldOutEvaluator(
                expression, ["A"] * perturbed + ["non-targeting"] * (9 - perturbed), ["A", "B"]
            )
            distances = [
                stats.wasserstein_distance(draw[list(chosen)], np.delete(draw, chosen))
                for chosen in itertools.combinations(range(9), perturbed)
            ]
            null = evaluator.compare(*edge).wasserstein - excess_wasserstein(evaluator, *edge)
            assert null[0] == pytest.approx(np.mean(distances), rel=1e-9)


def test_unusable_columns_are_refused():
    with pytest.raises(InputError, match="target: found column 12; expected 0 to 11"):
        excess_wasserstein(cells(np.random.default_rng(0), 0.0), np.array([0]), np.array([12]))


def test_excess_is_zero_without_effects_and_positive_with():
    source, target = all_pairs()
    without = [excess_wasserstein(cells(np.random.default_rng(seed), 0.0), source, target).mean() for seed in range(30)]
    assert abs(np.mean(without)) < 3 * np.std(without) / np.sqrt(30) + 1e-12
    evaluator = cells(np.random.default_rng(0), 0.0)
    assert evaluator.compare(source, target).wasserstein.mean() > 20 * abs(np.mean(without))
    excess = excess_wasserstein(cells(np.random.default_rng(0), 0.5), source, target)
    assert excess.mean() > 0.2
    assert (excess > 0).mean() > 0.95


def test_excess_does_not_reward_noisy_genes():
    rng = np.random.default_rng(0)
    excess, distance = [], []
    for _ in range(20):
        expression = rng.standard_normal((200, 2)) * [1, 10]
        evaluator = HeldOutEvaluator(expression, ["non-targeting"] * 180 + ["A"] * 20, ["A", "B"])
        edge = np.array([0]), np.array([1])
        excess.append(excess_wasserstein(evaluator, *edge)[0])
        distance.append(evaluator.compare(*edge).wasserstein[0])
    assert np.mean(distance) > 1
    assert abs(np.mean(excess)) < 3 * np.std(excess) / np.sqrt(20)
