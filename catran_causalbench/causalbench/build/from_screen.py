"""A user's own Perturb-seq data, .h5ad or .npz, as a benchmark directory."""

from __future__ import annotations

import csv
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.causalbench.build.directory import (
    FEWEST_CELLS,
    Dataset,
    Origin,
    Pairs,
    References,
    check_folder,
    write_benchmark_directory,
)
from catran_causalbench.causalbench.npz import UNREADABLE, read_cells, read_npz
from catran_causalbench.data.anndata_reader import OTHER_NAMES, Kind, read_targets, single_targets, texts
from catran_causalbench.data.dataset import CONTROL_LABEL, EXCLUDED_LABEL
from catran_causalbench.errors import InputError
from catran_causalbench.simulation.expression import log_normalise


@dataclass(frozen=True)
class _Measured:
    """A file's content.

    Attributes
    ----------
    matrix
        Cells × genes, dense or CSR.
    ids, names
        The columns and their symbols.
    ids_of_name
        Every name of a column; symbols may be shared.
    targets
        Label of every cell; None where there is none.
    """

    matrix: Any
    ids: list[str]
    names: list[str]
    ids_of_name: Mapping[str, set[str]]
    targets: list[str | None]


def convert_screen(
    folder: str | os.PathLike[str],
    source_file: str | os.PathLike[str],
    *,
    perturbation_key: str = "gene",
    control: str = CONTROL_LABEL,
    min_cells: int = 100,
    counts: bool = False,
    reference_network: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a user's data set as a benchmark directory.

    Parameters
    ----------
    folder
        The directory to make.
    source_file, perturbation_key, control, min_cells, counts
        As `read_own_data` takes them.
    reference_network
        A .csv with columns `source` and `target`, ids or symbols: the pairs that the score on STRING's network counts.
        Pairs with a gene outside the matrix are left out. Without it every reference network is empty.
    overwrite
        Replace a directory that this package made before.

    Returns
    -------
    Path
        The directory.

    Raises
    ------
    InputError
        The folder is taken, or a file or argument cannot be used.
    """
    folder = check_folder(folder, overwrite)
    dataset = read_own_data(
        source_file, perturbation_key=perturbation_key, control=control, min_cells=min_cells, counts=counts
    )
    pairs = [] if reference_network is None else _read_pairs(Path(reference_network), dataset)
    settings = {"control": control, "min_cells": min_cells, "counts": counts}
    origin = _origin(Path(source_file), settings)
    return write_benchmark_directory(folder, dataset, References(string_network=pairs), origin, overwrite=overwrite)


def read_own_data(
    source_file: str | os.PathLike[str],
    *,
    perturbation_key: str = "gene",
    control: str = CONTROL_LABEL,
    min_cells: int = 100,
    counts: bool = False,
) -> Dataset:
    """Read a data set and choose its columns by CausalBench's rule (its `preprocessing.preprocess_dataset`).

    The columns are the measured genes with more than `min_cells` perturbed cells, in the file's order. Cells with any
    other target become ``excluded``; they are left out where they are too few to be split into training and test.

    Parameters
    ----------
    source_file
        An .h5ad, or an .npz with `expression_matrix` (cells × genes), `var_names` and `interventions`.
    perturbation_key
        Column of an .h5ad's `obs` with each cell's target: a name in `var_names`, or in a column of `var` such as
        `gene_name` or `gene_id`. Combined labels (`A+B`, `A+control`) are read as
        :func:`~catran_causalbench.data.anndata_reader.read_screen` reads them. An .npz has no use for it.
    control
        The target's value in control cells.
    min_cells
        A gene with exactly so many perturbed cells is not a column yet.
    counts
        The values are raw counts, to be normalised as CausalBench does: cells without any are dropped, the others
        scaled to the median total, then log1p. Otherwise they are taken as they are.

    Raises
    ------
    InputError
        Naming the file or argument, what was found and what was expected.
    """
    path = Path(source_file)
    readers = {".h5ad": _read_h5ad, ".npz": _read_npz}
    if path.suffix not in readers:
        raise InputError.of("source_file", f"{path.name!r}", "a file that ends in .h5ad or .npz")
    if not path.is_file():
        raise InputError.of("source_file", f"no file {str(source_file)!r}", "an existing .h5ad or .npz")
    if min_cells < FEWEST_CELLS - 1:
        raise InputError.of("min_cells", f"{min_cells}", f"at least {FEWEST_CELLS - 1}, or none could be held out")
    measured = readers[path.suffix](path, perturbation_key)
    totals = np.asarray(measured.matrix.sum(axis=1)).ravel()
    if not np.isfinite(totals).all():
        raise InputError.of(path.name, f"NaN or infinite values in {(~np.isfinite(totals)).sum()} cells", "none")
    rows = np.flatnonzero(totals > 0) if counts else np.arange(len(totals))
    labels = _apply_rule(measured, [measured.targets[row] for row in rows], control, min_cells)
    excluded = labels == EXCLUDED_LABEL
    if excluded.sum() < FEWEST_CELLS:
        rows, labels = rows[~excluded], labels[~excluded]
    found = set(labels.tolist())
    columns = [index for index, gene in enumerate(measured.ids) if gene in found]
    expression = measured.matrix[rows][:, columns]
    if not isinstance(expression, np.ndarray):
        expression = expression.toarray()
    whole = (np.floor(expression) == expression).all()
    if counts and not (whole and expression.min() >= 0):
        raise InputError.of("counts", "fractions or negative values in the matrix", "raw counts, or counts=False")
    if whole and not counts:
        raise InputError.of("counts", "whole numbers only in the matrix", "log-normalised values, or counts=True")
    if counts:
        expression = log_normalise(expression, totals[rows])
    ids, names = ([values[index] for index in columns] for values in (measured.ids, measured.names))
    return Dataset(expression.astype(np.float32, copy=False), ids, names, labels)


def _origin(path: Path, settings: dict[str, Any]) -> Origin:
    """Name the file as the origin; a simulated data set of this package stays marked as one."""
    headline, simulated = f"Data from {path.name}", False
    if path.suffix == ".npz":
        arrays = read_npz(path, [], optional=["simulated", "origin"])
        marks = {name: array.tolist() for name, array in arrays.items()}
        if marks.get("simulated"):
            headline, simulated = str(marks.get("origin", f"SIMULATED DATA from {path.name}")), True
    return Origin(headline, simulated, {"source_file": path.name, **settings})


def _apply_rule(measured: _Measured, targets: Sequence[str | None], control: str, min_cells: int) -> NDArray[np.str_]:
    """Label each cell with the column it perturbs, control or excluded."""
    single = single_targets(targets, control)
    known: dict[Any, str] = {Kind.CONTROL: CONTROL_LABEL}
    for target in sorted(measured.ids_of_name.keys() & set(single)):
        gene, *others = sorted(measured.ids_of_name[target])
        if others:
            found = f"{target!r}, a name of {gene} and {others[0]}"
            raise InputError.of("perturbation_key", found, "targets that name one gene each")
        known[target] = gene
    labels = [known.get(target, EXCLUDED_LABEL) for target in single]
    cells_of = Counter(labels)
    genes = {label: number for label, number in cells_of.items() if label not in {CONTROL_LABEL, EXCLUDED_LABEL}}
    if cells_of[CONTROL_LABEL] <= min_cells:
        shown = ", ".join(f"{label!r} ({number})" for label, number in Counter(targets).most_common(5))
        raise InputError.of(
            "control",
            f"{cells_of[CONTROL_LABEL]} cells of {control!r}",
            f"more than {min_cells}; the most frequent labels are {shown}",
        )
    passing = {gene for gene, number in genes.items() if number > min_cells}
    if len(passing) < 2:
        most = max(genes.values(), default=0)
        found = f"{len(passing)} measured genes with more than {min_cells} perturbed cells (the most: {most})"
        raise InputError.of("min_cells", found, "at least 2")
    return np.array([label if label in {*passing, CONTROL_LABEL} else EXCLUDED_LABEL for label in labels])


def _read_npz(path: Path, _: str) -> _Measured:
    matrix, ids, targets = read_cells(path)
    names = ids.astype(str).tolist()
    return _Measured(matrix, names, names, {name: {name} for name in names}, targets.astype(str).tolist())


def _read_h5ad(path: Path, perturbation_key: str) -> _Measured:
    import anndata

    try:
        data = anndata.read_h5ad(path)
    except UNREADABLE as error:
        raise InputError.of(path.name, f"a file that anndata cannot read ({error})", "an .h5ad") from None
    targets = read_targets(data, perturbation_key)
    if data.X is None:
        raise InputError.of(path.name, "no X", "the expression there")
    ids = data.var_names.astype(str).tolist()
    aliases = {column: texts(data.var[column]) for column in OTHER_NAMES if column in data.var}
    symbols = aliases.get("gene_name", ids)
    ids_of_name: dict[str, set[str]] = defaultdict(set)
    for known in aliases.values():
        for name, gene in zip(known, ids, strict=True):
            if name is not None:
                ids_of_name[name].add(gene)
    # The columns' own ids come last, so that no alias takes the place of one.
    ids_of_name |= {gene: {gene} for gene in ids}
    names = [name or gene for name, gene in zip(symbols, ids, strict=True)]
    matrix = data.X if isinstance(data.X, np.ndarray) else data.X.tocsr()
    return _Measured(matrix, ids, names, ids_of_name, targets)


def _read_pairs(path: Path, dataset: Dataset) -> Pairs:
    """Read known interactions as columns of the matrix, each pair once."""
    column_of = {name: column for names in (dataset.gene_names, dataset.gene_ids) for column, name in enumerate(names)}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(column_of.get(row["source"]), column_of.get(row["target"])) for row in csv.DictReader(file)]
    except OSError:
        raise InputError.of("reference_network", f"no file {str(path)!r}", "an existing .csv") from None
    except KeyError:
        raise InputError.of("reference_network", f"{path.name!r} without columns source, target", "both") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError.of("reference_network", f"{path.name!r}, which cannot be read ({error})", "a .csv") from None
    pairs = {(min(i, j), max(i, j)) for i, j in rows if i is not None and j is not None and i != j}
    if not pairs:
        raise InputError.of("reference_network", f"no pair of the matrix's genes in {len(rows)} rows", "some")
    return sorted(pairs)
