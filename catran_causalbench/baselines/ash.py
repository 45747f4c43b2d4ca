"""Adaptive shrinkage of the perturbation effects as a method: pairs ranked by posterior means."""

from __future__ import annotations

import numpy as np

from catran_causalbench.baselines.statistics import effects_and_deviations
from catran_causalbench.data.dataset import CONTROL, PerturbationDataset
from catran_causalbench.data.shrinkage import shrunk_effects


def ash(dataset: PerturbationDataset, seed: int) -> np.ndarray:
    """Adaptive shrinkage (M. Stephens 2017), as in :mod:`catran_causalbench.data.shrinkage`.

    The effects are differences of means, and their standard errors come from the pooled variance of controls and
    perturbed cells. In a noisy gene, an effect has to be larger to remain.

    The scores are absolute posterior means, float64, genes × genes, source × target; ``-inf`` for sources that are
    never perturbed, and where neither the controls nor the perturbed cells vary.
    """
    effects, deviations = effects_and_deviations(dataset)
    cells = np.bincount(dataset.intervention[dataset.intervention >= 0], minlength=dataset.num_genes)
    controls = np.count_nonzero(dataset.intervention == CONTROL)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = deviations * np.sqrt(1 / cells + 1 / controls)[:, None]
    known = (errors > 0) & np.isfinite(errors) & ~np.eye(dataset.num_genes, dtype=bool)
    scores = np.full(effects.shape, -np.inf)
    if not known.any():
        return scores
    scores[known] = np.abs(shrunk_effects(effects[known], errors[known]))
    return scores
