"""Correlations without latent factors: how many factors there are, and what is left when they are removed.

Latent factors such as the cell cycle or stress act on many genes at once, and what they join looks like edges. They
are taken to be leading principal components. But a network without any such factor has principal components, too, and
removing one of those removes half of what the correlations know. So the data decide the number, 0 included.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
import torch

from catran_causalbench.models.evidence.sums import CPU
from catran_causalbench.utils.parallel import blas_on_one_thread, in_threads

_FACTORS_PER_GENE, _MAX_FACTORS = 0.05, 20  # both limit the number of latent factors
# Neighbouring eigenvalues of simulated networks without factors differ by a ratio of 1.05 to 1.3, with factors by more.
_SMALLEST_GAP = 1.4
# How many standard errors better another number must predict the measured effects.
_SURE = 2.0
_MANY_GENES = 1000  # of which a few eigenpairs are faster found by iteration
_TOLERANCE = 1e-10  # of the eigenvalues, relative
_SOURCES_PER_BLOCK = 64


def factor_adjusted_correlations(
    correlation: np.ndarray, sources: np.ndarray, effects: np.ndarray, depths: np.ndarray, device: torch.device = CPU
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
    device
        Where the eigenvectors of many genes are found.
    """
    genes = len(correlation)
    most = min(_MAX_FACTORS, int(_FACTORS_PER_GENE * genes))
    left = correlation.copy()
    if most:
        with blas_on_one_thread():
            values, components = _leading_eigenpairs(correlation, most + 1, device)
            losses = _losses(correlation, values, components, sources, effects, depths)
            number = _choose(_largest_gap(values), losses)
            leading = components[:, :number]
            left -= (leading * values[:number]) @ leading.T
        _scale_to_unit_diagonal(left)
    np.fill_diagonal(left, 0)
    return left


def _leading_eigenpairs(symmetric: np.ndarray, number: int, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest eigenvalues, descending, and their eigenvectors as columns."""
    genes = len(symmetric)
    if genes < _MANY_GENES:
        values, vectors = scipy.linalg.eigh(symmetric, subset_by_index=(genes - number, genes - 1))
        return values[::-1], vectors[:, ::-1]
    matrix = torch.from_numpy(symmetric).to(device)

    def multiply(vector: np.ndarray) -> np.ndarray:
        product: np.ndarray = (matrix @ torch.from_numpy(vector.ravel()).to(device)).cpu().numpy()
        return product

    operator = scipy.sparse.linalg.LinearOperator(symmetric.shape, multiply, dtype=float)
    start = np.random.default_rng(0).normal(size=genes)
    values, vectors = scipy.sparse.linalg.eigsh(operator, number, v0=start, tol=_TOLERANCE)
    order = np.argsort(-values)
    return values[order], vectors[:, order]


def unit_diagonal(symmetric: np.ndarray) -> np.ndarray:
    """Scale rows and columns of a covariance alike, so that its diagonal is 1."""
    scaled = symmetric.copy()
    _scale_to_unit_diagonal(scaled)
    return scaled


def _scale_to_unit_diagonal(symmetric: np.ndarray) -> None:
    scale = np.sqrt(np.diag(symmetric).clip(0)) + 1e-9
    symmetric /= np.outer(scale, scale)


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
    product, square = np.zeros((2, len(values), len(sources)))
    removed = np.cumsum(components**2 * values, axis=1)  # G × numbers, from the diagonal, by so many factors and one
    left_of_variance = np.column_stack([np.diag(correlation), np.diag(correlation)[:, None] - removed[:, :-1]])
    scale = np.sqrt(left_of_variance.clip(0)) + 1e-9

    def predict(block: slice) -> None:
        chosen = sources[block]
        own, left = (np.arange(len(chosen)), chosen), correlation[chosen]
        left[own] = 0
        for number in range(len(values)):
            factor = scale[:, number]
            predicted = left * (depths[block] / factor[chosen])[:, None]
            predicted /= factor
            product[number, block] = np.einsum("sg,sg->s", predicted, effects[block])
            square[number, block] = np.einsum("sg,sg->s", predicted, predicted)
            left -= np.outer(components[chosen, number] * values[number], components[:, number])
            left[own] = 0

    in_threads(predict, [slice(i, i + _SOURCES_PER_BLOCK) for i in range(0, len(sources), _SOURCES_PER_BLOCK)])
    # A negative multiple would reward the mirror image that the removal of real effects leaves behind.
    others = (sums.sum(axis=1, keepdims=True) - sums for sums in (product, square))
    multiple = np.divide(next(others), next(others).clip(1e-9)).clip(0)
    return multiple**2 * square - 2 * multiple * product


def _choose(number: int, losses: np.ndarray) -> int:
    """Return the number of factors that predicts best, if surely better than the given one."""
    best = int(losses.sum(axis=1).argmin())
    gain = losses[number] - losses[best]
    sure = len(gain) > 1 and gain.mean() > _SURE * gain.std(ddof=1) / np.sqrt(len(gain))
    return best if sure else number
