"""The gates of the evidence: how far to trust each kind, pair by pair.

Training spends most of its time here, so that their derivative is written by hand.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from catran_causalbench.models.evidence.config import FEATURES
from catran_causalbench.utils.parallel import in_threads

IS_PERTURBED = FEATURES.index("is_perturbed")
# A feature that hardly varies among the training pairs may vary among others, where it must not dominate the rest.
_SMALLEST_SPREAD = 0.05
# Where the gates start: half the effect, a tenth of the partial correlation, half as much of the factor-adjusted one.
# They stay within e^±3 of this, so that none vanishes.
_START = (0.5, 0.1, 0.05, 0.002)
_GATE_RANGE = 3.0
# Products of small matrices with so many pairs at once take half the time of whole ones (and of torch's).
_PAIRS_PER_PRODUCT = 1024
_PAIRS_PER_SHARE = 2**14  # of a thread
_silu_backward = torch.ops.aten.silu_backward


class GateInputs(NamedTuple):
    """What the gates see and weigh of N pairs, which are the last axis, as :meth:`GateModule.prepare` makes it.

    Attributes
    ----------
    features
        12 × N, in units of their spread.
    kind
        2 × N, 1 in the row that says whether the source counts as unperturbed (0) or perturbed (1).
    evidence
        4 × N, the terms and a constant, times the gates at the start of the training.
    """

    features: torch.Tensor
    kind: torch.Tensor
    evidence: torch.Tensor


class _WeighedEvidence(torch.autograd.Function):
    """The gates and the evidence that they weigh, as :meth:`GateModule.forward` returns it, differentiable by weights.

    Written by hand, since training spends most of its time here: pairs are the last, contiguous axis of every array,
    and the derivative of the gates is taken in one step. Weights are members × rows × columns, biases have one row.
    """

    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, kind: torch.Tensor, evidence: torch.Tensor, *parameters: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return effect and gate deviation from the fields of :class:`GateInputs`."""
        weights = tuple(each.detach().transpose(1, 2) for each in parameters)  # threads would record gradients
        shares = zip(*(each.split(_PAIRS_PER_SHARE, dim=-1) for each in (features, kind, evidence)), strict=True)
        parts = in_threads(lambda share: _weigh(GateInputs(*share), weights), [*shares])
        effect, deviation, ctx.shares = zip(*parts, strict=True)
        return torch.cat(effect, dim=1), torch.cat(deviation, dim=1)

    @staticmethod
    def backward(ctx: Any, of_effect: torch.Tensor, of_deviation: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of the parameters."""
        pairs = (each.split(_PAIRS_PER_SHARE, dim=-1) for each in (of_effect, of_deviation))
        parts = in_threads(lambda share: _differentiate(*share), [*zip(*pairs, ctx.shares, strict=True)])
        return (None, None, None, *(sum(each) for each in zip(*parts, strict=True)))


def _weigh(
    inputs: GateInputs, weights: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...]]:
    """Return effect and gate deviation of N pairs, and what their derivative needs."""
    features, kind, evidence = inputs
    weight_1, bias_1, weight_2, bias_2, weight_3, level = weights
    kind = kind.expand(len(level), -1, -1)
    # One product for all members.
    first = _times(weight_1.flatten(0, 1), features).unflatten(0, weight_1.shape[:2]).add_(bias_1)
    hidden_1 = nn.functional.silu(first)  # members × width × N
    second = _times(weight_2, hidden_1).add_(bias_2)
    hidden_2 = nn.functional.silu(second)  # members × width × N
    deviation = _times(weight_3, hidden_2)  # members × 4 × N
    # tanh(x / r) = 2 · sigmoid(2 x / r) − 1, which torch computes six times as fast.
    bounded = torch.baddbmm(deviation, level, kind).mul_(2 / _GATE_RANGE).sigmoid_().mul_(2).sub_(1)
    weighed = torch.exp(_GATE_RANGE * bounded).mul_(evidence)
    known = features, kind, first, hidden_1, second, hidden_2, deviation, bounded, weighed, weight_2, weight_3
    return weighed.sum(dim=1), deviation.square().sum(dim=1), known


def _differentiate(
    of_effect: torch.Tensor, of_gate_deviation: torch.Tensor, known: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, ...]:
    """Differentiate, with d exp(r · tanh(x / r)) / dx = exp(r · tanh(x / r)) · (1 − tanh²)."""
    features, kind, first, hidden_1, second, hidden_2, deviation, bounded, weighed, weight_2, weight_3 = known
    of_log_gates = torch.addcmul(weighed, weighed * bounded, bounded, value=-1).mul_(of_effect[:, None])
    of_deviation = torch.addcmul(of_log_gates, deviation, of_gate_deviation[:, None], value=2)
    of_second = _silu_backward(_times(weight_3.transpose(1, 2), of_deviation), second)  # members × width × N
    of_first = _silu_backward(_times(weight_2.transpose(1, 2), of_second), first)  # members × width × N
    return (
        _summed_products(of_first.flatten(0, 1), features).unflatten(0, of_first.shape[:2]).transpose(1, 2),
        of_first.sum(dim=2)[:, None],
        _summed_products(hidden_1, of_second),
        of_second.sum(dim=2)[:, None],
        _summed_products(hidden_2, of_deviation),
        kind @ of_log_gates.transpose(1, 2),
    )


def _times(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return weights (… × R × K) · values (… × K × N)."""
    product = values.new_empty(*values.shape[:-2], weights.shape[-2], values.shape[-1])
    left, right, out = weights.numpy(), values.numpy(), product.numpy()
    for start in range(0, values.shape[-1], _PAIRS_PER_PRODUCT):
        block = np.s_[..., start : start + _PAIRS_PER_PRODUCT]
        np.matmul(left, right[block], out=out[block])
    return product


def _summed_products(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return one (… × R × N) · otherᵀ (… × K × N)."""
    left, right = one.numpy(), other.numpy().swapaxes(-1, -2)
    blocks = (np.s_[start : start + _PAIRS_PER_PRODUCT] for start in range(0, one.shape[-1], _PAIRS_PER_PRODUCT))
    return torch.from_numpy(sum(left[..., block] @ right[..., block, :] for block in blocks))


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

    def prepare(
        self, features: torch.Tensor, terms: torch.Tensor, input_noise: torch.Tensor | float = 0.0
    ) -> GateInputs:
        """Prepare what :meth:`PairEvidence.look_up` returns of N pairs.

        The input noise (N × 12) is added to the features in units of their spread.
        """
        # Levels are chosen by a product, since torch adds up the gradient of an indexed tensor in no fixed order.
        is_perturbed = features[:, IS_PERTURBED]
        return GateInputs(
            features=((features - self.centre) / self.spread + input_noise).T.contiguous(),
            kind=torch.stack([1 - is_perturbed, is_perturbed]),
            evidence=self.start[:, None] * torch.cat([terms.T, torch.ones_like(is_perturbed)[None]]),
        )

    def forward(self, inputs: GateInputs) -> tuple[torch.Tensor, torch.Tensor]:
        """Weigh the evidence on N pairs.

        Returns
        -------
        effect
            members × N, the expected size of the effect, in the target's standard deviations.
        gate_deviation
            members × N, squared distance of a pair's log gates from their common level, which perturbed and
            unperturbed sources have each.
        """
        weights = self.weight_1, self.bias_1, self.weight_2, self.bias_2, self.weight_3, self.level
        return _WeighedEvidence.apply(*inputs, *weights)

    def standardise(self, features: torch.Tensor) -> None:
        """Take the scale of the features (N × 12) from a sample."""
        self.centre.copy_(features.mean(dim=0))
        self.spread.copy_(features.std(dim=0).clamp_min(_SMALLEST_SPREAD))
