"""One of CausalBench's two data sets: its cells, all and filtered, and the names of its genes, as small files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.causalbench.build.file_formats import write_h5ad
from catran_causalbench.causalbench.manifest import dataset_file
from catran_causalbench.causalbench.npz import write_cells
from catran_causalbench.causalbench.prepare.cell_lines import is_published
from catran_causalbench.causalbench.prepare.counts import Counts, Progress
from catran_causalbench.causalbench.prepare.expression_file import ExpressionFile
from catran_causalbench.causalbench.prepare.selection import (
    MORE_CELLS_THAN,
    Selection,
    cells_of_perturbations,
    first_columns,
    knocked_down,
    select,
)
from catran_causalbench.causalbench.prepare.summary import Summary
from catran_causalbench.data.dataset import CONTROL_LABEL, EXCLUDED_LABEL
from catran_causalbench.errors import InputError
from catran_causalbench.utils.atomic_io import write_atomically

_CELLS_PER_BLOCK = 2**11


@dataclass(frozen=True)
class Preparation:
    """What is made of one file: the cells and genes to read, before any count is known."""

    cell_line: str
    file: ExpressionFile
    summary: Summary | None  # None: no filtered data set
    cells_of: dict[str, NDArray[np.intp]]  # of the strong perturbations, by symbol
    threshold_columns: dict[str, int]  # by symbol; empty for sparse files

    @classmethod
    def plan(cls, cell_line: str, file: ExpressionFile, summary: Summary | None) -> Preparation:
        """Find the strong perturbations; raise InputError if CausalBench would keep no gene."""
        strong = {*summary.strong, CONTROL_LABEL} if summary else set()
        cells_of = cells_of_perturbations(file.symbols, strong)
        # CausalBench catches the error that a sparse column gives here, and keeps all cells of the perturbation.
        columns = {} if file.sparse else first_columns(file.var, cells_of)
        made = cls(cell_line, file, summary, cells_of, columns)
        for selection, among in zip(made.largest_selections(), ("", " among strong perturbations"), strict=False):
            for kind, missing in (
                ("measured gene perturbed in", not len(selection.columns)),
                (f"label {CONTROL_LABEL!r} of", CONTROL_LABEL not in selection.labels),
            ):
                if missing:
                    found = f"no {kind} more than {MORE_CELLS_THAN} cells{among}"
                    raise InputError.of(file.path.name, found, "both, or CausalBench would have nothing to learn from")
        return made

    def largest_selections(self) -> list[Selection]:
        """Return what is kept, all and filtered, if no cell is without counts and every gene was knocked down."""
        every = [np.arange(self.file.shape[0])]
        if self.summary:
            every.append(np.concatenate([*self.cells_of.values()]))
        return [select(cells, self.file.gene_ids, self.file.var.index) for cells in every]

    @property
    def num_bytes(self) -> int:
        """Bytes that the files take at most."""
        itemsize = self.file.dtype.itemsize
        return sum(
            len(of.cells) * (len(of.columns) * itemsize + of.labels.itemsize) for of in self.largest_selections()
        )

    @property
    def names(self) -> list[str]:
        """Names of the files."""
        filtered = [dataset_file(self.cell_line, filtered=True)] if self.summary else []
        return [dataset_file(self.cell_line), *filtered, self.file.path.name]

    def write(self, directory: Path, simulated: str, progress: Progress) -> list[str]:
        """Read the counts once, write the files, each atomically, and return what was found, in sentences."""
        file = self.file
        columns = {*self.largest_selections()[0].columns.tolist(), *self.threshold_columns.values()}
        counts = Counts.read(file, np.array(sorted(columns)), progress)
        counted = counts.totals > 0
        cells = [np.arange(file.shape[0])]
        if self.summary:
            cells.append(knocked_down(self.cells_of, self.threshold_columns, counts))
        found = [self._describe(len(counted) - np.count_nonzero(counted))]
        for name, kept in zip(self.names, cells, strict=False):
            selection = select(kept[counted[kept]], file.gene_ids, file.var.index)
            _write_cells(directory / name, selection, counts, file, simulated, progress)
            found.append(f"{name}: {_describe(selection)}")
        write_atomically(directory / file.path.name, lambda path: _write_names(path, file, simulated))
        return found

    def _describe(self, without_counts: int) -> str:
        file = self.file
        perturbed = len(set(file.symbols.unique()) - {CONTROL_LABEL})
        text = f"{file.path.name}: {file.shape[0]:,} cells × {file.shape[1]:,} genes, {perturbed:,} genes perturbed"
        if without_counts:
            text += f"; {without_counts:,} cells without counts left out"
        if not (file.simulated or is_published(file.path)):
            text += "; it is not the file that CausalBench downloads"
        if file.sparse and self.summary:
            text += "; as in CausalBench, no cell of a sparse file is left out for its gene's weak knock-down"
        return text


def _write_cells(
    path: Path, selection: Selection, counts: Counts, file: ExpressionFile, simulated: str, progress: Progress
) -> None:
    cells = len(selection.cells)

    def blocks() -> Iterator[np.ndarray]:
        for start, block in log_normalised(selection, counts, file.sparse):
            yield block
            progress(path.name, start + len(block), cells)

    genes = file.var.index[selection.columns].tolist()
    shape = (cells, len(genes))
    marks = {"origin": simulated, "simulated": True} if simulated else {}
    write_atomically(
        path, lambda part: write_cells(part, blocks(), shape, file.dtype, genes, selection.labels, **marks)
    )


def log_normalised(selection: Selection, counts: Counts, sparse: bool) -> Iterator[tuple[int, np.ndarray]]:
    """Yield blocks of cells, log-normalised to the last bit as scanpy does it, and where they start.

    Each cell is scaled to the median of the totals of the cells selected: scanpy divides dense counts, and multiplies
    sparse ones by the reciprocal, which rounds differently.
    """
    totals = counts.totals[selection.cells]
    scale = totals / np.median(totals)
    for start in range(0, len(totals), _CELLS_PER_BLOCK):
        block = slice(start, start + _CELLS_PER_BLOCK)
        values = counts.of(selection.columns, selection.cells[block])
        if sparse:
            values *= (1 / scale[block])[:, None]
        else:
            values /= scale[block][:, None]
        yield start, np.log1p(values, out=values)


def _describe(selection: Selection) -> str:
    controls, excluded = (int((selection.labels == label).sum()) for label in (CONTROL_LABEL, EXCLUDED_LABEL))
    size = f"{len(selection.cells):,} cells × {len(selection.columns):,} perturbed genes"
    return f"{size}; {controls:,} cells are controls, {excluded:,} excluded"


def _write_names(path: Path, file: ExpressionFile, simulated: str) -> None:
    """Write what CausalBench reads of the .h5ad once the cells are there: perturbed genes, and names of all genes."""
    import pandas as pd

    labels = pd.DataFrame({"gene_id": file.gene_ids, "gene": file.symbols}).dropna().drop_duplicates("gene_id")
    write_h5ad(path, file.var, labels.astype(str), simulated)
