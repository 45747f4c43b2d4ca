"""A second ranking, by direct effect: what is left between two genes once the other genes are known.

Every target is regressed on other genes over all cells in which it was not perturbed itself. The labels are not taken
out: a perturbation moves its source whatever else regulates it. A regression cannot tell causes from genes downstream,
so every source p of a target l is put to the test in the cells in which p was perturbed itself:

    log ratio[p, l] = log likelihood of l by the regression − log likelihood of l by the regression without p.

A gene downstream of l predicts l in most cells, but misleads where it was perturbed. Such sources are dropped, and the
target is regressed again on the others. The score combines the total weight W with the t-value of p,

    W[p, l]^(1 − e) · (1 + P(cause)[p, l] · P(forward)[p, l] · (√max(|t[p, l]|, 1) − 1))².

Both probabilities follow from the log ratios, and e is the share of the variance that the causes explain: the more the
regressions explain, the less the size of the total effect counts. Where cells do not vary through the network, t-values
are small and e is near 0, which leaves the total ranking. The square makes a large t-value of an unlikely cause, which
factors that act on many genes produce, count for less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.models.evidence.statistics import partial_correlations
from catran_causalbench.models.evidence.sums import sum_over_cells
from catran_causalbench.utils.parallel import blas_on_one_thread

Floats = NDArray[np.float64]
Genes = NDArray[np.int64]

_MAX_SOURCES, _CELLS_PER_SOURCE = 100, 10  # of a regression: sources at most, and cells for each at least
_RIDGE = 1e-3  # of a gene's variance
_MISLEADS = -3.0  # log ratio of a source that is dropped: its own perturbation speaks 20 : 1 against it
_MAX_ROUNDS = 15
_STRONG = 4.0  # t-value that hardly arises by chance
_LOG_RATIOS_ADDED = 5.0  # to those of the sources that tell whether variation can speak for a source
_PAIRS_ADDED, _SMALLEST_SHARE, _MAX_STEPS = 2, 0.01, 100  # of the estimate of how many sources are causes
_LARGEST_LOG_RATIO = 50.0
_SMALLEST_WEIGHT = 1e-3  # of the mean total weight; smaller ones are levelled, their order is kept


@dataclass(frozen=True)
class ConditionalFits:
    """Regressions of all targets on other genes; matrices are G × G, source × target, 0 where there is no source.

    Attributes
    ----------
    t_value
        Slope of the source over its standard error.
    contribution
        Share of the target's variance that is attributed to the source: its slope times its covariance with the target.
    shift_ratio, within_ratio
        The two parts of the log ratio, 0 where the source was not perturbed: one from the mean of the cells in which
        it was, relative to controls, and one from the variation around that mean. Those of a source that was dropped
        are from its last regression: where the perturbation of one gene rules out one direction, the other is likelier.
    perturbed
        G, true where the source was perturbed.
    """

    t_value: Floats
    contribution: Floats
    shift_ratio: Floats
    within_ratio: Floats
    perturbed: NDArray[np.bool_]

    def direct_weights(self, total: np.ndarray) -> Floats:
        """Return the score of all pairs, without a unit, 0 on the diagonal, from their total weights; G × G each."""
        off_diagonal = ~np.eye(len(total), dtype=bool)
        weight = total.astype(np.float64) / max(np.abs(total[off_diagonal]).mean(), np.finfo(np.float32).tiny)
        weight = (weight + np.hypot(weight, 2 * _SMALLEST_WEIGHT)) / 2  # above 0, in the same order
        size = np.abs(self.t_value)
        trusted = self.shift_ratio + self.within_ratio.clip(max=0) + self.trust * self.within_ratio.clip(0)
        strong = off_diagonal & (size > _STRONG) & self.perturbed[:, None]
        is_cause = _probability(trusted, _share_of_causes(trusted[strong]))
        ratio = self.shift_ratio + self.within_ratio
        is_forward = _probability(np.log(weight / weight.T) + ratio - ratio.T)
        explained = (is_cause * self.contribution).sum(axis=0).clip(0, 1).mean()
        dependence = 1 + is_cause * is_forward * (np.sqrt(np.maximum(size, 1)) - 1)
        return np.where(off_diagonal, weight ** (1 - explained) * dependence**2, 0)

    @property
    def trust(self) -> float:
        """How far variation around the mean may speak for a source, 0 to 1.

        What shifts measurements only, as a cell's size does, makes genes vary together also where one of them is
        perturbed. It shows in sources that the shift alone rules out: variation should speak against them, too. The
        difference between what speaks against and for them, over the sum, is squared, so that it must be clear.
        """
        ruled_out = self.within_ratio[self.shift_ratio < _MISLEADS]
        difference = -ruled_out.sum() / (np.abs(ruled_out).sum() + _LOG_RATIOS_ADDED)
        return float(max(difference, 0) ** 2)


def direct_weights(dataset: PerturbationDataset, total: np.ndarray) -> np.ndarray:
    """Score all pairs by direct effect, float32, G × G, source × target, from their total weights (G × G)."""
    with blas_on_one_thread():
        return np.float32(fit_conditionally(dataset, total).direct_weights(total))


def fit_conditionally(dataset: PerturbationDataset, total: np.ndarray) -> ConditionalFits:
    """Regress every target, and drop the sources that mislead until there are none."""
    cells, genes = _PooledCells(dataset), dataset.num_genes
    sources = cells.candidates(total)
    t_value, contribution, shift_ratio, within_ratio = np.zeros((4, genes, genes))
    remaining: list[int] = list(range(genes))
    for _ in range(_MAX_ROUNDS):
        regressions = [cells.regress(target, sources[target]) for target in remaining]
        t_value[:, remaining] = contribution[:, remaining] = 0
        for fit in regressions:
            t_value[fit.sources, fit.target], contribution[fit.sources, fit.target] = fit.t_value, fit.contribution
        for source in dataset.perturbed_genes:
            affected = [fit for fit in regressions if t_value[source, fit.target]]
            targets = [fit.target for fit in affected]
            shift_ratio[source, targets], within_ratio[source, targets] = cells.log_ratios(source, affected)
        for target in remaining:
            pairs = sources[target], target
            sources[target] = _without_the_worst(sources[target], shift_ratio[pairs] + within_ratio[pairs])
        remaining = [fit.target for fit in regressions if len(sources[fit.target]) < len(fit.sources)]
        if not remaining:
            break
    perturbed = np.isin(np.arange(genes), dataset.perturbed_genes)
    return ConditionalFits(t_value, contribution, shift_ratio, within_ratio, perturbed)


def _without_the_worst(sources: Genes, log_ratio: Floats) -> Genes:
    """Drop half of the sources that mislead, at least one: without the worst, others may no longer do so."""
    misleading = int((log_ratio < _MISLEADS).sum())
    return np.delete(sources, np.argsort(log_ratio, kind="stable")[: -(-misleading // 2)])


def _share_of_causes(log_ratio: Floats) -> float:
    """Return the share π of sources that are causes, by maximum likelihood with a few pairs added that are none.

    The likelihood of a source is π · exp(log ratio) + 1 − π, relative to that of one that is no cause. Where there is
    no source to tell, π is ½.
    """
    share = 0.5
    for _ in range(_MAX_STEPS if len(log_ratio) else 0):
        causes = float(_probability(log_ratio, share).sum())
        share = max(causes / (len(log_ratio) + _PAIRS_ADDED), _SMALLEST_SHARE)
    return share


def _probability(log_ratio: Floats, prior: float = 0.5) -> Floats:
    return expit(np.log(prior / (1 - prior)) + log_ratio.clip(-_LARGEST_LOG_RATIO, _LARGEST_LOG_RATIO))


@dataclass(frozen=True)
class _Regression:
    """Regression of a target on K sources (ascending), all in standard deviations of the pooled cells.

    ``slope`` is K. ``loss`` is K × K: column k is what the regression without source k lacks of the slopes. The
    intercepts of both are left out, since predictions are compared with those in controls. ``variance`` is that of the
    residuals.
    """

    target: int
    sources: Genes
    slope: Floats
    loss: Floats
    variance: float
    t_value: Floats
    contribution: Floats


class _PooledCells:
    """All cells but the excluded ones, in standard deviations over all labels, and their Gram matrix."""

    def __init__(self, dataset: PerturbationDataset) -> None:
        self._dataset = dataset
        sums = sum_over_cells(dataset, num_folds=1, seed=0)
        cells, total = sums.cells[0], sums.total[0].astype(np.float64)
        self.num_cells = int(cells.sum())
        shift = total.sum(axis=0) / self.num_cells
        self._centre = sums.centre + shift
        # The sum of products within labels, and between their means.
        between = (total / cells.clip(1)[:, None] - shift) * np.sqrt(cells)[:, None]
        gram = sums.covariance * max(self.num_cells - np.count_nonzero(cells), 1) + between.T @ between
        deviation = np.sqrt(np.diag(gram) / self.num_cells)
        self._scale = np.where(deviation > 0, deviation, 1)
        self._gram = gram / np.outer(self._scale, self._scale)
        controls = dataset.control_cells()
        self._num_controls = len(controls)
        self._control_mean = (controls.mean(axis=0, dtype=np.float64) - self._centre) / self._scale

    def candidates(self, total: np.ndarray) -> list[Genes]:
        """Return the sources to start from for every target: half by partial correlation, half by total weight."""
        most = min(_MAX_SOURCES, self.num_cells // _CELLS_PER_SOURCE)
        partial, own = np.abs(partial_correlations(self._gram)), np.eye(len(total), dtype=bool)
        ordered = [np.argsort(np.where(own, np.inf, -scores), axis=0, kind="stable") for scores in (partial, total)]
        rank = np.minimum(*(np.argsort(order, axis=0) for order in ordered))
        return [np.flatnonzero(chosen) for chosen in ((rank < most / 2) & ~own).T]

    def regress(self, target: int, sources: Genes) -> _Regression:
        """Regress a target on sources over the cells in which it was not perturbed itself."""
        columns = np.append(sources, target)
        own = self._perturbed(target)[:, columns]
        count = self.num_cells - len(own)
        mean = -own.sum(axis=0) / count  # over all cells it is 0
        gram = self._gram[np.ix_(columns, columns)] - own.T @ own - count * np.outer(mean, mean)
        among, with_target, total = gram[:-1, :-1], gram[:-1, -1], max(gram[-1, -1], np.finfo(np.float32).tiny)
        inverse = np.linalg.inv(among + _RIDGE * count * np.eye(len(sources)))
        slope = inverse @ with_target
        residual = total - 2 * slope @ with_target + slope @ among @ slope
        variance = float(residual / max(count - len(sources), 1))
        return _Regression(
            target=target,
            sources=sources,
            slope=slope,
            loss=inverse * (slope / np.diag(inverse)),
            variance=variance,
            t_value=slope / np.sqrt(variance * np.diag(inverse)),
            contribution=slope * with_target / total,
        )

    def log_ratios(self, source: int, regressions: list[_Regression]) -> tuple[Floats, Floats]:
        """Return both parts of a source's log ratio for the targets of some regressions, one number for each."""
        slope, loss = np.zeros((2, self._dataset.num_genes, len(regressions)))
        for column, fit in enumerate(regressions):
            slope[fit.sources, column] = fit.slope
            loss[fit.sources, column] = fit.loss[:, np.searchsorted(fit.sources, source)]
        cells = self._perturbed(source) - self._control_mean
        residual, lost = cells[:, [fit.target for fit in regressions]] - cells @ slope, cells @ loss
        mean_residual, mean_lost = residual.mean(axis=0), lost.mean(axis=0)
        residual, lost = residual - mean_residual, lost - mean_lost
        # Residuals without the source are residual + lost: half the difference of the sums of squares, per variance.
        certainty = len(cells) * self._num_controls / (len(cells) + self._num_controls)
        shift = certainty * mean_lost * (2 * mean_residual + mean_lost)
        within = (lost * (2 * residual + lost)).sum(axis=0)
        double_variance = 2 * np.array([fit.variance for fit in regressions])
        return shift / double_variance, within / double_variance

    def _perturbed(self, gene: int) -> Floats:
        return (self._dataset.perturbed_cells(gene) - self._centre) / self._scale
