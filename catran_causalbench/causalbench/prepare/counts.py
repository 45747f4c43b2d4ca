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

# A dense block fits the processor's cache, which makes the pass twice as fast; sparse ones take time each.
_VALUES_PER_BLOCK = {"dense": 2**19, "sparse": 2**22}
# Whole numbers below it are exact in float32, and so are their sums, in whatever order they are added.
_LIMIT = 2**24

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
        with opened_matrix(file.path) as matrix:
            for rows, width, block in _blocks(matrix):
                stored = block if isinstance(block, np.ndarray) else block.data
                if len(scratch) < len(stored):
                    scratch = np.empty_like(stored)
                if not _are_counts(stored, scratch):
                    raise _no_counts(file, "fractions, negative values or NaN")
                totals[rows] += np.asarray(block.sum(axis=1), float).ravel()
                first, last = np.searchsorted(columns, (width.start, width.stop))
                chosen = block[:, columns[first:last] - width.start]
                values[rows, first:last] = chosen if isinstance(chosen, np.ndarray) else chosen.toarray()
                progress(file.path.name, *((rows.stop, cells) if width.stop == genes else (width.stop, genes)))
        if totals.max() >= _LIMIT:
            raise _no_counts(file, f"{totals.max():,.0f} as the total of a cell")
        return cls(values, columns, totals.astype(file.dtype))

    def of(self, cells: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.floating]:
        """Return the counts of cells and columns of the file, in the type in which CausalBench computes."""
        return self.values[np.ix_(cells, np.searchsorted(self.columns, columns))].astype(self.totals.dtype)


def _blocks(matrix: Any) -> Iterator[tuple[slice, slice, Any]]:
    """Yield blocks of rows, or of columns where these are compressed, with the slices of both."""
    cells, genes = matrix.shape
    if not hasattr(matrix, "format"):
        for rows in _slices(cells, _VALUES_PER_BLOCK["dense"] // genes, matrix.chunks[0] if matrix.chunks else 1):
            yield rows, slice(0, genes), matrix[rows]
        return
    by_row = matrix.format == "csr"
    length, breadth = (cells, genes) if by_row else (genes, cells)
    for part in _slices(length, _VALUES_PER_BLOCK["sparse"] // breadth):
        block = matrix[part] if by_row else matrix[:, part]
        block.check_format()  # an index out of range would lead scipy to other memory
        yield (part, slice(0, genes), block) if by_row else (slice(0, cells), part, block)


def _slices(length: int, step: int, multiple: int = 1) -> Iterator[slice]:
    """Yield slices of about `step` rows; no chunk of the file is read, and unpacked, twice."""
    step = max(1, step // multiple) * multiple
    return (slice(start, min(start + step, length)) for start in range(0, length, step))


def _are_counts(values: np.ndarray, scratch: np.ndarray) -> bool:
    """Return whether all values are whole and none is negative; a new array each time would take thrice as long."""
    if values.dtype.kind == "f" and not (np.rint(values, out=scratch[: len(values)]) == values).all():
        return False
    return bool(values.min(initial=0) >= 0)


def _no_counts(file: ExpressionFile, found: str) -> InputError:
    return InputError.of(file.path.name, f"{found}, in X", "raw counts of single cells, as CausalBench's file holds")
