"""The true network of a simulated Perturb-seq experiment, and the mechanism by which it acts."""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.errors import InputError
from catran_causalbench.simulation.graph import RegulatoryGraph

Floats: TypeAlias = NDArray[np.float32]

# Regulation saturates here: a regulator two natural-log units off its level pushes hardly more than one unit off.
SATURATION = 1.5
# Upper bound of the spectral radius of |W|. As tanh has slope 1 at most, any value below 1 makes the regulation a
# contraction: the steady state exists, is unique and is reached geometrically, whatever the signs and the cycles.
MAX_SPECTRAL_RADIUS = 0.8
# Tail exponent of the out-degrees' law: about 2, as counted for transcription factors.
HUB_EXPONENT = 1.5
# Spread of the log weights: some edges are several times as strong as others, many too weak to be seen.
WEIGHT_SPREAD = 0.8
# Every purpose draws from a stream of its own, so that more cells do not change the network, nor the reverse.
STREAMS = ("network", "mechanism", "cells", "effects", "databases")

_LIMITS: dict[str, tuple[float, float]] = {
    "genes": (10, 5_000),
    "cells": (50, 2_000_000),
    "unperturbed": (0, 4_999),
    "control_share": (0.01, 0.9),
    "excluded_share": (0.0, 0.9),
    "min_cells": (5, 100_000),
    "mean_in_degree": (0.5, 20.0),
    "repressor_share": (0.0, 1.0),
    "effect_strength": (0.01, 1.0),
    "programs": (0, 20),
    "knockdown": (0.1, 0.99),
    "escape_share": (0.0, 0.9),
    "transcriptome_umis": (1_000.0, 1_000_000.0),
    "dispersion": (0.01, 5.0),
}


@dataclass(frozen=True)
class SimulationConfig:
    """Size and nature of a simulated experiment; the seed is given apart.

    Parameters
    ----------
    genes, cells
        Columns and rows of the expression matrix.
    unperturbed
        Genes of the matrix that nobody perturbs. CausalBench's own columns are perturbed genes only.
    control_share, excluded_share
        Share of the cells that are controls, and in which a gene outside the matrix is perturbed.
    min_cells
        Fewest cells of a perturbation; CausalBench keeps genes with more than 100.
    mean_in_degree
        Mean number of direct regulators of a gene.
    repressor_share
        Share of the edges that repress.
    effect_strength
        Median weight of an edge: shift of the target for a unit shift of the regulator, both in natural logs.
    programs
        Latent programs shared by genes; the first is the cell cycle.
    knockdown
        Mean share of its transcripts that a targeted gene loses.
    escape_share
        Share of perturbed cells in which the knock-down does nothing.
    transcriptome_umis
        UMIs of the median cell that come from genes outside the matrix.
    dispersion
        Gamma-Poisson dispersion of the counts: variance = mean + dispersion · mean².

    Raises
    ------
    InputError
        A value is of the wrong kind or out of its range, or the cells do not suffice for the perturbations.
    """

    genes: int = 60
    cells: int = 10_800
    unperturbed: int = 0
    control_share: float = 0.1
    excluded_share: float = 0.05
    min_cells: int = 101
    mean_in_degree: float = 3.0
    repressor_share: float = 0.3
    effect_strength: float = 0.15
    programs: int = 3
    knockdown: float = 0.8
    escape_share: float = 0.1
    transcriptome_umis: float = 12_000.0
    dispersion: float = 0.2

    def __post_init__(self) -> None:
        for field in fields(self):
            value, builtin = getattr(self, field.name), int if isinstance(field.default, int) else float
            kind, kind_name = (Integral, "a whole number") if builtin is int else (Real, "a number")
            low, high = _LIMITS[field.name]
            if not isinstance(value, kind) or isinstance(value, bool) or not low <= float(value) <= high:
                raise InputError.of(field.name, f"{value!r}", f"{kind_name} from {low:g} to {high:g}")
            # NumPy's numbers become Python's, which JSON can hold.
            object.__setattr__(self, field.name, builtin(float(value)))
        if self.unperturbed >= self.genes:
            raise InputError.of("unperturbed", f"{self.unperturbed}", f"fewer than the {self.genes} genes")
        needed = (self.genes - self.unperturbed) * self.min_cells
        if self.perturbed_cells < needed:
            raise InputError.of(
                "cells",
                f"{self.cells}, which leave {self.perturbed_cells} for the perturbations",
                f"at least {needed} there: {self.min_cells} (min_cells) for each perturbed gene",
            )

    @property
    def control_cells(self) -> int:
        """Number of control cells."""
        return round(self.cells * self.control_share)

    @property
    def excluded_cells(self) -> int:
        """Number of cells in which a gene outside the matrix is perturbed."""
        return round(self.cells * self.excluded_share)

    @property
    def perturbed_cells(self) -> int:
        """Number of cells in which a gene of the matrix is perturbed."""
        return self.cells - self.control_cells - self.excluded_cells


