"""Sums over the cells of every label and fold, in one pass, on the CPU or on a GPU.

Cells are read in the order of their labels, block by block. What a block holds of a label, its piece, is centred at its
own mean before it is squared, so that nothing is lost to cancellation in float32; blocks are added up in float64. Most
labels lie in one block. The pieces of the others are put together at the end:

    Σ (x − m)(x − m)ᵀ = Σ over pieces p of Σ (x − m_p)(x − m_p)ᵀ + n_p (m_p − m)(m_p − m)ᵀ.

A device holds one block and genes × genes sums. On the CPU, threads share the genes of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import embedding_bag

from catran_causalbench.data.dataset import CONTROL, PerturbationDataset
from catran_causalbench.utils.parallel import blas_on_one_thread, in_threads, prefetched

CPU = torch.device("cpu")
_FEWEST_CELLS_PER_BLOCK = 4096
# Narrower panels would make BLAS slow, or the other passes over a block.
_MIN_GENES_TO_MULTIPLY, _MIN_GENES_TO_CENTRE, _MAX_PANELS = 64, 192, 16


class CellSums(NamedTuple):
    """Sums over cells; see :class:`~catran_causalbench.models.evidence.statistics.SufficientStatistics`."""

    cells: np.ndarray
    centre: np.ndarray
    total: np.ndarray
    square: np.ndarray
    covariance: np.ndarray


class _Piece(NamedTuple):
    """The cells of a label in one block: their number in each fold, and their sums (folds × G)."""

    cells: np.ndarray
    total: np.ndarray


def sum_over_cells(dataset: PerturbationDataset, num_folds: int, seed: int, device: torch.device = CPU) -> CellSums:
    """Deal the cells of every label at random to the folds, and sum over them; excluded cells are left out."""
    cells, label, fold = _deal(dataset, num_folds, seed)
    # With fewer cells than genes, adding up the products would take longer than they do.
    per_block = max(_FEWEST_CELLS_PER_BLOCK, dataset.num_genes)
    blocks = (slice(start, start + per_block) for start in range(0, len(cells), per_block))

    def read() -> Iterator[tuple[torch.Tensor, np.ndarray, np.ndarray]]:
        for block in blocks:
            yield torch.from_numpy(dataset.expression[cells[block]]), label[block], fold[block]

    # The mean of all cells is not known yet; this one is near it.
    centre = torch.from_numpy(dataset.expression[cells[:per_block]]).mean(dim=0).to(device)
    sums = _Sums(label, fold, num_folds, centre, device)
    with blas_on_one_thread(), _exact_products(), prefetched(read()) as pieces:
        for rows, labels, folds in pieces:
            sums.add(rows.to(device), labels, folds)
        return sums.finished()


def _deal(dataset: PerturbationDataset, num_folds: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the cells in the order in which they are read, with label and fold of each; controls come first."""
    rng = np.random.default_rng(seed)
    by_code = np.argsort(dataset.intervention, kind="stable")
    codes = dataset.intervention[by_code]
    groups = []
    for code in [*dataset.perturbed_genes, CONTROL]:
        dealt = rng.permutation(by_code[slice(*np.searchsorted(codes, [code, code + 1]))])
        label = dataset.num_genes if code == CONTROL else code
        groups.append([(np.sort(dealt[fold::num_folds]), label, fold) for fold in range(num_folds)])
    ordered = [*groups[-1], *(group for label in groups[:-1] for group in label)]
    sizes = [len(cells) for cells, _, _ in ordered]
    return (
        np.concatenate([cells for cells, _, _ in ordered]),
        np.repeat([label for _, label, _ in ordered], sizes),
        np.repeat([fold for _, _, fold in ordered], sizes),
    )


