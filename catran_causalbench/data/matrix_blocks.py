"""Read columns of a matrix that is too large for the memory, block by block, and select cells and genes in place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from catran_causalbench.data.out_of_core import allocate_matrix
from catran_causalbench.errors import InputError
from catran_causalbench.utils.progress import report

_VALUES_PER_BLOCK = 2**24
# A dense block that fits the processor's cache is processed up to three times as fast as a larger one.
VALUES_IN_CACHE = 2**20
_ROWS_OF_SAMPLE, _VALUES_OF_SAMPLE = 5000, 2**20  # at most


@dataclass(frozen=True)
class MatrixColumns:
    """Some columns of a matrix, and what is known of the others; C rows, G columns.

    Attributes
    ----------
    values
        float32, C × G; in a temporary file where memory is short.
    totals
        float64, length C: the sum of each row over all columns of the matrix.
    lowest, highest
        The extremes of all columns of the matrix, infinite and missing values aside.
    sample
        float32: the first rows of the matrix, or of its first columns where it is stored by columns.
    """

    values: np.ndarray
    totals: np.ndarray
    lowest: float
    highest: float
    sample: np.ndarray


def read_columns(matrix: Any, columns: np.ndarray) -> MatrixColumns:
    """Read columns, ascending, of a matrix in memory, in a file or of Dask, of any type and format that anndata takes.

    Raises
    ------
    InputError
        The matrix holds something other than real numbers, or masked values.
    """
    rows = matrix.shape[0]
    values = allocate_matrix(rows, len(columns))
    totals = np.zeros(rows)
    lowest, highest = np.inf, -np.inf
    sample = np.zeros((0, 0), np.float32)
    done = 0
    for cells, genes, block in matrix_blocks(matrix):
        report("Reading the cells", done, int(np.prod(matrix.shape)))
        totals[cells] += _row_sums(block)
        low, high = _extremes(block)
        lowest, highest = min(lowest, low), max(highest, high)
        first, last = np.searchsorted(columns, (genes.start, genes.stop))
        values[cells, first:last] = _dense(block[:, columns[first:last] - genes.start])
        sample = sample if sample.size else _first_rows(block)
        done += int(np.prod(block.shape))
    return MatrixColumns(values, totals, lowest, highest, sample)


def read_sample(matrix: Any) -> MatrixColumns:
    """Read the first rows of a matrix; their totals are not known where it is stored by columns."""
    _, genes, block = next(matrix_blocks(matrix))
    sample = _first_rows(block)
    totals = _row_sums(sample) if genes == slice(0, matrix.shape[1]) else np.zeros(0)
    return MatrixColumns(sample, totals, *_extremes(sample), sample)


def matrix_blocks(matrix: Any) -> Iterator[tuple[slice, slice, Any]]:
    """Yield blocks of a matrix, as numpy arrays or scipy matrices, with the slices of rows and columns they come from.

    The blocks follow the way in which the matrix is stored, so that no part of it is read twice: rows, columns where
    these are compressed, or the chunks of Dask.
    """
    rows, width = matrix.shape
    if hasattr(matrix, "dask"):
        starts = [np.cumsum([0, *sizes]) for sizes in matrix.chunks]
        for row, column in np.ndindex(*matrix.numblocks):
            cells, genes = (slice(of[at], of[at + 1]) for of, at in zip(starts, (row, column), strict=True))
            yield cells, genes, _computable(matrix.blocks[row, column].compute())
        return
    if hasattr(matrix, "tocsr") and (matrix.dtype == np.float16 or not matrix.dtype.isnative):
        matrix = _computable(matrix)  # scipy cannot take rows of these types
    if hasattr(matrix, "format"):
        by_column = matrix.format == "csc"
        for part in row_blocks(width, rows) if by_column else row_blocks(rows, width):
            block = _computable(matrix[:, part] if by_column else matrix[part])
            block.check_format()  # an index outside the matrix would lead scipy to other memory
            yield (slice(0, rows), part, block) if by_column else (part, slice(0, width), block)
        return
    for cells in _dense_blocks(rows, width, (getattr(matrix, "chunks", None) or (1,))[0]):
        yield cells, slice(0, width), _computable(matrix[cells])


def row_blocks(length: int, breadth: int, values: int | None = None) -> Iterator[slice]:
    """Yield slices of rows, of ``breadth`` values each, with about ``values`` (by default 2**24) values together."""
    return _slices(length, (values or _VALUES_PER_BLOCK) // max(breadth, 1))


def _dense_blocks(rows: int, width: int, rows_of_chunk: int) -> Iterator[slice]:
    """Yield slices of rows; none divides a chunk of a file, which would be read twice, unless chunks are too large."""
    chunk = rows_of_chunk if rows_of_chunk * width <= 4 * _VALUES_PER_BLOCK else 1
    return _slices(rows, min(VALUES_IN_CACHE, _VALUES_PER_BLOCK) // max(width, 1) // chunk * chunk or chunk)


def _slices(length: int, step: int) -> Iterator[slice]:
    step = max(step, 1)
    return (slice(start, min(start + step, length)) for start in range(0, length, step))


def select_in_place(expression: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Keep some rows and columns, ascending, of a contiguous array without memory for a second one.

    The result is contiguous. It lies at the beginning of the same memory, since no value moves towards the end.
    """
    if (len(rows), len(columns)) == expression.shape:
        return expression
    selected = expression.reshape(-1)[: len(rows) * len(columns)].reshape(len(rows), len(columns))
    for block in row_blocks(len(rows), expression.shape[1]):
        selected[block] = expression[rows[block]].take(columns, axis=1)
    return selected


