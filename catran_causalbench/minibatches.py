"""The dataset as a stream of corrupted minibatches, drawn on the device where the network trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from catran_causalbench.config import CorruptionSettings, TrainingSettings
from catran_causalbench.dataset import PerturbationDataset


@dataclass(frozen=True)
class Minibatch:
    """B cells × n genes.

    Attributes
    ----------
    genes
        n, the genes' columns in the dataset.
    expression
        B × n, what is to be predicted.
    corrupted
        B × n, what the network sees.
    hidden
        B × n, true where an entry was hidden.
    group
        B, which perturbation a cell belongs to: the position (below n) of its perturbed gene among the minibatch's
        genes; n for controls and for perturbations of genes outside the minibatch; n + 1 for excluded cells.
    """

    genes: torch.Tensor
    expression: torch.Tensor
    corrupted: torch.Tensor
    hidden: torch.Tensor
    group: torch.Tensor


class MinibatchStream:
    """Iterable over the minibatches of one epoch: every cell at most once, in random order.

    All draws of an epoch follow from the seed and the epoch's number alone, so a run resumed at an epoch continues
    as if it had never stopped.
    """

    def __init__(
        self,
        dataset: PerturbationDataset,
        training: TrainingSettings,
        corruption: CorruptionSettings,
        seed: int,
        device: torch.device,
        current_epoch: Callable[[], int],
    ) -> None:
        self.cells = min(training.cells_per_minibatch, dataset.num_cells)
        self.genes = min(training.genes_per_minibatch, dataset.num_genes)
        self.corruption = corruption
        self._expression = torch.from_numpy(dataset.expression).to(device)
        self._intervention = torch.from_numpy(dataset.intervention).to(device)
        self._seed = seed
        self._current_epoch = current_epoch

    def __len__(self) -> int:
        return len(self._expression) // self.cells

    def __iter__(self) -> Iterator[Minibatch]:
        device = self._expression.device
        generator = torch.Generator(device).manual_seed(_mixed(self._seed, self._current_epoch()))
        order = torch.randperm(len(self._expression), generator=generator, device=device)
        for step in range(len(self)):
            yield self._draw(order[step * self.cells : (step + 1) * self.cells], generator)

    def _draw(self, cells: torch.Tensor, generator: torch.Generator) -> Minibatch:
        num_genes = self._expression.shape[1]
        device = self._expression.device
        if self.genes == num_genes:
            genes = torch.arange(num_genes, device=device)
            expression = self._expression[cells]
        else:
            genes = torch.randperm(num_genes, generator=generator, device=device)[: self.genes].sort().values
            expression = self._expression[cells.unsqueeze(1), genes]
        corrupted, hidden = corrupt(expression, self.corruption, generator)
        return Minibatch(genes, expression, corrupted, hidden, self._group(cells, genes))

    def _group(self, cells: torch.Tensor, genes: torch.Tensor) -> torch.Tensor:
        """Positions of the perturbed genes; the two codes below zero index the table from its end."""
        num_genes = self._expression.shape[1]
        positions = torch.full((num_genes + 2,), len(genes), device=genes.device)
        positions[genes] = torch.arange(len(genes), device=genes.device)
        positions[num_genes] = len(genes) + 1  # EXCLUDED = -2 is the last but one, CONTROL = -1 the last
        intervention = self._intervention[cells]
        return positions[torch.where(intervention < 0, intervention + num_genes + 2, intervention)]


def corrupt(
    expression: torch.Tensor, settings: CorruptionSettings, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hide exactly ⌊hidden_fraction · n⌋ randomly chosen genes in every cell.

    Shuffling moves each hidden value one place along a random cycle through the hidden entries, so none stays where
    it was and no entry's own value is shown as its corrupted one.

    Returns
    -------
    corrupted, hidden
        Both B × n; the second is true where an entry was hidden.
    """
    num_genes = expression.shape[1]
    num_hidden = int(settings.hidden_fraction * num_genes + 1e-9)
    # Sorting random numbers that carry a gene's index in their low bits gives random orders of the genes.
    bits = num_genes.bit_length()
    device = expression.device
    keys = torch.randint(2 ** (31 - bits), expression.shape, generator=generator, device=device, dtype=torch.int32)
    keys = (keys << bits) | torch.arange(num_genes, device=device, dtype=torch.int32)
    chosen = (_sorted_rows(keys)[:, :num_hidden] & (2**bits - 1)).long()
    hidden = torch.zeros_like(expression, dtype=torch.bool).scatter_(1, chosen, True)
    values = expression.gather(1, chosen)
    if settings.method == "zero":
        moved = torch.zeros_like(values)
    elif settings.method == "shuffle_within_cell":
        moved = values.roll(1, dims=1)
    else:
        order = torch.randperm(values.numel(), generator=generator, device=expression.device)
        moved = torch.empty_like(values).view(-1).scatter_(0, order, values.view(-1)[order.roll(1)]).view_as(values)
    return expression.scatter(1, chosen, moved), hidden


def _sorted_rows(keys: torch.Tensor) -> torch.Tensor:
    """Sort each row; on a CPU by numpy, which is ten times faster than torch at this."""
    if keys.device.type == "cpu":
        return torch.from_numpy(np.sort(keys.numpy(), axis=1))
    return keys.sort(dim=1).values


def _mixed(seed: int, epoch: int) -> int:
    """One number from two, so that neighbouring seeds and epochs share no stream of random numbers."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))
