"""Read a screen, from an AnnData, an .h5ad or an .npz: the labels of all cells and the expression of some genes.

Matrices are read a block at a time along the axis by which they are stored. No more than a block is held beside the
expression of the genes considered, and that lies in a file where memory is short.
"""

from __future__ import annotations

import os
import tempfile
import warnings
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from catran_causalbench.data.dataset import CONTROL, CONTROL_LABEL, EXCLUDED, EXCLUDED_LABEL, PerturbationDataset
from catran_causalbench.data.out_of_core import allocate_matrix
from catran_causalbench.data.preprocessing import log_normalise
from catran_causalbench.data.validation import validate_dataset
from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

# Columns of `var` that may hold the name by which a label calls a gene.
OTHER_NAMES = ("gene_name", "gene_symbols", "gene_symbol", "feature_name", "gene_id", "gene_ids")
_SEPARATOR = "+"
_VALUES_PER_BLOCK = 2**24
# What reading a file may raise that is damaged, truncated or of another format than its name says.
_UNREADABLE = (OSError, ValueError, TypeError, LookupError, RuntimeError, EOFError, zlib.error, zipfile.BadZipFile)


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
        An AnnData, cells × genes, in memory or backed, which is not changed; the path of an .h5ad; or that of an .npz
        with ``expression_matrix`` (cells × genes), ``var_names`` and ``interventions``.
    perturbation_key
        Column of ``obs`` with the label of each cell; an .npz has its ``interventions``. A label names a gene as
        ``var_names`` does or else as a column of ``var`` does (gene_name, gene_symbols, feature_name, gene_id, …).
        In a combined label (``A+B``) the control label and repetitions do not count: ``A+control`` and ``A+A`` are
        ``A``, ``control+control`` is a control. Cells with several perturbed genes are excluded, because no single
        source explains them, and so are cells without a label.
    control, layer
        Label of the control cells, and the layer with the expression if it is not ``X``.
    genes, min_cells
        ``"perturbed"``: the measured genes with more than ``min_cells`` perturbed cells, which is CausalBench's rule.
        ``"all"``: all genes. In both cases genes that have the same value in all cells are left out. Or the names of
        genes. Cells in which another gene is perturbed are excluded.
    counts
        Whether the values are raw counts, to be log-normalised as in CausalBench: cells without any count are left out,
        the others are scaled to the median of their totals over all genes, then log1p is taken.
    allow_counts
        Accept counts and leave them as they are, for preprocessing that starts from counts.
    min_excluded
        Leave the excluded cells out if there are fewer.

    Raises
    ------
    InputError
        Naming the argument, what was found and what was expected.
    """
    with _opened(data, perturbation_key) as adata:
        var, simulated = adata.var, str(adata.uns.get("simulated") or "")
        names, labels = _names(var), _read_labels(adata, perturbation_key)
        targets_of = {label: _targets(label, control) for label in set(labels)}
        if () not in targets_of.values():
            shown = ", ".join(f"{label!r} ({number})" for label, number in Counter(labels).most_common(5))
            found = f"no cell labelled {control!r}; the most frequent labels are {shown}"
            raise InputError.of("control", found, "the label of the control cells")
        single = {targets[0] for targets in targets_of.values() if targets and len(targets) == 1}
        columns_of = _find_columns(names, single, "perturbation_key")
        code_of: dict[tuple[str, ...] | None, int] = {(target,): column for target, column in columns_of.items()}
        code_of[()] = CONTROL
        intervention = np.array([code_of.get(targets_of[label], EXCLUDED) for label in labels])  # columns of the file
        columns = _choose_columns(names, intervention, genes, min_cells)
        expression, totals = _read_columns(_matrix(adata, layer), columns)
    _check_values(expression, totals, counts, allow_counts)
    if counts:
        kept = np.flatnonzero(totals > 0)
        if not len(kept):
            raise InputError.of("counts", "no cell with a count", "raw counts")
        expression, totals = _keep_rows(expression, kept), totals[kept]
        labels, intervention = [labels[cell] for cell in kept], intervention[kept]
        median = float(np.median(totals))
        for block in _blocks(*expression.shape):
            expression[block] = log_normalise(expression[block], totals[block], median)
    if isinstance(genes, str):
        considered = expression.min(axis=0) != expression.max(axis=0)
        if not considered.all():
            warnings.warn(f"{(~considered).sum()} genes have one value in all cells and are left out", stacklevel=3)
        if genes == "perturbed":  # cells without a count do not count
            considered &= np.isin(columns, _perturbed_columns(intervention, len(names["id"]), min_cells))
        expression, columns = _keep_columns(expression, considered), columns[considered]
    new_code = np.full(len(names["id"]) + 2, EXCLUDED)  # the last two places are those of the codes -2 and -1
    new_code[columns], new_code[CONTROL] = np.arange(len(columns)), CONTROL
    intervention = new_code[intervention]
    cells = _count_cells([targets_of[label] for label in labels], intervention)
    if cells["combined"]:
        message = f"{cells['combined']} cells with several targets ({_SEPARATOR!r} in the label) are excluded"
        warnings.warn(f"{message}: no single source explains them", stacklevel=3)
    if (intervention == EXCLUDED).sum() < min_excluded:
        kept = np.flatnonzero(intervention != EXCLUDED)
        expression, intervention = _keep_rows(expression, kept), intervention[kept]
    return Screen(
        expression=expression,
        gene_ids=names["id"][columns].tolist(),
        gene_symbols=names.get("gene_name", names["id"])[columns].tolist(),
        gene_names=gene_names_like(var, single)[columns].tolist(),
        intervention=intervention,
        cells=cells,
        origin=simulated or (Path(data).name if isinstance(data, str | os.PathLike) else ""),
        simulated=bool(simulated),
    )


def gene_names_like(var: pd.DataFrame, wanted: Collection[str]) -> np.ndarray:
    """Return the names of all genes, from ``var_names`` or the column of ``var`` that has most of the wanted ones."""
    return max(_names(var).values(), key=lambda names: len(set(wanted).intersection(names)))


# Labels and genes


def _read_labels(adata: AnnData, perturbation_key: str) -> list[str | None]:
    if perturbation_key not in adata.obs:
        expected = f"one of {', '.join(map(str, adata.obs.columns)) or 'its columns, of which there are none'}"
        raise InputError.of("perturbation_key", f"no {perturbation_key!r} in obs", expected)
    column = adata.obs[perturbation_key]
    return [None if missing else label for label, missing in zip(column.astype(str), column.isna(), strict=True)]


def _targets(label: str | None, control: str) -> tuple[str, ...] | None:
    """Return the genes that a label names, none for a control; None where there is no label."""
    if label is None or not label.strip():
        return None
    return () if label == control else tuple({part.strip() for part in label.split(_SEPARATOR)} - {control, ""})


def _count_cells(targets: list[tuple[str, ...] | None], intervention: np.ndarray) -> dict[str, int]:
    cells = {
        "perturbed": int((intervention >= 0).sum()),
        "control": targets.count(()),
        "combined": sum(len(genes or ()) > 1 for genes in targets),
        "unlabelled": targets.count(None),
    }
    return cells | {"other": len(targets) - sum(cells.values())}


def _names(var: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the ids of all genes, and their names by column of var, with the id where there is no name."""
    ids = np.array(var.index.astype(str), dtype=object)
    names = {key: var[key].astype(str) for key in OTHER_NAMES if key in var}
    return {"id": ids, **{key: np.where(var[key].isna() | (of == ""), ids, of) for key, of in names.items()}}


