"""What the training cells say about every pair of genes, from sufficient statistics that are computed once.

Three kinds of evidence that gene p acts on gene l, all in units of l's standard deviation among cells of one label:

* the **perturbation effect**: mean of l where p is knocked down, minus its mean in controls;
* the **partial correlation** of p and l within labels: the weight of p when l is masked and predicted from all other
  genes at once. With squared error that task of the paper (§1.2) has a closed form;
* the **factor-adjusted correlation** of p and l within labels, without latent factors that many genes share. Partial
  correlations show direct effects only; these show the indirect ones, too.

Either correlation, times the depth of p's own knockdown, predicts an effect, also where p was never perturbed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from threadpoolctl import threadpool_limits

from catran_causalbench.data.dataset import CONTROL, PerturbationDataset
from catran_causalbench.models.evidence.factors import factor_adjusted_correlations, unit_diagonal
from catran_causalbench.utils.parallel import in_threads

# Added to the diagonal of the correlations before they are inverted, so that few cells do not blow up their noise.
_RIDGE = 0.05
_DEPTH_RIDGE = 1.0  # the same for the depth of knockdowns, as a number of genes
_CELLS_PER_BLOCK = 4096
_MIN_GENES_PER_PANEL, _MAX_PANELS = 64, 16  # narrower panels would make BLAS slow


@dataclass(frozen=True)
class SufficientStatistics:
    """Sums over the cells of every label in every fold; the label after the last gene is that of the controls.

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

    @cached_property
    def all_effects(self) -> PerturbationEffects:
        """Return the effects that are measured in all cells."""
        return self.effects(list(range(len(self.count))))

    def effects(self, folds: list[int]) -> PerturbationEffects:
        """Return the effects that are measured in the cells of some folds."""
        count, total, square = (sums[folds].sum(axis=0) for sums in (self.count, self.total, self.square))
        genes = total.shape[1]
        mean = total / np.maximum(count, 1)[:, None]
        within = square - count[:, None] * mean**2
        freedom = np.repeat(np.maximum(count - 1, 0)[:, None], genes, axis=1)
        np.fill_diagonal(within[:genes], 0)  # a knockdown changes a gene's own variance
        np.fill_diagonal(freedom[:genes], 0)
        variance = within.sum(axis=0) / np.maximum(freedom.sum(axis=0), 1)
        deviation = np.sqrt(np.maximum(variance, 0)) + 1e-6
        perturbed = (count[:genes] > 0) & (count[genes] > 0)
        effect = np.where(perturbed[:, None], (mean[:genes] - mean[genes]) / deviation, 0)
        error = np.sqrt(1 / np.maximum(count[:genes], 1) + 1 / np.maximum(count[genes], 1))
        return PerturbationEffects(effect, np.where(perturbed, error, np.nan), deviation, mean[genes])


@dataclass(frozen=True)
class PerturbationEffects:
    """Effects of the knockdowns, in units of each target's standard deviation within labels.

    Attributes
    ----------
    effect
        G × G, source × target; on the diagonal the depth of the knockdown itself; 0 for unperturbed sources.
    error
        G, the standard error of a source's effects; NaN for unperturbed sources.
    deviation, control_mean
        G each: the standard deviation that is the unit, and the mean in controls, both on the scale of the data.
    """

    effect: np.ndarray
    error: np.ndarray
    deviation: np.ndarray
    control_mean: np.ndarray

    @property
    def perturbed(self) -> np.ndarray:
        """G, true where the source was perturbed."""
        return ~np.isnan(self.error)


@dataclass(frozen=True)
class Associations:
    """Correlations among cells of one label, G × G each, symmetric, 0 on the diagonal, and the number of these cells.

    See :func:`partial_correlations` and
    :func:`~catran_causalbench.models.evidence.factors.factor_adjusted_correlations`. Without perturbations, which would
    tell what either is worth, the geometric mean of partial and plain correlation takes the place of the former: it is
    large only where both are.
    """

    partial: np.ndarray
    factor_adjusted: np.ndarray
    num_cells: int

    @classmethod
    def of(cls, statistics: SufficientStatistics) -> Associations:
        """Compute them from the cells of all labels and folds."""
        measured = statistics.all_effects
        sources = np.flatnonzero(measured.perturbed)
        effects = measured.effect[sources] / measured.error[sources, None]
        depths = effects[np.arange(len(sources)), sources]
        effects[np.arange(len(sources)), sources] = 0
        correlation, partial = unit_diagonal(statistics.covariance), partial_correlations(statistics.covariance)
        adjusted = factor_adjusted_correlations(correlation, sources, effects, depths)
        if not len(sources):
            partial = np.sign(partial) * np.sqrt(np.abs(partial * correlation))
        return cls(partial, adjusted, int(statistics.count.sum()))


