"""Log-normalisation, and the preprocessing methods that the paper compares in §1.1. The default is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.errors import InputError

# The smallest count of a cell is unknown; the numbers up to this one are tried.
_LARGEST_SMALLEST_COUNT = 8
_COUNT_TOLERANCE = 0.02
_SVD_RANK = 20


def log_normalise(counts: np.ndarray, totals: np.ndarray, target_sum: float | None = None) -> NDArray[np.float32]:
    """Scale each cell to the same total and take log1p, as CausalBench does through scanpy.

    The counts are those of the genes considered (cells × genes). The totals count all genes, also those that are not
    considered (one per cell, at least 1). Cells are scaled to ``target_sum``, by default the median of the totals.
    """
    factors = ((np.median(totals) if target_sum is None else target_sum) / totals).astype(np.float32)
    expression = counts.astype(np.float32)
    expression *= factors[:, None]
    return np.log1p(expression, out=expression)


def preprocess(dataset: PerturbationDataset, method: str) -> PerturbationDataset:
    """Transform the expression of a validated dataset.

    The method ``none`` keeps the values as given. ``counts`` recovers UMI counts from log-normalised values;
    ``log_normalise`` applies scanpy's normalize_total and log1p to these counts, and ``clr`` takes their centred log
    ratio within a cell. ``magic`` imputes the values as given by MAGIC; ``svd`` replaces zeros by a rank-20
    approximation of the values as given.

    Raises
    ------
    InputError
        The method needs counts and the values are neither counts nor log-normalised counts, or MAGIC is not installed.
    """
    if method == "none":
        return dataset
    transformed = METHODS[method](dataset.expression).astype(np.float32)
    return replace(dataset, expression=transformed)


def recover_counts(expression: np.ndarray) -> np.ndarray:
    """Recover the UMI counts from log-normalised values, cells × genes; return counts as they are.

    Log-normalisation multiplies the counts of a cell by one factor and takes log1p. On the linear scale all values of a
    cell are therefore multiples of one number: its smallest non-zero value divided by its smallest non-zero count,
    which is nearly always 1. InputError is raised for other values.
    """
    if not (expression % 1).any():
        return expression
    counts = multiples_of_one_number(np.expm1(expression.astype(np.float64)))
    unexplained = np.count_nonzero(np.isnan(counts[:, 0]))
    if unexplained:
        found = f"{unexplained} cell(s) whose values are not multiples of one number"
        expected = "counts or log-normalised counts, which this preprocessing needs"
        raise InputError.of("expression_matrix", found, expected)
    return counts


def multiples_of_one_number(linear: np.ndarray) -> np.ndarray:
    """Return which multiples of one number the values of each cell are, cells × genes; NaN in the other cells.

    The number is the smallest non-zero value of the cell, divided by the least of the numbers 1 to 8 that fits.
    """
    smallest = np.where(linear > 0, linear, np.inf).min(axis=1, keepdims=True)
    smallest[np.isinf(smallest)] = 1  # a cell without any count
    counts = np.full_like(linear, np.nan)
    for smallest_count in range(1, _LARGEST_SMALLEST_COUNT + 1):
        candidate = linear / smallest * smallest_count
        # Rounding to float32 changes a value in proportion to its size.
        whole = np.abs(candidate - candidate.round()) <= _COUNT_TOLERANCE + 1e-5 * candidate
        fits = whole.all(axis=1) & np.isnan(counts[:, 0])
        counts[fits] = candidate[fits].round()
    return counts


def _log_normalise_by_scanpy(expression: np.ndarray) -> np.ndarray:
    import scanpy
    from anndata import AnnData

    cells = AnnData(recover_counts(expression).astype(np.float32))
    scanpy.pp.normalize_total(cells)
    scanpy.pp.log1p(cells)
    return cells.X


def _centred_log_ratio(expression: np.ndarray) -> np.ndarray:
    logarithms = np.log1p(recover_counts(expression))
    return logarithms - logarithms.mean(axis=1, keepdims=True)


def _impute_by_magic(expression: np.ndarray) -> np.ndarray:
    try:
        import magic
    except ImportError:
        expected = "the package magic-impute: pip install 'catran-causalbench[magic]'"
        raise InputError.of("data.preprocessing", "'magic' without its library", expected) from None
    return magic.MAGIC(random_state=0, verbose=0).fit_transform(expression)


def _impute_zeros_by_svd(expression: np.ndarray) -> np.ndarray:
    from sklearn.decomposition import TruncatedSVD

    svd = TruncatedSVD(min(_SVD_RANK, expression.shape[1] - 1), random_state=0)
    approximation = svd.inverse_transform(svd.fit_transform(expression))
    return np.where(expression == 0, approximation.clip(min=0), expression)


METHODS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "counts": recover_counts,
    "log_normalise": _log_normalise_by_scanpy,
    "clr": _centred_log_ratio,
    "magic": _impute_by_magic,
    "svd": _impute_zeros_by_svd,
}
