"""Correlations without latent factors: how many factors there are, and what is left when they are removed.

Latent factors such as the cell cycle or stress act on many genes at once, and what they join looks like edges. They
are taken to be leading principal components. But a network without any such factor has principal components, too, and
removing one of those removes half of what the correlations know. So the data decide the number, 0 included.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_limits

_FACTORS_PER_GENE, _MAX_FACTORS = 0.05, 20  # both limit the number of latent factors
# Neighbouring eigenvalues of simulated networks without factors differ by a ratio of 1.05 to 1.3, with factors by more.
_SMALLEST_GAP = 1.4
# How many standard errors better another number must predict the measured effects.
_SURE = 2.0


def factor_adjusted_correlations(
    correlation: np.ndarray, sources: np.ndarray, effects: np.ndarray, depths: np.ndarray
) -> np.ndarray:
    """Return the correlations of all pairs without shared latent factors, G × G, symmetric, 0 on the diagonal.

    Panels of fewer than 20 genes are too small to tell factors from the network, so nothing is removed there.

    Parameters
    ----------
    correlation
        G × G, with a unit diagonal.
    sources, effects, depths
        S perturbed genes; S × G, their effects on all genes, 0 on themselves; S, the depth of their knockdowns. The
        latter two are in standard errors of the source. Without perturbations S is 0.
    """
    genes = len(correlation)
    most = min(_MAX_FACTORS, int(_FACTORS_PER_GENE * genes))
    if not most:
        return _without_diagonal(correlation)
    with threadpool_limits(1, user_api="blas"):  # the rounding must not depend on the number of threads
        values, components = scipy.linalg.eigh(correlation, subset_by_index=(genes - 1 - most, genes - 1))
    values, components = values[::-1], components[:, ::-1]
    number = _choose(_largest_gap(values), _losses(correlation, values, components, sources, effects, depths))
    leading = components[:, :number]
    return _without_diagonal(unit_diagonal(correlation - (leading * values[:number]) @ leading.T))


def unit_diagonal(symmetric: np.ndarray) -> np.ndarray:
    """Scale rows and columns of a covariance alike, so that its diagonal is 1."""
    scale = np.sqrt(np.diag(symmetric).clip(0)) + 1e-9
    return symmetric / np.outer(scale, scale)


def _largest_gap(values: np.ndarray) -> int:
    """Return the number of eigenvalues, largest first, before the greatest ratio of neighbours; 0 without a gap.

    After S. C. Ahn and A. R. Horenstein, "Eigenvalue ratio test for the number of factors", Econometrica 81, 2013.
    """
    ratios = values[:-1] / values[1:].clip(1e-9)
    return int(np.argmax(ratios)) + 1 if ratios.max() >= _SMALLEST_GAP else 0


def _losses(
    correlation: np.ndarray,
    values: np.ndarray,
    components: np.ndarray,
    sources: np.ndarray,
    effects: np.ndarray,
    depths: np.ndarray,
) -> np.ndarray:
    """Return how badly correlations without 0, 1, … factors predict each source's effects, numbers × S.

    The prediction is a multiple of correlation × depth; the multiple follows from all other sources. The loss is the
    squared error, less a constant.
    """
    losses = []
    for number in range(len(values)):
        leading = components[:, :number]
        left = correlation - (leading * values[:number]) @ leading.T
        scale = np.sqrt(np.diag(left).clip(0)) + 1e-9
        predicted = left[sources] / np.outer(scale[sources], scale) * depths[:, None]
        predicted[np.arange(len(sources)), sources] = 0
        product, square = (predicted * effects).sum(axis=1), (predicted**2).sum(axis=1)
        # A negative multiple would reward the mirror image that the removal of real effects leaves behind.
        multiple = ((product.sum() - product) / (square.sum() - square).clip(1e-9)).clip(0)
        losses.append(multiple**2 * square - 2 * multiple * product)
    return np.array(losses)


def _choose(number: int, losses: np.ndarray) -> int:
    """Return the number of factors that predicts best, if surely better than the given one."""
    best = int(losses.sum(axis=1).argmin())
    gain = losses[number] - losses[best]
    sure = len(gain) > 1 and gain.mean() > _SURE * gain.std(ddof=1) / np.sqrt(len(gain))
    return best if sure else number


def _without_diagonal(symmetric: np.ndarray) -> np.ndarray:
    result = symmetric.copy()
    np.fill_diagonal(result, 0)
    return result
