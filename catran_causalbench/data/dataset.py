"""Labels and matrix become one validated dataset, in an order that does not depend on the file's.

Everything downstream trusts this module: after :func:`validate_dataset` no value is missing, no gene is
constant, and every cell is a control, a knock-down of a measured gene, or excluded.
"""

from __future__ import annotations

import reprlib
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from catran_causalbench.data.out_of_core import allocate_matrix
from catran_causalbench.errors import InputError

CONTROL_LABEL = "non-targeting"
EXCLUDED_LABEL = "excluded"
CONTROL = -1
EXCLUDED = -2

_CELLS_PER_BLOCK = 4096
# No count gets near it, and sums of squares over all cells and genes stay within float32.
_LARGEST_VALUE = np.float32(1e12)  # a type of its own, since float16 has no such number


@dataclass(frozen=True)
class PerturbationDataset:
    """Expression of single cells, each with the gene that was perturbed in it.

    Attributes
    ----------
    expression
        float32, cells × genes, on the scale in which it was given (CausalBench: log-normalised). It lies in a temporary
        file where the memory is short.
    gene_names
        Names of the columns, sorted.
    intervention
        int64, one per cell: the column of the perturbed gene, ``CONTROL`` or ``EXCLUDED``. Cells in which a
        gene outside the matrix was perturbed are ``EXCLUDED``, never controls.
    """

    expression: np.ndarray
    gene_names: tuple[str, ...]
    intervention: np.ndarray

    @property
    def num_cells(self) -> int:
        """Number of cells."""
        return self.expression.shape[0]

    @property
    def num_genes(self) -> int:
        """Number of genes."""
        return self.expression.shape[1]

    @property
    def perturbed_genes(self) -> np.ndarray:
        """Columns of the genes that are perturbed in at least one cell, ascending."""
        return np.unique(self.intervention[self.intervention >= 0])

    def controls_only(self) -> PerturbationDataset:
        """Keep the control cells: all that the observational regime lets a method see.

        Raises
        ------
        InputError
            Where a gene is constant, or fewer than 2 cells are left.
        """
        controls = self.intervention == CONTROL
        if controls.sum() < 2:
            raise InputError.of(
                "interventions", f"{controls.sum()} control cell(s)", "at least 2 to learn from controls"
            )
        expression = self.expression[controls]
        _reject_constant_genes(expression, self.gene_names)
        return PerturbationDataset(expression, self.gene_names, self.intervention[controls])


def validate_dataset(
    expression_matrix: Any, interventions: Sequence[str], gene_names: Sequence[str]
) -> PerturbationDataset:
    """Check the input and bring it into canonical order.

    Genes are sorted by name and cells by label and content, so that with one seed the same data give the same
    minibatches, and therefore the same edges, in whatever order they were stored.

    Parameters
    ----------
    expression_matrix
        cells × genes; a numpy array or scipy sparse matrix of any real number type, finite and non-negative.
    interventions
        One label per cell: a gene name, ``non-targeting`` (control) or ``excluded``. Labels are compared letter by
        letter; one that is no gene of the matrix (``A+B`` for two genes at once, another case) makes the cell an
        excluded one.
    gene_names
        One distinct, non-empty name per column.

    Raises
    ------
    InputError
        Naming the argument, what was found and what was expected.

    Warns
    -----
    UserWarning
        Where cells are labelled with genes, but with none of the matrix.
    """
    matrix = _numeric_matrix(expression_matrix)
    names = _gene_names(gene_names, matrix.shape[1])
    labels = _labels(interventions, matrix.shape[0])

    gene_order = np.array(sorted(range(len(names)), key=names.__getitem__))
    sorted_names = tuple(names[column] for column in gene_order)
    intervention = _intervention_codes(labels, sorted_names)
    _check_values(matrix)
    cell_order = np.lexsort((_cell_fingerprints(matrix, gene_order), intervention))
    expression = _in_order(matrix, cell_order, gene_order)
    _reject_constant_genes(expression, sorted_names)
    return PerturbationDataset(expression, sorted_names, intervention[cell_order])


def _numeric_matrix(matrix: Any) -> Any:
    """Return a 2-D array or CSR matrix of real numbers."""
    try:
        if hasattr(matrix, "tocsr"):
            matrix = matrix.tocsr()
            if matrix.ndim == 2:
                matrix.check_format(full_check=True)  # an index out of range would reach beyond the memory
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
    if matrix.ndim != 2:
        found = f"{matrix.ndim} dimension(s), shape {matrix.shape}"
        raise InputError.of("expression_matrix", found, "cells × genes")
    cells, genes = matrix.shape
    if cells < 2:
        raise InputError.of("expression_matrix", f"{cells} cell(s)", "at least 2")
    if genes < 2:
        raise InputError.of("expression_matrix", f"{genes} gene(s)", "at least 2, since an edge joins two genes")
    return matrix


