"""Attention held to evidence: small gates decide, pair by pair, how far to trust each kind of it.

The attention of target l on source p is the size of the effect to be expected,

    A[l, p] = g₁·|shift| + g₂·(± masked prediction) + g₃·(± factor_adjusted_correlations) + g₄        (in l's standard deviations),

with gates g > 0 that a network of a thousand parameters computes from what is known of the pair and of its two genes:
how many standard errors the shift has, how strongly p acts on others, how readily l responds to others, what the
reverse pair shows. Masked prediction and factor_adjusted_correlations count for the pair where they agree with the shift in sign, and
against it elsewhere. These sums are a gene's embedding here: computed from the cells instead of learned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from catran_causalbench.models.evidence.statistics import Associations, PerturbationEffects, knockdown_depths

NUM_FEATURES = 12
SHOWN = 1  # the feature that tells whether the source was perturbed
# Shifts and partial correlations below so many standard errors do not count towards a gene's activity.
_NOISE = 2.0
_LARGEST_SCORE = 1e6  # so that sums of squares stay numbers
# A feature that hardly varies among the pairs learned from may do so among others, which must not drown the rest.
_LEAST_SPREAD = 0.05
# Where the gates start: half the shift, a tenth of the masked prediction, half as much of the factor_adjusted_correlations. They stay
# within e^±3 of this, so none dies.
_START = (0.5, 0.1, 0.05, 0.002)
_GATE_RANGE = 3.0
_PAIRS_PER_BLOCK = 2**18


@dataclass(frozen=True)
class PairEvidence:
    """Evidence on all ordered pairs, ready to be looked up; matrices are G × G, source × target, vectors G.

    Attributes
    ----------
    shift, masked, covaried
        Measured shift, and those that masked prediction and factor_adjusted_correlations predict; 0 on the diagonal.
    shift_score, masked_score
        The first two as multiples of their standard errors.
    perturbed
        Whether the source was perturbed.
    depth
        Of the source's knock-down.
    deviation
        Standard deviation of the target on the scale of the data.
    source_activity, target_activity, association
        Sums of squared scores beyond the noise, per gene: of its shifts as a source, as a target, and of its partial
        correlations.
    """

    shift: torch.Tensor
    masked: torch.Tensor
    covaried: torch.Tensor
    shift_score: torch.Tensor
    masked_score: torch.Tensor
    perturbed: torch.Tensor
    depth: torch.Tensor
    deviation: torch.Tensor
    source_activity: torch.Tensor
    target_activity: torch.Tensor
    association: torch.Tensor

    @classmethod
    def gather(cls, measured: PerturbationEffects, associations: Associations) -> PairEvidence:
        """Collect what shifts and associations say."""
        shift = measured.shift.copy()
        np.fill_diagonal(shift, 0)
        depth, error = knockdown_depths(measured), np.where(measured.perturbed, measured.error, 1.0)
        masked, covaried = (matrix * depth[:, None] for matrix in (associations.partial, associations.factor_adjusted))
        masked_score = associations.partial * np.sqrt(associations.num_cells)
        values = (shift, masked, covaried, shift / error[:, None], masked_score)
        matrices = [torch.from_numpy(np.float32(value)) for value in values]
        vectors = [np.float32(vector) for vector in (measured.perturbed, depth, measured.deviation)]
        activity, association = _beyond_noise(matrices[3]), _beyond_noise(matrices[4])
        per_gene = [torch.from_numpy(vector) for vector in vectors]
        per_gene += [activity.sum(dim=1), activity.sum(dim=0), association.sum(dim=1)]
        return cls(*matrices, *per_gene)

    def look_up(
        self, source: torch.Tensor, target: torch.Tensor, shown: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features and evidence of some pairs.

        Parameters
        ----------
        source, target
            N genes each.
        shown
            N, 1 where the source's own shifts may be looked at and 0 where it is to be judged as if never perturbed.

        Returns
        -------
        features
            N × 12, what the gates see.
        evidence
            N × 3, shift, masked prediction and factor_adjusted_correlations, turned so that the shift (or, without one, the masked
            prediction) is positive.
        sign
            N, by which they were turned.
        """
        num_genes, num_sources = len(self.depth), self.perturbed.sum().clamp_min(1)
        shift, score = self.shift[source, target] * shown, self.shift_score[source, target] * shown
        masked, masked_score = self.masked[source, target], self.masked_score[source, target]
        sign = torch.where(shift != 0, shift.sign(), torch.where(masked < 0, -1.0, 1.0))
        covaried = self.covaried[source, target] * sign
        own, own_association = _beyond_noise(self.shift_score[source, target]), _beyond_noise(masked_score)
        features = [
            score.abs().log1p(),
            shown,
            self.depth[source],
            self.deviation[target].log(),
            (masked_score * sign * self.depth[source].sign()).clamp(-8, 8) / 2,
            (10 * masked * sign).clamp(-3, 3),
            # Activities are those towards other genes: a pair's own score must not enter twice.
            ((self.source_activity[source] - own) / num_genes).clamp_min(0).log1p() * shown,
            ((self.target_activity[target] - own) / num_sources).clamp_min(0).log1p(),
            ((self.association[source] - own_association) / num_genes).clamp_min(0).log1p(),
            ((self.association[target] - own_association) / num_genes).clamp_min(0).log1p(),
            self.shift_score[target, source].abs().log1p(),
            covaried.sign() * (10 * covaried.abs()).log1p(),
        ]
        return torch.stack(features, dim=1), torch.stack([shift * sign, masked * sign, covaried], dim=1), sign