def _find_columns(names: dict[str, np.ndarray], wanted: set[str], field: str) -> dict[str, int]:
    """Find genes by their ids, else by their other names; refuse a name that two genes share."""
    columns: dict[str, set[int]] = defaultdict(set)
    for some in (["id"], [key for key in names if key != "id"]):
        missing = wanted.difference(columns)
        for key in some:
            for column, name in enumerate(names[key]):
                if name in missing:
                    columns[name].add(column)
    for name in sorted(columns):
        if len(columns[name]) > 1:
            first, second, *_ = names["id"][sorted(columns[name])]
            raise InputError.of(field, f"{name!r}, a name of {first} and {second}", "names of one gene each")
    return {name: found.pop() for name, found in columns.items()}


def _choose_columns(
    names: dict[str, np.ndarray], intervention: np.ndarray, genes: str | Sequence[str], min_cells: int
) -> np.ndarray:
    if not isinstance(genes, str):
        wanted = set(genes)
        columns = _find_columns(names, wanted, "genes")
        missing = sorted(wanted.difference(columns))
        if missing:
            raise InputError.of("genes", f"{len(missing)} that are not measured, as {missing[0]!r}", "measured genes")
        return np.unique(list(columns.values()))
    if genes == "all":
        return np.arange(len(names["id"]))
    if genes == "perturbed":
        return _perturbed_columns(intervention, len(names["id"]), min_cells)
    raise InputError.of("genes", repr(genes), "'perturbed', 'all' or a list of names")


