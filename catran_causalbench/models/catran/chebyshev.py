"""Chebyshev interpolation of one function per gene, compiled for the CPU by numba (which scanpy brings along)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch

from catran_causalbench.utils.parallel import in_threads

_BLOCKS = 16  # fixed, so that sums are added in the same order whatever the number of threads
_SMALL = 2**22  # number of multiply–adds below which threads cost more time than they save


def chebyshev_nodes(low: torch.Tensor, high: torch.Tensor, nodes: int) -> torch.Tensor:
    """Return the Chebyshev points of the first kind in [low, high], nodes × genes."""
    return (low + high) / 2 + torch.outer(_angles(nodes).cos().to(low.dtype), (high - low) / 2)


class ChebyshevInterpolation(torch.autograd.Function):
    """Evaluate in each cell the polynomial through the values at the nodes, gene by gene.

    Inputs are x (B × n), the function's values and its derivatives at :func:`chebyshev_nodes` (both nodes × n), and
    the ends of each gene's range (n). The gradient with respect to x interpolates the derivatives, since
    differentiating the polynomial would magnify its rounding errors; the gradient with respect to the values is the
    transpose of the evaluation.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, values: torch.Tensor, slopes: torch.Tensor, low: torch.Tensor, high: torch.Tensor
    ) -> torch.Tensor:
        """Interpolate."""
        half_range = ((high - low) / 2).clamp_min(torch.finfo(x.dtype).tiny)
        position = (x - (low + high) / 2) / half_range
        to_coefficients = _values_to_coefficients(len(values), values.dtype)
        ctx.save_for_backward(position, slopes, to_coefficients)
        result = torch.empty_like(x)
        _for_all_cells(_evaluate, position.numpy(), (to_coefficients @ values).numpy(), result.numpy())
        return result

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Differentiate."""
        position, slopes, to_coefficients = ctx.saved_tensors
        x_gradient = torch.empty_like(position)
        sums = position.new_zeros((_BLOCKS, *slopes.shape))
        arrays = (position, to_coefficients @ slopes, gradient.contiguous(), x_gradient, sums)
        _for_all_cells(_differentiate, *(array.numpy() for array in arrays))
        return x_gradient, to_coefficients.T @ sums.sum(dim=0), None, None, None


def _values_to_coefficients(nodes: int, dtype: torch.dtype) -> torch.Tensor:
    """Return the matrix that turns values at the nodes into Chebyshev coefficients (a discrete cosine transform)."""
    transform = torch.cos(torch.outer(torch.arange(nodes, dtype=torch.float64), _angles(nodes))) * (2 / nodes)
    transform[0] /= 2
    return transform.to(dtype)


def _angles(nodes: int) -> torch.Tensor:
    return (torch.arange(nodes, dtype=torch.float64) + 0.5) * (torch.pi / nodes)


def _for_all_cells(
    kernel: Callable[..., None], position: np.ndarray, coefficients: np.ndarray, *arrays: np.ndarray
) -> None:
    """Run a kernel on every block of cells."""
    ends = np.linspace(0, len(position), _BLOCKS + 1).astype(np.int64)

    def run(block: int) -> None:
        kernel(block, ends[block], ends[block + 1], position, coefficients, *arrays)

    in_threads(run, range(_BLOCKS), worthwhile=position.size * len(coefficients) >= _SMALL)


@numba.njit(nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _evaluate(
    block: int, start: int, stop: int, position: np.ndarray, coefficients: np.ndarray, result: np.ndarray
) -> None:
    """Sum coefficients · T_j(t) by the recurrence T_{j+1} = 2t·T_j − T_{j−1}, two degrees at a time."""
    degrees, genes = coefficients.shape
    even = np.empty(genes, position.dtype)
    odd = np.empty(genes, position.dtype)
    for b in range(start, stop):
        t = position[b]
        total = result[b]
        for g in range(genes):
            even[g] = 1
            odd[g] = t[g]
            total[g] = coefficients[0, g] + coefficients[1, g] * t[g]
        for j in range(2, degrees, 2):
            for g in range(genes):
                double = t[g] + t[g]
                even[g] = double * odd[g] - even[g]
                odd[g] = double * even[g] - odd[g]
                total[g] += coefficients[j, g] * even[g] + coefficients[j + 1, g] * odd[g]


@numba.njit(nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _differentiate(
    block: int,
    start: int,
    stop: int,
    position: np.ndarray,
    slopes: np.ndarray,
    gradient: np.ndarray,
    x_gradient: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Compute the gradient with respect to x, and for every degree j the sum over the block's cells of gradient·T_j."""
    degrees, genes = slopes.shape
    even = np.empty(genes, position.dtype)
    odd = np.empty(genes, position.dtype)
    block_sums = sums[block]
    for b in range(start, stop):
        t = position[b]
        weight = gradient[b]
        total = x_gradient[b]
        for g in range(genes):
            even[g] = 1
            odd[g] = t[g]
            total[g] = slopes[0, g] + slopes[1, g] * t[g]
            block_sums[0, g] += weight[g]
            block_sums[1, g] += weight[g] * t[g]
        for j in range(2, degrees, 2):
            for g in range(genes):
                double = t[g] + t[g]
                even[g] = double * odd[g] - even[g]
                odd[g] = double * even[g] - odd[g]
                total[g] += slopes[j, g] * even[g] + slopes[j + 1, g] * odd[g]
                block_sums[j, g] += weight[g] * even[g]
                block_sums[j + 1, g] += weight[g] * odd[g]
        for g in range(genes):
            total[g] *= weight[g]
