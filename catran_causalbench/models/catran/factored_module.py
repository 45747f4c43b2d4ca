"""The exact fast form of the module: no tensor of cells × genes × channels before the activation.

Up to the SiLU every operation is affine in a cell's expression, and embeddings do not depend on the cell. So each
hidden state is ``z[b,g,k] = x[b,g]·u[k] + v[g,k]``, with one scalar x per cell and gene, a vector u and a genes ×
channels matrix v. With x centred, its mean over b and g moved into v, the operations are

* token joined:  u = (1, 0, …), v = (mean, e[g]);  token added: u = 1, v = mean + e[g];
* linear layer:  u → W u,  v → v Wᵀ + bias;
* batch norm:    with m[g] = mean_b x[b,g] and ṽ = v − mean_g v, the channel's mean is mean_g v and its variance
  ``u²·mean(x²) + 2u·mean_g(m·ṽ) + mean_g(ṽ²)``: all terms centred, so float32 loses nothing to cancellation;
  (u, v) → (u·γ/σ, (v − mean)·γ/σ + β);
* attention:     x → x Aᵀ, centred again,  v → A v + (removed mean)·u;
* head:          p[b,l] = Σ_k w[k]·SiLU(x[b,l]·u[k] + v[l,k]) + c, with the two output layers multiplied into (w, c).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import nn

from catran_causalbench.models.catran.module import CatranModule
from catran_causalbench.models.catran.silu_head import silu_head
from catran_causalbench.utils.distributed import num_processes, sum_over_processes


@dataclass(frozen=True)
class _AffineHidden:
    """A hidden state ``x·u + v``: scalar x (cells × genes, mean 0), slope u (channels), offset v (genes × channels)."""

    scalar: torch.Tensor
    gene_means: torch.Tensor
    mean_square: torch.Tensor
    slope: torch.Tensor
    offset: torch.Tensor

    @classmethod
    def centred(cls, scalar: torch.Tensor, slope: torch.Tensor, offset: torch.Tensor) -> _AffineHidden:
        """Move the mean of the scalar into the offset, and compute the moments that every batch norm needs.

        Sums run over cells first and then over genes, in the backward pass too: the order in which torch sums a whole
        matrix depends on the number of threads.
        """
        gene_means = _mean_of_cells(scalar)
        mean = gene_means.mean()
        scalar = scalar - mean.expand_as(gene_means)
        return cls(scalar, gene_means - mean, _mean_of_cells(scalar.square()).mean(), slope, offset + mean * slope)

    def linear(self, layer: nn.Linear) -> _AffineHidden:
        return replace(self, slope=layer.weight @ self.slope, offset=layer(self.offset))

    def batch_norm(self, norm: nn.BatchNorm1d) -> _AffineHidden:
        if norm.training:
            mean = self.offset.mean(dim=0)
            centred = self.offset - mean
            covariance = (self.gene_means @ centred) / len(centred)
            variance = (
                self.slope.square() * self.mean_square + 2 * self.slope * covariance + centred.square().mean(dim=0)
            ).clamp_min(0)
            _track(norm, mean.detach(), variance.detach(), self.scalar.numel() * num_processes())
        else:
            mean, variance = _buffers(norm)
            centred = self.offset - mean
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        return replace(self, slope=self.slope * scale, offset=centred * scale + norm.bias)

    def attend(self, weights: torch.Tensor) -> _AffineHidden:
        return _AffineHidden.centred(self.scalar @ weights.T, self.slope, weights @ self.offset)


class FactoredCatranModule(CatranModule):
    """The same function of the same parameters as the reference implementation, in factored form."""

    def forward(self, expression: torch.Tensor, genes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Predict expression; see :meth:`CatranModule.forward`."""
        attention = self.attention(genes)
        hidden = (
            self._affine_tokens(expression, self.embedding(genes))
            .linear(self.token_linear_1)
            .batch_norm(self.token_norm_1)
            .linear(self.token_linear_2)
            .batch_norm(self.token_norm_2)
            .attend(self.mixing_weights(attention, genes))
            .batch_norm(self.mixed_norm)
            .linear(self.mixed_linear)
            .batch_norm(self.activation_norm)
        )
        readout = self.output_linear_2.weight @ self.output_linear_1.weight
        constant = self.output_linear_2(self.output_linear_1.bias)
        prediction = silu_head(hidden.scalar, hidden.slope, hidden.offset, readout.squeeze(0))
        return prediction + constant.expand(prediction.shape[1]), attention

    def _affine_tokens(self, expression: torch.Tensor, embedding: torch.Tensor) -> _AffineHidden:
        if self.token == "joined":
            slope = torch.zeros(embedding.shape[1] + 1, dtype=embedding.dtype, device=embedding.device)
            slope[0] = 1
            offset = nn.functional.pad(embedding, (1, 0))
        else:
            slope, offset = torch.ones_like(embedding[0]), embedding
        return _AffineHidden.centred(expression, slope, offset)


def _mean_of_cells(values: torch.Tensor) -> torch.Tensor:
    return sum_over_processes(values.mean(dim=0)) / num_processes()


@torch.no_grad()
def _track(norm: nn.BatchNorm1d, mean: torch.Tensor, variance: torch.Tensor, count: int) -> None:
    """Update the running statistics as torch's batch norm does (unbiased variance)."""
    mean_buffer, variance_buffer = _buffers(norm)
    mean_buffer.lerp_(mean, norm.momentum or 0)
    variance_buffer.lerp_(variance * (count / (count - 1)), norm.momentum or 0)
    cast(torch.Tensor, norm.num_batches_tracked).add_(1)


def _buffers(norm: nn.BatchNorm1d) -> tuple[torch.Tensor, torch.Tensor]:
    return cast(torch.Tensor, norm.running_mean), cast(torch.Tensor, norm.running_var)
