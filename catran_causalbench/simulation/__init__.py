"""A simulated Perturb-seq world whose directed network is known."""

from catran_causalbench.simulation.cells import Cells, log_normalise, simulate_cells, true_effects
from catran_causalbench.simulation.world import World, WorldSettings, make_world, shape

__all__ = ["Cells", "World", "WorldSettings", "log_normalise", "make_world", "shape", "simulate_cells", "true_effects"]
