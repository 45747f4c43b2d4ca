"""BetterBoost: importances as in GRNBoost, ranked by a test of whether the perturbation changes the target."""

from __future__ import annotations

import numpy as np
from scipy.stats import kstwo

from catran_causalbench.baselines.grnboost import boosted_importances
from catran_causalbench.data.dataset import PerturbationDataset

FALSE_DISCOVERY_RATE = 0.05


def betterboost(dataset: PerturbationDataset, seed: int) -> np.ndarray:
    """BetterBoost (A. Nazaret and J. Hong), a winner of the CausalBench challenge 2023.

    Pairs that the boosted trees use are ranked by the p-value of a Kolmogorov-Smirnov test that compares the target in
    controls and in the source's perturbed cells; ties are broken by importance. Insignificant pairs are dropped, and
    pairs that cannot be tested, those of unperturbed sources, come last. A target is predicted without the cells in
    which it is perturbed, and genes expressed in fewer than 15 % of the cells are left out.

    The authors' p-values are exact for up to 10,000 controls. Here all of them are asymptotic, which is faster.

    The scores are minus the ranks, float64, genes × genes, source × target; ``-inf`` for pairs that are insignificant,
    of importance 0, or of genes left out.
    """
    importances = boosted_importances(dataset, seed, expressed_share=0.15, patience=15, drop_perturbed_target=True)
    source, target = np.nonzero(importances > -np.inf)
    p_values = ks_p_values(dataset)[source, target]
    order = np.lexsort((-importances[source, target], p_values))  # NaN, where there is no test, comes last
    untested = np.isnan(p_values[order])
    # The thresholds of Benjamini and Hochberg, applied as the authors do: each p-value must be below its own.
    thresholds = FALSE_DISCOVERY_RATE * np.arange(1, len(order) + 1) / max(1, int((~untested).sum()))
    kept = order[untested | (p_values[order] < thresholds)]
    scores = np.full(importances.shape, -np.inf)
    scores[source[kept], target[kept]] = -np.arange(1.0, len(kept) + 1)
    return scores


def ks_p_values(dataset: PerturbationDataset) -> np.ndarray:
    """Test for each pair whether the target differs between controls and the source's perturbed cells.

    The asymptotic p-values of the two-sample Kolmogorov-Smirnov test are float64, genes × genes, source × target; NaN
    for sources that are never perturbed.
    """
    controls = np.sort(dataset.control_cells().T.copy())
    p_values = np.full((dataset.num_genes, dataset.num_genes), np.nan)
    for source in dataset.perturbed_genes:
        cells = np.sort(dataset.perturbed_cells(source).T.copy())
        distances = [_ks_distance(*samples) for samples in zip(controls, cells, strict=True)]
        effective_cells = controls.shape[1] * cells.shape[1] / (controls.shape[1] + cells.shape[1])
        p_values[source] = kstwo.sf(distances, max(1, round(effective_cells)))
    return p_values


def _ks_distance(controls: np.ndarray, cells: np.ndarray) -> float:
    """Return the greatest distance between two distribution functions, given sorted values.

    Between two neighbouring perturbed values, their function is constant and the controls' is monotone. So the greatest
    distance is reached at one of these values or just before it.
    """
    distance = 0.0
    for side in ("left", "right"):
        below_controls = np.searchsorted(controls, cells, side) / len(controls)
        below_cells = np.searchsorted(cells, cells, side) / len(cells)
        distance = max(distance, float(np.abs(below_controls - below_cells).max()))
    return distance
