"""The objective (paper §1.2, §1.4): predict expression, and keep attention close to what interventions show."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn.functional import huber_loss

from catran_causalbench.models.catran.config import CatranSettings
from catran_causalbench.models.catran.dataloader import Minibatch
from catran_causalbench.models.catran.importance import importance_cross_entropy
from catran_causalbench.utils.distributed import sum_over_processes

_SMALLEST_ERROR = 1e-12


class Losses(NamedTuple):
    """The terms of the objective, unweighted, and their weighted sum."""

    masked: torch.Tensor
    unmasked: torch.Tensor
    interventional: torch.Tensor
    total: torch.Tensor


def catran_losses(
    prediction: torch.Tensor,
    attention: torch.Tensor,
    minibatch: Minibatch,
    settings: CatranSettings,
    importance: torch.Tensor | None = None,
) -> Losses:
    """Compute all terms for one minibatch.

    Parameters
    ----------
    prediction, attention
        B × n; n × n, target × source.
    minibatch, settings
        The truth, and the weights of the terms.
    importance
        2 × G × G, those of perturbed and of other sources in all training cells, see
        :class:`~catran_causalbench.models.catran.importance.CellStatistics`; without it importances are those of the
        minibatch (§1.4).
    """
    error = huber_loss(prediction, minibatch.expression, reduction="none")
    is_masked, num_entries = minibatch.is_masked, torch.tensor(error.numel(), device=error.device)
    if not settings.predict_perturbed:
        counts = minibatch.group[:, None] != torch.arange(error.shape[1], device=error.device)
        error, is_masked, num_entries = error * counts, is_masked & counts, counts.sum()
    error_sum = sum_over_processes(_total(error))
    num_masked = sum_over_processes(is_masked.sum())
    num_unmasked = sum_over_processes(num_entries - is_masked.sum())
    masked_sum = sum_over_processes(_total(error * is_masked))
    masked = masked_sum / num_masked.clamp_min(1)
    unmasked = (error_sum - masked_sum) / num_unmasked.clamp_min(1)
    if importance is None:
        interventional = interventional_loss(error, attention, minibatch.group, settings.importance_gradient)
    else:
        interventional = importance_cross_entropy(attention, importance[:, minibatch.genes][:, :, minibatch.genes])
    total = (
        settings.masked_weight * masked
        + settings.unmasked_weight * unmasked
        + settings.interventional_weight * interventional
    )
    return Losses(masked, unmasked, interventional, total)


def interventional_loss(
    error: torch.Tensor, attention: torch.Tensor, group: torch.Tensor, importance_gradient: bool = True
) -> torch.Tensor:
    """Compute the Huber distance between attention and gene importance (§1.4), without a loop over perturbations.

    The importance of source g for target l is ``sigmoid(H₀/H₁ − 1)``: H₁ is the mean error of l in the cells in which g
    is perturbed, H₀ in the cells in which it is not. Excluded cells belong to neither.

    Parameters
    ----------
    error, attention
        Prediction errors, B × n; n × n, target × source.
    group
        B, see :class:`~catran_causalbench.models.catran.dataloader.Minibatch`.
    importance_gradient
        Whether the importances have gradients.

    Returns
    -------
    torch.Tensor
        Mean over all ordered pairs of a perturbed source and another gene; 0 where no gene is perturbed.
    """
    num_genes = error.shape[1]
    error = error if importance_gradient else error.detach()
    sums_by_group = _sums_by_index if error.device.type == "cpu" else _sums_by_product
    sums, counts = map(sum_over_processes, sums_by_group(error, group, num_genes + 2))
    sum_in, count_in = sums[:num_genes], counts[:num_genes, None]
    sum_all, count_all = sums[: num_genes + 1].sum(dim=0), counts[: num_genes + 1].sum()
    count_out = count_all - count_in
    informative = (count_in > 0) & (count_out > 0)
    mean_in = (sum_in / count_in.clamp_min(1)).clamp_min(_SMALLEST_ERROR)
    mean_out = (sum_all - sum_in) / count_out.clamp_min(1)
    importance = _sigmoid(mean_out / mean_in - 1)  # source × target
    pairs = informative & ~torch.eye(num_genes, dtype=torch.bool, device=error.device)
    distance = huber_loss(attention.T, importance, reduction="none")
    return _total(distance * pairs) / pairs.sum().clamp_min(1)


def _sigmoid(values: torch.Tensor) -> torch.Tensor:
    """Compute the sigmoid, in float64 on a CPU: torch rounds differently where two threads' shares of an array meet."""
    return torch.sigmoid(values.double() if values.device.type == "cpu" else values).to(values.dtype)


def _total(values: torch.Tensor) -> torch.Tensor:
    """Sum a matrix by columns first: torch's order for a whole matrix depends on the number of threads."""
    return values.sum(dim=0).sum()


def _sums_by_index(error: torch.Tensor, group: torch.Tensor, groups: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sum of the errors and the number of cells in each group, adding every cell to its group's row."""
    sums = error.new_zeros((groups, error.shape[1])).index_add(0, group, error)
    return sums, torch.bincount(group, minlength=groups)


def _sums_by_product(error: torch.Tensor, group: torch.Tensor, groups: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the same sums as a product with a one-hot matrix: on a GPU, adding by index has no fixed order."""
    one_hot = (group == torch.arange(groups, device=group.device)[:, None]).to(error.dtype)
    return one_hot @ error, one_hot.sum(dim=1)