def _perturbed_columns(intervention: np.ndarray, num_columns: int, min_cells: int) -> np.ndarray:
    cells_of = np.bincount(intervention[intervention >= 0], minlength=num_columns)
    columns = np.flatnonzero(cells_of > min_cells)
    if len(columns) < 2:
        most = max(cells_of, default=0)
        found = f"{len(columns)} measured genes with more than {min_cells} perturbed cells (the most: {most})"
        raise InputError.of("min_cells", found, "at least 2; lower it, or name the genes")
    return columns


# Files


@contextmanager
def _opened(data: AnnData | str | os.PathLike[str], perturbation_key: str) -> Iterator[AnnData]:
    """Give the AnnData, or a file as one; errors in reading the file become InputErrors."""
    import anndata

    if isinstance(data, anndata.AnnData):
        yield data
        return
    if not isinstance(data, str | os.PathLike):
        raise InputError.of("data", f"a {type(data).__name__}", "an AnnData, or the path of an .h5ad or .npz")
    path = Path(data)
    if not path.is_file():
        raise InputError.of("data", f"no file {str(path)!r}", "an existing .h5ad or .npz")
    try:
        with _opened_npz(path, perturbation_key) if path.suffix == ".npz" else _opened_h5ad(path) as adata:
            yield adata
    except InputError:
        raise
    except _UNREADABLE as error:
        found = f"{path.name}, which cannot be read ({' '.join(str(error).split())})"
        expected = "an .h5ad, or an .npz with expression_matrix, var_names and interventions, none of them pickled"
        raise InputError.of("data", found, expected) from None


@contextmanager
def _opened_h5ad(path: Path) -> Iterator[AnnData]:
    """Leave X and the layers in the file; anndata's backed mode would read the layers."""
    import anndata
    import h5py
    from anndata.io import read_elem, sparse_dataset

    def stored(element: Any) -> Any:
        return sparse_dataset(element) if isinstance(element, h5py.Group) else element

    with h5py.File(path) as file:
        if isinstance(file["obs"], h5py.Dataset):  # written before anndata 0.7
            yield anndata.read_h5ad(path, backed="r")
            return
        yield anndata.AnnData(
            stored(file["X"]) if "X" in file else None,
            obs=read_elem(file["obs"]),
            var=read_elem(file["var"]),
            uns={"simulated": read_elem(file["uns/simulated"])} if "uns/simulated" in file else {},
            layers={name: stored(element) for name, element in file.get("layers", {}).items()},
        )


