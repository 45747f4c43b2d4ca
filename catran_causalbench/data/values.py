"""Recognise what the values of a screen are, and refuse those that are not what the arguments say."""

from __future__ import annotations

import numpy as np

from catran_causalbench.data.matrix_blocks import blocks
from catran_causalbench.errors import InputError


def check_values(expression: np.ndarray, totals: np.ndarray, counts: bool, allow_counts: bool) -> None:
    """Refuse values that are not what the arguments say."""
    whole, negative = True, False
    for block in blocks(*expression.shape):
        values = expression[block]
        wrong = ~np.isfinite(values).all(axis=1)
        if counts:  # which are divided by the totals
            wrong |= ~np.isfinite(totals[block])
        if wrong.any():
            cell = block.start + wrong.argmax()
            raise InputError.of("expression_matrix", f"NaN or infinity in row {cell}", "finite numbers")
        whole &= not (values % 1).any()
        negative |= bool((values < 0).any())
    if counts and (negative or not whole):
        raise InputError.of("counts", "fractions or negative values in the matrix", "raw counts, or counts=False")
    if whole and not counts and not allow_counts:
        expected = "log-normalised values, or counts=True to have raw counts log-normalised"
        raise InputError.of("counts", "whole numbers only in the matrix", expected)
