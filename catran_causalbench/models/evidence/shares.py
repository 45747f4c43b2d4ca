"""How the correlations of a target are shared among the other genes, which says something about the direction, too.

A hub has a large share of the squared correlations of each of its many targets, and each of these a small share of the
hub's.
"""

from __future__ import annotations

import numpy as np

from catran_causalbench.models.evidence.statistics import SufficientStatistics

SMALLEST_DEVIATION = 1e-5  # of a gene that varies within labels
_SMALLEST_COUPLING = 0.01  # so that sources never perturbed keep an order
_SMALLEST_SUM = 1e-12


def correlation_shares(statistics: SufficientStatistics) -> tuple[np.ndarray, float]:
    """Return each source's share of the squared correlations of a target, and the coupling of the genes.

    Returns
    -------
    shares
        G × G, target × source, of the squares of the correlations among cells of one label: every row sums to 1. 0 on
        the diagonal and for genes that do not vary.
    coupling
        Share of all squared correlations that lies beyond 1 / (cells − labels) each, those of independent genes, 0.01
        to 1: whether correlations say anything about how genes act on each other.
    """
    variance, cells = np.diag(statistics.covariance), statistics.count.sum(axis=0)
    scale = variance.clip(SMALLEST_DEVIATION**2)
    squared = statistics.covariance**2
    squared /= scale
    squared /= scale[:, None]
    np.fill_diagonal(squared, 0)
    varying = np.count_nonzero(variance > SMALLEST_DEVIATION**2)
    by_chance = varying * (varying - 1) / max(cells.sum() - np.count_nonzero(cells), 1)
    coupling = 1 - min(by_chance / max(squared.sum(), _SMALLEST_SUM), 1 - _SMALLEST_COUPLING)
    squared /= squared.sum(axis=1, keepdims=True).clip(_SMALLEST_SUM)
    return squared, coupling
