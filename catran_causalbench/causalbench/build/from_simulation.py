"""A simulated experiment as a benchmark directory, with the truth beside it."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import numpy as np

from catran_causalbench.causalbench.build.directory import (
    Dataset,
    Origin,
    References,
    check_folder,
    write_benchmark_directory,
)
from catran_causalbench.causalbench.build.file_formats import npz_bytes, table_bytes
from catran_causalbench.errors import InputError
from catran_causalbench.simulation import (
    CausalModel,
    RegulatoryGraph,
    SimulationConfig,
    difficulty_of,
    sample_causal_model,
    simulate_cells,
    true_effects,
)

# Databases miss true interactions and hold others that do not act in the cells at hand.
KNOWN_SHARE = 0.7
FALSE_SHARE = 0.25
PHYSICAL_SHARE = 0.4
LIGAND_RECEPTOR_SHARE = 0.1
# Genes that share strong edges count as a complex: a source and at most so many of its targets.
COMPLEX_PARTNERS = 3


def write_simulated_directory(
    folder: str | os.PathLike[str],
    settings: SimulationConfig,
    seed: int,
    overwrite: bool = False,
    topology: RegulatoryGraph | None = None,
) -> Path:
    """Simulate an experiment and write it as a benchmark directory, the truth beside it.

    Beside the harness's files lie `true_network.csv` (the direct edges, the strongest first: source, target,
    source_name, target_name, weight, true_effect) and `true_effects.npz` (`effects`, G × G, source × target;
    `gene_ids`).

    Parameters
    ----------
    folder
        The directory to make.
    settings, seed
        The world; the same ones give the same bytes.
    overwrite
        Replace a directory that this package made before.
    topology
        The direct edges, of as many genes as the settings say; drawn without it.

    Returns
    -------
    Path
        The directory.

    Raises
    ------
    InputError
        The folder is taken, the seed or the topology is invalid, or the settings leave genes unperturbed (the harness
        looks up the perturbed cells of every column).
    """
    folder = check_folder(folder, overwrite)
    if settings.unperturbed:
        raise InputError.of("unperturbed", f"{settings.unperturbed}", "0, as the harness needs cells of each gene")
    world = sample_causal_model(settings, seed, topology)
    cells = simulate_cells(world)
    effects = true_effects(world)
    # Worlds whose headlines differ in the seed alone are pooled in reports.
    size = f"{settings.genes} genes, {settings.cells:,} cells"
    world_kind = ", ".join(
        filter(None, [size, difficulty_of(settings), f"edges from {topology.origin}" if topology else ""])
    )
    origin = Origin(
        headline=f"SIMULATED DATA – no cell here was measured; {world_kind}, seed {world.seed}",
        simulated=True,
        details={
            "seed": world.seed,
            "settings": asdict(settings),
            "topology": topology
            and {"origin": topology.origin, "self_loops": topology.self_loops, "repeats": topology.repeats},
        },
    )
    truth = {
        "true_network.csv": _true_network(world, effects),
        "true_effects.npz": npz_bytes(effects=effects, gene_ids=np.array(world.gene_ids)),
    }
    dataset = Dataset(cells.expression, world.gene_ids, world.gene_names, cells.labels)
    return write_benchmark_directory(folder, dataset, reference_networks(world), origin, truth, overwrite)


def reference_networks(world: CausalModel) -> References:
    """Derive from the true network what databases would know of it: a part, and some pairs that are not true.

    Parameters
    ----------
    world
        From `sample_causal_model`. The networks depend on nothing else.
    """
    rng = world.stream("databases")
    true_pairs = sorted({(min(edge), max(edge)) for edge in world.edges()})
    known = [pair for pair in true_pairs if rng.random() < KNOWN_SHARE]
    candidates = rng.integers(len(world.gene_ids), size=(round(FALSE_SHARE * len(known)), 2))
    false = {(min(pair), max(pair)) for pair in candidates.tolist() if pair[0] != pair[1]}
    network = sorted({*known, *false})
    return References(
        complexes=_complexes(world),
        ligand_receptor=[pair for pair in known if rng.random() < LIGAND_RECEPTOR_SHARE],
        string_network=network,
        string_physical=[pair for pair in network if rng.random() < PHYSICAL_SHARE],
    )


def _complexes(world: CausalModel) -> list[list[int]]:
    """Join the sources of the strongest edges, a sixth of the genes at most, with their strongest targets."""
    partners: dict[int, list[int]] = {}
    for source, target in world.edges():
        partners.setdefault(source, []).append(target)
    strongest = list(partners.items())[: len(world.gene_ids) // 6]
    return [[source, *targets[:COMPLEX_PARTNERS]] for source, targets in strongest]


def _true_network(world: CausalModel, effects: np.ndarray) -> bytes:
    ids, names = world.gene_ids, world.gene_names
    return table_bytes(
        ",",
        ["source", "target", "source_name", "target_name", "weight", "true_effect"],
        (
            [ids[i], ids[j], names[i], names[j], f"{world.weights[i, j]:.6g}", f"{effects[i, j]:.6g}"]
            for i, j in world.edges()
        ),
    )
