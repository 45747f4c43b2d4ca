"""An AnnData, in memory or backed, becomes labels and a matrix of the genes to be considered."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from catran_causalbench.data.dataset import CONTROL_LABEL, EXCLUDED_LABEL, PerturbationDataset
from catran_causalbench.data.out_of_core import allocate_matrix
from catran_causalbench.data.validation import validate_dataset
from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

SEPARATOR = "+"
# Columns of `var` that may know a gene by the name that the target column uses, where `var_names` does not.
OTHER_NAMES = ("gene_name", "gene_symbols", "gene_symbol", "feature_name", "gene_id", "gene_ids")
_VALUES_PER_BLOCK = 2**24


class Kind(Enum):
    """What a cell is whose label names no single gene."""

    CONTROL = "control"
    COMBINED = "combined"
    UNLABELLED = "unlabelled"


Target: TypeAlias = str | Kind


@dataclass(frozen=True)
class Screen:
    """What was read from an AnnData.

    Attributes
    ----------
    dataset
        Validated; ready for training.
    cells
        How many cells count as what: ``perturbed``, ``control``, ``combined`` (several targets), ``unlabelled``, and
        ``other`` (a gene that is not considered). All but the first two are excluded.
    """

    dataset: PerturbationDataset
    cells: dict[str, int]


def read_screen(
    adata: AnnData,
    *,
    perturbation_key: str,
    control: str = CONTROL_LABEL,
    layer: str | None = None,
    genes: str | Sequence[str] = "perturbed",
    min_cells: int = 100,
    counts: bool = False,
    allow_counts: bool = False,
) -> Screen:
    """Read the labels of all cells and the expression of the genes considered.

    Only the columns of those genes are kept, and a backed or sparse matrix is read block by block.

    Parameters
    ----------
    adata
        Cells × genes; it is not changed.
    perturbation_key
        Column of ``obs`` with each cell's target. A gene is called there as in ``var_names``, or as in the column of
        ``var`` (gene_name, gene_symbols, feature_name, gene_id, …) in which most targets are found. In a combined
        label (``A+B``) the control label and repetitions do not count: ``A+control`` and ``A+A`` are ``A``,
        ``control+control`` is a control. Cells with two genes or more are excluded, for no single source explains
        them, and so are cells without a label.
    control
        The target's value in control cells.
    layer
        A layer with log-normalised values; by default ``X``.
    genes
        ``"perturbed"``: measured genes that are perturbed in more than ``min_cells`` cells, CausalBench's rule, as
        sources and targets alike. ``"all"``: every gene that varies. Or the names of genes. Cells in which another
        gene was perturbed are excluded.
    min_cells
        Of ``"perturbed"``.
    counts
        The values are raw counts: scale cells to the median total of all genes, then take log1p, as CausalBench does;
        cells without any count are left out.
    allow_counts
        Take counts as they are, because preprocessing starts from them.

    Raises
    ------
    InputError
        Naming the argument, what was found and what was expected.
    """
    targets = read_targets(adata, perturbation_key)
    labels = single_targets(targets, control)
    if Kind.CONTROL not in labels:
        shown = ", ".join(f"{label!r} ({number})" for label, number in Counter(targets).most_common(5))
        found = f"no cell labelled {control!r} in {perturbation_key!r}, where {shown} are most frequent"
        raise InputError.of("control", found, "the label of the control cells")
    names = gene_names_like(adata.var, {label for label in labels if isinstance(label, str)})
    columns = _choose_columns(names, labels, genes, min_cells)
    expression, totals = _read_columns(_matrix(adata, layer), columns)
    _check_scale(expression, counts, allow_counts)
    if counts:
        kept = np.flatnonzero(totals > 0)
        if not len(kept):
            raise InputError.of("counts", "no cell with a count", "raw counts")
        labels = [labels[cell] for cell in kept]
        expression = _log_normalised(expression, totals, kept)
    chosen = names[columns]
    if isinstance(genes, str):
        varying = expression.min(axis=0) != expression.max(axis=0)
        if not varying.all():
            warnings.warn(f"{(~varying).sum()} genes have one value in all cells and are left out", stacklevel=3)
            expression, chosen = _columns_of(expression, varying), chosen[varying]
    cells = _count_cells(labels, set(chosen))
    if cells["combined"]:
        message = f"{cells['combined']} cells with several targets ({SEPARATOR!r} in the label) are excluded"
        warnings.warn(f"{message}: no single source explains them", stacklevel=3)
    known = {**{name: name for name in chosen}, Kind.CONTROL: CONTROL_LABEL}
    interventions = [known.get(label, EXCLUDED_LABEL) for label in labels]
    return Screen(validate_dataset(expression, interventions, [str(name) for name in chosen]), cells)


def gene_names_like(var: pd.DataFrame, wanted: set[str]) -> np.ndarray:
    """Names of all genes, from ``var_names`` or the column of ``var`` in which most of the wanted ones are found."""
    candidates = [var.index.astype(str), *(var[column].astype(str) for column in OTHER_NAMES if column in var)]
    return np.array(max(candidates, key=lambda names: len(wanted.intersection(names))), dtype=object)


def read_targets(adata: AnnData, perturbation_key: str) -> list[str | None]:
    """Label of every cell; None where there is none.

    Raises
    ------
    InputError
        There is no such column.
    """
    if perturbation_key not in adata.obs:
        expected = f"one of {', '.join(map(str, adata.obs.columns)) or 'its columns, of which there are none'}"
        raise InputError.of("perturbation_key", f"no {perturbation_key!r} in obs", expected)
    return texts(adata.obs[perturbation_key])


def texts(column: pd.Series) -> list[str | None]:
    """Values of a column as text; None where there is none, which `astype(str)` would call "nan"."""
    return [None if missing else str(value) for value, missing in zip(column, column.isna(), strict=True)]


def single_targets(targets: Sequence[str | None], control: str) -> list[Target]:
    """Reduce every cell's label to one gene, or say what kind of cell it is."""
    single = {target: _single_target(target, control) for target in set(targets)}
    return [single[target] for target in targets]


