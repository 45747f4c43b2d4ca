"""Perturb-seq data as every method takes them: the expression of single cells and the gene perturbed in each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from catran_causalbench.errors import InputError
from catran_causalbench.utils.described import Described

CONTROL_LABEL = "non-targeting"
EXCLUDED_LABEL = "excluded"
CONTROL = -1
EXCLUDED = -2
PERTURBATIONS = ("knockdown", "knockout", "activation")


@dataclass(frozen=True, repr=False)
class PerturbationDataset(Described):
    """Expression of single cells, and the gene perturbed in each.

    Attributes
    ----------
    expression
        float32, cells × genes, on the scale in which it was given (CausalBench: log-normalised). It lies in a temporary
        file where memory is short.
    gene_names
        Names of the columns, sorted.
    intervention
        int64, one per cell: the column of the perturbed gene, ``CONTROL`` or ``EXCLUDED``. Cells in which a gene
        outside the matrix was perturbed are ``EXCLUDED``, never controls.
    batch
        int64, one per cell: the number of its batch, from 0; each batch holds controls. None where there is one batch.
    perturbation
        What is done to the perturbed genes: ``knockdown``, ``knockout`` or ``activation`` (also over-expression).
    """

    expression: np.ndarray
    gene_names: tuple[str, ...]
    intervention: np.ndarray
    batch: np.ndarray | None = None
    perturbation: str = PERTURBATIONS[0]

    def describe(self) -> str:
        """Return the numbers of cells by their kind, and of genes."""
        perturbed, controls = int((self.intervention >= 0).sum()), int((self.intervention == CONTROL).sum())
        batches = "" if self.batch is None else f", {len(np.unique(self.batch))} batches"
        return (
            f"{self.num_cells:,} cells × {self.num_genes:,} genes, {self.perturbation}; {perturbed:,} cells perturbed "
            f"in {len(self.perturbed_genes):,} genes, {controls:,} control, "
            f"{self.num_cells - perturbed - controls:,} excluded{batches}"
        )

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

    def control_cells(self) -> np.ndarray:
        """Return the expression of the control cells, float32, cells × genes."""
        return self.expression[self.intervention == CONTROL]

    def perturbed_cells(self, source: int) -> np.ndarray:
        """Return the expression of the cells in which the gene of a column is perturbed, float32, cells × genes."""
        return self.expression[self.intervention == source]

    def cells_by_batch(self, code: int) -> dict[int, np.ndarray]:
        """Return the rows of the cells with a code of ``intervention``, by the number of their batch, ascending."""
        cells = np.flatnonzero(self.intervention == code)
        if self.batch is None:
            return {0: cells}
        batch = self.batch[cells]
        return {int(number): cells[batch == number] for number in np.unique(batch)}

    def expressed_genes(self, share: float) -> np.ndarray:
        """Return the columns of the genes that at least this share of all cells expresses, ascending.

        With batches, whose shifts may have been taken out, a cell lacks a gene where it has its batch's smallest value.
        """
        if self.batch is None:
            expressed_in = np.count_nonzero(self.expression, axis=0)
        else:
            batches = (self.expression[self.batch == number] for number in np.unique(self.batch))
            expressed_in = np.sum([np.count_nonzero(cells > cells.min(axis=0), axis=0) for cells in batches], axis=0)
        return np.flatnonzero(expressed_in >= int(self.num_cells * share))

    def perturbation_effects(self, dtype: type[np.floating] = np.float32) -> np.ndarray:
        """Return the mean of each target in the perturbed cells of each source minus its mean in the control cells.

        The array is genes × genes, source × target, in the units of the expression; rows of genes that are not
        perturbed are NaN. Means are taken in float64, whatever the type of the result.
        """
        effects = np.full((self.num_genes, self.num_genes), np.nan, dtype)
        control_mean = self.control_cells().mean(axis=0, dtype=np.float64)
        for source in self.perturbed_genes:
            effects[source] = self.perturbed_cells(source).mean(axis=0, dtype=np.float64) - control_mean
        return effects

    def controls_only(self) -> PerturbationDataset:
        """Keep the control cells, which are all that a method may see in the observational regime.

        InputError is raised where a gene is constant in them, or fewer than 2 are left.
        """
        controls = self.control_cells()
        if len(controls) < 2:
            raise InputError.of("interventions", f"{len(controls)} control cell(s)", "at least 2 to learn from")
        batch = None if self.batch is None else self.batch[self.intervention == CONTROL]
        dataset = replace(self, expression=controls, intervention=np.full(len(controls), CONTROL), batch=batch)
        dataset.reject_constant_genes()
        return dataset

    def reject_constant_genes(self) -> None:
        """Raise InputError if a gene has the same value in all cells."""
        constant = np.flatnonzero(self.expression.min(axis=0) == self.expression.max(axis=0))
        if len(constant):
            gene = constant[0]
            more = f" and {len(constant) - 1} more constant genes" if len(constant) > 1 else ""
            found = f"the value {self.expression[0, gene]:g} in every cell for gene {self.gene_names[gene]!r}{more}"
            raise InputError.of("expression_matrix", found, "genes that vary; drop those that do not")
