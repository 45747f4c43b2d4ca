"""Attention as a weighted sum of evidence: small gates decide, pair by pair, how far to trust each kind.

The attention of target l on source p is the expected size of the effect,

    A[l, p] = g₁·|effect| + g₂·(± partial) + g₃·(± factor-adjusted) + g₄        (in l's standard deviations),

where the second and third terms are correlations times the depth of p's knockdown. They count in favour of the pair
where their sign agrees with that of the effect, and against it elsewhere. The gates g > 0 are computed by a neural
network of about a thousand parameters from features of the pair and of its two genes: by how many standard errors the
effect differs from zero, how strongly p acts on others, how readily l responds to others, what the reverse pair shows.
These features take the place of a gene's embedding: they are computed from the cells instead of learned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from catran_causalbench.models.evidence.calibration import PowerLaw
from catran_causalbench.models.evidence.config import FEATURES, TERMS, EvidenceSettings
from catran_causalbench.models.evidence.gates import GateModule
from catran_causalbench.models.evidence.statistics import Associations, PerturbationEffects, knockdown_depths
from catran_causalbench.models.evidence.unperturbed import UnperturbedSources
from catran_causalbench.utils.parallel import in_threads

# Partial correlations below so many standard errors do not count, nor do effects towards a gene's activity.
_NOISE = 2.0
_LARGEST_SCORE = 1e6  # so that sums of squares stay finite
PAIRS_PER_BLOCK = 2**14
PARTIAL = TERMS.index("partial")
_AS_IT_IS = PowerLaw()


@dataclass(frozen=True)
class PairEvidence:
    """Evidence on all ordered pairs; matrices are G × G, source × target, vectors G.

    Attributes
    ----------
    effect, partial, factor_adjusted
        The measured effect and the two correlations, which predict effects times the depth; 0 on the diagonal.
    num_cells
        From which the correlations were computed.
    perturbed, error, depth
        Whether a gene was perturbed, the standard error of its effects (1 without them), the depth of its knockdown.
    deviation
        Standard deviation of a gene on the scale of the data.
    source_activity, target_activity, association
        Sums of squared scores beyond the noise, per gene: of its effects as a source, as a target, and of its partial
        correlations.
    disabled_features, disabled_terms
        Positions of the features and of the terms that are set to 0.
    """

    effect: torch.Tensor
    partial: torch.Tensor
    factor_adjusted: torch.Tensor
    num_cells: int
    perturbed: torch.Tensor
    error: torch.Tensor
    depth: torch.Tensor
    deviation: torch.Tensor
    source_activity: torch.Tensor
    target_activity: torch.Tensor
    association: torch.Tensor
    disabled_features: tuple[int, ...] = ()
    disabled_terms: tuple[int, ...] = ()

    @classmethod
    def gather(
        cls, measured: PerturbationEffects, associations: Associations, settings: EvidenceSettings
    ) -> PairEvidence:
        """Collect effects and associations; the settings name the features and terms to leave out."""
        effect = measured.effect.copy()
        np.fill_diagonal(effect, 0)
        error = np.where(measured.perturbed, measured.error, 1.0)
        arrays = {
            "effect": effect,
            "partial": associations.partial,  # shared by all folds, as is the next one
            "factor_adjusted": associations.factor_adjusted,
            "perturbed": measured.perturbed,
            "error": error,
            "depth": knockdown_depths(measured),
            "deviation": measured.deviation,
        }
        tensors = {name: torch.from_numpy(np.asarray(array, np.float32)) for name, array in arrays.items()}
        activity = _beyond_noise(tensors["effect"] / tensors["error"][:, None])
        return cls(
            **tensors,
            num_cells=associations.num_cells,
            source_activity=activity.sum(dim=1),
            target_activity=activity.sum(dim=0),
            association=_beyond_noise(tensors["partial"] * associations.num_cells**0.5).sum(dim=1),
            disabled_features=tuple(map(FEATURES.index, settings.disabled_features)),
            disabled_terms=tuple(TERMS.index(term) for term in settings.disabled_terms if term in TERMS),
        )

    def look_up(
        self, source: torch.Tensor, target: torch.Tensor, is_perturbed: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return features and terms of some pairs.

        Parameters
        ----------
        source, target
            N genes each.
        is_perturbed
            N, 1 where the source's own effects are used and 0 where it is treated as if it had never been perturbed.

        Returns
        -------
        features
            N × 12, input of the gates, in the order of :data:`~catran_causalbench.models.evidence.config.FEATURES`.
        terms
            N × 3, which the gates weigh: the effect and those that the two correlations predict, times the sign that
            makes the effect (or, without one, the partial correlation) positive.
        sign
            N, this sign.
        """
        num_genes, num_sources = len(self.depth), self.perturbed.sum().clamp_min(1)
        depth, measured = self.depth[source], self.effect[source, target]
        measured_score, effect = measured / self.error[source], measured * is_perturbed
        correlation = self.partial[source, target]
        partial, partial_score = correlation * depth, correlation * self.num_cells**0.5
        sign = torch.where(effect != 0, effect.sign(), torch.where(partial < 0, -1.0, 1.0))
        partial = _without_noise(partial, partial_score)
        adjusted = self.factor_adjusted[source, target] * depth * sign
        own, own_association = _beyond_noise(measured_score), _beyond_noise(partial_score)
        features = torch.stack(
            [
                (measured_score * is_perturbed).abs().log1p(),
                is_perturbed,
                depth,
                self.deviation[target].log(),
                (partial_score * sign * depth.sign()).clamp(-8, 8) / 2,
                (10 * partial * sign).clamp(-3, 3),
                # Activities leave out the pair's own score, which must not enter twice.
                ((self.source_activity[source] - own) / num_genes).clamp_min(0).log1p() * is_perturbed,
                ((self.target_activity[target] - own) / num_sources).clamp_min(0).log1p(),
                ((self.association[source] - own_association) / num_genes).clamp_min(0).log1p(),
                ((self.association[target] - own_association) / num_genes).clamp_min(0).log1p(),
                (self.effect[target, source] / self.error[target]).abs().log1p(),
                adjusted.sign() * (10 * adjusted.abs()).log1p(),
            ]
        )
        terms = torch.stack([effect * sign, partial * sign, adjusted])
        features[list(self.disabled_features)] = 0
        terms[list(self.disabled_terms)] = 0
        return features.T, terms.T, sign


