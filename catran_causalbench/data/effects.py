"""Effects of the perturbations as measured: differences of means, without a model."""

from __future__ import annotations

import numpy as np

from catran_causalbench.data.dataset import PerturbationDataset


def perturbation_effects(dataset: PerturbationDataset) -> np.ndarray:
    """Return the mean of each target in the perturbed cells of each source minus its mean in the control cells.

    Returns
    -------
    numpy.ndarray
        float32, genes × genes, source × target, in the units of the expression; NaN in the rows of genes that are not
        perturbed.
    """
    effects = np.full((dataset.num_genes, dataset.num_genes), np.nan, np.float32)
    control_mean = dataset.control_cells().mean(axis=0, dtype=np.float64)
    for source in dataset.perturbed_genes:
        effects[source] = dataset.perturbed_cells(source).mean(axis=0, dtype=np.float64) - control_mean
    return effects