class _Sums:
    """The sums over the blocks so far."""

    def __init__(
        self, label: np.ndarray, fold: np.ndarray, folds: int, centre: torch.Tensor, device: torch.device
    ) -> None:
        genes = len(centre)
        self._folds, self._genes, self._device = folds, genes, device
        place = np.bincount(fold * (genes + 1) + label, minlength=folds * (genes + 1))
        self._count = place.reshape(folds, genes + 1).astype(float)
        self._centre = centre
        self._total = np.zeros((folds, genes + 1, genes), np.float32)
        self._square = torch.zeros(folds, genes, dtype=torch.float64, device=device)
        self._product = torch.zeros(genes, genes, dtype=torch.float64, device=device)
        self._pieces: dict[int, list[_Piece]] = {}

    def add(self, rows: torch.Tensor, label: np.ndarray, fold: np.ndarray) -> None:
        """Add a block of cells, cells × G, whose label and fold ascend; the rows are overwritten."""
        starts = np.flatnonzero(np.diff(label * self._folds + fold, prepend=-1))  # the first row of each group
        group_label, group_fold, group_size = label[starts], fold[starts], np.diff(np.append(starts, len(label)))
        first = np.flatnonzero(np.diff(group_label, prepend=-1))  # the first group of each piece
        piece_size = np.add.reduceat(group_size, first)
        piece_of_group = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(starts))))
        groups, pieces = self._on_device(starts), self._on_device(first)
        group_cells, piece_cells = (self._on_device(size)[:, None] for size in (group_size, piece_size))
        of_group, of_row = map(self._on_device, (piece_of_group, np.repeat(np.arange(len(first)), piece_size)))
        is_fold = np.arange(self._folds)[:, None]
        cells_of_fold = self._on_device(np.float32(fold == is_fold))  # folds × cells
        groups_of_fold = self._on_device(np.float32((group_fold == is_fold) * group_size))  # folds × groups
        total = torch.empty(len(starts), self._genes, dtype=torch.float64, device=self._device)

        def centre(panel: slice) -> None:
            values = rows[:, panel]
            start = values[groups[pieces]]  # one cell of each piece: nothing is left of genes that do not vary in it
            values -= start[of_row]
            sums = _segment_sums(values, groups)
            mean = _segment_sums(sums, pieces) / piece_cells
            values -= mean[of_row]
            total[:, panel] = sums + group_cells * (start.double() - self._centre[panel])[of_group]
            square, between = values.square(), (sums / group_cells - mean[of_group]).square()
            for part, labels in ((square, label), (between, group_label)):
                own = np.flatnonzero((labels >= panel.start) & (labels < panel.stop))
                part[self._on_device(own), self._on_device(labels[own] - panel.start)] = 0
            self._square[:, panel] += cells_of_fold @ square - groups_of_fold @ between

        self._in_threads(centre, _MIN_GENES_TO_CENTRE)
        self._add_products(rows)
        sums = total.cpu().numpy()
        self._total[group_fold, group_label] += np.float32(sums)
        for number in np.flatnonzero(piece_size < self._count[:, group_label[first]].sum(axis=0)):
            of_piece = piece_of_group == number
            count, in_folds = np.zeros(self._folds), np.zeros((self._folds, self._genes))
            count[group_fold[of_piece]], in_folds[group_fold[of_piece]] = group_size[of_piece], sums[of_piece]
            self._pieces.setdefault(int(group_label[first[number]]), []).append(_Piece(count, in_folds))

    def finished(self) -> CellSums:
        """Return all sums; the covariance takes the memory of the products."""
        between = [self._put_together(code, pieces) for code, pieces in self._pieces.items()]
        if between:
            self._add_products(torch.from_numpy(np.concatenate(between)).to(self._device))
        cells = self._count.sum(axis=0)
        self._product /= max(cells.sum() - np.count_nonzero(cells), 1)

        def mirror(panel: slice) -> None:
            square = self._product[panel, panel]
            square.copy_(square.triu() + square.triu(1).T)
            self._product[panel.stop :, panel] = self._product[panel, panel.stop :].T

        self._in_threads(mirror, _MIN_GENES_TO_CENTRE)
        covariance, square = self._product.cpu().numpy(), self._square.cpu().numpy()
        return CellSums(self._count, self._centre.double().cpu().numpy(), self._total, square, covariance)

    def _put_together(self, code: int, pieces: list[_Piece]) -> np.ndarray:
        """Add to the squares what the pieces of a label lack; return their √n (m_p − m), pieces × G."""
        count, total = (np.stack(arrays) for arrays in zip(*pieces, strict=True))  # pieces × folds, … × G
        mean = total / count.clip(1)[..., None]
        mean_of_fold = total.sum(axis=0) / count.sum(axis=0).clip(1)[:, None]
        lacking = (count[..., None] * (mean - mean_of_fold) ** 2).sum(axis=0)
        if code < self._genes:
            lacking[:, code] = 0
        self._square += self._on_device(lacking)
        size = count.sum(axis=1)[:, None]
        distance: np.ndarray = total.sum(axis=1) / size - total.sum(axis=(0, 1)) / count.sum()
        return distance * np.sqrt(size)

    def _add_products(self, rows: torch.Tensor) -> None:
        """Add rowsᵀ · rows, in the upper triangle and the rest of its panels."""

        def add(panel: slice) -> None:
            self._product[panel, panel.start :] += _product(rows[:, panel].T, rows[:, panel.start :])

        self._in_threads(add, _MIN_GENES_TO_MULTIPLY)

    def _in_threads(self, work: Callable[[slice], None], least: int) -> None:
        """Do some work for every panel of genes, of at least so many genes unless it is the last."""
        width = max(least, -(-self._genes // _MAX_PANELS))
        panels = [slice(start, min(start + width, self._genes)) for start in range(0, self._genes, width)]
        in_threads(work, panels, worthwhile=self._device.type == "cpu")

    def _on_device(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)


def _segment_sums(values: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
    """Return the sums over the rows from each start to the next one, in a fixed order on every device."""
    return embedding_bag(torch.arange(len(values), device=values.device), values, starts, mode="sum")


def _product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return left · right; numpy's BLAS is faster than torch's on many CPUs."""
    return torch.from_numpy(left.numpy() @ right.numpy()) if left.device.type == "cpu" else left @ right


@contextmanager
def _exact_products() -> Iterator[None]:
    """Keep GPUs from rounding factors to TF32."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
