"""A user's own screen, .h5ad, .zarr or .npz, as a benchmark directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from catran_causalbench.causalbench.build.directory import (
    FEWEST_CELLS,
    Dataset,
    Origin,
    Pairs,
    References,
    check_directory,
    write_benchmark_directory,
)
from catran_causalbench.data.anndata_reader import Screen, read_screen
from catran_causalbench.data.dataset import CONTROL_LABEL
from catran_causalbench.data.edge_table import read_edge_table
from catran_causalbench.data.label_reader import COMBINATION_SEPARATOR
from catran_causalbench.data.labels import control_labels
from catran_causalbench.errors import InputError
from catran_causalbench.utils.validation import shown


def convert_screen(
    directory: str | os.PathLike[str],
    source_file: str | os.PathLike[str],
    *,
    perturbation_key: str = "gene",
    control: str | Sequence[str] = CONTROL_LABEL,
    label_pattern: str | None = None,
    combination_separator: str = COMBINATION_SEPARATOR,
    gene_names: str | None = None,
    layer: str | None = None,
    genes: str | Sequence[str] = "perturbed",
    min_cells: int = 100,
    counts: bool = False,
    reference_network: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    on_screen: Callable[[Screen], None] | None = None,
) -> Path:
    """Write a user's screen as a benchmark directory; return the absolute path.

    Parameters
    ----------
    directory, overwrite
        The directory to make, and whether to replace one that this package made before.
    source_file, perturbation_key, control, label_pattern, combination_separator, gene_names
        See :func:`~catran_causalbench.data.anndata_reader.read_screen`. The columns are called by the genes' ids,
        whatever the column of names.
    layer, genes, min_cells, counts
        As above. The defaults choose genes as CausalBench does (its `preprocessing.preprocess_dataset`). Excluded cells
        that are too few to be split are left out.
    reference_network
        A .csv with columns `source` and `target`, ids or symbols: the pairs that serve as STRING's network. Pairs with
        a gene outside the matrix are left out. By default all reference networks are empty.
    on_screen
        Called with the screen as it was read, before anything is written.

    Raises
    ------
    InputError
        The directory cannot be written, or a file or argument cannot be used.
    """
    directory = check_directory(directory, overwrite)
    if min_cells < FEWEST_CELLS - 1:
        raise InputError.of("min_cells", f"{min_cells}", f"at least {FEWEST_CELLS - 1}, or none could be held out")
    options = {
        "perturbation_key": perturbation_key,
        "control": control if isinstance(control, str) else list(control_labels(control)),
        "label_pattern": label_pattern,
        "combination_separator": combination_separator,
        "gene_names": gene_names,
        "layer": layer,
        "genes": genes if isinstance(genes, str) else list(genes),
        "min_cells": min_cells,
        "counts": counts,
    }
    screen = read_screen(source_file, **options, min_excluded=FEWEST_CELLS)  # type: ignore[arg-type]
    if on_screen:
        on_screen(screen)
    controls = screen.cells["control"]
    if controls <= min_cells:
        raise InputError.of("control", f"{controls} cells labelled {shown(control)}", f"more than {min_cells}")
    dataset = Dataset(screen.expression, screen.gene_ids, screen.gene_symbols, screen.labels(screen.gene_ids))
    pairs = [] if reference_network is None else _read_pairs(Path(reference_network), dataset)
    title = screen.origin if screen.simulated else f"Data from {screen.origin}"
    origin = Origin(title, screen.simulated, {"source_file": Path(source_file).name, **options})
    return write_benchmark_directory(directory, dataset, References(string_network=pairs), origin, overwrite=overwrite)


def _read_pairs(path: Path, dataset: Dataset) -> Pairs:
    """Read known interactions as pairs of columns of the matrix, each pair once."""
    column_of = {name: column for names in (dataset.gene_names, dataset.gene_ids) for column, name in enumerate(names)}
    table = read_edge_table(path, "reference_network", lambda row: row[0] in column_of and row[1] in column_of)
    rows = [(column_of.get(source), column_of.get(target)) for source, target in table[["source", "target"]].to_numpy()]
    pairs = {(min(i, j), max(i, j)) for i, j in rows if i is not None and j is not None and i != j}
    if not pairs:
        raise InputError.of("reference_network", f"no pair of the matrix's genes in {len(rows)} rows", "some")
    return sorted(pairs)
