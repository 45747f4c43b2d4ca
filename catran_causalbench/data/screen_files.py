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

from catran_causalbench.data.foreign_files import reject_foreign_file, reject_foreign_store
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
        expected = "an AnnData, as data.mod['rna'] of a MuData, or the path of an .h5ad, .zarr or .npz"
        raise InputError.of("data", f"a {type(data).__name__}", expected)
    path = Path(data)
    try:
        reject_foreign_file(path)
        with _opened_npz(path, perturbation_key) if path.suffix == ".npz" else _opened_store(path) as adata:
            yield adata
    except InputError:
        raise
    except _UNREADABLE as error:
        cause = " ".join(str(error).split())
        expected = "an .h5ad, a .zarr, or an .npz with expression_matrix, var_names and interventions, none pickled"
        if "unable to lock" in cause:
            expected = "a file that no other program has open for writing; if none has, set HDF5_USE_FILE_LOCKING=FALSE"
        raise InputError.of("data", f"{path.name}, which cannot be read ({cause})", expected) from None


@contextmanager
def _opened_store(path: Path) -> Iterator[AnnData]:
    """Leave X, the layers and .raw of an .h5ad or .zarr in it; anndata's backed mode would read the layers."""
    import anndata
    import h5py

    if path.is_dir():
        import zarr

        yield _stored_anndata(zarr.open_group(path, mode="r"), path)
        return
    with h5py.File(path) as file:
        if isinstance(file.get("obs"), h5py.Dataset):  # written before anndata 0.7
            yield anndata.read_h5ad(path, backed="r")
        else:
            yield _stored_anndata(file, path)


def _stored_anndata(store: Any, path: Path) -> AnnData:
    """Return what an HDF5 file or a zarr store holds, matrices unread."""
    import anndata
    from anndata.io import read_elem, sparse_dataset

    def matrix(name: str) -> Any:
        element = store.get(name)
        return sparse_dataset(element) if hasattr(element, "keys") else element

    reject_foreign_store(store, path)
    return anndata.AnnData(
        matrix("X"),
        obs=read_elem(store["obs"]),
        var=read_elem(store["var"]),
        uns={"simulated": read_elem(store["uns/simulated"])} if "uns/simulated" in store else {},
        layers={name: matrix(f"layers/{name}") for name in store.get("layers", ())},
        raw={"X": matrix("raw/X"), "var": read_elem(store["raw/var"])} if "raw/X" in store else None,
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
