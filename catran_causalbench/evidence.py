"""What the training cells say about every pair of genes, from sums that are taken once.

Two kinds of evidence that gene p acts on gene l, both in units of l's standard deviation among like cells:

* the **measured shift**: mean of l where p is knocked down, minus its mean in controls;
* the **masked prediction**: the weight of p when l is hidden and predicted from all other genes at once. With squared
  error that task of the paper (§1.2) has a closed form, the partial correlation of p and l within perturbations; times
  p's own knock-down it is a predicted shift, and exists for sources that were never perturbed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from catran_causalbench.dataset import CONTROL, PerturbationDataset

# Added to the diagonal of the correlations before they are inverted, so that few cells do not blow up their noise.
_RIDGE = 0.05


@dataclass(frozen=True)
class CellSums:
    """Sums over the cells of every label, in folds; the label after the last gene is that of the controls.

    Attributes
    ----------
    count
        folds × (G + 1), cells.
    total, square
        folds × (G + 1) × G, sums of expression and of its square.
    covariance
        G × G, of expression within labels, pooled over all cells.
    """

    count: np.ndarray
    total: np.ndarray
    square: np.ndarray
    covariance: np.ndarray

    @property
    def num_folds(self) -> int:
        """Number of folds."""
        return len(self.count)

    def shifts(self, folds: list[int]) -> MeasuredShifts:
        """Shifts measured in the cells of some folds."""
        return _measured_shifts(*(sums[folds].sum(axis=0) for sums in (self.count, self.total, self.square)))


@dataclass(frozen=True)
class MeasuredShifts:
    """What knock-downs did, in units of each target's standard deviation within labels.

    Attributes
    ----------
    shift
        G × G, source × target; on the diagonal the depth of the knock-down itself; 0 for unperturbed sources.
    error
        G, the standard error of a source's shifts; NaN for unperturbed sources.
    deviation
        G, the standard deviation that is the unit, on the scale of the data.
    control_mean
        G, mean expression in controls.
    """

    shift: np.ndarray
    error: np.ndarray
    deviation: np.ndarray
    control_mean: np.ndarray

    @property
    def perturbed(self) -> np.ndarray:
        """G, true where the source was perturbed."""
        return ~np.isnan(self.error)


def sum_cells(dataset: PerturbationDataset, num_folds: int, seed: int) -> CellSums:
    """Add up the cells of every label, dealt at random to folds; excluded cells take no part."""
    genes = dataset.num_genes
    rng = np.random.default_rng(seed)
    count = np.zeros((num_folds, genes + 1))
    total, square = np.zeros((2, num_folds, genes + 1, genes))
    covariance, freedom = np.zeros((genes, genes)), 0
    for code in [*dataset.perturbed_genes, CONTROL]:
        cells = dataset.expression[rng.permutation(np.flatnonzero(dataset.intervention == code))]
        label = genes if code == CONTROL else code
        for fold in range(num_folds):
            part = cells[fold::num_folds]
            count[fold, label] = len(part)
            total[fold, label] = part.sum(axis=0, dtype=np.float64)
            square[fold, label] = np.einsum("cg,cg->g", part, part, dtype=np.float64)
        centred = cells - cells.mean(axis=0, dtype=np.float64).astype(np.float32)
        covariance += centred.T @ centred
        freedom += len(cells) - 1
    return CellSums(count, total, square, covariance / max(freedom, 1))


def _measured_shifts(count: np.ndarray, total: np.ndarray, square: np.ndarray) -> MeasuredShifts:
    genes = total.shape[1]
    mean = total / np.maximum(count, 1)[:, None]
    within = square - count[:, None] * mean**2
    freedom = np.repeat(np.maximum(count - 1, 0)[:, None], genes, axis=1)
    np.fill_diagonal(within[:genes], 0)  # being knocked down changes a gene's own variance
    np.fill_diagonal(freedom[:genes], 0)
    variance = within.sum(axis=0) / np.maximum(freedom.sum(axis=0), 1)
    deviation = np.sqrt(np.maximum(variance, 0)) + 1e-6
    perturbed = (count[:genes] > 0) & (count[genes] > 0)
    shift = np.where(perturbed[:, None], (mean[:genes] - mean[genes]) / deviation, 0)
    error = np.sqrt(1 / np.maximum(count[:genes], 1) + 1 / np.maximum(count[genes], 1))
    return MeasuredShifts(shift, np.where(perturbed, error, np.nan), deviation, mean[genes])


def masked_prediction(covariance: np.ndarray) -> np.ndarray:
    """Partial correlations of all pairs, G × G, symmetric, 0 on the diagonal.

    The weight of gene p in the best linear prediction of gene l from all others is minus the entry (p, l) of the
    inverse covariance over the entry (l, l); scaled alike for both genes it is their partial correlation.
    """
    deviation = np.sqrt(np.diag(covariance)) + 1e-9
    correlation = covariance / np.outer(deviation, deviation)
    inverse = np.linalg.inv(correlation + _RIDGE * np.eye(len(correlation)))
    scale = np.sqrt(np.diag(inverse))
    partial = -inverse / np.outer(scale, scale)
    np.fill_diagonal(partial, 0)
    return partial


def knock_down_depths(measured: MeasuredShifts) -> np.ndarray:
    """How far each gene's own expression falls when it is targeted, G, in its standard deviations (negative).

    Where it was never targeted, a gene is expected to fall as perturbed genes of its level and variance do; where no
    gene was, by one standard deviation.
    """
    perturbed = measured.perturbed
    if not perturbed.any():
        return np.full(len(perturbed), -1.0)
    level = measured.control_mean
    terms = np.stack([level, level**2, 1 / measured.deviation, np.ones_like(level)], axis=1)
    depth = np.diag(measured.shift)
    weights = np.linalg.lstsq(terms[perturbed], depth[perturbed], rcond=None)[0]
    return np.where(perturbed, depth, terms @ weights)
