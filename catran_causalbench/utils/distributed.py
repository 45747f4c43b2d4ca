"""Sums over the processes that ``torchrun`` started and that share every minibatch; one process just has its values.

Each process has its share of a minibatch's cells and computes the loss of the whole minibatch, from moments and errors
that are summed over all processes. The gradient of such a sum is the sum of all processes' gradients with respect to
it, so the mean of the processes' gradients, which Lightning's data-parallel strategy takes, is the gradient that one
process with all cells would get.

torch is imported on use, so that commands can ask :func:`is_main_process` without loading it.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def launched_by_torchrun() -> bool:
    """Return whether ``torchrun`` started this process as one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ["WORLD_SIZE"]) > 1


def is_main_process() -> bool:
    """Return whether this process is the one that writes files and results."""
    return not launched_by_torchrun() or os.environ["RANK"] == "0"


def num_processes() -> int:
    """Return the number of processes that train together."""
    from torch import distributed

    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def local_rows(rows: torch.Tensor) -> torch.Tensor:
    """Return this process's share of a minibatch's rows: equal parts, in the order of the processes' ranks."""
    from torch import distributed

    processes = num_processes()
    return rows if processes == 1 else rows.chunk(processes)[distributed.get_rank()]


def sum_over_processes(values: torch.Tensor) -> torch.Tensor:
    """Return the sum of the values of all processes; it is differentiable."""
    return values if num_processes() == 1 else _sum_function().apply(values)


def all_agree(value: int, device: torch.device) -> bool:
    """Return whether all processes have the same number."""
    import torch
    from torch import distributed

    if num_processes() == 1:
        return True
    ends = torch.tensor([value, -value], device=device)
    distributed.all_reduce(ends, distributed.ReduceOp.MAX)
    return bool(ends.sum() == 0)


@cache
def _sum_function() -> Any:
    import torch
    from torch import distributed

    class Sum(torch.autograd.Function):
        """Sum over processes: the values in the forward pass, their gradients in the backward pass."""

        @staticmethod
        def forward(context: Any, values: torch.Tensor) -> torch.Tensor:
            total = values.contiguous().clone()
            distributed.all_reduce(total)
            return total

        @staticmethod
        def backward(context: Any, *gradients: torch.Tensor) -> torch.Tensor:
            return Sum.forward(context, *gradients)

    return Sum
