"""Recognise what the values of a screen are, and refuse those that are not what the arguments say.

The kinds of values, in the order in which they are tried:

``signed``
    Some are negative: scaled values (z-scores), residuals or values after batch correction.
``counts``
    All are whole numbers.
``linear``
    Counts that were corrected or normalised, but not logged, because one of these holds.

    * A value is above 30. Logarithms of counts are not: the exponentials of 30, to the base of e or 2, are more
      molecules than any cell has. log1p of counts per million stays below 14, log2 below 20.
    * All cells have the same total, as in CPM, TPM and proportions; their logarithms have not.
    * The values of each cell are multiples of a number of its own, as normalised counts are, and what log1p or log2
      would have been taken of are not.
``logged``
    What log1p, or log2 after adding 1, would have been taken of are multiples of one number in each cell.
``other``
    None of these, for example log1p of corrected counts, square roots, or a variance-stabilising transformation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from catran_causalbench.data.matrix_blocks import VALUES_IN_CACHE, MatrixColumns, row_blocks
from catran_causalbench.data.preprocessing import multiples_of_one_number
from catran_causalbench.errors import InputError, warn

_LARGEST_LOGARITHM = 30
_SAME_TOTAL = 1.001  # the 95 % quantile of the totals divided by the 5 % quantile
_FEWEST_CELLS = 10  # that show something; fewer may do so by chance
_MOST, _FEW = 0.9, 0.5  # shares of cells: that a kind has to explain, and that the other kind must not


class Kind(NamedTuple):
    """What values are, and for ``linear`` what shows it."""

    name: str
    evidence: str = ""


def check_values(columns: MatrixColumns, counts: bool, allow_counts: bool, other_layers: Callable[[], str]) -> Kind:
    """Return what the values are, or refuse them if they are not what the arguments say.

    Parameters
    ----------
    columns
        The values of the genes considered.
    counts, allow_counts
        As for :func:`~catran_causalbench.data.anndata_reader.read_screen`.
    other_layers
        Gives the layers to read instead, for the message.

    Raises
    ------
    InputError
        Naming what was found, and the argument that cures it.
    """
    _reject_missing(columns, counts)
    kind = kind_of_values(columns)
    if kind.name == "signed" or (counts and columns.lowest < 0):
        found = f"negative values (down to {columns.lowest:.3g}), as scaling, residuals or batch correction leave them"
        raise InputError.of("layer", found, other_layers())
    if counts:
        if kind.name == "logged":
            raise InputError.of("counts", "values that are log-normalised already", "no counts=True")
        if kind.name == "other":
            message = f"the values are fractions of at most {columns.highest:.3g} and are taken as counts"
            warn(f"{message}; if they are logged already, leave out counts=True")
    elif kind.name == "linear":
        expected = "log-normalised values, or counts=True for counts, corrected counts, CPM or TPM"
        raise InputError.of("counts", f"{kind.evidence}, so no logarithms", f"{expected}; take log1p of intensities")
    elif kind.name == "counts" and not allow_counts:
        expected = "log-normalised values, or counts=True to have raw counts log-normalised"
        raise InputError.of("counts", "whole numbers only in the matrix", expected)
    return kind


def kind_of_values(columns: MatrixColumns) -> Kind:
    """Recognise what the values are, by the rules above."""
    signed, whole = False, True
    rows, width = columns.values.shape
    for block in row_blocks(rows, width, VALUES_IN_CACHE):
        values = columns.values[block]
        signed |= bool((values < 0).any())
        whole = whole and not (values - np.floor(values)).any()
    if signed or whole:
        return Kind("signed" if signed else "counts")
    if columns.highest > _LARGEST_LOGARITHM:
        return Kind("linear", f"values up to {columns.highest:.6g}")
    if _have_same_total(columns.totals):
        return Kind("linear", f"the total {np.median(columns.totals):.6g} in every cell")
    return _kind_by_multiples(columns.sample)


def target_sum(kind: Kind, totals: np.ndarray) -> float:
    """Return the total to which the cells are scaled: the median of their totals, as in CausalBench.

    Normalised values have lost these; for them it is 10,000, as in Seurat. The logarithm of proportions would change
    nothing, and that of CPM leaves little but the difference between no molecule and one.
    """
    return 1e4 if kind.name == "linear" and _have_same_total(totals) else float(np.median(totals))


def _have_same_total(totals: np.ndarray) -> bool:
    """Return whether all cells have about the same total, those without any value aside."""
    totals = totals[totals > 0]
    if len(totals) < _FEWEST_CELLS:
        return False
    low, high = np.quantile(totals, (0.05, 0.95))
    return bool(high <= _SAME_TOTAL * low)


def _kind_by_multiples(sample: np.ndarray) -> Kind:
    """Recognise normalised counts by the number of each cell that all values are multiples of, logged or not."""
    sample = np.sort(sample[np.isfinite(sample).all(axis=1)].astype(np.float64), axis=1)
    different = (np.diff(sample, axis=1, prepend=0) > 0).sum(axis=1)
    sample = sample[different > 2]  # two values are often multiples of one number by chance
    if len(sample) < _FEWEST_CELLS:
        return Kind("other")
    largest = multiples_of_one_number(sample)[:, -1]
    as_they_are = np.isfinite(largest)
    before_log = [
        np.isfinite(multiples_of_one_number(linear)[:, -1]).mean() for linear in (np.expm1(sample), np.exp2(sample) - 1)
    ]
    if max(before_log) > _MOST and as_they_are.mean() < _FEW:
        return Kind("logged")
    if max(before_log) < _FEW and as_they_are.mean() > _MOST:
        numbers = (sample[:, -1] / largest)[as_they_are]
        if np.isnan(multiples_of_one_number(numbers[None])).any():  # else rounding to one decimal made them multiples
            return Kind("linear", "values that are multiples of one number in each cell")
    return Kind("other")


def _reject_missing(columns: MatrixColumns, counts: bool) -> None:
    for block in row_blocks(*columns.values.shape):
        wrong = ~np.isfinite(columns.values[block]).all(axis=1)
        if counts:  # which are divided by the totals
            wrong |= ~np.isfinite(columns.totals[block])
        if wrong.any():
            cell = block.start + wrong.argmax()
            raise InputError.of("expression_matrix", f"NaN or infinity in row {cell}", "finite numbers")
