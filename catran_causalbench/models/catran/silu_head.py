"""The module's head without a cells × genes × channels tensor: p[b,l] = Σ_k w[k]·SiLU(x[b,l]·u[k] + v[l,k]).

For one gene l this is a smooth function of a single number x, needed in thousands of cells. On a CPU it is therefore
evaluated at a few dozen Chebyshev nodes per gene and interpolated to the cells: 2,048 × 41 SiLUs a gene become about
40 × 41, and the rest is multiply–adds. SiLU's nearest poles lie at ±iπ, which bounds the interpolation error
(Trefethen, Approximation Theory and Approximation Practice, ch. 8) and gives the number of nodes at which it falls
below rounding. On a GPU, where SiLUs are cheap, one compiled kernel each for the forward and the backward pass computes
the sum itself. Where nothing compiles it, or interpolation would not pay, torch computes it in blocks of cells.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Iterator
from typing import Any

import torch

from catran_causalbench.models.catran.chebyshev import ChebyshevInterpolation, chebyshev_nodes

_LOG = logging.getLogger(__name__)

_VALUES_PER_BLOCK = 2**21
_MAX_NODES = 160


def silu_head(x: torch.Tensor, slope: torch.Tensor, offset: torch.Tensor, readout: torch.Tensor) -> torch.Tensor:
    """Return the weighted sum of SiLUs over the channels, B × n, differentiable in all arguments.

    Parameters
    ----------
    x, slope, offset, readout
        x (B × n), u (one per channel, D), v (n × D) and w (D) of the formula above.
    """
    if x.device.type != "cpu":
        return compiled_head(x.device).apply(x, slope, offset, readout)
    low, high = torch.aminmax(x.detach(), dim=0)
    nodes = _nodes_needed(slope.detach(), (high - low) / 2, x.dtype)
    if nodes > min(_MAX_NODES, len(x) // 2):
        return DirectHead.apply(x, slope, offset, readout)
    positions = chebyshev_nodes(low, high, nodes)
    # In float64, since torch rounds a SiLU differently where two threads' shares of an array meet.
    values, slopes = _NodeValues.apply(positions.double(), slope.double(), offset.double(), readout.double())
    return ChebyshevInterpolation.apply(x, values.to(x.dtype), slopes.to(x.dtype), low, high)


def _nodes_needed(slope: torch.Tensor, half_range: torch.Tensor, dtype: torch.dtype) -> int:
    """Return the number of nodes at which the interpolation error is below the rounding error of the sum.

    A function analytic inside the Bernstein ellipse of parameter ρ is interpolated with an error of order ρ^−nodes. The
    argument of the SiLU runs over ± slope·half_range, so its poles at ±iπ lie on the ellipse with the ρ below.
    """
    distance = math.pi / max(float(slope.abs().max() * half_range.max()), 1e-3)
    rho = distance + math.sqrt(1 + distance**2)
    digits = -math.log(torch.finfo(dtype).eps / 10)
    return 8 * math.ceil((digits / math.log(rho) + 4) / 8)


class _NodeValues(torch.autograd.Function):
    """The sum at the nodes (nodes × n) and its derivative with respect to x, which has no gradient itself."""

    @staticmethod
    def forward(
        ctx: Any, positions: torch.Tensor, slope: torch.Tensor, offset: torch.Tensor, readout: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum over the channels."""
        silu, derivative = _silu_and_derivative(torch.addcmul(offset, positions.unsqueeze(-1), slope))
        slopes = derivative @ (slope * readout)
        ctx.mark_non_differentiable(slopes)
        ctx.save_for_backward(positions, readout, silu, derivative)
        return silu @ readout, slopes

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Differentiate by the parameters; the nodes are where they are."""
        positions, readout, silu, derivative = ctx.saved_tensors
        weighted = derivative * gradient.unsqueeze(-1)  # nodes × n × D
        of_slope = positions.flatten() @ weighted.flatten(0, 1) * readout
        return None, of_slope, weighted.sum(dim=0) * readout, gradient.flatten() @ silu.flatten(0, 1)


def _silu_and_derivative(argument: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    gate = torch.sigmoid(argument)
    silu = argument * gate
    return silu, torch.addcmul(gate, silu, 1 - gate)


class DirectHead(torch.autograd.Function):
    """The sum itself, over blocks of cells; the backward pass recomputes the SiLUs, which saves memory."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, slope: torch.Tensor, offset: torch.Tensor, readout: torch.Tensor
    ) -> torch.Tensor:
        """Sum over the channels."""
        ctx.save_for_backward(x, slope, offset, readout)
        return torch.cat([torch.nn.functional.silu(argument) @ readout for _, argument in _blocks(x, slope, offset)])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Differentiate."""
        x, slope, offset, readout = ctx.saved_tensors
        x_gradient = torch.empty_like(x)
        slope_gradient, offset_gradient, readout_gradient = map(torch.zeros_like, (slope, offset, readout))
        for cells, argument in _blocks(x, slope, offset):
            upstream = gradient[cells]
            silu, derivative = _silu_and_derivative(argument)
            readout_gradient += torch.einsum("bl,blk->k", upstream, silu)
            derivative = derivative * upstream.unsqueeze(-1) * readout
            x_gradient[cells] = derivative @ slope
            offset_gradient += derivative.sum(dim=0)
            slope_gradient += torch.einsum("bl,blk->k", x[cells], derivative)
        return x_gradient, slope_gradient, offset_gradient, readout_gradient


@functools.cache
def compiled_head(device: torch.device) -> type[torch.autograd.Function]:
    """Return the fused head where it compiles and gives the direct one's numbers; else that one, with one warning."""
    try:
        from catran_causalbench.models.catran.triton_kernels import FusedHead

        numbers = torch.linspace(-4, 4, 40 * 37, device=device).view(40, 37)
        inputs = (numbers, numbers[0, :3], numbers[:37, :3], numbers[1, 3:6])
        found, expected = _with_gradients(FusedHead, *inputs), _with_gradients(DirectHead, *inputs)
        torch.testing.assert_close(found, expected, rtol=0.01, atol=0.01)  # room for a user's choice of TF32
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as reason:  # whatever a compiler or a driver may raise
        what = str(reason).strip().partition("\n")[0] or type(reason).__name__
        _LOG.warning("The module's head is not compiled for %s, which makes training slower: %s", device, what)
        return DirectHead
    return FusedHead


@torch.enable_grad()
def _with_gradients(head: type[torch.autograd.Function], *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    inputs = tuple(values.detach().requires_grad_() for values in inputs)
    result = head.apply(*inputs)
    return result, *torch.autograd.grad(result.square().sum(), inputs)


def _blocks(x: torch.Tensor, slope: torch.Tensor, offset: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield blocks of cells with the SiLU's arguments, block × n × D."""
    size = max(1, _VALUES_PER_BLOCK // offset.numel())
    for start in range(0, len(x), size):
        cells = slice(start, start + size)
        yield cells, x[cells].unsqueeze(-1) * slope + offset
