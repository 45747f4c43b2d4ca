"""Minibatches of masked expression, drawn on the device where the module trains (paper §1.2)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.errors import TrainingError
from catran_causalbench.models.catran.config import CatranSettings
from catran_causalbench.models.catran.importance import CellStatistics
from catran_causalbench.utils.distributed import local_rows
from catran_causalbench.utils.parallel import prefetched

_LOG = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Minibatch:
    """B cells × n genes.

    Attributes
    ----------
    genes, expression
        n columns of the dataset, and their values, B × n, which are to be predicted.
    masked_expression, is_masked
        Both B × n: input of the module, and true where an entry is masked.
    group
        B, the perturbation of a cell: the position (below n) of its perturbed gene among the minibatch's genes; n for
        controls and for perturbations of genes outside the minibatch; n + 1 for excluded cells.
    """

    genes: torch.Tensor
    expression: torch.Tensor
    masked_expression: torch.Tensor
    is_masked: torch.Tensor
    group: torch.Tensor


class MinibatchLoader:
    """Iterable over the minibatches of one epoch: every cell at most once, in random order.

    All draws of an epoch follow from the seed and the epoch's number alone, so a resumed run continues as if it had
    never stopped. With statistics, the genes are standardised.
    """

    def __init__(
        self,
        dataset: PerturbationDataset,
        settings: CatranSettings,
        seed: int,
        device: torch.device,
        current_epoch: Callable[[], int],
        statistics: CellStatistics | None = None,
    ) -> None:
        self.cells = min(settings.cells_per_minibatch, dataset.num_cells)
        self.genes = min(settings.genes_per_minibatch, dataset.num_genes)
        self.settings = settings
        self._device = device
        self._expression = torch.from_numpy(dataset.expression)
        self._all_on_device = True
        self._expression = self.with_memory(lambda: self._expression.to(device if self._all_on_device else "cpu"))
        self._intervention = self.with_memory(lambda: torch.from_numpy(dataset.intervention).to(device))
        self._statistics = statistics and statistics.to(device)
        self._seed = seed
        self._current_epoch = current_epoch

    def __len__(self) -> int:
        return self.settings.steps_per_epoch(len(self._expression))

    def __iter__(self) -> Iterator[Minibatch]:
        """Yield the minibatches; on a CPU a second thread draws each while the module learns from the one before."""
        if self._device.type == "cpu":
            with prefetched(self._drawn()) as minibatches:
                yield from minibatches
        else:
            yield from self._drawn()

    def _drawn(self) -> Iterator[Minibatch]:
        generator = torch.Generator(self._device)
        seed = _mixed_seed(self._seed, self._current_epoch())
        num_cells = len(self._expression)
        order = self.with_memory(
            lambda: torch.randperm(num_cells, generator=generator.manual_seed(seed), device=self._device)
        )
        for cells in order.split(self.cells)[: len(self)]:
            before = generator.get_state()
            yield self.with_memory(lambda: self._draw(cells, generator.set_state(before)))  # noqa: B023

    def with_memory(self, work: Callable[[], Result], again: bool = True) -> Result:
        """Do some work; if the device runs out of memory, move the cells off it and, if allowed, do the work again.

        From then on the device holds the cells of one minibatch instead of all; the minibatches stay the same.

        Raises
        ------
        TrainingError
            That does not suffice either, or the work may not be done again.
        """
        while True:
            try:
                return work()
            except torch.cuda.OutOfMemoryError:
                if not (again and self._all_on_device):
                    raise TrainingError(
                        "training: the device has too little memory for a minibatch; try a smaller "
                        "catran.cells_per_minibatch or catran.genes_per_minibatch"
                    ) from None
            _LOG.warning("The device's memory cannot hold all cells: from now on it gets those of one minibatch.")
            self._all_on_device = False
            self._expression = self._expression.cpu()
            torch.cuda.empty_cache()

    def release(self) -> None:
        """Drop the cells; Lightning's reference cycles would keep them until Python's next garbage collection."""
        del self._expression, self._intervention

    def _draw(self, cells: torch.Tensor, generator: torch.Generator) -> Minibatch:
        num_genes = self._expression.shape[1]
        own_cells = local_rows(cells)
        rows = own_cells.to(self._expression.device)
        if self.genes == num_genes:
            genes = torch.arange(num_genes, device=self._device)
            expression = self._expression[rows]
        else:
            genes = torch.randperm(num_genes, generator=generator, device=self._device)[: self.genes].sort().values
            expression = self._expression[rows.unsqueeze(1), genes.to(rows.device)]
        expression = expression.to(self._device)
        if self._statistics:
            expression = self._statistics.standardise(expression, genes)
        masked_expression, is_masked = mask_genes(expression, self.settings, generator, len(cells))
        return Minibatch(genes, expression, masked_expression, is_masked, self._group(own_cells, genes))

    def _group(self, cells: torch.Tensor, genes: torch.Tensor) -> torch.Tensor:
        """Return the positions of the perturbed genes; the two codes below zero index the table from its end."""
        num_genes = self._expression.shape[1]
        positions = torch.full((num_genes + 2,), len(genes), device=genes.device)
        positions[genes] = torch.arange(len(genes), device=genes.device)
        positions[num_genes] = len(genes) + 1  # EXCLUDED = -2 is the last but one, CONTROL = -1 the last
        intervention = self._intervention[cells]
        return positions[torch.where(intervention < 0, intervention + num_genes + 2, intervention)]


def mask_genes(
    expression: torch.Tensor, settings: CatranSettings, generator: torch.Generator, cells: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mask exactly ⌊masked_fraction · n⌋ randomly chosen genes in every cell.

    Shuffling moves each masked value one place along a random cycle through the masked entries, so that none stays
    where it was, unless it is the only one.

    Parameters
    ----------
    expression
        B × n; where processes share a minibatch, this process's cells of it.
    settings, generator
        How many genes are masked and how; the source of the random draws, in the same state in all processes.
    cells
        Number of cells in the whole minibatch; B by default.

    Returns
    -------
    masked_expression, is_masked
        As in :class:`Minibatch`.
    """
    num_genes = expression.shape[1]
    num_masked = int(settings.masked_fraction * num_genes + 1e-9)
    # Sorting random numbers that carry a gene's index in their low bits gives random orders of the genes.
    bits = num_genes.bit_length()
    device = expression.device
    drawn = (cells or len(expression), num_genes)
    keys = torch.randint(2 ** (31 - bits), drawn, generator=generator, device=device, dtype=torch.int32)
    keys = (local_rows(keys) << bits) | torch.arange(num_genes, device=device, dtype=torch.int32)
    chosen = (_sorted_rows(keys)[:, :num_masked] & (2**bits - 1)).long()  # B × num_masked
    is_masked = torch.zeros_like(expression, dtype=torch.bool).scatter_(1, chosen, True)
    values = expression.gather(1, chosen)
    if settings.masking == "zero":
        moved = torch.zeros_like(values)
    elif settings.masking == "shuffle_within_cell":
        moved = values.roll(1, dims=1)
    else:
        order = torch.randperm(values.numel(), generator=generator, device=expression.device)
        moved = torch.empty_like(values).view(-1).scatter_(0, order, values.view(-1)[order.roll(1)]).view_as(values)
    return expression.scatter(1, chosen, moved), is_masked


def _sorted_rows(keys: torch.Tensor) -> torch.Tensor:
    """Sort each row; on a CPU by numpy, which is ten times faster than torch here."""
    return torch.from_numpy(np.sort(keys.numpy(), axis=1)) if keys.device.type == "cpu" else keys.sort(dim=1).values


def _mixed_seed(seed: int, epoch: int) -> int:
    """Combine both into one seed, so that neighbouring seeds and epochs share no stream of random numbers."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))
