"""Guanlab: gradient boosting predicts from four means which pairs of genes are correlated."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from catran_causalbench.baselines.statistics import absolute_correlations
from catran_causalbench.data.dataset import PerturbationDataset

MIN_CORRELATION = 0.1
TREES = 1000
LEARNING_RATE = 0.05


def guanlab(dataset: PerturbationDataset, seed: int) -> np.ndarray:
    """Guanlab's entry (K. Deng and Y. Guan), a winner of the CausalBench challenge 2023; later called PSGRN.

    The label of a pair is 1 where source and target have an absolute correlation above 0.1 in the source's perturbed
    cells together with equally many controls, or in all controls for an unperturbed source. Boosted trees of depth 2
    learn the labels from the means of source and target in controls and in the source's perturbed cells. Their
    prediction for the same pairs is the score: the part of the correlations that the means explain.

    Two things differ from the authors' code. Its trees are those of LightGBM; scikit-learn's histogram trees are the
    same algorithm with other bins. Its controls are drawn with a fixed seed, here with ``seed``. In both, the controls
    are shuffled once, and each source takes as many of the first as it has perturbed cells.

    The scores are log-odds, float64, genes × genes, source × target; all ``-inf`` where all labels are equal.
    """
    scores = np.full((dataset.num_genes, dataset.num_genes), -np.inf)
    pairs = ~np.eye(dataset.num_genes, dtype=bool)
    labels = _correlated_pairs(dataset, seed)[pairs]
    if labels.all() or not labels.any():
        return scores
    features = _pair_means(dataset)[pairs]
    features = features[:, ~np.isnan(features).all(axis=0)]  # scikit-learn fails for a column of NaN
    trees = HistGradientBoostingClassifier(
        learning_rate=LEARNING_RATE,
        max_iter=TREES,
        max_depth=2,
        min_samples_leaf=5,
        early_stopping=False,
        random_state=seed,
    )
    scores[pairs] = trees.fit(features, labels).decision_function(features)
    return scores


def _correlated_pairs(dataset: PerturbationDataset, seed: int) -> np.ndarray:
    """Return the labels of the pairs: bool, source × target."""
    controls = dataset.control_cells()
    shuffled = controls[np.random.default_rng(seed).permutation(len(controls))]
    correlations = absolute_correlations(controls, np.arange(dataset.num_genes))
    for source in dataset.perturbed_genes:
        cells = dataset.perturbed_cells(source)
        both = np.concatenate([shuffled[: len(cells)], cells])
        correlations[source] = absolute_correlations(both, np.array([source]))[0]
    return correlations > MIN_CORRELATION  # False for NaN, the correlation with a constant gene


def _pair_means(dataset: PerturbationDataset) -> np.ndarray:
    """Return standardised means, source × target × 4: source and target in controls, both in perturbed cells.

    For an unperturbed source, the last two are 0 and NaN, as in the authors' code: the trees depend on it.
    """
    centre = dataset.expression.mean(axis=0, dtype=np.float64)
    spread = dataset.expression.std(axis=0, dtype=np.float64)
    means = np.full((dataset.num_genes, dataset.num_genes, 4), np.nan)
    control_mean = (dataset.control_cells().mean(axis=0, dtype=np.float64) - centre) / spread
    means[:, :, 0] = control_mean[:, None]
    means[:, :, 1] = control_mean
    means[:, :, 2] = 0.0
    for source in dataset.perturbed_genes:
        perturbed_mean = (dataset.perturbed_cells(source).mean(axis=0, dtype=np.float64) - centre) / spread
        means[source, :, 2] = perturbed_mean[source]
        means[source, :, 3] = perturbed_mean
    return means