@dataclass(frozen=True)
class CausalModel:
    """A network and its mechanism; G genes, natural logs throughout.

    Parameters
    ----------
    settings, seed
        What the world was made from.
    gene_ids, gene_names
        Length G. They look like Ensembl ids and symbols, but no real gene has them; both are the topology's names
        where one was given.
    weights
        Shape (G, G), source × target: the signed direct regulation, 0 where there is no edge.
    levels
        Length G: log of the mean UMIs in an average cell.
    noise
        Length G: standard deviation of the cell's own noise.
    loadings
        Shape (R, G): what each program's score adds to each gene. The first two rows are the cosine and the sine of
        the cell cycle.
    knockdowns
        Length G: by how much a knock-down lowers the gene.
    perturbed
        Length G: whether the gene is among the perturbed ones.
    outside
        Shape (O, G): shift of the genes' drive when one of O genes outside the matrix is perturbed.
    """

    settings: SimulationConfig
    seed: int
    gene_ids: tuple[str, ...]
    gene_names: tuple[str, ...]
    weights: Floats
    levels: Floats
    noise: Floats
    loadings: Floats
    knockdowns: Floats
    perturbed: NDArray[np.bool_]
    outside: Floats

    def stream(self, purpose: str) -> np.random.Generator:
        """Give the random numbers of one purpose, one of `STREAMS`, from their beginning."""
        return _stream(self.seed, purpose)

    def edges(self) -> list[tuple[int, int]]:
        """List the direct edges as (source, target) columns, the strongest first."""
        sources, targets = np.nonzero(self.weights)
        order = np.argsort(-np.abs(self.weights[sources, targets]), kind="stable")
        return list(zip(sources[order].tolist(), targets[order].tolist(), strict=True))


def sample_causal_model(settings: SimulationConfig, seed: int, topology: RegulatoryGraph | None = None) -> CausalModel:
    """Draw a network and its mechanism.

    Parameters
    ----------
    settings
        Size and nature of the world.
    seed
        Non-negative; the same settings and seed always give the same world.
    topology
        The direct edges, and their signs where it knows them; drawn without it.

    Raises
    ------
    InputError
        The seed is not a non-negative whole number, or the topology is about more or fewer genes than the settings.
    """
    if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
        raise InputError.of("seed", f"{seed!r}", "a whole number of at least 0")
    if topology and len(topology.gene_names) != settings.genes:
        raise InputError.of("topology", f"{len(topology.gene_names)} genes", f"{settings.genes}, as in the settings")
    seed = int(seed)
    weights = _draw_weights(settings, topology, _stream(seed, "network"))
    rng = _stream(seed, "mechanism")
    genes = settings.genes
    # Most genes of a panel give a few UMIs per cell; Replogle et al. 2022 keep those above 0.25.
    levels = np.log(np.clip(rng.lognormal(np.log(2.0), 1.2, genes), 0.25, 50.0))
    return CausalModel(
        settings=settings,
        seed=seed,
        gene_ids=topology.gene_names if topology else tuple(f"ENSGSIM{index:08d}" for index in range(genes)),
        gene_names=topology.gene_names if topology else tuple(f"SIM{index}" for index in range(genes)),
        weights=weights,
        levels=levels.astype(np.float32),
        noise=rng.uniform(0.15, 0.35, genes).astype(np.float32),
        loadings=_draw_loadings(settings, rng),
        # A beta law of mean `knockdown`; the bound keeps the logarithm finite.
        knockdowns=-np.log1p(
            -np.minimum(rng.beta(15 * settings.knockdown, 15 * (1 - settings.knockdown), genes), 0.99)
        ).astype(np.float32),
        perturbed=np.isin(np.arange(genes), rng.choice(genes, genes - settings.unperturbed, replace=False)),
        outside=_draw_outside(settings, rng),
    )


def _stream(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STREAMS.index(purpose),)))


def _draw_weights(settings: SimulationConfig, topology: RegulatoryGraph | None, rng: np.random.Generator) -> Floats:
    """Draw signed weights, source × target, strong enough to matter and weak enough to settle."""
    genes = settings.genes
    edges = topology.edges if topology else _draw_edges(settings, rng)
    sizes = settings.effect_strength * rng.lognormal(0.0, WEIGHT_SPREAD, (genes, genes))
    signs = np.where(rng.random((genes, genes)) < settings.repressor_share, -1.0, 1.0)
    if topology:
        signs = np.where(topology.signs != 0, topology.signs, signs)
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
    """Draw what the programs add to the genes; each touches about a third of them."""
    genes = settings.genes
    if settings.programs == 0:
        return np.zeros((0, genes), np.float32)
    sizes = rng.gamma(4.0, 0.075, (settings.programs, genes)) * (rng.random((settings.programs, genes)) < 1 / 3)
    # Every gene of the cell cycle has its own peak phase.
    phases = rng.uniform(0, 2 * np.pi, genes)
    cycle = np.sqrt(2) * sizes[0] * np.stack([np.cos(phases), np.sin(phases)])
    others = sizes[1:] * rng.choice([-1.0, 1.0], (settings.programs - 1, genes))
    return np.concatenate([cycle, others]).astype(np.float32)


def _draw_outside(settings: SimulationConfig, rng: np.random.Generator) -> Floats:
    """Draw how each gene outside the matrix, when perturbed, shifts about a tenth of the matrix, at least 3 genes."""
    count, genes = max(3, settings.genes // 10), settings.genes
    shifts = rng.normal(0.0, 1.0, (count, genes))
    touched = np.argsort(rng.random((count, genes)), axis=1) < max(3, genes // 10)
    return (shifts * touched).astype(np.float32)
