"""The Wasserstein distance of an edge beyond what it would be if its source had no effect.

A few cells lie at some distance from many even when both follow one distribution, and the more a gene varies, the
farther. The permutation null is the mean distance over all permutations of the labels "control" and "perturbed". It has
a closed form, so no permutation is drawn.
"""

from __future__ import annotations

import numpy as np

from catran_causalbench.evaluation.held_out import HeldOutEvaluator


def excess_wasserstein(evaluator: HeldOutEvaluator, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return by how much each edge's Wasserstein distance exceeds its permutation null; 0 on average without effect.

    Edges are two arrays of length E, the columns of their genes; the result is float64, length E, on the scale of the
    data. Raise InputError where a column does not exist or a source has no held-out cells.
    """
    source, target = evaluator.check_edges(source, target)
    null = np.empty(len(source))
    sizes = evaluator.num_cells[source]
    for size in np.unique(sizes):
        gaps = _mean_gaps(len(evaluator.control_values(0)) + int(size), int(size))
        for edge in np.flatnonzero(sizes == size):
            values = evaluator.interventional_values(source[edge], target[edge])
            # A stable sort merges two sorted halves in linear time.
            pooled = np.sort(np.concatenate([evaluator.control_values(target[edge]), np.sort(values)]), kind="stable")
            null[edge] = gaps @ np.diff(pooled)
    return evaluator.compare(source, target).wasserstein - null


def _mean_gaps(cells: int, perturbed: int) -> np.ndarray:
    """Return the mean distance of the two distribution functions after the 1st, …, (N − 1)-th of N pooled values.

    Of the k lowest values, X are labelled "perturbed", where X is hypergeometric. The two functions are then X/m and
    (k − X)/(N − m), and their difference is (X − mk/N)·N/(m(N − m)). The mean of |X − mk/N| is
    2·v·(N − k − m + v)/N·P(X = v) with v the first whole number above mk/N (P. Diaconis and S. Zabell, "Closed form
    summation for classical distributions", Statistical Science 6, 1991).
    """
    from scipy import special

    log_factorials = special.gammaln(np.arange(cells + 1) + 1.0)

    def log_choose(n: int | np.ndarray, k: np.ndarray) -> np.ndarray:
        return log_factorials[n] - log_factorials[k] - log_factorials[n - k]

    lowest = np.arange(1, cells)
    v = perturbed * lowest // cells + 1
    probability = np.exp(
        log_choose(perturbed, v) + log_choose(cells - perturbed, lowest - v) - log_choose(cells, lowest)
    )
    mean_deviation = 2 * v * (cells - lowest - perturbed + v) / cells * probability
    return mean_deviation * cells / (perturbed * (cells - perturbed))
