"""Open a screen, from memory or from a file: as an AnnData whose matrices stay where they are."""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

# What reading a file may raise that is damaged, truncated or of another format than its name says.
_UNREADABLE = (OSError, ValueError, TypeError, LookupError, RuntimeError, EOFError, zlib.error, zipfile.BadZipFile)


@contextmanager
def opened(data: AnnData | str | os.PathLike[str], perturbation_key: str) -> Iterator[AnnData]:
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
