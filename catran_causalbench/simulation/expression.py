"""Cells drawn from a causal model: steady states, counts, log-normalised expression, and the true effects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.data.dataset import CONTROL_LABEL, EXCLUDED_LABEL
from catran_causalbench.data.preprocessing import log_normalise
from catran_causalbench.simulation.causal_model import SATURATION, CausalModel, Floats

# Cells settled at once, few enough for the caches and for memory. The draws of a seed depend on it.
BLOCK = 4_096
# Steady states are iterated until no gene of the block moves by more than this (natural log).
TOLERANCE = 1e-3
# Spread of the log library size, as in droplet data of one batch.
LIBRARY_SPREAD = 0.35
# Spread of the knockdown from cell to cell, relative to its mean for the gene.
KNOCKDOWN_SPREAD = 0.25


@dataclass(frozen=True)
class Cells:
    """Simulated cells; C cells, G genes.

    Parameters
    ----------
    counts
        Shape (C, G), uint16: UMIs.
    totals
        Length C, int64: all UMIs of the cell, those outside the matrix included.
    expression
        Shape (C, G), float32: counts scaled to the median total, then log1p.
    labels
        Length C: the perturbed gene's id, ``non-targeting`` or ``excluded``.
    """

    counts: NDArray[np.uint16]
    totals: NDArray[np.int64]
    expression: Floats
    labels: NDArray[np.str_]


def simulate_cells(model: CausalModel) -> Cells:
    """Simulate as many cells as the model's settings say, in random order; they depend on the model only."""
    settings = model.settings
    rng = model.stream("cells")
    targets, outside = _assign(model, rng)
    counts = np.empty((settings.cells, settings.genes), np.uint16)
    totals = np.empty(settings.cells, np.int64)
    for start in range(0, settings.cells, BLOCK):
        block = slice(start, start + BLOCK)
        drive = _draw_drive(model, len(targets[block]), rng)
        excluded = outside[block] >= 0
        drive[:, excluded] += model.outside_effects[outside[block][excluded]].T
        drops = _draw_drops(model, targets[block], rng)
        drops *= rng.random(len(drops)) >= settings.escape_share
        means = np.exp(_settle(model, drive, targets[block], drops) + model.log_means[:, None]).T
        library = rng.lognormal(0.0, LIBRARY_SPREAD, len(means))
        shape = 1 / settings.dispersion
        rates = means * (library / shape)[:, None] * rng.standard_gamma(shape, means.shape, dtype=np.float32)
        counts[block] = np.minimum(rng.poisson(rates), np.iinfo(np.uint16).max)
        totals[block] = rng.poisson(library * settings.transcriptome_umis) + counts[block].sum(axis=1, dtype=np.int64)
    names = np.array([*model.gene_ids, EXCLUDED_LABEL, CONTROL_LABEL])
    labels = names[np.where(outside >= 0, settings.genes, targets)]
    return Cells(counts, totals, log_normalise(counts, totals), labels)


def true_effects(model: CausalModel, cells_per_gene: int = 256) -> Floats:
    """Compute what knocking down each gene does to every other, free of sampling noise.

    The same `cells_per_gene` cells are settled with and without each knockdown, and the mean over library sizes and
    counts is taken from their distributions instead of being drawn.

    Returns
    -------
    Floats
        Shape (G, G), source × target: mean log-normalised expression of the target when the source is perturbed minus
        that in controls; the diagonal is the effect of a knockdown on its own gene. Genes that the experiment does not
        perturb have a row too: the effect that their knockdown would have.
    """
    settings = model.settings
    rng = model.stream("effects")
    drive = _draw_drive(model, cells_per_gene, rng)
    no_target = np.full(cells_per_gene, -1)
    control = _settle(model, drive, no_target, np.zeros(cells_per_gene, np.float32))
    jitter = rng.normal(1.0, KNOCKDOWN_SPREAD, cells_per_gene).clip(0.2).astype(np.float32)
    grid, curve = _expected_expression(model)
    log_means = model.log_means[:, None]
    baseline = np.interp(control + log_means, grid, curve).mean(axis=1)
    effects = np.empty((settings.genes, settings.genes), np.float32)
    for gene in range(settings.genes):
        targets = np.full(cells_per_gene, gene)
        settled = _settle(model, drive, targets, jitter * model.knockdowns[gene], start=control)
        effects[gene] = np.interp(settled + log_means, grid, curve).mean(axis=1) - baseline
    return effects * np.float32(1 - settings.escape_share)


def _assign(model: CausalModel, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each cell's target as a column and its outside gene as a row of the outside effects; −1 for none."""
    settings, genes = model.settings, np.flatnonzero(model.is_perturbed)
    perturbed, excluded, _ = settings.group_sizes
    # Guides differ in abundance and growth, so perturbations differ in cells.
    shares = rng.dirichlet(np.full(len(genes), 4.0))
    cells_of = settings.min_cells + rng.multinomial(perturbed - len(genes) * settings.min_cells, shares)
    targets, outside = np.full((2, settings.cells), -1)
    targets[:perturbed] = np.repeat(genes, cells_of)
    outside[perturbed : perturbed + excluded] = rng.integers(len(model.outside_effects), size=excluded)
    order = rng.permutation(settings.cells)
    return targets[order], outside[order]


def _draw_drive(model: CausalModel, cells: int, rng: np.random.Generator) -> Floats:
    """Draw what latent factors and noise add to every gene before regulation, genes × cells."""
    drive = model.noise_scales[:, None] * rng.standard_normal((model.settings.genes, cells), np.float32)
    if len(model.loadings):
        phase = rng.uniform(0, 2 * np.pi, cells)
        others = rng.standard_normal((len(model.loadings) - 2, cells))
        scores = np.concatenate([np.cos(phase)[None], np.sin(phase)[None], others]).astype(np.float32)
        drive += model.loadings.T @ scores
    return drive


def _draw_drops(model: CausalModel, targets: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Draw by how much each cell's knockdown lowers its target."""
    jitter = rng.normal(1.0, KNOCKDOWN_SPREAD, len(targets)).clip(0.2)
    return (jitter * np.where(targets >= 0, model.knockdowns[targets], 0.0)).astype(np.float32)


def _settle(
    model: CausalModel, drive: Floats, targets: NDArray[np.int64], drops: Floats, start: Floats | None = None
) -> Floats:
    """Find the steady state z = drive + Wᵀ·saturated(z), genes × cells, as deviation from the log means.

    A knocked-down gene is held at its drive minus the drop, whatever regulates it. Where the drop is 0 (no target, or
    the knockdown failed) nothing is held.
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
    """Tabulate the mean log-normalised expression, over library sizes and counts, by a gene's log mean."""
    from scipy import stats

    nodes, weights = np.polynomial.hermite_e.hermegauss(7)
    grid = np.linspace(-6.0, 7.0, 105)
    curve = np.zeros(len(grid))
    shape = 1 / model.settings.dispersion
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        library = np.exp(LIBRARY_SPREAD * node)
        for index, mean in enumerate(library * np.exp(grid)):
            spread = np.sqrt(mean + model.settings.dispersion * mean**2)
            counts = np.arange(int(mean + 10 * spread) + 20)
            probabilities = stats.nbinom.pmf(counts, shape, shape / (shape + mean))
            curve[index] += weight * (probabilities @ np.log1p(counts / library))
    return grid, curve
