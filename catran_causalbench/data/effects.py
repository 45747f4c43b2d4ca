"""The measured effect of each perturbation on each gene, and how sure it is, from sums over the cells."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.data.dataset import CONTROL, PerturbationDataset

Floats = NDArray[np.float64]

_CELLS_PER_BLOCK = 4096
_SMALLEST_SKEWNESS = 1e-4  # with less, a gamma distribution is normal as far as p-values show
_SMALLEST_P_VALUE = np.finfo(np.float32).tiny
_SURE = 1e-3  # largest p-value of a change of a perturbed gene's own expression that counts


class MeasuredEffects(NamedTuple):
    """Effects and their two-sided p-values, float32, G × G, source × target; NaN where the source was not perturbed."""

    effect: np.ndarray
    p_value: np.ndarray


def measure_effects(dataset: PerturbationDataset) -> MeasuredEffects:
    """Measure the effect of every perturbation on every gene, and test whether there is one.

    The effect is the target's mean in the cells in which the source is perturbed minus its mean in controls. With
    batches it is the mean of the differences within batches, each weighted by the inverse of its variance,
    n·m / (n + m) for n perturbed and m control cells.

    The p-value is that of a permutation test: how often would the effect be as large, in either direction, if perturbed
    and control cells of the same batch changed places at random? Mean, variance and skewness of its distribution are
    exact; its tails are those of the Pearson type III distribution (a shifted gamma) with these moments. Without the
    skewness, as in a t-test, p-values are wrong for genes that few cells express.
    """
    effect, p_value = np.full((2, dataset.num_genes, dataset.num_genes), np.nan, np.float32)
    control_mean = dataset.control_cells().mean(axis=0, dtype=np.float64)
    controls = _power_sums(dataset, CONTROL, control_mean)
    for source in dataset.perturbed_genes:
        perturbed = _power_sums(dataset, source, control_mean)
        sums = np.stack([[cells, controls[batch]] for batch, cells in perturbed.items()], axis=2)
        effect[source], p_value[source] = _permutation_test(*sums)
    return MeasuredEffects(effect, p_value)


def warn_of_direction(effects: np.ndarray, p_values: np.ndarray, perturbation: str) -> None:
    """Warn if most perturbed genes change their own expression against the kind of perturbation.

    ``effects`` and ``p_values`` are those of :class:`MeasuredEffects`. Significant changes count only.
    """
    changes = np.diag(effects)[np.diag(p_values) < _SURE]
    activated = perturbation == "activation"
    against = int((changes < 0 if activated else changes > 0).sum())
    if 2 * against > len(changes):
        change, other = ("falls", "knockdown") if activated else ("rises", "activation")
        found = f"the expression of {against} of {len(changes)} genes {change} when they are perturbed"
        warnings.warn(f"{found}; is the perturbation {other!r} rather than {perturbation!r}?", stacklevel=3)


def _power_sums(dataset: PerturbationDataset, code: int, centre: Floats) -> dict[int, Floats]:
    """Return sums over the cells of a label, by the number of their batch.

    Each is 4 × G: the number of cells, and the sums of their expression minus the centre, of its square and its cube.
    """
    sums = {}
    for batch, cells in dataset.cells_by_batch(code).items():
        sums[batch] = np.zeros((4, dataset.num_genes))
        sums[batch][0] = len(cells)
        for start in range(0, len(cells), _CELLS_PER_BLOCK):
            values = dataset.expression[cells[start : start + _CELLS_PER_BLOCK]] - centre  # float64
            squares = values * values
            sums[batch][1] += values.sum(axis=0)
            sums[batch][2] += squares.sum(axis=0)
            sums[batch][3] += np.einsum("cg,cg->g", squares, values)
    return sums


def _permutation_test(perturbed: Floats, controls: Floats) -> tuple[Floats, Floats]:
    """Return the effects of a source and their p-values, G each, from power sums, 4 × batches × G."""
    n, m = perturbed[0], controls[0]  # numbers of cells
    cells, total, square, cube = perturbed + controls
    mean = total / cells
    square, cube = square - cells * mean**2, cube - 3 * mean * square + 2 * cells * mean**3  # around the mean
    # The sum over n of all cells, drawn without replacement, minus its expectation.
    statistic = (perturbed[1] - n * mean).sum(axis=0)
    share = n * m / (cells * (cells - 1))
    variance = (share * square).sum(axis=0).clip(0)
    third_moment = (share * (m - n) / (cells - 2).clip(1) * cube).sum(axis=0)
    varies = variance > 0
    variance = np.where(varies, variance, 1)
    p_value = _two_sided(statistic / np.sqrt(variance), third_moment / variance**1.5)
    return statistic / (n * m / cells).sum(axis=0), np.where(varies, p_value, 1)


def _two_sided(score: Floats, skewness: Floats) -> Floats:
    """Return twice the smaller tail at a score, under the Pearson type III distribution of mean 0 and variance 1."""
    from scipy.special import gammainc, gammaincc

    shape = 4 / np.maximum(np.abs(skewness), _SMALLEST_SKEWNESS) ** 2
    place = (shape + np.where(skewness < 0, -score, score) * np.sqrt(shape)).clip(0)
    tail = np.where(place < shape, gammainc(shape, place), gammaincc(shape, place))
    return (2 * np.minimum(tail, 1 - tail)).clip(_SMALLEST_P_VALUE)
