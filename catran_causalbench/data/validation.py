"""Check a matrix and its labels: no value may be missing and no gene constant; and bring them into canonical order."""

from __future__ import annotations

import re
import reprlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from catran_causalbench.data.canonical_order import dense_blocks, order_of_cells, sorted_copy, sorted_in_place
from catran_causalbench.data.dataset import (
    CONTROL,
    CONTROL_LABEL,
    EXCLUDED,
    EXCLUDED_LABEL,
    PERTURBATIONS,
    PerturbationDataset,
)
from catran_causalbench.errors import InputError, warn
from catran_causalbench.utils.validation import checked, choice, plain

_UNWRITABLE = re.compile(r"[\0\ud800-\udfff]")  # null characters, and unpaired surrogates, which UTF-8 cannot hold
# No count comes near it, and sums of squares over all cells and genes stay within float32.
_LARGEST_VALUE = np.float32(1e12)  # a NumPy scalar, because Python's 1e12 would become infinity beside float16


def validate_dataset(
    expression_matrix: Any,
    interventions: Sequence[str] | np.ndarray,
    gene_names: Sequence[str],
    batches: Sequence[Any] | np.ndarray | None = None,
    perturbation: str = PERTURBATIONS[0],
) -> PerturbationDataset:
    """Check the input, and sort genes by name and cells by label and content.

    With one seed, the same data therefore give the same edges, in whatever order they are stored.

    Parameters
    ----------
    expression_matrix
        Cells × genes: a numpy array or scipy sparse matrix of any real type, with finite values of at least 0.
    interventions
        One label per cell: a gene name, ``non-targeting`` (control) or ``excluded``. A cell with any other label, such
        as ``A+B`` or a gene name in another case, is excluded.
    gene_names
        One distinct, non-empty name per column.
    batches
        One name or number per cell; cells are then compared with the controls of their own batch, so each batch that
        holds perturbed cells needs some.
    perturbation
        ``knockdown``, ``knockout`` or ``activation``: whether the effect of a perturbation has the opposite sign of
        the regulation or the same.

    Raises
    ------
    InputError
        Naming the argument, what was found and what was expected. There is only a warning if cells are labelled with
        genes but none of these is in the matrix.
    """
    return _validated(expression_matrix, interventions, gene_names, batches, perturbation, sorted_copy)


def validate_in_place(
    expression: np.ndarray,
    interventions: Sequence[str] | np.ndarray,
    gene_names: Sequence[str],
    batches: Sequence[Any] | np.ndarray | None = None,
    perturbation: str = PERTURBATIONS[0],
) -> PerturbationDataset:
    """Do as :func:`validate_dataset` within a float32 array, whose rows and columns change their order.

    The dataset takes the array over, so no second one is needed.
    """
    return _validated(expression, interventions, gene_names, batches, perturbation, sorted_in_place)


def _validated(
    expression_matrix: Any,
    interventions: Sequence[str] | np.ndarray,
    gene_names: Sequence[str],
    batches: Sequence[Any] | np.ndarray | None,
    perturbation: str,
    in_order: Callable[[Any, np.ndarray, np.ndarray], np.ndarray],
) -> PerturbationDataset:
    matrix = _numeric_matrix(expression_matrix)
    names = _gene_names(gene_names, matrix.shape[1])
    labels = _labels(interventions, matrix.shape[0])
    gene_order = np.array(sorted(range(len(names)), key=names.__getitem__))
    sorted_names = tuple(sorted(names))
    intervention = _intervention_codes(labels, sorted_names)
    batch = None if batches is None else _batch_numbers(batches, intervention)
    perturbation = checked("perturbation", perturbation, str, choice(*PERTURBATIONS).metadata)
    _check_values(matrix)
    cell_order = order_of_cells(matrix, gene_order, intervention, batch)
    expression = in_order(matrix, cell_order, gene_order)
    batch = None if batch is None else batch[cell_order]
    dataset = PerturbationDataset(expression, sorted_names, intervention[cell_order], batch, perturbation)
    dataset.reject_constant_genes()
    return dataset


def _numeric_matrix(matrix: Any) -> Any:
    """Return a 2-D array or CSR matrix of real numbers."""
    try:
        if hasattr(matrix, "tocsr"):
            matrix = matrix.tocsr()
            if matrix.ndim == 2:
                matrix.check_format(full_check=True)  # an index out of range would access foreign memory
        elif np.ma.is_masked(matrix):
            raise ValueError("masked entries")
        else:
            matrix = np.asarray(matrix)
    except (ValueError, TypeError, RuntimeError) as error:
        ragged = "inhomogeneous" in str(error)
        found = "rows of different lengths" if ragged else f"no matrix of numbers ({' '.join(str(error).split())})"
        raise InputError.of("expression_matrix", found, "cells × genes") from None
    if matrix.dtype.kind not in "fiub":
        raise InputError.of("expression_matrix", f"values of type {matrix.dtype}", "real numbers")
    if matrix.ndim != 2 or min(matrix.shape) < 2:  # an edge joins two genes
        raise InputError.of("expression_matrix", f"shape {matrix.shape}", "cells × genes, at least 2 of each")
    return matrix


