"""The causal model behind a simulated Perturb-seq experiment: a signed gene network and the way it acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.errors import InputError
from catran_causalbench.simulation.graph import RegulatoryGraph
from catran_causalbench.utils.validation import Validated, checked, number

Floats: TypeAlias = NDArray[np.float32]

# Regulation saturates here: a regulator two natural-log units off its level pushes hardly more than one unit off.
SATURATION = 1.5
# Upper bound of the spectral radius of |W|. As tanh has slope 1 at most, any value below 1 makes the regulation a
# contraction: the steady state exists, is unique and is reached geometrically, whatever the signs and the cycles.
MAX_SPECTRAL_RADIUS = 0.8
# Tail exponent of the out-degree distribution: about 2, as counted for transcription factors.
HUB_EXPONENT = 1.5
# Spread of the log weights: some edges are several times as strong as others, many too weak to be detected.
WEIGHT_SPREAD = 0.8
# Each purpose has its own random stream, keyed by its position here: more cells do not change the network.
STREAMS = ("network", "mechanism", "cells", "effects", "databases")


@dataclass(frozen=True)
class SimulationConfig(Validated):
    """Size and nature of a simulated experiment; the seed is given apart.

    Parameters
    ----------
    genes, cells
        Columns and rows of the expression matrix.
    unperturbed
        Genes of the matrix that are never perturbed. In CausalBench's data every column is a perturbed gene.
    control_share, excluded_share
        Share of the cells that are controls, and share in which a gene outside the matrix is perturbed.
    min_cells
        Fewest cells of a perturbation; CausalBench keeps genes with more than 100.
    mean_in_degree
        Mean number of direct regulators of a gene.
    repressor_share
        Share of the edges that repress.
    effect_strength
        Median weight of an edge: change of the target per unit change of the regulator, both in natural logs.
    latent_factors
        Latent factors shared by genes; the first is the cell cycle.
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
        """Numbers of perturbed, excluded and control cells."""
        controls, excluded = round(self.cells * self.control_share), round(self.cells * self.excluded_share)
        return self.cells - controls - excluded, excluded, controls


@dataclass(frozen=True)
class CausalModel:
    """A gene network and its mechanism; G genes, natural logs throughout.

    Parameters
    ----------
    settings, seed
        What the model was drawn from.
    gene_ids, gene_names
        Length G. They look like Ensembl ids and symbols but belong to no real gene; both are the names of the
        regulatory graph if one was given.
    weights
        Shape (G, G), source × target: the signed direct regulation, 0 where there is no edge.
    log_means
        Length G: log of the mean UMIs in an average cell.
    noise_scales
        Length G: standard deviation of a cell's own noise.
    loadings
        Shape (R, G): what each latent factor's score adds to each gene. The first two rows are the cosine and the
        sine of the cell cycle.
    knockdowns
        Length G: by how much a knockdown lowers the gene.
    is_perturbed
        Length G: whether the experiment perturbs the gene.
    outside_effects
        Shape (O, G): change of the genes' drive when one of O genes outside the matrix is perturbed.
    """

    settings: SimulationConfig
    seed: int
    gene_ids: tuple[str, ...]
    gene_names: tuple[str, ...]
    weights: Floats
    log_means: Floats
    noise_scales: Floats
    loadings: Floats
    knockdowns: Floats
    is_perturbed: NDArray[np.bool_]
    outside_effects: Floats

    def stream(self, purpose: str) -> np.random.Generator:
        """Return the random numbers of one purpose, one of `STREAMS`, from their beginning."""
        return _stream(self.seed, purpose)

    def edges(self) -> list[tuple[int, int]]:
        """List the direct edges as (source, target) columns, the strongest first."""
        sources, targets = np.nonzero(self.weights)
        order = np.argsort(-np.abs(self.weights[sources, targets]), kind="stable")
        return list(zip(sources[order].tolist(), targets[order].tolist(), strict=True))


