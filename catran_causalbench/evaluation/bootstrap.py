"""How far a metric would move with other held-out cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.held_out import HeldOutEvaluator


@dataclass(frozen=True)
class Interval:
    """A metric and its confidence interval.

    Attributes
    ----------
    estimate
        The metric on the held-out cells as they are.
    low, high
        Ends of the interval.
    """

    estimate: float
    low: float
    high: float


def bootstrap_interval(
    evaluator: HeldOutEvaluator,
    metric: Callable[[HeldOutEvaluator], float],
    level: float = 0.95,
    resamples: int = 200,
    seed: int = 0,
) -> Interval:
    """Resample held-out cells to bound what the metric would be on average over sets of cells of the same sizes.

    Whole cells are drawn with replacement, within controls and within each perturbation, so that edges that share cells
    move together. The interval says nothing of other training cells or seeds. It suits means of distances; rates of
    significant edges move by jumps, and their intervals cover less surely when cells are few.

    Parameters
    ----------
    evaluator
        The held-out cells.
    metric
        A number for any evaluator, such as ``lambda held_out: mean_wasserstein(held_out, edges, 1000)``.
    level
        Share of such intervals that hold the value sought, between 0 and 1.
    resamples
        How many bootstrap samples, at least 2.
    seed
        Of the draws.

    Raises
    ------
    InputError
        The level or the number of resamples is out of range.
    """
    if not 0 < level < 1:
        raise InputError.of("level", f"{level}", "a share between 0 and 1")
    if resamples < 2:
        raise InputError.of("resamples", f"{resamples}", "at least 2")
    estimate = metric(evaluator)
    rng = np.random.default_rng(seed)
    values = np.array([metric(evaluator.resampled(rng)) for _ in range(resamples)])
    # Resampling adds its noise to distances that contain noise once already, so resampled values lie too high. Their
    # spread is what they tell, and it is put around the estimate.
    low, high = estimate + np.quantile(values - values.mean(), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(estimate), float(low), float(high))
