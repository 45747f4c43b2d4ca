"""The counts of some genes, and the total of each cell, read from an .h5ad in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.causalbench.prepare.expression_file import ExpressionFile, opened_matrix
from catran_causalbench.data.out_of_core import allocate_matrix
from catran_causalbench.errors import InputError

_VALUES_PER_BLOCK = 2**20  # a block and what is computed from it stay in the processor's cache
# Whole numbers below it are exact in float32, sums of them included, in whatever order they are added.
_LIMIT = 2**24

Progress = Callable[[str, int, int], object]  # name, done, total


@dataclass(frozen=True)
class Counts:
    """Counts of C cells and K genes, and what CausalBench divides them by.

    Attributes
    ----------
    values
        float32, C × K; in a temporary file where memory is short.
    columns
        (K,): the columns of the file that these genes are, ascending.
    totals
        (C,): the counts of each cell over all genes of the file, in the type in which CausalBench computes.
    """

    values: NDArray[np.float32]
    columns: NDArray[np.intp]
    totals: NDArray[np.floating]

    @classmethod
    def read(cls, file: ExpressionFile, columns: NDArray[np.intp], progress: Progress) -> Counts:
        """Read columns, ascending; raise InputError if any value of the file is not a count."""
        cells, _ = file.shape
        values = allocate_matrix(cells, len(columns))
        totals = np.zeros(cells)
        with opened_matrix(file.path) as matrix:
            for rows, width, block in _blocks(matrix):
                stored = block if isinstance(block, np.ndarray) else block.data
                if not np.array_equal(np.abs(np.rint(stored)), stored):
                    _refuse(file, "negative values, fractions or NaN")
                totals[rows] += np.asarray(block.sum(axis=1), float).ravel()
                first, last = np.searchsorted(columns, (width.start, width.stop))
                chosen = block[:, columns[first:last] - width.start]
                values[rows, first:last] = chosen if isinstance(chosen, np.ndarray) else chosen.toarray()
                done, total = (rows.stop, cells) if rows.stop - rows.start < cells else (width.stop, file.shape[1])
                progress(file.path.name, done, total)
        if totals.max() >= _LIMIT:
            _refuse(file, f"a total of {totals.max():g} in a cell")
        if not totals.any():
            _refuse(file, "no cell with a count")
        return cls(values, columns, totals.astype(file.dtype))

    def of(self, columns: NDArray[np.intp], cells: NDArray[np.intp]) -> NDArray[np.floating]:
        """Return the counts of cells and columns of the file, in the type in which CausalBench computes."""
        chosen = self.values[np.ix_(cells, np.searchsorted(self.columns, columns))]
        return chosen.astype(self.totals.dtype)


def _blocks(matrix: Any) -> Iterator[tuple[slice, slice, Any]]:
    """Yield blocks of rows, or of columns where these are compressed, with the slices of both."""
    cells, genes = matrix.shape
    if getattr(matrix, "format", None) == "csc":
        for width in _slices(genes, cells):
            yield slice(0, cells), width, matrix[:, width]
    else:
        for rows in _slices(cells, genes):
            yield rows, slice(0, genes), matrix[rows]


def _slices(length: int, breadth: int) -> Iterator[slice]:
    step = max(1, _VALUES_PER_BLOCK // max(breadth, 1))
    return (slice(start, min(start + step, length)) for start in range(0, length, step))


def _refuse(file: ExpressionFile, found: str) -> None:
    raise InputError.of(file.path.name, f"{found}, in X", "raw counts of single cells, as CausalBench's file holds")
