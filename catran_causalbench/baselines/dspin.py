"""D-SPIN by its own package, an optional extra."""

from __future__ import annotations

import tempfile

import numpy as np

from catran_causalbench.baselines.config import require_package
from catran_causalbench.baselines.dcdi import isolated
from catran_causalbench.data.dataset import CONTROL, EXCLUDED, PerturbationDataset


def dspin(dataset: PerturbationDataset, seed: int) -> np.ndarray:
    """D-SPIN (J. Jiang et al. 2024), directed networks of genes by the authors' package with its defaults.

    Each gene has three states in a cell, found by k-means: low, middle and high. They follow a spin network that all
    perturbations share, while the fields that act on the genes differ between perturbations. It is fitted by directed
    pseudo-likelihood: the state of each gene, given those of all others.

    The scores are absolute couplings, float64, genes × genes, source × target.

    Raises
    ------
    InputError
        The package is not installed.
    """
    require_package("dspin")
    import anndata
    import pandas as pd

    cells = np.flatnonzero(dataset.intervention != EXCLUDED)
    labels = ["control" if code == CONTROL else f"gene{code}" for code in dataset.intervention[cells]]
    screen = anndata.AnnData(
        dataset.expression[cells],
        obs=pd.DataFrame({"sample_id": labels}, index=cells.astype(str)),
        var=pd.DataFrame(index=list(dataset.gene_names)),
    )
    with isolated(), tempfile.TemporaryDirectory(prefix="catran-dspin-") as directory:
        from dspin.dspin import GeneDSPIN

        np.random.seed(seed)  # noqa: NPY002  the package draws from NumPy's global state
        model = GeneDSPIN(screen, directory, num_spin=dataset.num_genes)
        model.network_inference("sample_id", method="pseudo_likelihood", directed=True, params={"seed": seed})
    return np.abs(model.network).T  # the package has targets in rows