def _beyond_noise(score: torch.Tensor) -> torch.Tensor:
    return (score.abs() - _NOISE).clamp(0, _LARGEST_SCORE).square()


def _without_noise(value: torch.Tensor, score: torch.Tensor) -> torch.Tensor:
    """Shrink values, more so near the noise, by the non-negative garrote (L. Breiman, Technometrics 37, 1995)."""
    return value * (1 - (_NOISE / score).square()).clamp_min(0)


class GatedAttention(nn.Module):
    """Trained gates over the evidence of all training cells, averaged and calibrated: the soft adjacency.

    The law is that of perturbed sources; the rules are those for sources that were never perturbed.
    """

    def __init__(
        self,
        evidence: PairEvidence,
        gates: GateModule,
        perturbed: PowerLaw = _AS_IT_IS,
        unperturbed: UnperturbedSources | None = None,
    ) -> None:
        super().__init__()
        self.evidence = evidence
        self.gates = gates
        self.perturbed = perturbed
        self.unperturbed = unperturbed

    def attention_rows(self, targets: torch.Tensor) -> torch.Tensor:
        """Return the expected size of the effects of all G genes on some targets: targets × G, on the data's scale."""
        num_genes = len(self.evidence.depth)
        rows = torch.empty(len(targets), num_genes)

        def fill(block: torch.Tensor) -> None:
            source = torch.arange(num_genes).repeat(len(block))
            target = targets[block].repeat_interleave(num_genes)
            effect = self.expected_effects(source, target, self.evidence.perturbed[source])
            rows[block] = (effect * self.evidence.deviation[target]).view(len(block), num_genes)

        in_threads(torch.no_grad()(fill), torch.arange(len(targets)).split(max(1, PAIRS_PER_BLOCK // num_genes)))
        return rows

    def expected_effects(self, source: torch.Tensor, target: torch.Tensor, is_perturbed: torch.Tensor) -> torch.Tensor:
        """Return the expected size of the effects of N pairs, in the targets' standard deviations.

        Sources count as perturbed (1) or not (0), as in :meth:`PairEvidence.look_up`.
        """
        features, terms, _ = self.evidence.look_up(source, target, is_perturbed)
        effect = self.gates(self.gates.prepare(features, terms))[0].mean(dim=0)
        measured = self.perturbed(effect, self.evidence.error[source])
        if self.unperturbed:
            effect = self.unperturbed(effect, terms[:, PARTIAL], source, target)
        return torch.where(is_perturbed > 0, measured, effect)
