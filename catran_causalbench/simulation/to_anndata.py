"""A simulated screen as an AnnData object, for examples and tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from catran_causalbench.errors import InputError
from catran_causalbench.simulation.causal_model import CausalModel, SimulationConfig, sample_causal_model
from catran_causalbench.simulation.expression import simulate_cells
from catran_causalbench.simulation.graph import RegulatoryGraph
from catran_causalbench.utils.atomic_io import check_writable, write_atomically

if TYPE_CHECKING:
    from anndata import AnnData


def simulate_anndata(genes: int = 60, cells: int | None = None, seed: int = 0) -> AnnData:
    """Simulate a Perturb-seq screen with known ground truth; the same arguments give the same screen.

    All genes are perturbed; by default there are 180 cells per gene.

    Returns
    -------
    AnnData
        Cells × genes: log-normalised expression in ``X``, counts in ``layers["counts"]``, each cell's target in
        ``obs["target_gene"]`` (``non-targeting`` in controls, ``excluded`` where the gene is not measured), true direct
        regulation, source × target, in ``varp["true_weights"]``, and a note that the data are simulated in
        ``uns["simulated"]``.

    Raises
    ------
    InputError
        Sizes or seed are out of range.

    Examples
    --------
    >>> import catran_causalbench as catran
    >>> adata = catran.simulate_anndata(genes=12, cells=2000, seed=0)
    >>> adata.shape
    (2000, 12)
    """
    settings = SimulationConfig(genes=genes, cells=180 * genes if cells is None else cells)
    return _to_anndata(sample_causal_model(settings, seed))


def write_simulated_screen(
    path: str | os.PathLike[str],
    settings: SimulationConfig,
    seed: int,
    overwrite: bool = False,
    graph: RegulatoryGraph | None = None,
) -> Path:
    """Simulate a screen, as :func:`simulate_anndata` describes it, and write it as an .h5ad; return its path.

    Raises
    ------
    InputError
        The file cannot be written, or exists and is not to be replaced; the seed or the graph is invalid.
    """
    path = Path(path)
    if path.exists() and not (overwrite and _is_simulated(path)):
        raise InputError.of(
            "output", f"an existing file {str(path)!r}", "a new one, or --overwrite for a simulated one"
        )
    check_writable(path)
    return write_atomically(path, _to_anndata(sample_causal_model(settings, seed, graph)).write_h5ad)


def _is_simulated(path: Path) -> bool:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return "uns/simulated" in file
    except OSError:  # no HDF5
        return False


def _to_anndata(model: CausalModel) -> AnnData:
    import anndata
    import pandas as pd
    from scipy import sparse

    simulated = simulate_cells(model)
    names = dict(zip(model.gene_ids, model.gene_names, strict=True))
    targets = pd.Categorical([names.get(label, label) for label in simulated.labels.tolist()])
    return anndata.AnnData(
        simulated.expression,
        obs=pd.DataFrame({"target_gene": targets}, index=[f"cell{row}" for row in range(len(targets))]),
        var=pd.DataFrame(index=list(model.gene_names)),
        layers={"counts": sparse.csr_matrix(simulated.counts.astype(np.float32))},
        varp={"true_weights": sparse.csr_matrix(model.weights)},
        uns={
            "simulated": f"SIMULATED DATA – no cell here was measured; {len(model.gene_names)} genes, seed {model.seed}"
        },
    )
