"""A simulated screen as an AnnData object, for examples and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from catran_causalbench.simulation.causal_model import SimulationConfig, sample_causal_model
from catran_causalbench.simulation.expression import simulate_cells

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
    """
    import anndata
    import pandas as pd
    from scipy import sparse

    settings = SimulationConfig(genes=genes, cells=180 * genes if cells is None else cells)
    model = sample_causal_model(settings, seed)
    simulated = simulate_cells(model)
    names = dict(zip(model.gene_ids, model.gene_names, strict=True))
    targets = pd.Categorical([names.get(label, label) for label in simulated.labels.tolist()])
    return anndata.AnnData(
        simulated.expression,
        obs=pd.DataFrame({"target_gene": targets}, index=[f"cell{row}" for row in range(len(targets))]),
        var=pd.DataFrame(index=list(model.gene_names)),
        layers={"counts": sparse.csr_matrix(simulated.counts.astype(np.float32))},
        varp={"true_weights": sparse.csr_matrix(model.weights)},
        uns={"simulated": f"SIMULATED DATA – no cell here was measured; {genes} genes, seed {seed}"},
    )
