"""Inverse sparse regression: the sparse inverse of the matrix of perturbation effects is the direct network."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from catran_causalbench.data.dataset import CONTROL, PerturbationDataset

FOLDS = 5
PENALTIES = 10
LEAST_PENALTY = 0.02  # as a share of the largest
LARGEST_EFFECT, LARGEST_ERROR = 2.0, 1.0  # entries beyond either are not used
LARGEST_MISSING_SHARE = 0.5
LARGEST_WEIGHT = 50.0  # as a multiple of the median
MAX_STEPS = 300
TOLERANCE = 1e-5
_MAX_HALVINGS = 40


class Effects(NamedTuple):
    """Total effects among D perturbed genes, as estimated from some cells."""

    ratios: np.ndarray  # (D, D), source × target: change of the target per change of the source; 1 on the diagonal
    weights: np.ndarray  # (D, D): inverse squared standard errors, 1 on average; 0 where the ratio is not used
    shifts: np.ndarray  # (D,): change of each gene where it is perturbed itself


def inspre(dataset: PerturbationDataset, seed: int) -> np.ndarray:
    """Inverse sparse regression (B. Brown et al. 2025), written from its paper.

    Expression is standardised by the controls. The effect of a source on a target is divided by the effect on the
    source itself, which gives the matrix R of effects among the perturbed genes, with standard errors. If direct
    effects G add up along all paths, then R⁻¹ = I − G, up to the scale of its columns. So a sparse matrix V is sought
    whose inverse is near R: ½ Σ W (R − V⁻¹)² + λ Σ |V| off the diagonal, W the inverse squared errors. Of ten penalties
    λ, the one is taken whose network predicts left-out cells best from what was perturbed in them, in five folds.

    Three things differ from the authors' R package. It splits V and V⁻¹ by ADMM and also penalises the diagonal; here
    V⁻¹ is the inverse, and proximal gradient descent starts from the solution for the larger penalty. Rows of V are
    divided there by the diagonal, here columns, as the equations have it. No weight is larger than 50 times the
    median, as in the authors' analysis of K562. Genes are left out, as there, where more than half of their ratios
    are above 2 or have an error above 1.

    The scores are absolute direct effects, float64, genes × genes, source × target. Those of the chosen penalty are
    raised above those that the next penalty admits, and so on; ``-inf`` for further pairs, for genes that are never
    perturbed and for genes left out.
    """
    scores = np.full((dataset.num_genes, dataset.num_genes), -np.inf)
    controls = dataset.control_cells()
    genes = dataset.perturbed_genes
    genes = genes[controls[:, genes].std(axis=0) > 0]
    cells = np.flatnonzero((dataset.intervention == CONTROL) | np.isin(dataset.intervention, genes))
    standardised = dataset.expression[cells][:, genes].astype(np.float64)
    standardised -= controls[:, genes].mean(axis=0, dtype=np.float64)
    standardised /= controls[:, genes].std(axis=0, dtype=np.float64)
    code_of = np.full(dataset.num_genes, CONTROL)
    code_of[genes] = np.arange(len(genes))
    codes = np.where(dataset.intervention[cells] == CONTROL, CONTROL, code_of[dataset.intervention[cells]])
    kept = usable_genes(estimate_effects(standardised, codes))
    if len(kept) < 2:
        return scores
    used = np.isin(codes, [CONTROL, *kept])
    standardised = standardised[used][:, kept]
    codes = np.where(codes[used] == CONTROL, CONTROL, np.searchsorted(kept, codes[used]))
    networks, best = _cross_validated(standardised, codes, seed)
    strength = np.zeros(networks[best].shape)
    for network in reversed(networks[best:]):
        strength = np.where(network != 0, np.abs(network) + strength.max(), strength)
    scores[np.ix_(genes[kept], genes[kept])] = np.where(strength > 0, strength, -np.inf)
    return scores


def estimate_effects(cells: np.ndarray, codes: np.ndarray) -> Effects:
    """Estimate the effects, each source's perturbation an instrument.

    Parameters
    ----------
    cells
        float64, cells × genes, with mean 0 in the controls.
    codes
        int64, one per cell: the column of the perturbed gene, or ``CONTROL``.
    """
    genes = cells.shape[1]
    controls = cells[codes == CONTROL]
    ratios, errors, shifts = np.eye(genes), np.full((genes, genes), np.inf), np.zeros(genes)
    gram = controls.T @ controls
    for source in range(genes):
        perturbed = cells[codes == source]
        means = perturbed.mean(axis=0) if len(perturbed) else np.zeros(genes)
        shifts[source] = means[source]
        if shifts[source] == 0:
            continue
        ratios[source] = slope = means / shifts[source]
        both = gram + perturbed.T @ perturbed  # squared residuals of x_target − slope · x_source, summed over all cells
        residuals = np.diag(both) - 2 * slope * both[source] + slope**2 * both[source, source]
        freedom = (len(controls) + len(perturbed)) * len(perturbed)
        errors[source] = np.sqrt(np.maximum(residuals, 0) / freedom) / abs(shifts[source])
    pairs = ~np.eye(genes, dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = 1 / errors**2
    used = pairs & (np.abs(ratios) <= LARGEST_EFFECT) & (errors <= LARGEST_ERROR) & np.isfinite(weights)
    weights[~used] = 0
    if used.any():
        np.minimum(weights, LARGEST_WEIGHT * np.median(weights[used]), out=weights)
        np.fill_diagonal(weights, weights.max())
        weights /= weights.mean()
    return Effects(ratios, weights, shifts)


def usable_genes(effects: Effects) -> np.ndarray:
    """Return the columns that remain when the gene with the most missing ratios is left out until none has too many."""
    missing = effects.weights == 0
    kept = np.arange(len(missing))
    while len(kept):
        among = missing[np.ix_(kept, kept)]
        shares = np.maximum(among.mean(axis=0), among.mean(axis=1))
        if shares.max() <= LARGEST_MISSING_SHARE:
            break
        kept = np.delete(kept, shares.argmax())
    return kept


def sparse_inverses(effects: Effects, penalties: np.ndarray) -> list[np.ndarray]:
    """Return the matrix V, float64, D × D, for each penalty, from the largest on."""
    inverse = np.eye(len(effects.ratios))
    inverses = []
    for penalty in penalties:
        inverse = _minimised(inverse, effects, penalty)
        inverses.append(inverse)
    return inverses


def objective(inverse: np.ndarray, effects: Effects, penalty: float) -> float:
    """Return ½ Σ W (R − V⁻¹)² + λ Σ |V| off the diagonal."""
    return float(_misfit(effects, np.linalg.inv(inverse)) + penalty * _size(inverse))


def _misfit(effects: Effects, total: np.ndarray) -> float:
    return 0.5 * (effects.weights * (effects.ratios - total) ** 2).sum()


def _size(inverse: np.ndarray) -> float:
    return np.abs(inverse).sum() - np.abs(np.diag(inverse)).sum()


def direct_effects(inverse: np.ndarray) -> np.ndarray:
    """Return G, float64, D × D, source × target: V = (I − G) times a scale for each column."""
    network = np.eye(len(inverse)) - inverse / np.diag(inverse)
    np.fill_diagonal(network, 0)
    return network


def _minimised(inverse: np.ndarray, effects: Effects, penalty: float) -> np.ndarray:
    """Minimise the objective by proximal gradient steps, whose length is halved until they go down."""
    ratios, weights, _ = effects
    total = np.linalg.inv(inverse)
    loss = _misfit(effects, total)
    length, value = 1.0, loss + penalty * _size(inverse)
    for _ in range(MAX_STEPS):
        gradient = total.T @ (weights * (ratios - total)) @ total.T
        for _ in range(_MAX_HALVINGS):
            step = _shrunk(inverse - length * gradient, length * penalty) - inverse
            try:
                next_total = np.linalg.inv(inverse + step)
            except np.linalg.LinAlgError:
                length /= 2
                continue
            next_loss = _misfit(effects, next_total)
            if next_loss <= loss + (gradient * step).sum() + (step**2).sum() / (2 * length):
                break
            length /= 2
        else:
            return inverse
        inverse, total, loss = inverse + step, next_total, next_loss
        before, value = value, loss + penalty * _size(inverse)
        if before - value < TOLERANCE * before:
            break
        length *= 1.5
    return inverse


def _shrunk(matrix: np.ndarray, by: float) -> np.ndarray:
    """Move all entries off the diagonal towards 0."""
    shrunk = np.sign(matrix) * np.maximum(np.abs(matrix) - by, 0)
    np.fill_diagonal(shrunk, np.diag(matrix))
    return shrunk


def _cross_validated(cells: np.ndarray, codes: np.ndarray, seed: int) -> tuple[list[np.ndarray], int]:
    """Return the network for each penalty, and which of them predicts left-out cells best."""
    effects = estimate_effects(cells, codes)
    largest = np.abs(effects.ratios - np.eye(len(effects.ratios)))[effects.weights > 0].max()
    penalties = largest * np.geomspace(1, LEAST_PENALTY, PENALTIES)
    fold = _folds(codes, seed)
    errors = np.zeros(PENALTIES)
    for left_out in range(FOLDS):
        train, test = fold != left_out, fold == left_out
        known = estimate_effects(cells[train], codes[train])
        perturbed = np.zeros((test.sum(), cells.shape[1]))
        rows = np.flatnonzero(codes[test] != CONTROL)
        perturbed[rows, codes[test][rows]] = known.shifts[codes[test][rows]]
        for position, inverse in enumerate(sparse_inverses(known, penalties)):
            predicted = perturbed @ np.linalg.inv(np.eye(cells.shape[1]) - direct_effects(inverse))
            errors[position] += ((cells[test] - predicted) ** 2).mean()
    networks = [direct_effects(inverse) for inverse in sparse_inverses(effects, penalties)]
    return networks, int(errors.argmin())


def _folds(codes: np.ndarray, seed: int) -> np.ndarray:
    """Return a fold for each cell, drawn within each label."""
    fold = np.empty(len(codes), np.int64)
    rng = np.random.default_rng(seed)
    for code in np.unique(codes):
        cells = np.flatnonzero(codes == code)
        fold[cells] = rng.permutation(np.arange(len(cells)) % FOLDS)
    return fold
