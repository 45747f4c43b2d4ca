"""SparseRC: a linear acyclic network with few root causes."""

from __future__ import annotations

import numpy as np
import torch

from catran_causalbench.data.dataset import CONTROL, PerturbationDataset
from catran_causalbench.utils.hardware import best_device

MAX_EPOCHS = 1500
PATIENCE = 40
MINIBATCHES = 10
LEARNING_RATE = 1e-3


def sparserc(dataset: PerturbationDataset, seed: int) -> np.ndarray:
    """SparseRC (P. Misiakos, C. Wendler and M. Püschel), third prize of the CausalBench challenge 2023 as MOEBIUS.

    Expression X is explained linearly by itself, X ≈ XA. The loss is the L1 norm of the residual, for few "root
    causes", plus the penalty of NOTEARS on cycles, tr exp(A∘A) − G. A perturbed gene is not explained in its own cells.
    Genes expressed in fewer than 25 % of the cells are left out, and so are cells in which such a gene or an unmeasured
    one is perturbed.

    Only positive weights are edges, as in the authors' code, but edges are ranked by weight instead of ending at
    0.035. The gradient of the penalty is written out, 2A ∘ exp(A∘A)ᵀ, because differentiating the matrix exponential
    takes eight times as long. The minibatches are drawn once, with ``seed``.

    The scores are the weights, float32, genes × genes, source × target; ``-inf`` where a weight is not positive, and
    for genes left out.
    """
    genes = dataset.expressed_genes(0.25)
    scores = np.full((dataset.num_genes, dataset.num_genes), -np.inf, dtype=np.float32)
    if len(genes) < 2:
        return scores
    column_of = np.full(dataset.num_genes, -1)
    column_of[genes] = np.arange(len(genes))
    controls = dataset.intervention == CONTROL
    cells = np.flatnonzero(controls | np.isin(dataset.intervention, genes))
    cells = np.random.default_rng(seed).permutation(cells)
    perturbed = np.where(controls[cells], -1, column_of[dataset.intervention[cells]])
    device = best_device()
    expression = torch.from_numpy(dataset.expression[cells][:, genes])
    weights = _fit(expression.to(device), torch.from_numpy(perturbed).to(device), seed)
    scores[np.ix_(genes, genes)] = np.where(weights > 0, weights, -np.inf)
    return scores


@torch.no_grad()
def _fit(expression: torch.Tensor, perturbed: torch.Tensor, seed: int) -> np.ndarray:
    """Return the weights after the epoch with the smallest loss; ``perturbed`` is one column per cell, or −1."""
    num_cells, num_genes = expression.shape
    weights = _initial_weights(num_genes, seed).to(expression.device)
    optimiser = torch.optim.Adam([weights], lr=LEARNING_RATE)
    size = max(1, num_cells // MINIBATCHES)
    minibatches = list(zip(expression.split(size), perturbed.split(size), strict=True))
    best_loss, best_weights, epochs_left = float("inf"), weights.clone(), PATIENCE
    for _ in range(MAX_EPOCHS):
        epoch_loss = torch.zeros((), device=expression.device)
        for cells, held in minibatches:
            residual = cells - cells @ weights
            rows = torch.nonzero(held >= 0).squeeze(1)
            residual[rows, held[rows]] = 0
            cycles = torch.matrix_exp(weights * weights)
            epoch_loss += residual.abs().sum() / (2 * size) + cycles.trace() - num_genes
            weights.grad = 2 * weights * cycles.T - cells.T @ residual.sign() / (2 * size)
            optimiser.step()
        if epoch_loss.item() < best_loss:
            best_loss, best_weights, epochs_left = epoch_loss.item(), weights.clone(), PATIENCE
        else:
            epochs_left -= 1
            if epochs_left == 0:
                break
    return best_weights.cpu().numpy()


def _initial_weights(num_genes: int, seed: int) -> torch.Tensor:
    """Draw small uniform weights as torch does for a linear layer, on the CPU, so that all devices start alike."""
    draws = torch.rand(num_genes, num_genes, generator=torch.Generator().manual_seed(seed))
    return (2 * draws - 1) / num_genes**0.5