def sufficient_statistics(dataset: PerturbationDataset, num_folds: int, seed: int) -> SufficientStatistics:
    """Sum over the cells of every label, which are dealt at random to the folds; excluded cells are left out."""
    genes = dataset.num_genes
    rng = np.random.default_rng(seed)
    count = np.zeros((num_folds, genes + 1))
    total, square = np.zeros((2, num_folds, genes + 1, genes))
    for code in [*dataset.perturbed_genes, CONTROL]:
        cells = dataset.expression[rng.permutation(np.flatnonzero(dataset.intervention == code))]
        label = genes if code == CONTROL else code
        for fold in range(num_folds):
            part = cells[fold::num_folds]
            count[fold, label] = len(part)
            total[fold, label] = part.sum(axis=0, dtype=np.float64)
            square[fold, label] = np.einsum("cg,cg->g", part, part, dtype=np.float64)
    mean = total.sum(axis=0) / np.maximum(count.sum(axis=0), 1)[:, None]
    return SufficientStatistics(count, total, square, _pooled_covariance(dataset, mean.astype(np.float32)))


def _pooled_covariance(dataset: PerturbationDataset, mean: np.ndarray) -> np.ndarray:
    """Compute the covariance around the means of the labels, (G + 1) × G.

    The upper triangle, in panels of genes: BLAS must not share a product between threads, see :func:`_one_thread`.
    """
    genes = dataset.num_genes
    included = np.flatnonzero(dataset.intervention >= CONTROL)
    label = np.where(dataset.intervention == CONTROL, genes, dataset.intervention)
    width = max(_MIN_GENES_PER_PANEL, -(-genes // _MAX_PANELS))
    panels = [slice(start, start + width) for start in range(0, genes, width)]
    total = np.zeros((genes, genes))

    def add(panel: slice) -> None:
        total[panel, panel.start :] += centred[:, panel].T @ centred[:, panel.start :]

    with _one_thread():
        for cells in np.split(included, range(_CELLS_PER_BLOCK, len(included), _CELLS_PER_BLOCK)):
            centred = dataset.expression[cells] - mean[label[cells]]
            in_threads(add, panels)
    total = np.triu(total) + np.triu(total, 1).T
    return total / max(len(included) - len(np.unique(label[included])), 1)


def partial_correlations(covariance: np.ndarray) -> np.ndarray:
    """Return the partial correlations of all pairs, G × G, symmetric, 0 on the diagonal.

    The weight of gene p in the best linear prediction of gene l from all others is minus the entry (p, l) of the
    inverse covariance over the entry (l, l); scaled alike for both genes it is their partial correlation.
    """
    correlation = unit_diagonal(covariance)
    with _one_thread():
        inverse = np.linalg.inv(correlation + _RIDGE * np.eye(len(correlation)))
    partial = -unit_diagonal(inverse)
    np.fill_diagonal(partial, 0)
    return partial


def knockdown_depths(measured: PerturbationEffects) -> np.ndarray:
    """Return by how many of its standard deviations each gene's own expression changes when it is knocked down, G.

    For a gene that was never perturbed, the size is predicted from the perturbed genes of its mean and variance, within
    the range of theirs: a few genes do not tell what lies beyond. The direction is the usual one. Without any perturbed
    gene the depth is −1.
    """
    perturbed = measured.perturbed
    if not perturbed.any():
        return np.full(len(perturbed), -1.0)
    level, depth = measured.control_mean, np.diag(measured.effect)
    terms = np.stack([level, level**2, 1 / measured.deviation], axis=1)
    terms = (terms - terms[perturbed].mean(axis=0)) / (terms[perturbed].std(axis=0) + 1e-9)
    known, size = terms[perturbed], np.abs(depth[perturbed])
    with _one_thread():
        penalised = known.T @ known + _DEPTH_RIDGE * np.eye(terms.shape[1])
        predicted = size.mean() + terms @ np.linalg.solve(penalised, known.T @ (size - size.mean()))
    direction = 1.0 if np.median(depth[perturbed]) > 0 else -1.0
    return np.where(perturbed, depth, direction * predicted.clip(size.min(), size.max()))


def _one_thread() -> threadpool_limits:
    """Hold BLAS and LAPACK to one thread: on some processors their rounding depends on the number of threads."""
    return threadpool_limits(1, user_api="blas")
