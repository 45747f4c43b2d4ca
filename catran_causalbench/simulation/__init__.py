"""A simulated Perturb-seq world whose directed network is known."""

from catran_causalbench.simulation.causal_model import CausalModel, SimulationConfig, sample_causal_model
from catran_causalbench.simulation.expression import Cells, simulate_cells, true_effects
from catran_causalbench.simulation.graph import RegulatoryGraph, read_regulatory_graph
from catran_causalbench.simulation.presets import difficulty_of, shape, with_difficulty

__all__ = [
    "CausalModel",
    "Cells",
    "RegulatoryGraph",
    "SimulationConfig",
    "difficulty_of",
    "read_regulatory_graph",
    "sample_causal_model",
    "shape",
    "simulate_cells",
    "true_effects",
    "with_difficulty",
]