def sample_causal_model(settings: SimulationConfig, seed: int, graph: RegulatoryGraph | None = None) -> CausalModel:
    """Draw a gene network and its mechanism; the same arguments always give the same model.

    A graph decides the direct edges, and their signs where it knows them; without one they are drawn.

    Raises
    ------
    InputError
        The seed is not a non-negative whole number, or the graph has more or fewer genes than the settings say.
    """
    seed = checked("seed", seed, int, number(low=0).metadata)
    if graph and len(graph.gene_names) != settings.genes:
        raise InputError.of("graph", f"{len(graph.gene_names)} genes", f"{settings.genes}, as in the settings")
    weights = _draw_weights(settings, graph, _stream(seed, "network"))
    rng = _stream(seed, "mechanism")
    genes = settings.genes
    # Most genes of a panel give a few UMIs per cell; Replogle et al. 2022 keep those above 0.25.
    log_means = np.log(np.clip(rng.lognormal(np.log(2.0), 1.2, genes), 0.25, 50.0))
    return CausalModel(
        settings=settings,
        seed=seed,
        gene_ids=graph.gene_names if graph else tuple(f"ENSGSIM{index:08d}" for index in range(genes)),
        gene_names=graph.gene_names if graph else tuple(f"SIM{index}" for index in range(genes)),
        weights=weights,
        log_means=log_means.astype(np.float32),
        noise_scales=rng.uniform(0.15, 0.35, genes).astype(np.float32),
        loadings=_draw_loadings(settings, rng),
        # A beta distribution of mean `knockdown`; the bound keeps the logarithm finite.
        knockdowns=-np.log1p(
            -np.minimum(rng.beta(15 * settings.knockdown, 15 * (1 - settings.knockdown), genes), 0.99)
        ).astype(np.float32),
        is_perturbed=np.isin(np.arange(genes), rng.choice(genes, genes - settings.unperturbed, replace=False)),
        outside_effects=_draw_outside_effects(genes, rng),
    )


def _stream(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STREAMS.index(purpose),)))


def _draw_weights(settings: SimulationConfig, graph: RegulatoryGraph | None, rng: np.random.Generator) -> Floats:
    """Draw signed weights, source × target, strong enough to matter and weak enough to settle."""
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
    # Adding Gumbel noise to log weights and taking the top k draws k sources without replacement, by their weights.
    keys = np.log(attraction)[:, None] + rng.gumbel(size=(genes, genes))
    np.fill_diagonal(keys, -np.inf)
    ranks = np.argsort(np.argsort(-keys, axis=0), axis=0)
    edges = ranks < np.minimum(rng.poisson(settings.mean_in_degree, genes), genes - 1)
    hubs = np.argsort(-attraction)[:3]
    edges[hubs, np.roll(hubs, -1)] = True
    return edges


def _draw_loadings(settings: SimulationConfig, rng: np.random.Generator) -> Floats:
    """Draw what the latent factors add to the genes; each affects about a third of them."""
    genes, factors = settings.genes, settings.latent_factors
    if factors == 0:
        return np.zeros((0, genes), np.float32)
    sizes = rng.gamma(4.0, 0.075, (factors, genes)) * (rng.random((factors, genes)) < 1 / 3)
    # Every gene of the cell cycle has its own peak phase.
    phases = rng.uniform(0, 2 * np.pi, genes)
    cycle = np.sqrt(2) * sizes[0] * np.stack([np.cos(phases), np.sin(phases)])
    others = sizes[1:] * rng.choice([-1.0, 1.0], (factors - 1, genes))
    return np.concatenate([cycle, others]).astype(np.float32)


def _draw_outside_effects(genes: int, rng: np.random.Generator) -> Floats:
    """Draw how each gene outside the matrix changes about a tenth of the matrix, at least 3 genes, when perturbed."""
    count = max(3, genes // 10)
    effects = rng.normal(0.0, 1.0, (count, genes))
    affected = np.argsort(rng.random((count, genes)), axis=1) < count
    return (effects * affected).astype(np.float32)
