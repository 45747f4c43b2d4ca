"""One of CausalBench's .h5ad files: the labels of its cells, the names of its genes, and how its counts are stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from catran_causalbench.causalbench.npz import UNREADABLE
from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ExpressionFile:
    """An .h5ad of C cells and G genes, without its counts.

    Attributes
    ----------
    path, shape
        The file, and (C, G).
    dtype
        In which CausalBench computes: the type of the counts; float32 for integers, with which CausalBench fails.
    sparse
        Whether the counts are stored as CSR or CSC.
    barcodes
        (C,): the index of ``obs``.
    symbols, gene_ids
        (C,), categorical: the columns ``gene`` and ``gene_id`` of ``obs``, which name the perturbed gene.
    var
        G rows: the ids, and the column ``gene_name``.
    simulated
        What the file says about being simulated; empty for measured data.
    """

    path: Path
    shape: tuple[int, int]
    dtype: np.dtype
    sparse: bool
    barcodes: pd.Index
    symbols: pd.Categorical
    gene_ids: pd.Categorical
    var: pd.DataFrame
    simulated: str

    @classmethod
    def read(cls, path: Path) -> ExpressionFile:
        """Read all but the counts; raise InputError if the file cannot be one of CausalBench's."""
        import pandas as pd
        from anndata.io import read_elem

        with opened_matrix(path) as matrix:
            content = matrix.group.file if hasattr(matrix, "group") else matrix.file
            obs, var = (read_elem(content[name]) for name in ("obs", "var"))
            simulated = str(read_elem(content["uns/simulated"])) if "uns/simulated" in content else ""
            shape, dtype, sparse = matrix.shape, np.dtype(matrix.dtype), hasattr(matrix, "format")
        for table, name, columns in ((obs, "obs", ("gene", "gene_id")), (var, "var", ("gene_name",))):
            for column in columns:
                if column not in table:
                    expected = f"it among its columns, which are {', '.join(map(str, table.columns)) or 'none'}"
                    raise InputError.of(path.name, f"no column {column!r} in {name}", expected)
            if not table.index.is_unique:
                twice = table.index[table.index.duplicated()][0]
                raise InputError.of(path.name, f"{twice!r} twice in the index of {name}", "each name once")
        if shape != (len(obs), len(var)):
            raise InputError.of(path.name, f"X of shape {shape}", f"{len(obs)} cells × {len(var)} genes")
        if dtype.kind not in "iu" and dtype.name not in ("float32", "float64"):
            raise InputError.of(path.name, f"values of type {dtype}", "float32, float64 or integers")
        return cls(
            path=path,
            shape=shape,
            dtype=dtype if dtype.kind == "f" else np.dtype(np.float32),
            sparse=sparse,
            barcodes=obs.index,
            symbols=pd.Categorical(obs["gene"]),
            gene_ids=pd.Categorical(obs["gene_id"]),
            var=var[["gene_name"]],
            simulated=simulated,
        )


@contextmanager
def opened_matrix(path: Path) -> Iterator[Any]:
    """Yield the matrix of an .h5ad: an HDF5 dataset, or anndata's view of a sparse one; errors become InputErrors."""
    import h5py
    from anndata.io import sparse_dataset

    try:
        with h5py.File(path) as file:
            matrix = file["X"]
            yield sparse_dataset(matrix) if isinstance(matrix, h5py.Group) else matrix
    except InputError:
        raise
    except UNREADABLE as error:
        found = f"a file that cannot be read ({' '.join(str(error).split())})"
        raise InputError.of(path.name, found, "an intact .h5ad; `catran-causalbench download` fetches it") from None
