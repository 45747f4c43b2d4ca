"""How a target's correlations are shared among the other genes, which says something about the direction, too.

A hub has a large share of each of its many targets, and each of these a small share of the hub.
"""

from __future__ import annotations

import numpy as np

from catran_causalbench.models.evidence.statistics import SufficientStatistics
from catran_causalbench.utils.parallel import blas_on_one_thread

SMALLEST_DEVIATION = 1e-5  # of a gene that varies within labels
_SMALLEST_COUPLING = 0.01  # so that sources never perturbed keep an order
_LARGEST_COUPLING = 0.999  # so that shrunk correlations have an inverse
_SMALLEST_SUM = 1e-12


def correlations(covariance: np.ndarray) -> np.ndarray:
    """Return G × G correlations, 0 on the diagonal and for genes that do not vary."""
    deviation = np.sqrt(np.diag(covariance)).clip(SMALLEST_DEVIATION)
    correlation = covariance / deviation
    correlation /= deviation[:, None]
    np.fill_diagonal(correlation, 0)
    return correlation


def coupling_of_genes(correlation: np.ndarray, statistics: SufficientStatistics) -> float:
    """Return the share of the squared correlations beyond 1 / (cells − labels) each, those of independent genes.

    It lies between 0.01 and 0.999, and tells whether correlations say anything about how genes act on each other.
    """
    cells = statistics.count.sum(axis=0)
    varying = np.count_nonzero(np.diag(statistics.covariance) > SMALLEST_DEVIATION**2)
    by_chance = varying * (varying - 1) / max(cells.sum() - np.count_nonzero(cells), 1)
    beyond = 1 - by_chance / max(np.vdot(correlation, correlation), _SMALLEST_SUM)
    return float(np.clip(beyond, _SMALLEST_COUPLING, _LARGEST_COUPLING))


def correlation_shares(correlation: np.ndarray) -> np.ndarray:
    """Return each source's share of the sum of a target's squared correlations, target × source."""
    return _shares(correlation**2)


def explained_shares(correlation: np.ndarray, coupling: float) -> np.ndarray:
    """Return each source's share of what all other genes explain of a target, target × source.

    In a linear regression of the target, the explained variance is the sum of every source's coefficient times its
    correlation with the target (Pratt's measure); negative terms are left out. Before the regression, correlations are
    shrunk by the coupling. The coefficients are minus the target's row of the inverse, on a scale that shares do not
    have.
    """
    shrunk = coupling * correlation
    np.fill_diagonal(shrunk, 1)
    with blas_on_one_thread():
        return _shares((-np.linalg.inv(shrunk) * correlation).clip(0))


def _shares(parts: np.ndarray) -> np.ndarray:
    parts /= parts.sum(axis=1, keepdims=True).clip(_SMALLEST_SUM)
    return parts
