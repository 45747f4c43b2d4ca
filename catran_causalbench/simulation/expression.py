"""Cells drawn from a causal model (steady states, counts, log-normalised expression) and its true effects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.data.dataset import CONTROL_LABEL, EXCLUDED_LABEL
from catran_causalbench.data.preprocessing import log_normalise
from catran_causalbench.simulation.causal_model import SATURATION, CausalModel, Floats, random_stream

# Cells that are simulated at once, few enough for the caches and for memory. The draws of a seed depend on it.
BLOCK = 4_096
# The iteration ends when no gene of the block moves by more than this (natural log).
TOLERANCE = 1e-3
# Standard deviation of the log library size, as in droplet data of one batch.
LIBRARY_SPREAD = 0.35
# Standard deviation of the knockdown between cells, relative to its mean for the gene.
KNOCKDOWN_SPREAD = 0.25


@dataclass(frozen=True)
class Cells:
    """C simulated cells with G genes."""

    counts: NDArray[np.uint16]  # (C, G): UMIs
    expression: Floats  # (C, G): counts scaled to the median of all cells' total UMIs, then log1p
    labels: NDArray[np.str_]  # (C,): the perturbed gene's id, non-targeting or excluded
    totals: NDArray[np.int64]  # (C,): UMIs of all genes, also those outside the matrix


def simulate_cells(model: CausalModel) -> Cells:
    """Simulate as many cells as the model's settings say, in random order; the same model gives the same cells."""
    settings = model.settings
    rng = random_stream(model.seed, "cells")
    targets, outside = _assign_targets(model, rng)
    counts = np.empty((settings.cells, settings.genes), np.uint16)
    totals = np.empty(settings.cells, np.int64)
    for start in range(0, settings.cells, BLOCK):
        block = slice(start, start + BLOCK)
        drive = _draw_drive(model, len(targets[block]), rng)
        excluded = outside[block] >= 0
        drive[:, excluded] += model.outside_effects[outside[block][excluded]].T
        jitter = _draw_jitter(len(targets[block]), rng)
        drops = (jitter * np.where(targets[block] >= 0, model.knockdowns[targets[block]], 0.0)).astype(np.float32)
        drops *= rng.random(len(drops)) >= settings.escape_share
        means = np.exp(_steady_state(model, drive, targets[block], drops) + model.log_means[:, None]).T
        library = rng.lognormal(0.0, LIBRARY_SPREAD, len(means))
        shape = 1 / settings.dispersion
        rates = means * (library / shape)[:, None] * rng.standard_gamma(shape, means.shape, dtype=np.float32)
        counts[block] = np.minimum(rng.poisson(rates), np.iinfo(np.uint16).max)
        totals[block] = rng.poisson(library * settings.transcriptome_umis) + counts[block].sum(axis=1, dtype=np.int64)
    names = np.array([*model.gene_ids, EXCLUDED_LABEL, CONTROL_LABEL])
    labels = names[np.where(outside >= 0, settings.genes, targets)]
    return Cells(counts, log_normalise(counts, totals), labels, totals)


def true_effects(model: CausalModel, cells_per_gene: int = 256) -> Floats:
    """Compute the effect of each gene's knockdown on every gene, free of sampling noise.

    The steady state of the same `cells_per_gene` cells is computed with and without each knockdown. Library sizes and
    counts are averaged over their distributions instead of being drawn.

    Returns
    -------
    Floats
        Shape (G, G), source × target: mean log-normalised expression of the target when the source is perturbed minus
        that in controls. The diagonal holds the effects of knockdowns on their own genes. Genes that the experiment
        does not perturb have a row too.
    """
    rng = random_stream(model.seed, "effects")
    drive = _draw_drive(model, cells_per_gene, rng)
    no_target = np.full(cells_per_gene, -1)
    control = _steady_state(model, drive, no_target, np.zeros(cells_per_gene, np.float32))
    jitter = _draw_jitter(cells_per_gene, rng).astype(np.float32)
    grid, curve = _expected_expression(model)
    log_means = model.log_means[:, None]
    baseline = np.interp(control + log_means, grid, curve).mean(axis=1)
    effects = np.empty_like(model.weights)
    for gene, knockdown in enumerate(model.knockdowns):
        perturbed = _steady_state(model, drive, np.full(cells_per_gene, gene), jitter * knockdown, start=control)
        effects[gene] = np.interp(perturbed + log_means, grid, curve).mean(axis=1) - baseline
    return effects * np.float32(1 - model.settings.escape_share)


