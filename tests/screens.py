"""Small screens, and all the forms and files in which they may come."""

import warnings

import anndata
import dask.array
import numpy as np
import pandas as pd
from scipy import sparse

from catran_causalbench.data.anndata_reader import read_screen


def read(data, **options):
    return read_screen(data, **{"perturbation_key": "target_gene", "min_cells": 2, **options})


def small(targets, names=("A", "B", "C"), matrix=None, **var):
    if matrix is None:
        matrix = np.log1p(np.random.default_rng(0).poisson(3.0, (len(targets), len(names))) * 0.7).astype(np.float32)
    obs = pd.DataFrame({"target_gene": targets}, index=[f"cell{i}" for i in range(len(targets))])
    return anndata.AnnData(matrix, obs=obs, var=pd.DataFrame(var, index=list(names)))


def write_npz(path, adata, **changes):
    targets = adata.obs["target_gene"].astype(str).to_numpy(str)
    arrays = {"expression_matrix": adata.X, "var_names": adata.var_names.to_numpy(str), "interventions": targets}
    np.savez_compressed(path, **{**arrays, **changes})
    return path


FORMS = {
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "csc_array": sparse.csc_array,
    "fortran": np.asfortranarray,
    "matrix": np.asmatrix,
    "masked": np.ma.masked_array,
    "float64": lambda matrix: matrix.astype(np.float64),
    "big-endian": lambda matrix: matrix.astype(">f4"),
    "dask": lambda matrix: dask.array.from_array(matrix, (300, 5), asarray=False),
}


def stored(simulated, how, directory):
    words, adata = how.split(), simulated.copy()
    if "shuffled" in words:
        rng = np.random.default_rng(5)
        adata = adata[rng.permutation(adata.n_obs), rng.permutation(adata.n_vars)].copy()
    for word in words:
        adata.X = FORMS.get(word, lambda matrix: matrix)(adata.X)
    if "layer" in words:
        adata.layers["expression"], adata.X = adata.X, None
    if "raw" in words:
        adata.raw, adata.X = adata.copy(), None
    backwards = np.arange(adata.n_obs)[::-1]
    if "view" in words:
        adata = adata[backwards].copy()
    if "npz" in words:
        return write_npz(directory / "screen.npz", adata)
    if "zarr" in words:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on formats that anndata will write one day
            adata.write_zarr(directory / "screen.zarr")
        return directory / "screen.zarr"
    if "file" in words or "backed" in words:
        adata.write_h5ad(directory / "screen.h5ad")
    if "file" in words:
        return directory / "screen.h5ad"
    if "backed" in words:
        adata = anndata.read_h5ad(directory / "screen.h5ad", backed="r")
    return adata[backwards] if "view" in words else adata