def _computable(block: Any) -> Any:
    """Return an array or a compressed sparse matrix, of a type with which numpy and scipy compute exactly enough."""
    if np.ma.is_masked(block):
        raise InputError.of("expression_matrix", "masked values", "a number for every cell and gene")
    if not hasattr(block, "tocsr"):
        block = np.asarray(block)
    dtype = block.dtype
    if dtype.kind not in "fiub":
        raise InputError.of("expression_matrix", f"values of type {dtype}", "real numbers")
    if dtype.kind == "b" or dtype.itemsize < 4:  # scipy has no float16
        dtype = np.dtype(np.float32)
    elif dtype.itemsize > 8:
        dtype = np.dtype(np.float64)
    return block.astype(dtype.newbyteorder("="), copy=False)


def _dense(block: Any) -> np.ndarray:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
        return (block if isinstance(block, np.ndarray) else block.toarray()).astype(np.float32, copy=False)


def _first_rows(block: Any) -> np.ndarray:
    rows = min(_ROWS_OF_SAMPLE, max(1, _VALUES_OF_SAMPLE // max(block.shape[1], 1)))
    return _dense(block[:rows]).copy()  # or the whole block would be kept


def _row_sums(block: Any) -> np.ndarray:
    """Sum each row in float64."""
    if isinstance(block, np.ndarray):
        return block.sum(axis=1, dtype=np.float64)
    return block @ np.ones(block.shape[1])  # scipy's own sum of a float32 matrix is taken in float32


def _extremes(block: Any) -> tuple[float, float]:
    """Return the lowest and the highest finite value, with the zeros that a sparse matrix does not store."""
    stored = block if isinstance(block, np.ndarray) else block.data
    if not stored.size:
        return 0.0, 0.0
    lowest, highest = (float(extreme.reduce(stored, axis=None)) for extreme in (np.fmin, np.fmax))  # NaN aside
    if not np.isfinite([lowest, highest]).all():
        return _extremes(np.append(stored[np.isfinite(stored)], 0))
    if stored.size < np.prod(block.shape):
        lowest, highest = min(lowest, 0.0), max(highest, 0.0)
    return lowest, highest
