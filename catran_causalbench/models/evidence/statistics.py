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

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.models.evidence.factors import factor_adjusted_correlations, unit_diagonal
from catran_causalbench.models.evidence.sums import CPU, sum_over_cells
from catran_causalbench.utils.parallel import blas_on_one_thread, in_threads

# Added to the diagonal of the correlations before they are inverted, so that few cells do not blow up their noise.
_RIDGE = 0.05
_DEPTH_RIDGE = 1.0  # the same for the depth of knockdowns, as a number of genes


@dataclass(frozen=True)
class SufficientStatistics:
    """Sums over the cells of every label in every fold; the label after the last gene is that of the controls.

    Attributes
    ----------
    count
        folds × (G + 1), cells.
    centre
        G, near the mean of all cells.
    total
        folds × (G + 1) × G, float32, sums of expression minus the centre.
    square
        folds × G, sums of squared distances from the mean of the same label and fold; without the label of the gene
        itself, since a knockdown changes a gene's own variance.
    covariance
        G × G, of expression within labels, pooled over all cells.
    """

    count: np.ndarray
    centre: np.ndarray
    total: np.ndarray
    square: np.ndarray
    covariance: np.ndarray

    @cached_property
    def all_effects(self) -> PerturbationEffects:
        """Return the effects that are measured in all cells."""
        return self.effects(list(range(len(self.count))))

    def effects(self, folds: list[int]) -> PerturbationEffects:
        """Return the effects that are measured in the cells of some folds."""
        genes = len(self.centre)
        mean, count = self._means(folds)
        within = self.square[folds].sum(axis=0)
        for fold in folds if len(folds) > 1 else []:
            between, cells = self._means([fold])
            between -= mean
            np.fill_diagonal(between[:genes], 0)
            within += np.float32(cells) @ np.square(between, out=between)
        freedom = np.maximum(count - 1, 0)
        variance = within / np.maximum(freedom.sum() - freedom[:genes], 1)
        deviation = np.sqrt(np.maximum(variance, 0)) + 1e-6
        perturbed = (count[:genes] > 0) & (count[genes] > 0)
        control_mean = mean[genes].copy()
        mean -= control_mean
        effect = mean[:genes]
        effect /= np.float32(deviation)
        effect[~perturbed] = 0
        error = np.sqrt(1 / np.maximum(count[:genes], 1) + 1 / np.maximum(count[genes], 1))
        return PerturbationEffects(effect, np.where(perturbed, error, np.nan), deviation, self.centre + control_mean)

    def _means(self, folds: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the means of the labels minus the centre, (G + 1) × G, and the numbers of their cells."""
        count, total = self.count[folds].sum(axis=0), self.total[folds[0]].copy()
        for fold in folds[1:]:
            total += self.total[fold]
        total /= np.maximum(np.float32(count), 1)[:, None]
        return total, count


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

    @property
    def usual_depth(self) -> float:
        """Median size of the perturbed genes' effects on their own expression; 1 without any."""
        own = np.abs(np.diag(self.effect))[self.perturbed]
        return float(np.median(own)) if len(own) else 1.0


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
    def of(cls, statistics: SufficientStatistics, device: torch.device = CPU) -> Associations:
        """Compute them from the cells of all labels and folds."""
        measured = statistics.all_effects
        sources = np.flatnonzero(measured.perturbed)
        own = np.arange(len(sources)), sources
        effects = measured.effect[sources] / np.float32(measured.error[sources, None])
        depths = effects[own].astype(float)
        effects[own] = 0
        correlation = unit_diagonal(statistics.covariance)
        work: list[Callable[[], np.ndarray]] = [
            lambda: factor_adjusted_correlations(correlation, sources, effects, depths, device),
            lambda: _partial(correlation, device),
        ]
        with blas_on_one_thread():
            adjusted, partial = in_threads(lambda find: np.float32(find()), work, worthwhile=device.type == "cpu")
        if not len(sources):
            partial = np.sign(partial) * np.sqrt(np.abs(partial * np.float32(correlation)))
        return cls(partial, adjusted, int(statistics.count.sum()))


def sufficient_statistics(
    dataset: PerturbationDataset, num_folds: int, seed: int, device: torch.device = CPU
) -> SufficientStatistics:
    """Sum over the cells of every label, which are dealt at random to the folds; excluded cells are left out."""
    return SufficientStatistics(*sum_over_cells(dataset, num_folds, seed, device))


def partial_correlations(covariance: np.ndarray) -> np.ndarray:
    """Return the partial correlations of all pairs, G × G, symmetric, 0 on the diagonal.

    The weight of gene p in the best linear prediction of gene l from all others is minus the entry (p, l) of the
    inverse covariance over the entry (l, l); scaled alike for both genes it is their partial correlation.
    """
    with blas_on_one_thread():
        return _partial(unit_diagonal(covariance), CPU)


def _partial(correlation: np.ndarray, device: torch.device) -> np.ndarray:
    regularised = torch.tensor(correlation, device=device)
    regularised.diagonal().add_(_RIDGE)
    factor = torch.linalg.cholesky(regularised)
    del regularised
    partial = torch.cholesky_inverse(factor)
    del factor
    scale = partial.diagonal().sqrt()
    partial /= torch.outer(-scale, scale)
    partial.fill_diagonal_(0)
    return partial.cpu().numpy()


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
    with blas_on_one_thread():
        penalised = known.T @ known + _DEPTH_RIDGE * np.eye(terms.shape[1])
        predicted = size.mean() + terms @ np.linalg.solve(penalised, known.T @ (size - size.mean()))
    direction = 1.0 if np.median(depth[perturbed]) > 0 else -1.0
    return np.where(perturbed, depth, direction * predicted.clip(size.min(), size.max()))
