"""One of CausalBench's two data sets: its cells, all and filtered, and the names of its genes, as small files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.causalbench.build.file_formats import h5ad_bytes
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
from catran_causalbench.utils.parallel import prefetched

_CELLS_PER_BLOCK = 2**11


@dataclass(frozen=True)
class DatasetPlan:
    """What is to be made of one .h5ad, before any count is known.

    Attributes
    ----------
    file
        The .h5ad.
    names
        Of the files to write: all cells, filtered cells if there is a summary, names of the genes.
    cells_of
        The cells of the controls and of each strong perturbation, by symbol; empty without a summary.
    column_of
        The columns whose counts tell knocked-down cells from others, by symbol.
    most
        What is kept, all and filtered, if all cells have counts and all genes are knocked down.
    """

    file: ExpressionFile
    names: list[str]
    cells_of: dict[str, NDArray[np.intp]]
    column_of: dict[str, int]
    most: list[Selection]

    @classmethod
    def make(cls, cell_line: str, file: ExpressionFile, summary: Summary | None) -> DatasetPlan:
        """Plan a data set; raise InputError if CausalBench would keep no gene, or no control."""
        cells_of = cells_of_perturbations(file.symbols, {*summary.strong, CONTROL_LABEL} if summary else ())
        most = [select(np.arange(file.shape[0]), file.gene_ids, file.var.index)]
        if cells_of:
            most.append(select(np.concatenate([*cells_of.values()]), file.gene_ids, file.var.index))
        for selection, among in zip(most, ("", ", among strong perturbations"), strict=False):
            for kind, is_kept in (
                (f"{CONTROL_LABEL!r} as the label", CONTROL_LABEL in selection.labels),
                ("perturbed gene that is measured", len(selection.columns) > 0),
            ):
                if not is_kept:
                    found = f"no {kind} of more than {MORE_CELLS_THAN} cells{among}"
                    raise InputError.of(file.path.name, found, "controls and perturbed genes that CausalBench keeps")
        names = [dataset_file(cell_line, filtered) for filtered in (False, True)[: len(most)]]
        # Of a sparse matrix CausalBench cannot compute the percentile, and then keeps all cells of the perturbation.
        column_of = {} if file.sparse else first_columns(file.var["gene_name"], cells_of)
        return cls(file, [*names, file.path.name], cells_of, column_of, most)

    @property
    def num_bytes(self) -> int:
        """Bytes that the files take at most."""
        itemsize = self.file.dtype.itemsize
        return sum(len(of.cells) * len(of.columns) * itemsize + of.labels.nbytes for of in self.most)

    def write(self, directory: Path, simulated: str, progress: Progress) -> list[str]:
        """Read the counts once, write the files, each atomically, and return what was found, in sentences.

        ``simulated`` says what kind of simulation the data come from, and is stored with the cells; empty for
        measured data.
        """
        file = self.file
        columns = {*self.most[0].columns.tolist(), *self.column_of.values()}
        counts = Counts.read(file, np.array(sorted(columns)), progress)
        counted = counts.totals >= 1  # scanpy's rule
        found = [self._describe(int((~counted).sum()))]
        for name, cells in zip(self.names, self._cells(counts), strict=False):
            selection = select(cells[counted[cells]], file.gene_ids, file.var.index)
            _write_cells(directory / name, selection, counts, file, simulated, progress)
            found.append(f"{name}: {_describe(selection)}")
        names = _names(file, simulated)
        write_atomically(directory / file.path.name, lambda part: part.write_bytes(names))
        return found

    def _cells(self, counts: Counts) -> Iterator[NDArray[np.intp]]:
        """Yield the cells that CausalBench keeps: all, and those that its filter leaves."""
        yield np.arange(self.file.shape[0])
        if self.cells_of:
            yield knocked_down(self.cells_of, self.column_of, counts)

    def _describe(self, without_counts: int) -> str:
        file = self.file
        perturbed = len({*file.symbols.unique()} - {CONTROL_LABEL})
        text = f"{file.path.name}: {file.shape[0]:,} cells × {file.shape[1]:,} genes, {perturbed:,} genes perturbed"
        if without_counts:
            text += f"; {without_counts:,} cells without counts left out"
        if not (file.simulated or is_published(file.path)):
            text += "; it is not the file that CausalBench downloads"
        if file.sparse and self.cells_of:
            text += "; as CausalBench does with sparse counts, cells whose gene is not knocked down are kept"
        return text


def _write_cells(
    path: Path, selection: Selection, counts: Counts, file: ExpressionFile, simulated: str, progress: Progress
) -> None:
    genes = file.var.index[selection.columns].tolist()
    shape = (len(selection.cells), len(genes))
    marks = {"origin": simulated, "simulated": True} if simulated else {}

    def blocks() -> Iterator[np.ndarray]:
        done = 0
        with prefetched(log_normalised(selection, counts, file.sparse)) as normalised:
            for block in normalised:
                yield block
                done += len(block)
                progress(path.name, done, shape[0])

    write_atomically(
        path, lambda part: write_cells(part, blocks(), shape, file.dtype, genes, selection.labels, **marks)
    )


def log_normalised(selection: Selection, counts: Counts, sparse: bool) -> Iterator[np.ndarray]:
    """Yield blocks of cells, scaled and log-transformed to the last bit as scanpy does it.

    Each cell is scaled to the median of the totals of the cells selected: scanpy divides dense counts, and multiplies
    sparse ones by the reciprocal, which rounds differently.
    """
    totals = counts.totals[selection.cells]
    scale = (totals / np.median(totals))[:, None]
    for start in range(0, len(totals), _CELLS_PER_BLOCK):
        block = slice(start, start + _CELLS_PER_BLOCK)
        values = counts.of(selection.cells[block], selection.columns)
        if sparse:
            values *= 1 / scale[block]
        else:
            values /= scale[block]
        yield np.log1p(values, out=values)


def _describe(selection: Selection) -> str:
    controls, excluded = (int((selection.labels == label).sum()) for label in (CONTROL_LABEL, EXCLUDED_LABEL))
    size = f"{len(selection.cells):,} cells × {len(selection.columns):,} perturbed genes"
    return f"{size}; {controls:,} cells are controls, {excluded:,} are excluded"


def _names(file: ExpressionFile, simulated: str) -> bytes:
    """Return what CausalBench reads of the .h5ad once the cells are there: perturbed genes, and names of all genes."""
    import pandas as pd

    labels = pd.DataFrame({"gene_id": file.gene_ids, "gene": file.symbols}).dropna().drop_duplicates("gene_id")
    return h5ad_bytes(file.var, labels.astype(str), simulated)