@contextmanager
def _opened_npz(path: Path, perturbation_key: str) -> Iterator[AnnData]:
    """Unpack the matrix into a temporary file, because numpy would read it whole."""
    import anndata
    import pandas as pd

    with (
        zipfile.ZipFile(path) as archive,
        np.load(path) as arrays,
        tempfile.TemporaryDirectory(prefix="catran-") as folder,
    ):
        genes, labels = arrays["var_names"], arrays["interventions"]
        matrix = np.load(archive.extract("expression_matrix.npy", folder), mmap_mode="r")
        fit = genes.ndim == labels.ndim == 1 and matrix.shape == (len(labels), len(genes))
        if not fit or matrix.dtype.kind not in "fiu":
            found = f"{path.name} with an expression_matrix of type {matrix.dtype} and shape {matrix.shape}"
            expected = f"numbers, cells × genes, for {labels.shape} interventions and {genes.shape} var_names"
            raise InputError.of("data", found, expected)
        uns = {}
        if "simulated" in arrays and arrays["simulated"].any():
            uns["simulated"] = str(arrays["origin"]) if "origin" in arrays else f"SIMULATED DATA from {path.name}"
        obs = pd.DataFrame({perturbation_key: labels.astype(str)}, np.arange(len(labels)).astype(str))
        yield anndata.AnnData(matrix, obs, pd.DataFrame(index=genes.astype(str)), uns)


def _matrix(adata: AnnData, layer: str | None) -> Any:
    matrix = adata.X if layer is None else adata.layers.get(layer)
    if matrix is None:
        found = "none, and no X" if layer is None else f"no {layer!r}"
        raise InputError.of("layer", found, f"one of {', '.join(adata.layers) or 'none: there are no layers'}")
    return matrix


# Values


def _read_columns(matrix: Any, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read columns as float32, and the total of each row, in blocks along the axis by which the matrix is stored."""
    rows, width = matrix.shape
    expression = allocate_matrix(rows, len(columns))
    totals = np.zeros(rows)
    if getattr(matrix, "format", None) == "csc":
        place = np.full(width, -1)
        place[columns] = np.arange(len(columns))
        for block in _blocks(width, rows):
            values = matrix[:, block]
            totals += np.asarray(values.sum(axis=1), float).ravel()
            kept = place[block] >= 0
            expression[:, place[block][kept]] = _dense(values[:, np.flatnonzero(kept)])
    else:
        for block in _blocks(rows, width):
            values = matrix[block]
            values = values.tocsr() if hasattr(values, "tocsr") else np.asarray(values)
            totals[block] = np.asarray(values.sum(axis=1), float).ravel()
            expression[block] = _dense(values[:, columns])
    return expression, totals


def _dense(values: Any) -> np.ndarray:
    return values.toarray() if hasattr(values, "toarray") else values


def _blocks(length: int, breadth: int) -> Iterator[slice]:
    step = max(1, _VALUES_PER_BLOCK // max(breadth, 1))
    return (slice(start, min(start + step, length)) for start in range(0, length, step))


def _check_values(expression: np.ndarray, totals: np.ndarray, counts: bool, allow_counts: bool) -> None:
    """Refuse values that are not what the arguments say."""
    whole, negative = True, False
    for block in _blocks(*expression.shape):
        values = expression[block]
        wrong = ~np.isfinite(values).all(axis=1)
        if counts:  # which are divided by the totals
            wrong |= ~np.isfinite(totals[block])
        if wrong.any():
            cell = block.start + wrong.argmax()
            raise InputError.of("expression_matrix", f"NaN or infinity in row {cell}", "finite numbers")
        whole &= not (values % 1).any()
        negative |= bool((values < 0).any())
    if counts and (negative or not whole):
        raise InputError.of("counts", "fractions or negative values in the matrix", "raw counts, or counts=False")
    if whole and not counts and not allow_counts:
        expected = "log-normalised values, or counts=True to have raw counts log-normalised"
        raise InputError.of("counts", "whole numbers only in the matrix", expected)


def _keep_rows(expression: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Keep some rows, ascending, without memory for a second matrix: no row moves down."""
    for block in _blocks(len(kept), expression.shape[1]):
        expression[block] = expression[kept[block]]
    return expression[: len(kept)]


def _keep_columns(expression: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Keep some columns, without memory for a second matrix."""
    if kept.all():
        return expression
    number = np.count_nonzero(kept)
    for block in _blocks(*expression.shape):
        expression[block, :number] = expression[block][:, kept]
    return expression[:, :number]
