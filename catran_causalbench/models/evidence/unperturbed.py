"""What is expected of sources that were never perturbed: the gates' opinion beside two rules that learn nothing.

Gates learn what an unperturbed source does from perturbed ones that are presented as if they were not. Where these are
few, gates partly learn them by heart. Two rules of thumb about the effect of source p on target l know nothing of
them: the partial correlation times the depth of p's knockdown, and p's share of l's squared correlations times the
usual depth. The expected effect lies between the gates alone and half the sum of all three,

    A[l, p] = scale · ((1 − w) · gates + w · (gates + |M[p, l]| + usual depth · coupling · share[p, l]) / 2),

where the weight w is near 1 if gates learn from few pairs, and near 0 if they learn from many.

The scale is that of the perturbed sources: what is expected of them as if they had never been perturbed is compared
with what is expected of them by their measured effects.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from catran_causalbench.models.evidence.config import SHARE, EvidenceSettings
from catran_causalbench.models.evidence.shares import correlation_shares, correlations, coupling_of_genes
from catran_causalbench.models.evidence.statistics import SufficientStatistics

_CAUSAL_SHARE = 0.5  # a correlation does not tell which of two genes acts on the other
_SCALE_SPREAD = 0.25  # of the scale around 1, before any source is looked at
_SMALLEST_SCALE = 1e-3  # an order remains among sources of which nothing can be predicted


@dataclass(frozen=True)
class UnperturbedSources:
    """The rules for sources that were never perturbed, in the targets' standard deviations.

    Attributes
    ----------
    by_share
        G × G, source × target, the effect that the share of the correlations predicts.
    weight
        Of the rules, 0 to 1.
    scale
        What the expected effects are multiplied by.
    """

    by_share: torch.Tensor
    weight: float
    scale: float = 1.0

    @classmethod
    def of(cls, statistics: SufficientStatistics, settings: EvidenceSettings, weight: float) -> UnperturbedSources:
        """Compute the shares; some genes have to be perturbed, to tell the usual depth."""
        correlation = correlations(statistics.covariance)
        shares, coupling = correlation_shares(correlation), coupling_of_genes(correlation, statistics)
        shares *= 0 if SHARE in settings.disabled_terms else statistics.all_effects.usual_depth * coupling
        return cls(torch.from_numpy(np.ascontiguousarray(shares.T, np.float32)), weight)

    def __call__(
        self, gated: torch.Tensor, partial: torch.Tensor, source: torch.Tensor, target: torch.Tensor
    ) -> torch.Tensor:
        """Return the expected effects of N pairs from those of the gates and of the partial correlations."""
        by_rules = _CAUSAL_SHARE * (gated + partial + self.by_share[source, target])
        return self.scale * torch.lerp(gated, by_rules, self.weight)

    def calibrated(self, expected: torch.Tensor, known: torch.Tensor, source: torch.Tensor) -> UnperturbedSources:
        """Return the same on the scale of perturbed sources.

        The scale is the slope of the known effects over the expected ones, shrunk towards 1, more so the fewer the
        sources are and the less they agree (empirical Bayes).

        Parameters
        ----------
        expected, known
            N effects of perturbed sources: as if they had never been perturbed, and by their measured effects.
        source
            N, the perturbed genes.
        """
        x, y = expected.double().numpy(), known.double().numpy()
        number, square = len(source.unique()), (x**2).sum()
        if number < 2 or not square:
            return self
        slope = (x * y).sum() / square
        residuals = np.bincount(source.numpy(), x * (y - slope * x))
        variance = (residuals**2).sum() * number / (number - 1) / square**2  # of the slope, between sources
        scale = (slope * _SCALE_SPREAD**2 + variance) / (_SCALE_SPREAD**2 + variance)
        return replace(self, scale=max(float(scale), _SMALLEST_SCALE))
