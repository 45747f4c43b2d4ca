"""The cells and genes that a rival looks at."""

from __future__ import annotations

import numpy as np

from catran_causalbench.data.dataset import CONTROL, PerturbationDataset


def control_cells(dataset: PerturbationDataset) -> np.ndarray:
    """Expression of the controls, float32, cells × genes."""
    return dataset.expression[dataset.intervention == CONTROL]


def perturbed_cells(dataset: PerturbationDataset, source: int) -> np.ndarray:
    """Expression of the cells in which ``source`` is perturbed, float32, cells × genes."""
    return dataset.expression[dataset.intervention == source]


def expressed_genes(dataset: PerturbationDataset, share: float) -> np.ndarray:
    """Columns of the genes seen in at least this share of all cells, ascending.

    Several methods drop rarely seen genes first, as CausalBench's own models do; they know no edges of those.
    """
    seen_in = np.count_nonzero(dataset.expression, axis=0)
    return np.flatnonzero(seen_in >= int(dataset.num_cells * share))
