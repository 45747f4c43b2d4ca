"""Read a screen, from an AnnData or a file: the labels of all cells and the expression of some genes.

No more than a block of the matrix is held beside the expression of these genes, which is in a file if memory is short.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from catran_causalbench.data.batches import NO_BATCH, read_batches, warn_of_confounding, without_controls
from catran_causalbench.data.dataset import (
    CONTROL,
    CONTROL_LABEL,
    EXCLUDED,
    EXCLUDED_LABEL,
    PERTURBATIONS,
    PerturbationDataset,
)
from catran_causalbench.data.gene_names import GeneNames, choose_columns
from catran_causalbench.data.label_reader import COMBINATION_SEPARATOR
from catran_causalbench.data.labels import read_labels
from catran_causalbench.data.layers import choose_layer, describe_layers
from catran_causalbench.data.matrix_blocks import read_columns, row_blocks, select_in_place
from catran_causalbench.data.preprocessing import log_normalise
from catran_causalbench.data.screen_files import opened
from catran_causalbench.data.validation import validate_dataset, validate_in_place
from catran_causalbench.data.values import check_values, target_sum
from catran_causalbench.errors import InputError, warn
from catran_causalbench.utils.described import Described
from catran_causalbench.utils.validation import plain

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True, repr=False)
class Screen(Described):
    """Cells and genes of a screen, in the order of the file; C cells, G genes.

    Attributes
    ----------
    expression
        float32, C × G; in a temporary file where memory is short.
    gene_ids, gene_symbols, gene_names
        Length G: ``var_names``, the symbols (``var_names`` where there are none), and the names from the chosen column,
        or else from where most labels are found.
    intervention
        int64, length C: the column of the perturbed gene, ``CONTROL`` or ``EXCLUDED``.
    cells
        Number of cells of each kind: ``perturbed``, ``control``, ``combined`` (several genes), ``other`` (a measured
        gene that is not considered, or the label ``excluded``), ``unmeasured`` (the label names no measured gene),
        ``unlabelled`` and ``uncontrolled`` (perturbed and control cells whose batch is unknown or holds no control).
        All but the first two are excluded.
    origin, simulated
        What the data say about being simulated, and whether they do; else the name of the file, if there is one.
    batch
        int64, length C: the number of each cell's batch, if the batches are known.
    """

    expression: np.ndarray
    gene_ids: list[str]
    gene_symbols: list[str]
    gene_names: list[str]
    intervention: np.ndarray
    cells: dict[str, int]
    origin: str
    simulated: bool
    batch: np.ndarray | None = None

    def describe(self) -> str:
        """Return the size, what the cells count as, and the origin."""
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in self.cells.items() if number)
        genes = f"{len(self.gene_names):,} genes, {self.num_sources:,} of them perturbed"
        return f"{genes}; cells: {kinds}{'; ' * bool(self.origin)}{self.origin}"

    @property
    def num_sources(self) -> int:
        """Number of genes that are perturbed in some cells; all genes are targets."""
        return len(np.unique(self.intervention[self.intervention >= 0]))

    def labels(self, names: Sequence[str]) -> np.ndarray:
        """Return the label of each cell, with the genes called as in ``names``."""
        return np.array([*names, EXCLUDED_LABEL, CONTROL_LABEL])[self.intervention]  # codes -2 and -1: the last two

    def dataset(self, perturbation: str = PERTURBATIONS[0], copy: bool = True) -> PerturbationDataset:
        """Validate the screen, with the genes called by ``gene_names``.

        The dataset holds a matrix of its own. Without ``copy`` it takes over that of the screen, in which cells and
        genes change their order, so that the screen cannot be used any more.
        """
        validated = validate_dataset if copy else validate_in_place
        return validated(self.expression, self.labels(self.gene_names), self.gene_names, self.batch, perturbation)


def read_screen(
    data: AnnData | str | os.PathLike[str],
    *,
    perturbation_key: str,
    control: str | Sequence[str] = CONTROL_LABEL,
    label_pattern: str | None = None,
    combination_separator: str = COMBINATION_SEPARATOR,
    gene_names: str | None = None,
    batch_key: str | None = None,
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
        ``var_names`` does or else as a column of ``var`` does (gene_name, gene_symbols, feature_name, gene_id, …);
        versions of Ensembl ids need not agree. Cells with several perturbed genes (``A+B``) are excluded, because no
        single source explains them, and so are cells without a label. In a combined label controls, also ``ctrl`` and
        ``control``, and repetitions do not count: ``A+ctrl`` and ``A+A`` are ``A``.
    control
        Label of the control cells, or several. The empty label is that of cells without one.
    label_pattern
        How names of guides are read: ``"guide-number"`` (``A_g1``, ``A-2``), ``"sg-prefix"`` (``sgA``, ``sgA_2``),
        ``"promoter"`` (``A_+_12.34-P1P2``), or a regular expression that matches the whole name, with a group
        ``target`` for the gene. A label counts as it stands if what the pattern reads is no measured gene.
    combination_separator
        What stands between the genes of a combined label.
    gene_names
        Column of ``var`` by which the genes are called, in labels and in the result. Without it the result calls them
        as the labels do. A gene without a name of its own there is called by its id.
    batch_key
        Column of ``obs`` with the batch of each cell, with whose controls it is compared. Cells of batches without a
        control are excluded. Without it, there is a warning if the labels depend on a column that looks like a batch.
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
    perturbation_key, control, label_pattern = map(plain, (perturbation_key, control, label_pattern))
    combination_separator, gene_names, batch_key = map(plain, (combination_separator, gene_names, batch_key))
    layer, genes = plain(layer), plain(genes)
    with opened(data, perturbation_key) as adata:
        matrix, var = choose_layer(adata, layer)
        simulated = str(adata.uns.get("simulated") or "")
        names = GeneNames.of(var, gene_names)
        labels = read_labels(
            adata.obs,
            var,
            names,
            perturbation_key=perturbation_key,
            control=control,
            label_pattern=label_pattern,
            combination_separator=combination_separator,
        )
        batch = None
        if batch_key is None:
            warn_of_confounding(adata.obs, perturbation_key, labels.intervention == CONTROL)
        else:
            batch = read_batches(adata.obs, batch_key, labels.intervention == CONTROL)
            labels = labels.exclude(without_controls(labels.intervention, batch, names.ids), "uncontrolled")
        columns = choose_columns(names, labels.intervention, genes, min_cells, labels.unmatched)
        read = read_columns(matrix, columns)
        kind = check_values(read, counts, allow_counts, lambda: describe_layers(adata, layer))
    expression, totals = read.values, read.totals
    if counts:
        counted = np.flatnonzero(totals > 0)
        if not len(counted):
            raise InputError.of("counts", "no cell with a count", "raw counts")
        expression, totals = select_in_place(expression, counted, np.arange(len(columns))), totals[counted]
        labels, batch = labels.of_cells(counted), None if batch is None else batch[counted]
        target = target_sum(kind, totals)
        for block in row_blocks(*expression.shape):
            expression[block] = log_normalise(expression[block], totals[block], target)
    considered = np.ones(len(columns), bool)
    if isinstance(genes, str):
        considered = expression.min(axis=0) != expression.max(axis=0)
        if not considered.all():
            warn(f"{(~considered).sum()} genes have one value in all cells and are left out")
        in_counted_cells = choose_columns(names, labels.intervention, genes, min_cells, labels.unmatched)
        considered &= np.isin(columns, in_counted_cells)
    columns = columns[considered]
    new_code = np.full(len(var) + 2, EXCLUDED)  # the last two places are those of the codes -2 and -1
    new_code[columns], new_code[CONTROL] = np.arange(len(columns)), CONTROL
    intervention = new_code[labels.intervention]
    cells = labels.count(intervention)
    for note in labels.notes:
        warn(note)
    if cells["combined"]:
        found = f"{cells['combined']} cells with several targets ({combination_separator!r} in the label)"
        warn(f"{found} are excluded: no single source explains them")
    included = intervention != EXCLUDED
    matched = np.ones_like(included) if batch is None else batch != NO_BATCH
    kept = np.flatnonzero(matched & (included | ((~included).sum() >= min_excluded)))
    return Screen(
        expression=select_in_place(expression, kept, np.flatnonzero(considered)),
        gene_ids=names.ids[columns].tolist(),
        gene_symbols=names.symbols[columns].tolist(),
        gene_names=names.like(labels.names)[columns].tolist(),
        intervention=intervention[kept],
        cells=cells,
        origin=simulated or (Path(data).name if isinstance(data, str | os.PathLike) else ""),
        simulated=bool(simulated),
        batch=None if batch is None else batch[kept],
    )
