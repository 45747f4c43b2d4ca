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
from typing import Any

import numpy as np
import torch
from torch import nn

from catran_causalbench.models.evidence.calibration import PowerLaw
from catran_causalbench.models.evidence.config import FEATURES, TERMS, EvidenceSettings
from catran_causalbench.models.evidence.statistics import Associations, PerturbationEffects, knockdown_depths
from catran_causalbench.utils.parallel import in_threads

IS_PERTURBED = FEATURES.index("is_perturbed")
# Partial correlations below so many standard errors do not count, nor do effects towards a gene's activity.
_NOISE = 2.0
_LARGEST_SCORE = 1e6  # so that sums of squares stay finite
# A feature that hardly varies among the training pairs may vary among others, where it must not dominate the rest.
_SMALLEST_SPREAD = 0.05
# Where the gates start: half the effect, a tenth of the partial correlation, half as much of the factor-adjusted one.
# They stay within e^±3 of this, so that none vanishes.
_START = (0.5, 0.1, 0.05, 0.002)
_GATE_RANGE = 3.0
PAIRS_PER_BLOCK = 2**15
_AS_IT_IS = PowerLaw()
_silu_backward = torch.ops.aten.silu_backward


@dataclass(frozen=True)
class PairEvidence:
    """Evidence on all ordered pairs; matrices are G × G, source × target, vectors G.

    Attributes
    ----------
    effect, partial, factor_adjusted
        The measured effect, and those that the two correlations predict; 0 on the diagonal.
    effect_score, partial_score
        The first two as multiples of their standard errors.
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
    effect_score: torch.Tensor
    partial_score: torch.Tensor
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
        depth, error = knockdown_depths(measured), np.where(measured.perturbed, measured.error, 1.0)
        partial, adjusted = (matrix * depth[:, None] for matrix in (associations.partial, associations.factor_adjusted))
        arrays = {
            "effect": effect,
            "partial": partial,
            "factor_adjusted": adjusted,
            "effect_score": effect / error[:, None],
            "partial_score": associations.partial * np.sqrt(associations.num_cells),
            "perturbed": measured.perturbed,
            "error": error,
            "depth": depth,
            "deviation": measured.deviation,
        }
        tensors = {name: torch.from_numpy(np.float32(array)) for name, array in arrays.items()}
        activity = _beyond_noise(tensors["effect_score"])
        return cls(
            **tensors,
            source_activity=activity.sum(dim=1),
            target_activity=activity.sum(dim=0),
            association=_beyond_noise(tensors["partial_score"]).sum(dim=1),
            disabled_features=tuple(map(FEATURES.index, settings.disabled_features)),
            disabled_terms=tuple(map(TERMS.index, settings.disabled_terms)),
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
        effect, score = self.effect[source, target] * is_perturbed, self.effect_score[source, target] * is_perturbed
        partial, partial_score = self.partial[source, target], self.partial_score[source, target]
        sign = torch.where(effect != 0, effect.sign(), torch.where(partial < 0, -1.0, 1.0))
        partial = _without_noise(partial, partial_score)
        adjusted = self.factor_adjusted[source, target] * sign
        own, own_association = _beyond_noise(self.effect_score[source, target]), _beyond_noise(partial_score)
        features = torch.stack(
            [
                score.abs().log1p(),
                is_perturbed,
                self.depth[source],
                self.deviation[target].log(),
                (partial_score * sign * self.depth[source].sign()).clamp(-8, 8) / 2,
                (10 * partial * sign).clamp(-3, 3),
                # Activities leave out the pair's own score, which must not enter twice.
                ((self.source_activity[source] - own) / num_genes).clamp_min(0).log1p() * is_perturbed,
                ((self.target_activity[target] - own) / num_sources).clamp_min(0).log1p(),
                ((self.association[source] - own_association) / num_genes).clamp_min(0).log1p(),
                ((self.association[target] - own_association) / num_genes).clamp_min(0).log1p(),
                self.effect_score[target, source].abs().log1p(),
                adjusted.sign() * (10 * adjusted.abs()).log1p(),
            ],
            dim=1,
        )
        terms = torch.stack([effect * sign, partial * sign, adjusted], dim=1)
        features[:, list(self.disabled_features)] = 0
        terms[:, list(self.disabled_terms)] = 0
        return features, terms, sign


def _beyond_noise(score: torch.Tensor) -> torch.Tensor:
    return (score.abs() - _NOISE).clamp(0, _LARGEST_SCORE).square()


def _without_noise(value: torch.Tensor, score: torch.Tensor) -> torch.Tensor:
    """Shrink values, more so near the noise, by the non-negative garrote (L. Breiman, Technometrics 37, 1995)."""
    return value * (1 - (_NOISE / score).square()).clamp_min(0)


class _WeighedEvidence(torch.autograd.Function):
    """The gates and the evidence that they weigh, as :meth:`GateModule.forward` returns it, differentiable by weights.

    Written by hand, since training spends most of its time here: pairs are the last, contiguous axis of every array,
    and the derivative of the gates is taken in one step. Weights are members × rows × columns, biases have one row.
    """

    @staticmethod
    def forward(
        ctx: Any, inputs: torch.Tensor, kind: torch.Tensor, evidence: torch.Tensor, *parameters: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return effect and gate deviation from inputs × N, kind (members × 2 × N) and evidence (4 × N)."""
        weight_1, bias_1, weight_2, bias_2, weight_3, level = (each.transpose(1, 2) for each in parameters)
        # One product for all members.
        first = torch.addmm(bias_1.flatten(0, 1), weight_1.flatten(0, 1), inputs).unflatten(0, weight_1.shape[:2])
        hidden_1 = nn.functional.silu(first)  # members × width × N
        second = torch.baddbmm(bias_2, weight_2, hidden_1)
        hidden_2 = nn.functional.silu(second)  # members × width × N
        deviation = weight_3 @ hidden_2  # members × 4 × N
        bounded = torch.baddbmm(deviation, level, kind).div_(_GATE_RANGE).tanh_()
        weighed = torch.exp(_GATE_RANGE * bounded).mul_(evidence)
        ctx.save_for_backward(
            inputs, kind, first, hidden_1, second, hidden_2, deviation, bounded, weighed, weight_2, weight_3
        )
        return weighed.sum(dim=1), deviation.square().sum(dim=1)

    @staticmethod
    def backward(ctx: Any, of_effect: torch.Tensor, of_gate_deviation: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of the parameters; d exp(r · tanh(x / r)) / dx = exp(r · tanh(x / r)) · (1 − tanh²)."""
        inputs, kind, first, hidden_1, second, hidden_2, deviation, bounded, weighed, weight_2, weight_3 = (
            ctx.saved_tensors
        )
        of_log_gates = torch.addcmul(weighed, weighed * bounded, bounded, value=-1).mul_(of_effect[:, None])
        of_deviation = torch.addcmul(of_log_gates, deviation, of_gate_deviation[:, None], value=2)
        of_second = _silu_backward(weight_3.transpose(1, 2) @ of_deviation, second)  # members × width × N
        of_first = _silu_backward(weight_2.transpose(1, 2) @ of_second, first)  # members × width × N
        return (
            *(None, None, None),
            inputs @ of_first.transpose(1, 2),
            of_first.sum(dim=2)[:, None],
            hidden_1 @ of_second.transpose(1, 2),
            of_second.sum(dim=2)[:, None],
            hidden_2 @ of_deviation.transpose(1, 2),
            kind @ of_log_gates.transpose(1, 2),
        )


class GateModule(nn.Module):
    """Several gate networks (members) with ``width`` hidden units each, trained side by side from different starts."""

    centre: torch.Tensor
    spread: torch.Tensor
    start: torch.Tensor

    def __init__(self, members: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        inputs = len(FEATURES)

        def weights(rows: int, columns: int, scale: float) -> nn.Parameter:
            return nn.Parameter(scale * (2 * torch.rand(members, rows, columns, generator=generator) - 1))

        self.weight_1, self.bias_1 = weights(inputs, width, inputs**-0.5), weights(1, width, inputs**-0.5)
        self.weight_2, self.bias_2 = weights(width, width, width**-0.5), weights(1, width, width**-0.5)
        # Gates start equal for all pairs, at _START.
        self.weight_3 = weights(width, len(_START), 0)
        self.level = nn.Parameter(torch.zeros(members, 2, len(_START)))
        self.register_buffer("centre", torch.zeros(inputs))
        self.register_buffer("spread", torch.ones(inputs))
        self.register_buffer("start", torch.tensor(_START))

    def forward(
        self, features: torch.Tensor, terms: torch.Tensor, input_noise: torch.Tensor | float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Weigh the evidence on N pairs, as :meth:`PairEvidence.look_up` returns it.

        The input noise (N × 12) is added to the features in units of their spread.

        Returns
        -------
        effect
            members × N, the expected size of the effect, in the target's standard deviations.
        gate_deviation
            members × N, squared distance of a pair's log gates from their common level, which perturbed and
            unperturbed sources have each.
        """
        inputs = ((features - self.centre) / self.spread + input_noise).T  # 12 × N
        # Levels are chosen by a product, since torch adds up the gradient of an indexed tensor in no fixed order.
        is_perturbed = features[:, IS_PERTURBED]
        kind = torch.stack([1 - is_perturbed, is_perturbed]).expand(len(self.level), -1, -1)
        evidence = self.start[:, None] * torch.cat([terms.T, torch.ones_like(is_perturbed)[None]])  # 4 × N
        weights = self.weight_1, self.bias_1, self.weight_2, self.bias_2, self.weight_3, self.level
        return _WeighedEvidence.apply(inputs, kind, evidence, *weights)

    def standardise(self, features: torch.Tensor) -> None:
        """Take the scale of the features (N × 12) from a sample."""
        self.centre.copy_(features.mean(dim=0))
        self.spread.copy_(features.std(dim=0).clamp_min(_SMALLEST_SPREAD))


class GatedAttention(nn.Module):
    """Trained gates over the evidence of all training cells, averaged and calibrated: the soft adjacency.

    The two calibrations are those of sources that were never perturbed, and of those that were.
    """

    def __init__(
        self,
        evidence: PairEvidence,
        gates: GateModule,
        unperturbed: PowerLaw = _AS_IT_IS,
        perturbed: PowerLaw = _AS_IT_IS,
    ) -> None:
        super().__init__()
        self.evidence = evidence
        self.gates = gates
        self.unperturbed = unperturbed
        self.perturbed = perturbed

    def attention_rows(self, targets: torch.Tensor) -> torch.Tensor:
        """Return the expected size of the effects of all G genes on some targets: targets × G, on the data's scale."""
        num_genes = len(self.evidence.depth)
        rows = torch.empty(len(targets), num_genes)

        def fill(block: torch.Tensor) -> None:
            source = torch.arange(num_genes).repeat(len(block))
            target = targets[block].repeat_interleave(num_genes)
            is_perturbed = self.evidence.perturbed[source]
            features, terms, _ = self.evidence.look_up(source, target, is_perturbed)
            effect, error = self.gates(features, terms)[0].mean(dim=0), self.evidence.error[source]
            effect = torch.where(is_perturbed > 0, self.perturbed(effect, error), self.unperturbed(effect, error))
            rows[block] = (effect * self.evidence.deviation[target]).view(len(block), num_genes)

        in_threads(torch.no_grad()(fill), torch.arange(len(targets)).split(max(1, PAIRS_PER_BLOCK // num_genes)))
        return rows
