"""Read a screen, from an AnnData, an .h5ad or an .npz: the labels of all cells and the expression of some genes.

No more than a block of the matrix is held beside the expression of these genes, which is in a file if memory is short.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from catran_causalbench.data.dataset import CONTROL, CONTROL_LABEL, EXCLUDED, EXCLUDED_LABEL, PerturbationDataset
from catran_causalbench.data.out_of_core import allocate_matrix
from catran_causalbench.data.preprocessing import log_normalise
from catran_causalbench.data.targets import choose_columns, find_columns, gene_names_like, names_of_genes, read_targets
from catran_causalbench.data.validation import validate_dataset
from catran_causalbench.errors import InputError, warn

if TYPE_CHECKING:
    from anndata import AnnData

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
        In a combined label the control label and repetitions do not count: ``A+control`` and ``A+A`` are ``A``. Cells
        with several perturbed genes (``A+B``) are excluded, because no single source explains them, and so are cells
        without a label.
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
        names, targets = names_of_genes(var), read_targets(adata.obs, perturbation_key, control)
        single = {genes_of[0] for genes_of in set(targets) if genes_of and len(genes_of) == 1}
        column_of = find_columns(names, single, "perturbation_key")
        code_of: dict[Any, int] = {(): CONTROL, **{(name,): column for name, column in column_of.items()}}
        intervention = np.array([code_of.get(genes_of, EXCLUDED) for genes_of in targets])  # columns of the file
        columns = choose_columns(names, intervention, genes, min_cells)
        expression, totals = _read_columns(adata, layer, columns)
    _check_values(expression, totals, counts, allow_counts)
    if counts:
        counted = np.flatnonzero(totals > 0)
        if not len(counted):
            raise InputError.of("counts", "no cell with a count", "raw counts")
        expression, totals = _keep(expression, counted, np.arange(len(columns))), totals[counted]
        targets, intervention = [targets[cell] for cell in counted], intervention[counted]
        median = float(np.median(totals))
        for block in _blocks(*expression.shape):
            expression[block] = log_normalise(expression[block], totals[block], median)
    considered = np.ones(len(columns), bool)
    if isinstance(genes, str):
        considered = expression.min(axis=0) != expression.max(axis=0)
        if not considered.all():
            warn(f"{(~considered).sum()} genes have one value in all cells and are left out")
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
        warn(f"{message}: no single source explains them")
    included = intervention != EXCLUDED
    kept = np.flatnonzero(included | ((~included).sum() >= min_excluded))
    return Screen(
        expression=_keep(expression, kept, np.flatnonzero(considered)),
        gene_ids=names["id"][columns].tolist(),
        gene_symbols=names.get("gene_name", names["id"])[columns].tolist(),
        gene_names=gene_names_like(var, single)[columns].tolist(),
        intervention=intervention[kept],
        cells=cells,
        origin=simulated or (Path(data).name if isinstance(data, str | os.PathLike) else ""),
        simulated=bool(simulated),
    )


@contextmanager
def _opened(data: AnnData | str | os.PathLike[str], perturbation_key: str) -> Iterator[AnnData]:
    """Yield the AnnData, or a file as one; errors in reading the file become InputErrors."""
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
        tempfile.TemporaryDirectory(prefix="catran-") as directory,
    ):
        genes, labels = arrays["var_names"], arrays["interventions"]
        matrix = np.load(archive.extract("expression_matrix.npy", directory), mmap_mode="r")
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


def _read_columns(adata: AnnData, layer: str | None, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read columns as float32, and the total of each row, in blocks along the axis by which the matrix is stored."""
    matrix: Any = adata.X if layer is None else adata.layers.get(layer)
    if matrix is None:
        found = "none, and no X" if layer is None else f"no {layer!r}"
        raise InputError.of("layer", found, f"one of {', '.join(adata.layers) or 'none: there are no layers'}")
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
            expression[:, place[block][kept]] = values[:, np.flatnonzero(kept)].toarray()
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


def _keep(expression: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Keep some rows and columns, ascending, without memory for a second matrix: no value moves down or right."""
    if (len(rows), len(columns)) == expression.shape:
        return expression
    for block in _blocks(len(rows), expression.shape[1]):
        expression[block, : len(columns)] = expression[rows[block]][:, columns]
    return expression[: len(rows), : len(columns)]
