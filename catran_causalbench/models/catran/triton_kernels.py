"""The module's head in one pass over the cells, compiled for a GPU by Triton (part of torch's CUDA builds).

A block of cells × genes stays in registers during the loop over the channels, forward and backward; the backward pass
recomputes the SiLUs. The gradients of the parameters are summed over a block's cells, written once per block, and
summed over the blocks in a fixed order, so that they are the same in every run.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

# With one warp per block, sums over its cells need no barrier; larger blocks do not fit a warp's registers.
_CELLS, _GENES = 16, 32
# Multiplications and additions may share a rounding; some versions of Triton warn where this is left open.
_OPTIONS = {"num_warps": 1, "enable_fp_fusion": True}


class FusedHead(torch.autograd.Function):
    """The sum of :func:`~catran_causalbench.models.catran.silu_head.silu_head` itself, on a GPU."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, slope: torch.Tensor, offset: torch.Tensor, readout: torch.Tensor
    ) -> torch.Tensor:
        """Sum over the channels."""
        x, slope, by_channel, readout = (values.contiguous() for values in (x, slope, offset.T, readout))
        ctx.save_for_backward(x, slope, by_channel, readout)
        result = torch.empty_like(x)
        arrays = (x, slope, by_channel, readout, result)
        with torch.cuda.device_of(x):
            sum_channels[_grid(x)](*arrays, *x.shape, len(slope), _CELLS, _GENES, **_OPTIONS)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Differentiate."""
        x, slope, by_channel, readout = ctx.saved_tensors
        x_gradient = torch.empty_like(x)
        sums = x.new_empty((_grid(x)[0], 3, *by_channel.shape))
        arrays = (x, slope, by_channel, readout, gradient.contiguous(), x_gradient, sums)
        differentiate[_grid(x)](*arrays, *x.shape, len(slope), _CELLS, _GENES, **_OPTIONS)
        values, derivatives, moments = sums.sum(dim=0)
        return x_gradient, moments.sum(dim=1) * readout, derivatives.T * readout, values.sum(dim=1)


def _grid(x: torch.Tensor) -> tuple[int, int]:
    return triton.cdiv(x.shape[0], _CELLS), triton.cdiv(x.shape[1], _GENES)


@triton.jit
def sum_channels(
    x_at, slope_at, offset_at, readout_at, result_at, cells, genes, channels, CELLS: tl.constexpr, GENES: tl.constexpr
):
    """Sum w[k]·SiLU(x·u[k] + v[k,l]) over the channels k, for one block of cells × genes."""
    cell = tl.program_id(0) * CELLS + tl.arange(0, CELLS)
    gene = tl.program_id(1) * GENES + tl.arange(0, GENES)
    here = cell[:, None].to(tl.int64) * genes + gene[None, :]
    inside = (cell < cells)[:, None] & (gene < genes)[None, :]
    x = tl.load(x_at + here, inside, 0)
    total = tl.zeros_like(x)
    for channel in range(channels):
        offset = tl.load(offset_at + channel * genes + gene, gene < genes, 0)
        argument = x * tl.load(slope_at + channel) + offset[None, :]
        total += tl.load(readout_at + channel) * argument * tl.sigmoid(argument)
    tl.store(result_at + here, total, inside)


@triton.jit
def differentiate(
    x_at,
    slope_at,
    offset_at,
    readout_at,
    gradient_at,
    x_gradient_at,
    sums_at,
    cells,
    genes,
    channels,
    CELLS: tl.constexpr,
    GENES: tl.constexpr,
):
    """Differentiate that sum with respect to x, and sum over the block's cells (blocks × 3 × channels × genes).

    With the incoming gradient g and the argument a, these sums are Σ g·SiLU(a), Σ g·SiLU'(a) and Σ x·g·SiLU'(a).
    """
    block = tl.program_id(0)
    cell = block * CELLS + tl.arange(0, CELLS)
    gene = tl.program_id(1) * GENES + tl.arange(0, GENES)
    here = cell[:, None].to(tl.int64) * genes + gene[None, :]
    inside = (cell < cells)[:, None] & (gene < genes)[None, :]
    x = tl.load(x_at + here, inside, 0)
    gradient = tl.load(gradient_at + here, inside, 0)
    x_gradient = tl.zeros_like(x)
    of_block = sums_at + block.to(tl.int64) * 3 * channels * genes + gene
    for channel in range(channels):
        slope = tl.load(slope_at + channel)
        offset = tl.load(offset_at + channel * genes + gene, gene < genes, 0)
        argument = x * slope + offset[None, :]
        gate = tl.sigmoid(argument)
        value = argument * gate
        derivative = gradient * (gate + value * (1 - gate))
        x_gradient += derivative * (slope * tl.load(readout_at + channel))
        at = of_block + channel * genes
        tl.store(at, tl.sum(gradient * value, 0), gene < genes)
        tl.store(at + channels * genes, tl.sum(derivative, 0), gene < genes)
        tl.store(at + 2 * channels * genes, tl.sum(x * derivative, 0), gene < genes)
    tl.store(x_gradient_at + here, x_gradient, inside)
