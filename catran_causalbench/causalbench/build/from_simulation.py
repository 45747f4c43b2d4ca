"""A simulated experiment as a benchmark directory with its ground truth."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import numpy as np

from catran_causalbench.causalbench.build.directory import (
    Dataset,
    Origin,
    References,
    check_directory,
    write_benchmark_directory,
)
from catran_causalbench.causalbench.build.file_formats import npz_bytes, table_bytes
from catran_causalbench.causalbench.ground_truth import TRUE_EFFECTS, TRUE_NETWORK
from catran_causalbench.errors import InputError
from catran_causalbench.simulation.causal_model import CausalModel, SimulationConfig, random_stream, sample_causal_model
from catran_causalbench.simulation.expression import simulate_cells, true_effects
from catran_causalbench.simulation.graph import RegulatoryGraph
from catran_causalbench.simulation.presets import difficulty_of

# Databases lack true interactions and hold others that have no effect in the cells.
KNOWN_SHARE = 0.7
FALSE_SHARE = 0.25
PHYSICAL_SHARE = 0.4
LIGAND_RECEPTOR_SHARE = 0.1
# A source of strong edges counts as a complex with at most so many of its targets.
COMPLEX_PARTNERS = 3


def write_simulated_directory(
    directory: str | os.PathLike[str],
    settings: SimulationConfig,
    seed: int,
    overwrite: bool = False,
    graph: RegulatoryGraph | None = None,
) -> Path:
    """Simulate an experiment and write it as a benchmark directory; return the absolute path.

    The ground truth is in `true_network.csv` (the direct edges, the strongest first: source, target, source_name,
    target_name, weight, true_effect) and `true_effects.npz` (`effects`, (G, G), source × target; `gene_ids`). The same
    settings, seed and graph give the same bytes.

    Raises
    ------
    InputError
        The directory cannot be written, the seed or the graph is invalid, or the settings leave genes unperturbed.
    """
    directory = check_directory(directory, overwrite)
    if settings.unperturbed:
        raise InputError.of("unperturbed", f"{settings.unperturbed}", "0, as CausalBench needs cells of each gene")
    model = sample_causal_model(settings, seed, graph)
    cells, effects = simulate_cells(model), true_effects(model)
    difficulty = difficulty_of(asdict(settings))
    kind = [f"{settings.genes} genes, {settings.cells:,} cells", difficulty if difficulty != "standard" else ""]
    kind += [f"edges from {graph.name}" if graph else "", f"seed {model.seed}"]
    origin = Origin(
        title=f"SIMULATED DATA – no cell here was measured; {', '.join(filter(None, kind))}",
        simulated=True,
        details={
            # Data sets with the same settings are replicates: they differ in the seed only.
            "settings": {**asdict(settings), "regulatory_graph": graph and graph.name},
            "seed": model.seed,
            "rows_left_out": graph and {"self_loops": graph.self_loops, "repeats": graph.repeats},
        },
    )
    truth = {
        TRUE_NETWORK: _true_network(model, effects),
        TRUE_EFFECTS: npz_bytes(effects=effects, gene_ids=np.array(model.gene_ids)),
    }
    dataset = Dataset(cells.expression, model.gene_ids, model.gene_names, cells.labels)
    return write_benchmark_directory(directory, dataset, reference_networks(model), origin, truth, overwrite)


def reference_networks(model: CausalModel) -> References:
    """Draw reference networks as databases would hold them: a part of the true network, and some false pairs."""
    rng = random_stream(model.seed, "databases")
    true_pairs = sorted({(min(edge), max(edge)) for edge in model.edges()})
    known = [pair for pair in true_pairs if rng.random() < KNOWN_SHARE]
    candidates = rng.integers(len(model.gene_ids), size=(round(FALSE_SHARE * len(known)), 2))
    false = {(min(pair), max(pair)) for pair in candidates.tolist() if pair[0] != pair[1]}
    network = sorted({*known, *false})
    return References(
        complexes=_complexes(model),
        ligand_receptor=[pair for pair in known if rng.random() < LIGAND_RECEPTOR_SHARE],
        string_network=network,
        string_physical=[pair for pair in network if rng.random() < PHYSICAL_SHARE],
    )


def _complexes(model: CausalModel) -> list[list[int]]:
    """Return the sources of the strongest edges, a sixth of the genes at most, each with its strongest targets."""
    targets_of: dict[int, list[int]] = {}
    for source, target in model.edges():
        targets_of.setdefault(source, []).append(target)
    strongest = list(targets_of.items())[: len(model.gene_ids) // 6]
    return [[source, *targets[:COMPLEX_PARTNERS]] for source, targets in strongest]


def _true_network(model: CausalModel, effects: np.ndarray) -> bytes:
    ids, names = model.gene_ids, model.gene_names
    rows = (
        [ids[i], ids[j], names[i], names[j], f"{model.weights[i, j]:.6g}", f"{effects[i, j]:.6g}"]
        for i, j in model.edges()
    )
    return table_bytes(",", ["source", "target", "source_name", "target_name", "weight", "true_effect"], rows)
