"""The causal model of a simulated Perturb-seq experiment: a signed gene network and its mechanism."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.errors import InputError
from catran_causalbench.simulation.graph import RegulatoryGraph
from catran_causalbench.utils.validation import Validated, checked, number

Floats: TypeAlias = NDArray[np.float32]

# Regulation saturates: a regulator two natural-log units off its level has hardly more effect than one a unit off.
SATURATION = 1.5
# Upper bound of the spectral radius of |W|. The slope of tanh is at most 1, so any value below 1 makes regulation a
# contraction: whatever the signs and cycles, there is one steady state, and the iteration converges geometrically.
MAX_SPECTRAL_RADIUS = 0.8
# Tail exponent of the out-degree distribution: about 2, as counted for transcription factors.
HUB_EXPONENT = 1.5
# Standard deviation of the log weights: some edges are several times as strong as others, many too weak to detect.
WEIGHT_SPREAD = 0.8
# Each purpose has its own random stream, keyed by its position here, so that more cells do not change the network.
STREAMS = ("network", "mechanism", "cells", "effects", "databases", "batches")


@dataclass(frozen=True)
class SimulationConfig(Validated):
    """Size and nature of a simulated experiment, without its seed.

    Parameters
    ----------
    genes, cells
        Columns and rows of the expression matrix.
    unperturbed
        Genes of the matrix that are never perturbed; CausalBench's data have none.
    control_share, excluded_share
        Share of the cells that are controls, and of those in which a gene outside the matrix is perturbed.
    min_cells
        Fewest cells of a perturbation; CausalBench keeps genes with more than 100.
    mean_in_degree
        Mean number of direct regulators of a gene.
    repressor_share
        Share of the edges that repress.
    effect_strength
        Median weight of an edge: change of the target per unit change of the regulator, both in natural logs.
    latent_factors
        Number of latent factors that act on many genes; the first is the cell cycle.
    knockdown
        Mean share of its transcripts that a targeted gene loses.
    escape_share
        Share of perturbed cells in which the knockdown has no effect.
    transcriptome_umis
        UMIs of the median cell that come from genes outside the matrix.
    dispersion
        Gamma-Poisson dispersion of the counts: variance = mean + dispersion · mean².

    Raises
    ------
    InputError
        A value has the wrong type or is out of range, or there are too few cells for the perturbations.
    """

    genes: int = number(60, 10, 5_000)
    cells: int = number(10_800, 50, 2_000_000)
    unperturbed: int = number(0, 0, 4_999)
    control_share: float = number(0.1, 0.01, 0.9)
    excluded_share: float = number(0.05, 0.0, 0.9)
    min_cells: int = number(101, 5, 100_000)
    mean_in_degree: float = number(3.0, 0.5, 20.0)
    repressor_share: float = number(0.3, 0.0, 1.0)
    effect_strength: float = number(0.15, 0.01, 1.0)
    latent_factors: int = number(3, 0, 20)
    knockdown: float = number(0.8, 0.1, 0.99)
    escape_share: float = number(0.1, 0.0, 0.9)
    transcriptome_umis: float = number(12_000.0, 1_000.0, 1_000_000.0)
    dispersion: float = number(0.2, 0.01, 5.0)

    def __post_init__(self) -> None:
        """Check every field, and that the cells suffice for the perturbations."""
        super().__post_init__()
        if self.unperturbed >= self.genes:
            raise InputError.of("unperturbed", f"{self.unperturbed}", f"fewer than the {self.genes} genes")
        needed, left = (self.genes - self.unperturbed) * self.min_cells, self.group_sizes[0]
        if left < needed:
            found = f"{self.cells}, which leave {left} for the perturbations"
            expected = f"at least {needed} of these: {self.min_cells} (min_cells) for each perturbed gene"
            raise InputError.of("cells", found, expected)

    @property
    def group_sizes(self) -> tuple[int, int, int]:
        """The numbers of perturbed, excluded and control cells."""
        controls, excluded = round(self.cells * self.control_share), round(self.cells * self.excluded_share)
        return self.cells - controls - excluded, excluded, controls


@dataclass(frozen=True)
class CausalModel:
    """A network of G genes and its mechanism; all logarithms are natural.

    Ids and names look like Ensembl ids and symbols but belong to no real gene, or are those of the regulatory graph.
    """

    settings: SimulationConfig
    seed: int
    gene_ids: tuple[str, ...]
    gene_names: tuple[str, ...]
    weights: Floats  # (G, G), source × target: signed direct regulation, 0 where there is no edge
    log_means: Floats  # (G,): log of the mean UMIs in an average cell
    noise_scales: Floats  # (G,): standard deviation of the noise between cells
    loadings: Floats  # (R, G): effects of the latent factors; the first two rows are the cell cycle's
    knockdowns: Floats  # (G,): by how much a knockdown lowers the gene's log mean
    is_perturbed: NDArray[np.bool_]  # (G,): whether the experiment perturbs the gene
    outside_effects: Floats  # (O, G): effects, before regulation, of perturbing O genes outside the matrix

    def edges(self) -> list[tuple[int, int]]:
        """Return the direct edges as columns (source, target), the strongest first."""
        sources, targets = np.nonzero(self.weights)
        order = np.argsort(-np.abs(self.weights[sources, targets]), kind="stable")
        return list(zip(sources[order].tolist(), targets[order].tolist(), strict=True))


def sample_causal_model(settings: SimulationConfig, seed: int, graph: RegulatoryGraph | None = None) -> CausalModel:
    """Draw a causal model; the same arguments always give the same model.

    A graph fixes the direct edges, and their signs where it knows them; all else is drawn.

    Raises
    ------
    InputError
        The seed is not a non-negative whole number, or the graph's number of genes is not that of the settings.
    """
    seed = checked("seed", seed, int, number(low=0).metadata)
    genes = settings.genes
    if graph and len(graph.gene_names) != genes:
        raise InputError.of("graph", f"{len(graph.gene_names)} genes", f"{genes}, as in the settings")
    rng = random_stream(seed, "mechanism")
    # Most genes of a panel have a few UMIs per cell; Replogle et al. 2022 keep those above 0.25.
    log_means = np.log(np.clip(rng.lognormal(np.log(2.0), 1.2, genes), 0.25, 50.0))
    return CausalModel(
        settings=settings,
        seed=seed,
        gene_ids=graph.gene_names if graph else tuple(f"ENSGSIM{index:08d}" for index in range(genes)),
        gene_names=graph.gene_names if graph else tuple(f"SIM{index}" for index in range(genes)),
        weights=_draw_weights(settings, graph, random_stream(seed, "network")),
        log_means=log_means.astype(np.float32),
        noise_scales=rng.uniform(0.15, 0.35, genes).astype(np.float32),
        loadings=_draw_loadings(settings, rng),
        # The lost share has a beta distribution with mean `knockdown`; the bound keeps the logarithm finite.
        knockdowns=-np.log1p(
            -np.minimum(rng.beta(15 * settings.knockdown, 15 * (1 - settings.knockdown), genes), 0.99)
        ).astype(np.float32),
        is_perturbed=np.isin(np.arange(genes), rng.choice(genes, genes - settings.unperturbed, replace=False)),
        outside_effects=_draw_outside_effects(genes, rng),
    )


def random_stream(seed: int, purpose: str) -> np.random.Generator:
    """Return the random numbers for one purpose, one of `STREAMS`, from their beginning."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STREAMS.index(purpose),)))


