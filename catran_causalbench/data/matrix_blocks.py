"""Read columns of a matrix that is too large for the memory, block by block, and select cells and genes in place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from catran_causalbench.data.out_of_core import allocate_matrix
from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

_VALUES_PER_BLOCK = 2**24


def read_columns(adata: AnnData, layer: str | None, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read columns as float32, and the total of each row, in blocks along the axis by which the matrix is stored."""
    matrix: Any = adata.X if layer is None else adata.layers.get(layer)
    if matrix is None:
        found = "none, and no X" if layer is None else f"no {layer!r}"
        raise InputError.of("layer", found, f"one of {', '.join(adata.layers) or 'none: there are no layers'}")
    rows, width = matrix.shape
    expression = allocate_matrix(rows, len(columns))
    totals = np.zeros(rows)
    if getattr(matrix, "format", None) == "csc":
        place = np.full(width, -1)
        place[columns] = np.arange(len(columns))
        for block in blocks(width, rows):
            values = matrix[:, block]
            totals += np.asarray(values.sum(axis=1), float).ravel()
            kept = place[block] >= 0
            expression[:, place[block][kept]] = values[:, np.flatnonzero(kept)].toarray()
    else:
        for block in blocks(rows, width):
            values = matrix[block]
            values = values.tocsr() if hasattr(values, "tocsr") else np.asarray(values)
            totals[block] = np.asarray(values.sum(axis=1), float).ravel()
            values = values[:, columns]
            expression[block] = values.toarray() if hasattr(values, "toarray") else values
    return expression, totals


def blocks(length: int, breadth: int) -> Iterator[slice]:
    """Yield slices of ``length`` rows of ``breadth`` values each, of about ``_VALUES_PER_BLOCK`` values together."""
    step = max(1, _VALUES_PER_BLOCK // max(breadth, 1))
    return (slice(start, min(start + step, length)) for start in range(0, length, step))


def select_in_place(expression: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Keep some rows and columns, ascending, without memory for a second matrix: no value moves down or right."""
    if (len(rows), len(columns)) == expression.shape:
        return expression
    for block in blocks(len(rows), expression.shape[1]):
        expression[block, : len(columns)] = expression[rows[block]][:, columns]
    return expression[: len(rows), : len(columns)]