def _beyond_noise(score: torch.Tensor) -> torch.Tensor:
    return (score.abs() - _NOISE).clamp(0, _LARGEST_SCORE).square()


class Gates(nn.Module):
    """Several gate networks of the same form, trained side by side from different starts.

    Parameters
    ----------
    members
        How many.
    width
        Hidden units.
    generator
        Source of the initial weights.
    """

    centre: torch.Tensor
    spread: torch.Tensor
    start: torch.Tensor

    def __init__(self, members: int, width: int, generator: torch.Generator) -> None:
        super().__init__()

        def weights(inputs: int, outputs: int, scale: float) -> nn.Parameter:
            return nn.Parameter(scale * (2 * torch.rand(members, inputs, outputs, generator=generator) - 1))

        self.weight_1, self.bias_1 = (
            weights(NUM_FEATURES, width, NUM_FEATURES**-0.5),
            weights(1, width, NUM_FEATURES**-0.5),
        )
        self.weight_2, self.bias_2 = weights(width, width, width**-0.5), weights(1, width, width**-0.5)
        # Gates start equal for all pairs, at _START.
        self.weight_3 = weights(width, len(_START), 0)
        self.level = nn.Parameter(torch.zeros(members, 2, len(_START)))
        self.register_buffer("centre", torch.zeros(NUM_FEATURES))
        self.register_buffer("spread", torch.ones(NUM_FEATURES))
        self.register_buffer("start", torch.tensor(_START))

    def forward(
        self, features: torch.Tensor, evidence: torch.Tensor, blur: torch.Tensor | float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Weigh the evidence on N pairs.

        Parameters
        ----------
        features, evidence
            See :meth:`PairEvidence.look_up`.
        blur
            N × 12, added to the features in units of their spread.

        Returns
        -------
        effect
            members × N, the size of the effect to be expected, in the target's standard deviations.
        departure
            members × N, squared distance of a pair's gates (in logs) from the level they have for all pairs alike, of
            perturbed or of unperturbed sources.
        """
        hidden = ((features - self.centre) / self.spread + blur).expand(len(self.weight_1), -1, -1)
        hidden = nn.functional.silu(torch.baddbmm(self.bias_1, hidden, self.weight_1))
        hidden = nn.functional.silu(torch.baddbmm(self.bias_2, hidden, self.weight_2))
        departure = hidden @ self.weight_3
        # As a product, since torch adds up the gradient of an indexed tensor in no fixed order.
        shown = features[:, SHOWN]
        openness = torch.stack([1 - shown, shown], dim=1) @ self.level + departure
        gates = self.start * torch.exp(_GATE_RANGE * torch.tanh(openness / _GATE_RANGE))
        effect = (gates[..., :-1] * evidence).sum(dim=-1) + gates[..., -1]
        return effect, departure.square().sum(dim=-1)

    def standardise(self, features: torch.Tensor) -> None:
        """Take the scale of the features (N × 12) from a sample."""
        self.centre.copy_(features.mean(dim=0))
        self.spread.copy_(features.std(dim=0).clamp_min(_LEAST_SPREAD))

    def keep(self, members: torch.Tensor) -> None:
        """Drop all gates but some."""
        for parameter in self.parameters():
            parameter.data = parameter.data[members]


class GatedAttention(nn.Module):
    """Trained gates over the evidence of all training cells: the soft adjacency."""

    def __init__(self, evidence: PairEvidence, gates: Gates) -> None:
        super().__init__()
        self.evidence = evidence
        self.gates = gates

    def attention_rows(self, targets: torch.Tensor) -> torch.Tensor:
        """Return the effects of all G genes to be expected on some targets, on the scale of the data: targets × G."""
        return torch.cat([self._rows(block) for block in targets.split(max(1, _PAIRS_PER_BLOCK // self._num_genes))])

    @property
    def _num_genes(self) -> int:
        return len(self.evidence.depth)

    def _rows(self, targets: torch.Tensor) -> torch.Tensor:
        source = torch.arange(self._num_genes).repeat(len(targets))
        target = targets.repeat_interleave(self._num_genes)
        features, evidence, _ = self.evidence.look_up(source, target, self.evidence.perturbed[source])
        effect = self.gates(features, evidence)[0].mean(dim=0) * self.evidence.deviation[target]
        return effect.view(len(targets), self._num_genes)