def _draw_weights(settings: SimulationConfig, graph: RegulatoryGraph | None, rng: np.random.Generator) -> Floats:
    """Draw signed weights, source × target, weak enough that a steady state exists."""
    genes = settings.genes
    edges = graph.edges if graph else _draw_edges(settings, rng)
    sizes = settings.effect_strength * rng.lognormal(0.0, WEIGHT_SPREAD, (genes, genes))
    signs = np.where(rng.random((genes, genes)) < settings.repressor_share, -1.0, 1.0)
    if graph:
        signs = np.where(graph.signs != 0, graph.signs, signs)
    weights = np.where(edges, sizes * signs, 0.0)
    radius = np.abs(np.linalg.eigvals(np.abs(weights))).max()
    return (weights * (MAX_SPECTRAL_RADIUS / max(radius, MAX_SPECTRAL_RADIUS))).astype(np.float32)


def _draw_edges(settings: SimulationConfig, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw edges, source × target: Poisson in-degrees, power-law out-degrees, at least one feedback loop."""
    genes = settings.genes
    attraction = rng.pareto(HUB_EXPONENT, genes) + 0.1
    # Gumbel noise plus log attraction: the k largest are k sources drawn without replacement, by their attraction.
    keys = np.log(attraction)[:, None] + rng.gumbel(size=(genes, genes))
    np.fill_diagonal(keys, -np.inf)
    ranks = np.argsort(np.argsort(-keys, axis=0), axis=0)
    edges = ranks < np.minimum(rng.poisson(settings.mean_in_degree, genes), genes - 1)
    hubs = np.argsort(-attraction)[:3]
    edges[hubs, np.roll(hubs, -1)] = True
    return edges


def _draw_loadings(settings: SimulationConfig, rng: np.random.Generator) -> Floats:
    """Draw what the latent factors add to the genes; each acts on about a third of them."""
    genes, factors = settings.genes, settings.latent_factors
    if factors == 0:
        return np.zeros((0, genes), np.float32)
    sizes = rng.gamma(4.0, 0.075, (factors, genes)) * (rng.random((factors, genes)) < 1 / 3)
    phases = rng.uniform(0, 2 * np.pi, genes)  # of the cell cycle, where the gene peaks
    cycle = np.sqrt(2) * sizes[0] * np.stack([np.cos(phases), np.sin(phases)])
    others = sizes[1:] * rng.choice([-1.0, 1.0], (factors - 1, genes))
    return np.concatenate([cycle, others]).astype(np.float32)


def _draw_outside_effects(genes: int, rng: np.random.Generator) -> Floats:
    """Draw the effects of genes outside the matrix; each acts on a tenth of its genes, at least 3."""
    count = max(3, genes // 10)
    effects = rng.normal(0.0, 1.0, (count, genes))
    affected = np.argsort(rng.random((count, genes)), axis=1) < count
    return (effects * affected).astype(np.float32)
