"""Read a screen, from an AnnData or a file: the labels of all cells and the expression of some genes.

No more than a block of the matrix is held beside the expression of these genes, which is in a file if memory is short.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from catran_causalbench.data.dataset import CONTROL, CONTROL_LABEL, EXCLUDED, EXCLUDED_LABEL, PerturbationDataset
from catran_causalbench.data.layers import choose_layer, describe_layers
from catran_causalbench.data.matrix_blocks import read_columns, row_blocks, select_in_place
from catran_causalbench.data.preprocessing import log_normalise
from catran_causalbench.data.screen_files import opened
from catran_causalbench.data.targets import choose_columns, find_columns, gene_names_like, names_of_genes, read_targets
from catran_causalbench.data.validation import validate_dataset
from catran_causalbench.data.values import check_values, target_sum
from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class Screen:
    """Cells and genes of a screen, in the order of the file; C cells, G genes.

    Attributes
    ----------
    expression
        float32, C × G; in a temporary file where memory is short.
    gene_ids, gene_symbols, gene_names
        Length G: ``var_names``, the column ``gene_name`` of ``var`` (``var_names`` without it), and the one among
        ``var_names`` and the columns of ``var`` in which most labels are found.
    intervention
        int64, length C: the column of the perturbed gene, ``CONTROL`` or ``EXCLUDED``.
    cells
        Number of cells of each kind: ``perturbed``, ``control``, ``combined`` (several genes), ``unlabelled`` and
        ``other`` (a gene that is not considered). All but the first two are excluded.
    origin, simulated
        What the data say about being simulated, and whether they do; else the name of the file, if there is one.
    """

    expression: np.ndarray
    gene_ids: list[str]
    gene_symbols: list[str]
    gene_names: list[str]
    intervention: np.ndarray
    cells: dict[str, int]
    origin: str
    simulated: bool

    def labels(self, names: Sequence[str]) -> np.ndarray:
        """Return the label of each cell, with the genes called as in ``names``."""
        return np.array([*names, EXCLUDED_LABEL, CONTROL_LABEL])[self.intervention]  # codes -2 and -1: the last two

    def dataset(self) -> PerturbationDataset:
        """Validate the screen, with the genes called by ``gene_names``; the dataset holds a matrix of its own."""
        return validate_dataset(self.expression, self.labels(self.gene_names).tolist(), self.gene_names)


def read_screen(
    data: AnnData | str | os.PathLike[str],
    *,
    perturbation_key: str,
    control: str = CONTROL_LABEL,
    layer: str | None = None,
    genes: str | Sequence[str] = "perturbed",
    min_cells: int = 100,
    counts: bool = False,
    allow_counts: bool = False,
    min_excluded: int = 0,
) -> Screen:
    """Read the labels of all cells and the expression of the genes considered.

    Parameters
    ----------
    data
        An AnnData, cells × genes, in memory, backed or of Dask, which is not changed; the path of an .h5ad or .zarr; or
        that of an .npz with ``expression_matrix`` (cells × genes), ``var_names`` and ``interventions``.
    perturbation_key
        Column of ``obs`` with the label of each cell; an .npz has its ``interventions``. A label names a gene as
        ``var_names`` does or else as a column of ``var`` does (gene_name, gene_symbols, feature_name, gene_id, …).
        In a combined label the control label and repetitions do not count: ``A+control`` and ``A+A`` are ``A``. Cells
        with several perturbed genes (``A+B``) are excluded, because no single source explains them, and so are cells
        without a label.
    control
        Label of the control cells.
    layer
        The layer with the expression, if it is not ``X``. ``"raw"`` is ``.raw``, with its own genes, unless a layer has
        this name.
    genes, min_cells
        ``"perturbed"``: the measured genes with more than ``min_cells`` perturbed cells, which is CausalBench's rule.
        ``"all"``: all genes. In both cases genes that have the same value in all cells are left out. Or the names of
        genes. Cells in which another gene is perturbed are excluded.
    counts
        Whether the values are counts, to be log-normalised as in CausalBench: cells without any count are left out,
        the others are scaled to the median of their totals over all genes, then log1p is taken. They may be fractions;
        values that have the same total in all cells (CPM, TPM) are scaled to 10,000.
    allow_counts
        Accept counts and leave them as they are, for preprocessing that starts from counts.
    min_excluded
        Leave the excluded cells out if there are fewer.

    Raises
    ------
    InputError
        Naming the argument, what was found and what was expected.
    """
    with opened(data, perturbation_key) as adata:
        matrix, var = choose_layer(adata, layer)
        simulated = str(adata.uns.get("simulated") or "")
        names, targets = names_of_genes(var), read_targets(adata.obs, perturbation_key, control)
        single = {genes_of[0] for genes_of in set(targets) if genes_of and len(genes_of) == 1}
        column_of = find_columns(names, single, "perturbation_key")
        code_of: dict[Any, int] = {(): CONTROL, **{(name,): column for name, column in column_of.items()}}
        intervention = np.array([code_of.get(genes_of, EXCLUDED) for genes_of in targets])  # columns of the file
        columns = choose_columns(names, intervention, genes, min_cells)
        read = read_columns(matrix, columns)
        kind = check_values(read, counts, allow_counts, lambda: describe_layers(adata, layer))
    expression, totals = read.values, read.totals
    if counts:
        counted = np.flatnonzero(totals > 0)
        if not len(counted):
            raise InputError.of("counts", "no cell with a count", "raw counts")
        expression, totals = select_in_place(expression, counted, np.arange(len(columns))), totals[counted]
        targets, intervention = [targets[cell] for cell in counted], intervention[counted]
        target = target_sum(kind, totals)
        for block in row_blocks(*expression.shape):
            expression[block] = log_normalise(expression[block], totals[block], target)
    considered = np.ones(len(columns), bool)
    if isinstance(genes, str):
        considered = expression.min(axis=0) != expression.max(axis=0)
        if not considered.all():
            warnings.warn(f"{(~considered).sum()} genes have one value in all cells and are left out", stacklevel=3)
        considered &= np.isin(columns, choose_columns(names, intervention, genes, min_cells))  # in cells with counts
    columns = columns[considered]
    new_code = np.full(len(var) + 2, EXCLUDED)  # the last two places are those of the codes -2 and -1
    new_code[columns], new_code[CONTROL] = np.arange(len(columns)), CONTROL
    intervention = new_code[intervention]
    cells = {
        "perturbed": int((intervention >= 0).sum()),
        "control": targets.count(()),
        "combined": sum(len(genes_of or ()) > 1 for genes_of in targets),
        "unlabelled": targets.count(None),
    }
    cells["other"] = len(targets) - sum(cells.values())
    if cells["combined"]:
        message = f"{cells['combined']} cells with several targets ('+' in the label) are excluded"
        warnings.warn(f"{message}: no single source explains them", stacklevel=3)
    included = intervention != EXCLUDED
    kept = np.flatnonzero(included | ((~included).sum() >= min_excluded))
    return Screen(
        expression=select_in_place(expression, kept, np.flatnonzero(considered)),
        gene_ids=names["id"][columns].tolist(),
        gene_symbols=names.get("gene_name", names["id"])[columns].tolist(),
        gene_names=gene_names_like(var, single)[columns].tolist(),
        intervention=intervention[kept],
        cells=cells,
        origin=simulated or (Path(data).name if isinstance(data, str | os.PathLike) else ""),
        simulated=bool(simulated),
    )