def _single_target(target: str | None, control: str) -> Target:
    if target is None or not target.strip():
        return Kind.UNLABELLED
    if target == control:
        return Kind.CONTROL
    genes = {part.strip() for part in target.split(SEPARATOR)} - {control, ""}
    if len(genes) > 1:
        return Kind.COMBINED
    return genes.pop() if genes else Kind.CONTROL


def _choose_columns(names: np.ndarray, labels: list[Target], genes: str | Sequence[str], min_cells: int) -> np.ndarray:
    if not isinstance(genes, str):
        wanted = set(genes)
        missing = sorted(wanted.difference(names))
        if missing:
            raise InputError.of("genes", f"{len(missing)} that are not measured, as {missing[0]!r}", "measured genes")
        columns = np.flatnonzero([name in wanted for name in names])
    elif genes == "all":
        columns = np.arange(len(names))
    elif genes == "perturbed":
        cells_of = Counter(label for label in labels if isinstance(label, str))
        measured = set(names)
        passing = {gene for gene in measured if cells_of[gene] > min_cells}
        if len(passing) < 2:
            most = max((cells_of[gene] for gene in measured), default=0)
            found = f"{len(passing)} measured genes with more than {min_cells} perturbed cells (the most: {most})"
            raise InputError.of("min_cells", found, "at least 2; lower it, or name the genes")
        columns = np.flatnonzero([name in passing for name in names])
    else:
        raise InputError.of("genes", repr(genes), "'perturbed', 'all' or a list of names")
    return columns


def _matrix(adata: AnnData, layer: str | None) -> Any:
    if layer is None:
        if adata.X is None:
            raise InputError.of("layer", "none, and no X in the AnnData", f"one of {', '.join(adata.layers)}")
        return adata.X
    if layer not in adata.layers:
        raise InputError.of(
            "layer", f"no {layer!r}", f"one of {', '.join(adata.layers) or 'none: there are no layers'}"
        )
    return adata.layers[layer]


def _read_columns(matrix: Any, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read columns as float32, and every row's total, in blocks along the axis by which the matrix is stored."""
    rows, width = matrix.shape
    expression = allocate_matrix(rows, len(columns))
    totals = np.zeros(rows)
    if getattr(matrix, "format", None) == "csc":
        position = np.full(width, -1)
        position[columns] = np.arange(len(columns))
        for block in _blocks(width, rows):
            values = matrix[:, block]
            totals += np.asarray(values.sum(axis=1), float).ravel()
            kept = position[block] >= 0
            expression[:, position[block][kept]] = values[:, np.flatnonzero(kept)].toarray()
    else:
        for block in _blocks(rows, width):
            values = matrix[block]
            values = values.tocsr() if hasattr(values, "tocsr") else np.asarray(values)
            totals[block] = np.asarray(values.sum(axis=1), float).ravel()
            values = values[:, columns]
            expression[block] = values.toarray() if hasattr(values, "toarray") else values
    return expression, totals


def _blocks(length: int, breadth: int) -> Iterator[slice]:
    step = max(1, _VALUES_PER_BLOCK // max(breadth, 1))
    return (slice(start, min(start + step, length)) for start in range(0, length, step))


def _check_scale(expression: np.ndarray, counts: bool, allow_counts: bool) -> None:
    """Refuse what is not what the user said it is."""
    blocks = [expression[block] for block in _blocks(*expression.shape)]
    with np.errstate(invalid="ignore"):
        whole = not any((block % 1).any() for block in blocks)  # NaN and infinity are no whole numbers
    if not counts and whole and not allow_counts:
        expected = "log-normalised values, or counts=True to have raw counts log-normalised"
        raise InputError.of("counts", "whole numbers only in the matrix", expected)
    if counts and (not whole or any((block < 0).any() for block in blocks)):
        raise InputError.of("counts", "fractions or negative values", "raw counts, or counts=False")


def _log_normalised(expression: np.ndarray, totals: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Log-normalise the rows to be kept, in their own room: every row moves up to, or stays at, its new place."""
    from catran_causalbench.simulation.expression import log_normalise

    median = float(np.median(totals[kept]))
    for block in _blocks(len(kept), expression.shape[1]):
        expression[block] = log_normalise(expression[kept[block]], totals[kept[block]], median)
    return expression[: len(kept)]


def _columns_of(expression: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Keep some columns, in the room of all."""
    number = np.count_nonzero(kept)
    for block in _blocks(*expression.shape):
        expression[block, :number] = expression[block][:, kept]
    return expression[:, :number]


def _count_cells(labels: list[Target], genes: set[str]) -> dict[str, int]:
    number = Counter(labels)
    perturbed = sum(count for label, count in number.items() if label in genes)
    cells = {"perturbed": perturbed, **{kind.value: number[kind] for kind in Kind}}
    return cells | {"other": len(labels) - sum(cells.values())}
