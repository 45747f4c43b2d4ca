"""An order of genes and cells that depends on names, labels and content only, not on how the data are stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from catran_causalbench.data.matrix_blocks import VALUES_IN_CACHE, row_blocks
from catran_causalbench.data.out_of_core import allocate_matrix

_CELLS_PER_BLOCK = 1024


def order_of_cells(
    matrix: Any, gene_order: np.ndarray, intervention: np.ndarray, batch: np.ndarray | None
) -> np.ndarray:
    """Return the rows of the cells by label, then by content, then by batch."""
    keys = (_cell_fingerprints(matrix, gene_order), intervention)
    return np.lexsort(keys if batch is None else (batch, *keys))  # the last key counts most


def sorted_copy(matrix: Any, cell_order: np.ndarray, gene_order: np.ndarray) -> np.ndarray:
    """Return the rows and columns of any matrix in an order, float32; row i is the row ``cell_order[i]`` of the matrix.

    The matrix is read in the order in which it is stored.
    """
    place = np.argsort(cell_order)
    expression = allocate_matrix(*matrix.shape)
    for cells, block in _float32_blocks(matrix):
        expression[place[cells]] = block.take(gene_order, axis=1)  # much faster than an index
    return expression


def sorted_in_place(expression: np.ndarray, cell_order: np.ndarray, gene_order: np.ndarray) -> np.ndarray:
    """Bring the rows and columns of a float32 array into an order and return it: no second matrix is needed.

    One block of places after the other gets its rows. The rows that were there and belong elsewhere move to the places
    that these leave.
    """
    cells, genes = expression.shape
    place = np.arange(cells)  # where each row is by now
    row_at = np.arange(cells)  # which row each place holds
    for block in row_blocks(cells, genes, VALUES_IN_CACHE):
        found = place[cell_order[block]]
        arriving = expression.take(found, axis=0).take(gene_order, axis=1)
        emptied = found[found >= block.stop]
        leaving = np.setdiff1d(np.arange(block.start, block.stop), found, assume_unique=True)
        expression[emptied] = expression[leaving]
        row_at[emptied] = row_at[leaving]
        place[row_at[emptied]] = emptied
        np.add(arriving, np.float32(0), out=expression[block])  # as in _float32_blocks
    return expression


def dense_blocks(matrix: Any) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield some cells at a time, so that no second matrix of this size is held."""
    for start in range(0, matrix.shape[0], _CELLS_PER_BLOCK):
        cells = slice(start, min(start + _CELLS_PER_BLOCK, matrix.shape[0]))
        block = matrix[cells]
        yield cells, np.asarray(block.toarray() if hasattr(block, "toarray") else block)


def _float32_blocks(matrix: Any) -> Iterator[tuple[slice, np.ndarray]]:
    for cells, block in dense_blocks(matrix):
        # The sum turns -0.0 into 0.0, so that equal cells have equal bytes.
        yield cells, np.add(block, np.float32(0), dtype=np.float32, order="C")


def _cell_fingerprints(matrix: Any, gene_order: np.ndarray) -> np.ndarray:
    """Return a 64-bit hash of each cell's values: a sort key that depends on the content only."""
    draws = np.random.default_rng(0).integers(2**63, size=matrix.shape[1], dtype=np.uint64)
    multipliers = np.empty_like(draws)
    multipliers[gene_order] = draws * np.uint64(2) + np.uint64(1)  # odd factors lose no bit of a value
    fingerprints = np.empty(matrix.shape[0], dtype=np.uint64)
    for cells, block in _float32_blocks(matrix):
        fingerprints[cells] = np.einsum("cg,g->c", block.view(np.uint32).astype(np.uint64), multipliers)
    return fingerprints
