"""The counts of some genes, and the total of each cell, read from an .h5ad in one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.causalbench.prepare.expression_file import ExpressionFile
from catran_causalbench.data.matrix_blocks import matrix_blocks
from catran_causalbench.data.out_of_core import allocate_matrix
from catran_causalbench.data.screen_files import opened
from catran_causalbench.errors import InputError
from catran_causalbench.utils.page_cache import drop_from_cache
from catran_causalbench.utils.parallel import prefetched

# Whole numbers below it are exact in float32, and so are their sums, in whatever order they are added.
_LIMIT = 2**24
_BLOCKS_IN_CACHE = 64

Progress = Callable[[str, int, int], object]  # what is read or written, how much is done, and of how much


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
        """Read columns, ascending; raise InputError if any value of the file is no count, or it cannot be read."""
        cells, genes = file.shape
        values = allocate_matrix(cells, len(columns))
        totals = np.zeros(cells)
        scratch = np.empty(0)
        with opened(file.path, "gene") as adata, prefetched(matrix_blocks(adata.X)) as blocks:
            for number, (rows, width, block) in enumerate(blocks):
                stored = block if isinstance(block, np.ndarray) else block.data
                if len(scratch) < len(stored):
                    scratch = np.empty_like(stored)
                if not _are_counts(stored, scratch):
                    raise _no_counts(file, "fractions, negative values or NaN")
                totals[rows] += np.asarray(block.sum(axis=1), float).ravel()
                first, last = np.searchsorted(columns, (width.start, width.stop))
                places = columns[first:last] - width.start
                dense = isinstance(block, np.ndarray)
                values[rows, first:last] = np.take(block, places, axis=1) if dense else block[:, places].toarray()
                if number % _BLOCKS_IN_CACHE == 0:
                    drop_from_cache(file.path)  # nothing is read twice
                progress(file.path.name, *((rows.stop, cells) if width.stop == genes else (width.stop, genes)))
        if totals.max() >= _LIMIT:
            raise _no_counts(file, f"{totals.max():,.0f} as the total of a cell")
        return cls(values, columns, totals.astype(file.dtype))

    def of(self, cells: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.floating]:
        """Return the counts of cells and columns of the file, in the type in which CausalBench computes."""
        places = np.searchsorted(self.columns, columns)
        return np.take(self.values[cells], places, axis=1).astype(self.totals.dtype, copy=False)

    def of_one(self, cells: NDArray[np.intp], column: int) -> NDArray[np.floating]:
        """Return the counts of cells and of one column of the file, without a copy of the others."""
        return self.values[cells, np.searchsorted(self.columns, column)].astype(self.totals.dtype)


def _are_counts(values: np.ndarray, scratch: np.ndarray) -> bool:
    """Return whether all values are whole and none is negative; a new array each time would take thrice as long."""
    if values.dtype.kind == "f" and not (np.rint(values, out=scratch[: len(values)]) == values).all():
        return False
    return bool(values.min(initial=0) >= 0)


def _no_counts(file: ExpressionFile, found: str) -> InputError:
    return InputError.of(file.path.name, f"{found}, in X", "raw counts of single cells, as CausalBench's file holds")