def _listed(field: str, values: Sequence[Any] | np.ndarray, length: int, each: str) -> list[Any]:
    try:
        if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype != object:
            listed = values.tolist()  # much faster than one by one
        else:
            listed = list(map(plain, values))
    except TypeError:
        raise InputError.of(field, reprlib.repr(values), "a sequence of text") from None
    if len(listed) != length:
        raise InputError.of(field, f"{len(listed)} values", f"{length}, one per {each} of expression_matrix")
    return listed


def _gene_names(gene_names: Sequence[str], columns: int) -> list[str]:
    names = _listed("gene_names", gene_names, columns, "column")
    for column, name in enumerate(names):
        if not isinstance(name, str):
            raise InputError.of("gene_names", f"{reprlib.repr(name)} for column {column}", "text")
        if not name.strip():
            raise InputError.of("gene_names", f"an empty name for column {column}", "a name for every gene")
        if _UNWRITABLE.search(name):
            raise InputError.of("gene_names", f"{name!r} for column {column}", "letters that a file can hold")
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        expected = "distinct names, as adata.var_names_make_unique() makes them"
        raise InputError.of("gene_names", f"{name!r} for {count} columns", expected)
    for reserved in (CONTROL_LABEL, EXCLUDED_LABEL):
        if reserved in names:
            raise InputError.of("gene_names", f"{reserved!r}, which is a label of cells", "names of genes only")
    return names


def _labels(interventions: Sequence[str] | np.ndarray, cells: int) -> list[str]:
    labels = _listed("interventions", interventions, cells, "row")
    for cell, label in enumerate(labels):
        if not isinstance(label, str) or not label.strip():
            expected = f"a gene name, {CONTROL_LABEL!r} or {EXCLUDED_LABEL!r}"
            raise InputError.of("interventions", f"label {reprlib.repr(label)} for cell {cell}", expected)
    if CONTROL_LABEL not in labels:
        frequent = ", ".join(f"{label!r} ({count} cells)" for label, count in Counter(labels).most_common(3))
        raise InputError.of("interventions", f"no controls, only {frequent}", f"some cells labelled {CONTROL_LABEL!r}")
    return labels


def _intervention_codes(labels: list[str], sorted_names: tuple[str, ...]) -> np.ndarray:
    """Return the column of each cell's perturbed gene; cells with an unmeasured perturbed gene are excluded."""
    codes = {name: column for column, name in enumerate(sorted_names)}
    codes[CONTROL_LABEL] = CONTROL
    intervention = np.array([codes.get(label, EXCLUDED) for label in labels], dtype=np.int64)
    others = sorted(set(labels) - {CONTROL_LABEL, EXCLUDED_LABEL})
    if others and intervention.max() < 0:
        message = f"none of the {len(others)} perturbed genes in interventions is in gene_names: {others[0]!r} …"
        warn(f"{message} Methods can learn from controls only.")
    return intervention


def _batch_numbers(batches: Sequence[Any] | np.ndarray, intervention: np.ndarray) -> np.ndarray | None:
    """Return the number of each cell's batch, in the order of their names; None if there is one batch."""
    names = _listed("batches", batches, len(intervention), "row")
    for cell, name in enumerate(names):
        if name is None or name != name:
            raise InputError.of("batches", f"none for cell {cell}", "a batch for every cell")
    distinct, number = np.unique(np.array(names, str), return_inverse=True)
    controls = np.bincount(number[intervention == CONTROL], minlength=len(distinct))
    perturbed = np.bincount(number[intervention >= 0], minlength=len(distinct))
    alone = np.flatnonzero((controls == 0) & (perturbed > 0))
    if len(alone):
        found = f"batch {str(distinct[alone[0]])!r} with {perturbed[alone[0]]} perturbed cells and no control"
        raise InputError.of("batches", found, "controls in every batch; leave out batches without")
    return number.astype(np.int64) if len(distinct) > 1 else None


def _check_values(matrix: Any) -> None:
    for cells, block in dense_blocks(matrix):
        if block.min() >= 0 and block.max() <= _LARGEST_VALUE:  # neither holds for NaN
            continue
        for found, wrong, expected in (
            ("NaN", np.isnan(block), "a number in every entry"),
            ("infinity", np.isinf(block), "finite numbers"),
            ("a negative value", block < 0, "counts or log-normalised counts, zero or more"),
            (f"a value above {_LARGEST_VALUE:g}", block > _LARGEST_VALUE, "counts or log-normalised counts"),
        ):
            if wrong.any():
                cell, column = np.argwhere(wrong)[0]
                where = f"{found} in row {cells.start + cell}, column {column}"
                raise InputError.of("expression_matrix", where, expected)
