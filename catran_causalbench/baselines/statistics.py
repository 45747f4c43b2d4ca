"""Baselines that compute one statistic for each pair of genes."""

from __future__ import annotations

import numpy as np

from catran_causalbench.data.dataset import PerturbationDataset


def random(dataset: PerturbationDataset, seed: int) -> np.ndarray:
    """Draw random scores, float64, genes × genes."""
    return np.random.default_rng(seed).random((dataset.num_genes, dataset.num_genes))


def correlation(dataset: PerturbationDataset, seed: int) -> np.ndarray:
    """Absolute Pearson correlation in the controls, which uses no perturbation and tells no direction.

    The scores are float64, genes × genes, symmetric; ``-inf`` for genes that are constant in the controls.
    """
    correlations = absolute_correlations(dataset.control_cells(), np.arange(dataset.num_genes))
    return np.where(np.isnan(correlations), -np.inf, correlations)


def mean_difference(dataset: PerturbationDataset, seed: int) -> np.ndarray:
    """Mean Difference: absolute change of the target's mean when the source is perturbed.

    By M. Kowiel, W. Kotlowski, D. Brzezinski and A. Ibrahim, for the CausalBench challenge 2023. The scores are
    float64, genes × genes, source × target; ``-inf`` for sources that are never perturbed.
    """
    effects = np.abs(dataset.perturbation_effects(np.float64))
    return np.where(np.isnan(effects), -np.inf, effects)


def effect_size(dataset: PerturbationDataset, seed: int) -> np.ndarray:
    """Absolute effect size (Cohen's d): the change of the target's mean over the pooled standard deviation.

    The scores are float64, genes × genes, source × target; ``-inf`` for sources that are never perturbed and where
    neither the controls nor the perturbed cells vary.
    """
    effects, deviations = effects_and_deviations(dataset)
    scores = np.full(effects.shape, -np.inf)
    np.divide(np.abs(effects), deviations, out=scores, where=deviations > 0)  # not where it is NaN
    return scores


def effects_and_deviations(dataset: PerturbationDataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the changes of the targets' means, and pooled standard deviations of controls and perturbed cells.

    Both are float64, genes × genes, source × target; NaN for sources that are never perturbed.
    """
    effects, deviations = np.full((2, dataset.num_genes, dataset.num_genes), np.nan)
    controls = dataset.control_cells()
    control_mean, control_squares = _mean_and_squares(controls)
    for source in dataset.perturbed_genes:
        cells = dataset.perturbed_cells(source)
        mean, squares = _mean_and_squares(cells)
        freedom = max(1, len(cells) + len(controls) - 2)
        effects[source], deviations[source] = mean - control_mean, np.sqrt((squares + control_squares) / freedom)
    return effects, deviations


def absolute_correlations(expression: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Return absolute Pearson correlations of some genes with all, given the expression (cells × genes) and columns.

    They are float64, one row per column given; NaN where either gene is constant.
    """
    centred = expression - expression.mean(axis=0, dtype=np.float64)
    lengths = np.sqrt(np.square(centred).sum(axis=0))
    with np.errstate(invalid="ignore"):
        return np.abs(centred[:, genes].T @ centred / np.outer(lengths[genes], lengths))


def _mean_and_squares(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and sum of squared deviations; float64 adds float32 exactly, so the sum is 0 for equal cells."""
    mean = cells.mean(axis=0, dtype=np.float64)
    return mean, np.square(cells - mean).sum(axis=0)
