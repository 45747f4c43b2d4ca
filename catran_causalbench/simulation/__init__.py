"""A simulated Perturb-seq world whose directed network is known."""

from catran_causalbench.simulation.cells import Cells, log_normalise, simulate_cells, true_effects
from catran_causalbench.simulation.named_settings import difficulty_of, shape, with_difficulty
from catran_causalbench.simulation.topology import Topology, read_topology
from catran_causalbench.simulation.world import World, WorldSettings, make_world

__all__ = [
    "Cells",
    "Topology",
    "World",
    "WorldSettings",
    "difficulty_of",
    "log_normalise",
    "make_world",
    "read_topology",
    "shape",
    "simulate_cells",
    "true_effects",
    "with_difficulty",
]
