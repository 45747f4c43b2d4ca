"""One of CausalBench's .h5ad files: the labels of its cells, the names of its genes, and how its counts are stored."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from catran_causalbench.data.screen_files import opened
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

        with warnings.catch_warnings(), opened(path, "gene") as adata:
            warnings.filterwarnings("ignore", ".*names are not unique")  # that is refused below
            obs, var, simulated = adata.obs, adata.var, str(adata.uns.get("simulated") or "")
            shape, dtype, sparse = adata.shape, np.dtype(adata.X.dtype), hasattr(adata.X, "format")
        for table, name, columns in ((obs, "obs", ("gene", "gene_id")), (var, "var", ("gene_name",))):
            for column in columns:
                if column not in table:
                    expected = f"it among its columns, which are {', '.join(map(str, table.columns)) or 'none'}"
                    raise InputError.of(path.name, f"no column {column!r} in {name}", expected)
            if not table.index.is_unique:
                twice = table.index[table.index.duplicated()][0]
                raise InputError.of(path.name, f"{twice!r} twice in the index of {name}", "each name once")
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