def _gene_names(gene_names: Sequence[str], columns: int) -> list[str]:
    names = _listed("gene_names", gene_names)
    if len(names) != columns:
        raise InputError.of("gene_names", f"{len(names)} names", f"{columns}, one per column of expression_matrix")
    for column, name in enumerate(names):
        if not isinstance(name, str):
            raise InputError.of("gene_names", f"{reprlib.repr(name)} for column {column}", "text")
        if not name.strip():
            raise InputError.of("gene_names", f"an empty name for column {column}", "a name for every gene")
        if not _can_be_written(name):
            raise InputError.of("gene_names", f"{name!r} for column {column}", "letters that a file can hold")
    names = [str(name) for name in names]  # numpy's strings become Python's
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise InputError.of("gene_names", f"{name!r} for {count} columns", "distinct names")
    for reserved in (CONTROL_LABEL, EXCLUDED_LABEL):
        if reserved in names:
            raise InputError.of("gene_names", f"{reserved!r}, which is a label of cells", "names of genes only")
    return names


def _listed(field: str, values: Sequence[str]) -> list[Any]:
    try:
        return list(values)
    except TypeError:
        raise InputError.of(field, reprlib.repr(values), "a sequence of text") from None


def _can_be_written(name: str) -> bool:
    """Whether it is without null characters and halves of characters, which no file of edges could hold."""
    return "\0" not in name and not any("\ud800" <= letter <= "\udfff" for letter in name)


def _labels(interventions: Sequence[str], cells: int) -> list[str]:
    labels = _listed("interventions", interventions)
    if len(labels) != cells:
        raise InputError.of("interventions", f"{len(labels)} labels", f"{cells}, one per row of expression_matrix")
    for cell, label in enumerate(labels):
        if not isinstance(label, str) or not label.strip():
            expected = f"a gene name, {CONTROL_LABEL!r} or {EXCLUDED_LABEL!r}"
            raise InputError.of("interventions", f"label {reprlib.repr(label)} for cell {cell}", expected)
    if CONTROL_LABEL not in labels:
        shown = ", ".join(f"{label!r} ({count} cells)" for label, count in Counter(labels).most_common(3))
        raise InputError.of("interventions", f"no controls, only {shown}", f"some cells labelled {CONTROL_LABEL!r}")
    return labels


def _intervention_codes(labels: list[str], sorted_names: tuple[str, ...]) -> np.ndarray:
    """Columns of the perturbed genes; a gene that is not measured makes the cell an excluded one."""
    codes = {name: column for column, name in enumerate(sorted_names)}
    codes[CONTROL_LABEL] = CONTROL
    intervention = np.array([codes.get(label, EXCLUDED) for label in labels], dtype=np.int64)
    others = sorted(set(labels) - {CONTROL_LABEL, EXCLUDED_LABEL})
    if others and intervention.max() < 0:
        message = f"none of the {len(others)} perturbed genes in interventions is in gene_names: {others[0]!r} …"
        warnings.warn(f"{message} Only controls can be learned from.", stacklevel=3)
    return intervention


def _check_values(matrix: Any) -> None:
    for cells, block in _dense_blocks(matrix):
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


def _dense_blocks(matrix: Any) -> Iterator[tuple[slice, np.ndarray]]:
    """Give some cells at a time, so that nothing else of the matrix's size is held."""
    for start in range(0, matrix.shape[0], _CELLS_PER_BLOCK):
        cells = slice(start, min(start + _CELLS_PER_BLOCK, matrix.shape[0]))
        block = matrix[cells]
        yield cells, np.asarray(block.toarray() if hasattr(block, "toarray") else block)


def _float32_blocks(matrix: Any, gene_order: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    for cells, block in _dense_blocks(matrix):
        ordered = block[:, gene_order].astype(np.float32, copy=False)
        ordered += 0.0  # turns -0.0 into 0.0, so that equal cells have equal bytes
        yield cells, ordered


def _in_order(matrix: Any, cell_order: np.ndarray, gene_order: np.ndarray) -> np.ndarray:
    expression = allocate_matrix(*matrix.shape)
    place = np.empty_like(cell_order)
    place[cell_order] = np.arange(len(cell_order))
    for cells, block in _float32_blocks(matrix, gene_order):
        expression[place[cells]] = block
    return expression


def _reject_constant_genes(expression: np.ndarray, names: tuple[str, ...]) -> None:
    constant = np.flatnonzero(expression.min(axis=0) == expression.max(axis=0))
    if len(constant):
        gene = constant[0]
        more = f" and {len(constant) - 1} more constant genes" if len(constant) > 1 else ""
        found = f"the value {expression[0, gene]:g} in every cell for gene {names[gene]!r}{more}"
        raise InputError.of("expression_matrix", found, "genes that vary; drop those that do not")


def _cell_fingerprints(matrix: Any, gene_order: np.ndarray) -> np.ndarray:
    """64-bit hash of each cell's values: a sort key that depends on nothing but the content."""
    multipliers = np.random.default_rng(0).integers(2**63, size=matrix.shape[1], dtype=np.uint64)
    multipliers = multipliers * np.uint64(2) + np.uint64(1)  # odd, so that no bit of a value is lost
    fingerprints = np.empty(matrix.shape[0], dtype=np.uint64)
    for cells, block in _float32_blocks(matrix, gene_order):
        fingerprints[cells] = (np.ascontiguousarray(block).view(np.uint32).astype(np.uint64) * multipliers).sum(axis=1)
    return fingerprints
