"""Adaptive shrinkage as a method: what ranks first."""

import numpy as np

from catran_causalbench import validate_dataset
from catran_causalbench.baselines import ash, statistics


def test_effects_are_shrunk_more_where_they_are_less_certain():
    rng = np.random.default_rng(0)
    names = [f"gene{number:02d}" for number in range(20)]
    labels = np.repeat(["non-targeting", *names[:10]], [300] + [30] * 10)
    matrix = rng.normal(30, 1, (len(labels), 20))
    matrix[:, 15] = rng.normal(30, 6, len(labels))
    matrix[labels == "gene03", 14] -= 2
    matrix[labels == "gene04", 14] -= 4
    dataset = validate_dataset(matrix, labels.tolist(), names)
    scores, raw = ash.ash(dataset, 0), statistics.mean_difference(dataset, 0)
    assert (scores[10:] == -np.inf).all(), "never perturbed"
    assert (np.diag(scores)[:10] == -np.inf).all()
    assert set(np.argsort(-scores, axis=None)[:2]) == {3 * 20 + 14, 4 * 20 + 14}
    assert raw[:10, 15].max() > 2, "noise that looks like an effect"
    assert scores[:10, 15].max() < 0.5 * raw[:10, 15].max()
    assert 0.8 * raw[4, 14] < scores[4, 14] <= raw[4, 14]
