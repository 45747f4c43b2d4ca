"""Sizes and difficulties of simulated experiments by name; unknown names raise InputError."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from catran_causalbench.simulation.causal_model import SimulationConfig
from catran_causalbench.utils.validation import checked, choice

_SIZES = {
    "tiny": SimulationConfig(genes=30, cells=4_500),
    "small": SimulationConfig(genes=100, cells=16_000),
    "rpe1": SimulationConfig(genes=383, cells=92_000),
    "k562": SimulationConfig(genes=622, cells=129_000),
}
# A difficulty changes the nature of the cells, never their number.
_DIFFICULTIES: dict[str, dict[str, Any]] = {
    "easy": {"effect_strength": 0.25, "knockdown": 0.9, "escape_share": 0.0, "latent_factors": 1, "dispersion": 0.1},
    "standard": {},
    "hard": {"effect_strength": 0.1, "knockdown": 0.6, "escape_share": 0.3, "latent_factors": 6, "dispersion": 0.4},
}


def size_preset(name: str) -> SimulationConfig:
    """Return the settings of a size: ``tiny``, ``small``, or that of CausalBench's data sets ``rpe1`` and ``k562``."""
    return _SIZES[checked("size", name, str, choice(*_SIZES).metadata)]


def with_difficulty(settings: SimulationConfig, name: str) -> SimulationConfig:
    """Return settings of the same size whose network is easier or harder to infer.

    ``easy``: strong edges, strong knockdowns, little noise; ``standard``: the settings as they are; ``hard``: weak
    edges, knockdowns that fail in three of ten cells, many latent factors, much noise.
    """
    return replace(settings, **_DIFFICULTIES[checked("difficulty", name, str, choice(*_DIFFICULTIES).metadata)])


def difficulty_of(settings: Mapping[str, Any]) -> str:
    """Return ``easy`` or ``hard`` if the settings, by name, have all values of that difficulty, else ``standard``."""
    matching = (name for name, changes in _DIFFICULTIES.items() if changes and changes.items() <= settings.items())
    return next(matching, "standard")
