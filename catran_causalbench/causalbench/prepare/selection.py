"""Which cells and genes CausalBench keeps of a screen: the rules of its ``data_access.utils.preprocessing``."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.causalbench.prepare.counts import Counts
from catran_causalbench.data.dataset import CONTROL_LABEL, EXCLUDED_LABEL

if TYPE_CHECKING:
    import pandas as pd

MORE_CELLS_THAN = 100  # that a label needs to be kept
_PERCENTILE = 10  # of the controls' counts, which a knocked-down gene must not exceed


@dataclass(frozen=True)
class Selection:
    """C cells and G genes of a file.

    Attributes
    ----------
    cells, columns
        (C,) and (G,): their positions in the file, in the order in which CausalBench has them.
    labels
        (C,): the id of the perturbed gene, ``non-targeting`` or ``excluded``.
    """

    cells: NDArray[np.intp]
    columns: NDArray[np.intp]
    labels: NDArray[np.str_]


def select(cells: NDArray[np.intp], gene_ids: pd.Categorical, var_names: pd.Index) -> Selection:
    """Keep the perturbed genes that are measured and have more than a hundred of these cells; exclude other cells.

    ``gene_ids`` are the ids of the perturbed genes in all cells of the file, ``var_names`` those of its columns.
    """
    codes, labels = gene_ids.codes[cells], gene_ids.categories.astype(str)
    number = np.bincount(codes[codes >= 0], minlength=len(labels))
    kept = (labels.isin(var_names) | (labels == CONTROL_LABEL)) & (number > MORE_CELLS_THAN)
    label_of = np.array([*np.where(kept, labels, EXCLUDED_LABEL), EXCLUDED_LABEL])  # the last of cells without an id
    return Selection(cells, np.flatnonzero(var_names.isin(labels[kept])), label_of[codes])


def cells_of_perturbations(symbols: pd.Categorical, wanted: Collection[str]) -> dict[str, NDArray[np.intp]]:
    """Return the cells of some perturbations, the perturbations in the order in which they first appear."""
    order = np.argsort(symbols.codes, kind="stable")
    ends = np.searchsorted(symbols.codes[order], np.arange(len(symbols.categories) + 1))
    cells_of: dict[str, Any] = {
        name: order[start:end] for name, start, end in zip(symbols.categories, ends, ends[1:], strict=False)
    }
    present = [name for name in cells_of if name in wanted and len(cells_of[name])]
    return {name: cells_of[name] for name in sorted(present, key=lambda name: cells_of[name][0])}


def first_columns(gene_names: pd.Series, symbols: Collection[str]) -> dict[str, int]:
    """Return the first column that has each symbol; symbols that are not measured are left out."""
    column_of = {name: column for column, name in reversed([*enumerate(gene_names)])}
    return {name: column_of[name] for name in symbols if name in column_of}


def knocked_down(cells_of: dict[str, NDArray[np.intp]], column_of: dict[str, int], counts: Counts) -> NDArray[np.intp]:
    """Keep the cells in which the perturbed gene's count is low among those of the controls, grouped by perturbation.

    Genes without a column keep all their cells.
    """
    controls = cells_of[CONTROL_LABEL]
    kept = []
    for name, cells in cells_of.items():
        if name in column_of:
            threshold = np.percentile(counts.of_one(controls, column_of[name]), _PERCENTILE)
            cells = cells[counts.of_one(cells, column_of[name]) <= threshold]
        kept.append(cells)
    return np.concatenate(kept)
