"""GRNBoost: boosted trees predict each gene from all others, and the important ones are its regulators."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor

from catran_causalbench.data.dataset import PerturbationDataset

MAX_TREES = 5000
LEARNING_RATE = 0.01
GENES_PER_SPLIT = 0.1
CELLS_PER_TREE = 0.9


def grnboost(dataset: PerturbationDataset, seed: int) -> np.ndarray:
    """GRNBoost2 (Moerman et al. 2019) with the settings of CausalBench's own baseline.

    It uses all cells alike, perturbed or not, and leaves out genes expressed in fewer than 25 % of them. The authors'
    package runs the same regressions in worker processes of Dask. For the scores see :func:`boosted_importances`.
    """
    return boosted_importances(dataset, seed, expressed_share=0.25, patience=10, drop_perturbed_target=False)


def boosted_importances(
    dataset: PerturbationDataset, seed: int, *, expressed_share: float, patience: int, drop_perturbed_target: bool
) -> np.ndarray:
    """Return how important each gene is for predicting each other gene by stochastic gradient boosting.

    Parameters
    ----------
    seed
        Determines the draws of cells and genes, the same for each target.
    expressed_share
        Genes expressed in a smaller share of the cells are left out.
    patience
        Boosting ends when this many trees, on average, did not improve the prediction of the cells left out of them.
    drop_perturbed_target
        Whether a target is predicted without the cells in which it is perturbed.

    Returns
    -------
    numpy.ndarray
        float64, genes × genes, source × target: mean importance times number of trees, which gives more weight to
        targets that can be predicted well; ``-inf`` where it is 0, and for genes left out.
    """
    genes = dataset.expressed_genes(expressed_share)
    scores = np.full((dataset.num_genes, dataset.num_genes), -np.inf)
    if len(genes) < 2:
        return scores
    for target in genes:  # not in threads: boosting holds Python's lock
        kept = dataset.intervention != target if drop_perturbed_target else np.ones(dataset.num_cells, dtype=bool)
        others = genes[genes != target]
        sources = dataset.expression[np.ix_(kept, others)]
        column = _importances(sources, dataset.expression[kept, target], patience, seed)
        scores[others, target] = np.where(column > 0, column, -np.inf)
    return scores


def _importances(sources: np.ndarray, target: np.ndarray, patience: int, seed: int) -> np.ndarray:
    def gains_nothing(tree: int, boosting: Any, _: Any) -> bool:
        recent = boosting.oob_improvement_[max(0, tree - patience + 1) : tree + 1]
        return tree >= patience - 1 and recent.mean() < 0

    boosting = GradientBoostingRegressor(
        learning_rate=LEARNING_RATE,
        n_estimators=MAX_TREES,
        max_features=GENES_PER_SPLIT,
        subsample=CELLS_PER_TREE,
        random_state=seed,
    )
    boosting.fit(sources, target, monitor=gains_nothing)
    return boosting.feature_importances_ * len(boosting.estimators_)
