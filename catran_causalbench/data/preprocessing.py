"""The preprocessings of the paper's §1.1, so that its comparison can be repeated. The default is none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.errors import InputError

# Genes outside the matrix cannot tell a cell's unit; this many candidates for its smallest count are tried.
_LARGEST_SMALLEST_COUNT = 8
_COUNT_TOLERANCE = 0.02
_SVD_RANK = 20


def preprocess(dataset: PerturbationDataset, method: str) -> PerturbationDataset:
    """Transform the expression of a validated dataset.

    Parameters
    ----------
    method
        ``none``: as given. ``counts``: UMI counts, recovered from log-normalised values. ``log_normalise``: scanpy's
        normalize_total and log1p of the counts. ``clr``: centred log ratio of the counts within a cell. ``magic``:
        MAGIC imputation of the values as given. ``svd``: zeros replaced by a rank-20 approximation of those values.

    Raises
    ------
    InputError
        Where counts are needed and the values are neither counts nor log-normalised counts, or where MAGIC is not
        installed.
    """
    if method == "none":
        return dataset
    transformed = METHODS[method](dataset.expression).astype(np.float32)
    return PerturbationDataset(transformed, dataset.gene_names, dataset.intervention)


def recover_counts(expression: np.ndarray) -> np.ndarray:
    """UMI counts behind log-normalised values, cells × genes; counts are returned as they are.

    Log-normalising multiplies the counts of a cell by one factor and takes log1p. Back on the linear scale all values
    of a cell are therefore multiples of one number, its smallest non-zero value divided by its smallest count, which
    nearly always is 1.

    Raises
    ------
    InputError
        Where the values of a cell are no multiples of one number.
    """
    if not (expression % 1).any():
        return expression
    linear = np.expm1(expression.astype(np.float64))
    smallest = np.where(linear > 0, linear, np.inf).min(axis=1, keepdims=True)
    smallest[np.isinf(smallest)] = 1  # a cell without any count
    counts = np.full_like(linear, np.nan)
    for smallest_count in range(1, _LARGEST_SMALLEST_COUNT + 1):
        candidate = linear / smallest * smallest_count
        # Rounding to float32 shifts a value by a share of its size.
        whole = np.abs(candidate - candidate.round()) <= _COUNT_TOLERANCE + 1e-5 * candidate
        fits = whole.all(axis=1) & np.isnan(counts[:, 0])
        counts[fits] = candidate[fits].round()
    unexplained = np.flatnonzero(np.isnan(counts[:, 0]))
    if len(unexplained):
        found = f"{len(unexplained)} cell(s) whose values are no multiples of one count"
        raise InputError.of("expression_matrix", found, "counts or log-normalised counts, as preprocessing needs them")
    return counts


def _log_normalise(expression: np.ndarray) -> np.ndarray:
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
    "log_normalise": _log_normalise,
    "clr": _centred_log_ratio,
    "magic": _impute_by_magic,
    "svd": _impute_zeros_by_svd,
}
