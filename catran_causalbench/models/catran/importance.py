"""What all training cells say about genes and pairs, and the loss that compares attention with it.

The paper (§1.4) measures the importance of a source for a target in every minibatch, by a ratio of prediction errors.
Here it is the source's perturbation effect on the target, shrunk adaptively, measured once in all training cells; for
a source that is not perturbed, its share of the target's variance that the other genes explain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.data.shrinkage import shrunk_effects
from catran_causalbench.models.evidence.shares import (
    SMALLEST_DEVIATION,
    correlations,
    coupling_of_genes,
    explained_shares,
)
from catran_causalbench.models.evidence.statistics import PerturbationEffects, sufficient_statistics
from catran_causalbench.utils.parallel import blas_on_one_thread

_LARGEST_EXCESS = 400.0  # so that a single effect does not make all others of its gene credible
_SMALLEST_EXCESS = 0.01
_SMALLEST_ATTENTION = 1e-12


@dataclass(frozen=True)
class CellStatistics:
    """Statistics of the training cells, float32; excluded cells do not count.

    Attributes
    ----------
    control_mean, deviation
        G each: mean in controls, and standard deviation among cells of one label; 1 for genes that do not vary there.
    signs
        G × G, of the covariances among cells of one label: −1, 0 or 1.
    importance
        G × G, target × source: the expected size of the effect, in the target's standard deviations; 0 on the diagonal
        and NaN where the source was not perturbed.
    association
        G × G, target × source: the share of the source in what all other genes explain of the target's variance among
        cells of one label; 0 on the diagonal and NaN where the source was perturbed.
    depth
        Median size of the perturbed genes' effects on their own expression, in standard deviations; 1 without any.
    coupling
        Share of the squared correlations among cells of one label that lies beyond those of independent genes, 0.01 to
        0.999: whether correlations say anything about how genes act on each other.
    """

    control_mean: torch.Tensor
    deviation: torch.Tensor
    signs: torch.Tensor
    importance: torch.Tensor
    association: torch.Tensor
    depth: float
    coupling: float

    @classmethod
    def of(cls, dataset: PerturbationDataset) -> CellStatistics:
        """Compute them."""
        statistics = sufficient_statistics(dataset, num_folds=1, seed=0)
        measured = statistics.all_effects
        varies = measured.deviation > SMALLEST_DEVIATION
        correlation = correlations(statistics.covariance)
        coupling = coupling_of_genes(correlation, statistics)
        importance = _expected_sizes(measured, varies)
        importance[~measured.perturbed] = np.nan
        arrays = {
            "control_mean": measured.control_mean,
            "deviation": np.where(varies, measured.deviation, 1),
            "signs": np.sign(statistics.covariance),
            "importance": importance.T,
            "association": np.where(measured.perturbed, np.nan, explained_shares(correlation, coupling)),
        }
        tensors = {name: torch.from_numpy(np.float32(array)) for name, array in arrays.items()}
        return cls(**tensors, depth=measured.usual_depth, coupling=coupling)

    def to(self, device: torch.device) -> CellStatistics:
        """Return the same with the statistics of the genes on a device."""
        return replace(self, control_mean=self.control_mean.to(device), deviation=self.deviation.to(device))

    def standardise(self, expression: torch.Tensor, genes: torch.Tensor) -> torch.Tensor:
        """Return the expression of n genes (cells × n) around their mean in controls, in standard deviations."""
        return (expression - self.control_mean[genes]) / self.deviation[genes]


def _expected_sizes(measured: PerturbationEffects, varies: np.ndarray) -> np.ndarray:
    """Return the expected size of the effects on genes that vary, source × target, in the targets' standard deviations.

    Adaptive shrinkage tells effects from noise by the distribution of all effects alone. Pairs differ further, so its
    result is multiplied by τ² / (τ² + 1), where τ² is the variance of the true effects in squared standard errors that
    related pairs suggest: the mean of how far the others of the same source, and those on the same target, vary beyond
    their noise.
    """
    perturbed, error = measured.perturbed, np.where(measured.perturbed, measured.error, 1)[:, None]
    excess = np.where(perturbed[:, None], (measured.effect / error) ** 2 - 1, 0).clip(max=_LARGEST_EXCESS)
    np.fill_diagonal(excess, 0)
    of_source = (excess.sum(axis=1, keepdims=True) - excess) / max(len(excess) - 2, 1)
    on_target = (excess.sum(axis=0, keepdims=True) - excess) / max(perturbed.sum() - 1, 1)
    variance = (of_source.clip(_SMALLEST_EXCESS) + on_target.clip(_SMALLEST_EXCESS)) / 2
    pairs = perturbed[:, None] & varies & ~np.eye(len(perturbed), dtype=bool)
    size = np.zeros(pairs.shape)
    if pairs.any():
        with blas_on_one_thread():
            size[pairs] = np.abs(shrunk_effects(measured.effect[pairs], np.broadcast_to(error, pairs.shape)[pairs]))
    return size * variance / (variance + 1)


def importance_cross_entropy(attention: torch.Tensor, importance: torch.Tensor) -> torch.Tensor:
    """Compute the cross-entropies of attention against importances, each among those sources that have one.

    Both are shares of a target's sources. A target counts in proportion to its sum of importances. How much attention
    all the other sources get is left to the prediction of expression.

    Parameters
    ----------
    attention, importance
        n × n, target × source, and any number of such matrices; importances are NaN for the sources that do not count.

    Returns
    -------
    torch.Tensor
        Mean over the targets, summed over the matrices; 0 where no source has an importance.
    """
    if attention.device.type == "cpu":  # as for the softmax: torch's rounding in float32 depends on the threads
        attention, importance = attention.double(), importance.double()
    measured = ~importance.isnan()
    importance = importance.nan_to_num(0)
    attention = (attention * measured).clamp_min(_SMALLEST_ATTENTION)
    share = attention / attention.sum(dim=-1, keepdim=True)
    surprise = -(importance * share.log()).sum(dim=-1).sum(dim=-1)
    return (surprise / importance.sum(dim=-2).sum(dim=-1).clamp_min(_SMALLEST_ATTENTION)).sum()