def _assign_targets(model: CausalModel, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each cell's target as a column and its outside gene as a row of the outside effects; −1 for none."""
    settings, genes = model.settings, np.flatnonzero(model.is_perturbed)
    perturbed, excluded, _ = settings.group_sizes
    # Guides differ in abundance and growth, so perturbations differ in their numbers of cells.
    shares = rng.dirichlet(np.full(len(genes), 4.0))
    cells_of = settings.min_cells + rng.multinomial(perturbed - len(genes) * settings.min_cells, shares)
    targets, outside = np.full((2, settings.cells), -1)
    targets[:perturbed] = np.repeat(genes, cells_of)
    outside[perturbed : perturbed + excluded] = rng.integers(len(model.outside_effects), size=excluded)
    order = rng.permutation(settings.cells)
    return targets[order], outside[order]


def _draw_drive(model: CausalModel, cells: int, rng: np.random.Generator) -> Floats:
    """Draw the drive, what latent factors and noise add to every gene before regulation, genes × cells."""
    drive = model.noise_scales[:, None] * rng.standard_normal((model.settings.genes, cells), np.float32)
    if len(model.loadings):
        phase = rng.uniform(0, 2 * np.pi, cells)
        others = rng.standard_normal((len(model.loadings) - 2, cells))
        scores = np.concatenate([np.cos(phase)[None], np.sin(phase)[None], others]).astype(np.float32)
        drive += model.loadings.T @ scores
    return drive


def _draw_jitter(cells: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the strength of each cell's knockdown, relative to its mean for the gene."""
    return rng.normal(1.0, KNOCKDOWN_SPREAD, cells).clip(0.2)


def _steady_state(
    model: CausalModel, drive: Floats, targets: NDArray[np.int64], drops: Floats, start: Floats | None = None
) -> Floats:
    """Solve z = drive + Wᵀ·saturated(z), genes × cells; z is the deviation from the log means.

    A knocked-down gene is held at its drive minus the drop, whatever regulates it. Where the drop is 0 (no target, or
    the knockdown failed), nothing is held.
    """
    from scipy import sparse

    regulation = sparse.csr_array(model.weights.T)
    held = np.flatnonzero(drops > 0)
    held_genes = targets[held]
    held_values = drive[held_genes, held] - drops[held]
    state = drive if start is None else start
    while True:
        settled = drive + np.float32(SATURATION) * (regulation @ np.tanh(state / np.float32(SATURATION)))
        settled[held_genes, held] = held_values
        moved = np.abs(settled - state).max()
        state = settled
        if moved < TOLERANCE:
            return state


def _expected_expression(model: CausalModel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a grid of log means and the mean log-normalised expression there, over library sizes and counts."""
    from scipy import stats

    nodes, weights = np.polynomial.hermite_e.hermegauss(7)
    grid = np.linspace(-6.0, 7.0, 105)
    curve = np.zeros(len(grid))
    dispersion = model.settings.dispersion
    shape = 1 / dispersion
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        library = np.exp(LIBRARY_SPREAD * node)
        for index, mean in enumerate(library * np.exp(grid)):
            counts = np.arange(int(mean + 10 * np.sqrt(mean + dispersion * mean**2)) + 20)
            probabilities = stats.nbinom.pmf(counts, shape, shape / (shape + mean))
            curve[index] += weight * (probabilities @ np.log1p(counts / library))
    return grid, curve
