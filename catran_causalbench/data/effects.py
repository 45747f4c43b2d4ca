"""The measured effect of each perturbation on each gene, and how sure it is, from sums over the cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.data.dataset import CONTROL, PerturbationDataset
from catran_causalbench.errors import warn

Floats = NDArray[np.float64]

_CELLS_PER_BLOCK = 512
_SMALLEST_SKEWNESS = 1e-4  # with less, a gamma distribution is normal as far as p-values show
_SMALLEST_P_VALUE = np.finfo(np.float32).tiny
_SURE = 1e-3  # largest p-value of a change of a perturbed gene's own expression that counts


class MeasuredEffects(NamedTuple):
    """Effects and their two-sided p-values, float32, G × G, source × target; NaN where the source was not perturbed."""

    effect: np.ndarray
    p_value: np.ndarray


class _PowerSums(NamedTuple):
    """Number of cells (batches × 1); sums of their expression, of its square and of its cube (batches × G each)."""

    cells: Floats
    total: Floats
    square: Floats
    cube: Floats


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
    control_mean = _control_mean(dataset)
    control_batches, controls = _power_sums(dataset, CONTROL, control_mean)
    for source in dataset.perturbed_genes:
        batches, perturbed = _power_sums(dataset, source, control_mean)
        same = np.searchsorted(control_batches, batches)
        effect[source], p_value[source] = _permutation_test(perturbed, _PowerSums(*(sums[same] for sums in controls)))
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
        warn(f"{found}; is the perturbation {other!r} rather than {perturbation!r}?")


def _control_mean(dataset: PerturbationDataset) -> Floats:
    """Return the mean of each gene in controls, without a copy of all of them."""
    controls = np.flatnonzero(dataset.intervention == CONTROL)
    total = np.zeros(dataset.num_genes)
    for start in range(0, len(controls), _CELLS_PER_BLOCK):
        total += dataset.expression[controls[start : start + _CELLS_PER_BLOCK]].sum(axis=0, dtype=np.float64)
    return total / len(controls)


def _power_sums(dataset: PerturbationDataset, code: int, centre: Floats) -> tuple[list[int], _PowerSums]:
    """Return the batches that hold cells of a label, ascending, and sums over these cells, minus the centre."""
    by_batch = dataset.cells_by_batch(code)
    sums = np.zeros((3, len(by_batch), dataset.num_genes))
    for row, cells in enumerate(by_batch.values()):
        for start in range(0, len(cells), _CELLS_PER_BLOCK):
            values = dataset.expression[cells[start : start + _CELLS_PER_BLOCK]] - centre  # cells × G, float64
            squares = values * values
            sums[0, row] += values.sum(axis=0)
            sums[1, row] += squares.sum(axis=0)
            sums[2, row] += np.einsum("cg,cg->g", squares, values)
    return list(by_batch), _PowerSums(np.array([[float(len(cells))] for cells in by_batch.values()]), *sums)


def _permutation_test(perturbed: _PowerSums, controls: _PowerSums) -> tuple[Floats, Floats]:
    """Return the effects of a source and their p-values, G each, from the sums in the batches that hold its cells."""
    n, m = perturbed.cells, controls.cells
    both = n + m
    mean, square = (perturbed.total + controls.total) / both, perturbed.square + controls.square
    cube = perturbed.cube + controls.cube + (2 * both * mean**2 - 3 * square) * mean  # now around the mean
    square -= both * mean**2
    # The sum over the perturbed cells, minus its expectation if n of all cells are drawn without replacement.
    statistic = (perturbed.total - n * mean).sum(axis=0)
    share = n * m / (both * (both - 1))
    variance = (share * square).sum(axis=0).clip(0)
    third_moment = (share * (m - n) / (both - 2).clip(1) * cube).sum(axis=0)
    varies = variance > 0
    variance = np.where(varies, variance, 1)
    p_value = _two_sided(statistic / np.sqrt(variance), third_moment / variance**1.5)
    return statistic / (n * m / both).sum(), np.where(varies, p_value, 1)


def _two_sided(score: Floats, skewness: Floats) -> Floats:
    """Return twice the smaller tail at a score, under the Pearson type III distribution of mean 0 and variance 1."""
    from scipy.special import gammainc, gammaincc

    shape = 4 / np.maximum(np.abs(skewness), _SMALLEST_SKEWNESS) ** 2
    place = (shape + np.where(skewness < 0, -score, score) * np.sqrt(shape)).clip(0)
    below, tail = place < shape, np.empty_like(place)
    for side, distribution in ((below, gammainc), (~below, gammaincc)):
        tail[side] = distribution(shape[side], place[side])  # `where=` corrupts memory in scipy 1.16 with numpy 2.4
    return (2 * np.minimum(tail, 1 - tail)).clip(_SMALLEST_P_VALUE)
