"""The gates of the evidence: how far to trust each kind, pair by pair.

Training spends most of its time here, so that their derivative is written by hand.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from catran_causalbench.models.evidence.config import FEATURES

IS_PERTURBED = FEATURES.index("is_perturbed")
# A feature that hardly varies among the training pairs may vary among others, where it must not dominate the rest.
_SMALLEST_SPREAD = 0.05
# Where the gates start: half the effect, a tenth of the partial correlation, half as much of the factor-adjusted one.
# They stay within e^±3 of this, so that none vanishes.
_START = (0.5, 0.1, 0.05, 0.002)
_GATE_RANGE = 3.0
_silu_backward = torch.ops.aten.silu_backward


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
