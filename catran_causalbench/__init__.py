"""CaTran: directed gene networks from Perturb-seq data by an ultra-light attention model.

The names below are imported on first use, so that importing the package is fast and loads neither torch nor
causalbench.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from catran_causalbench.config import CatranConfig, load_config, presets
    from catran_causalbench.data.dataset import PerturbationDataset
    from catran_causalbench.data.validation import validate_dataset
    from catran_causalbench.errors import InputError, TrainingError
    from catran_causalbench.grn.fitted_network import FittedNetwork, load
    from catran_causalbench.inference import fit, infer_network
    from catran_causalbench.methods import method_names
    from catran_causalbench.simulation.to_anndata import simulate_anndata

__version__ = "0.1.0"

# What was loaded when this process was forked from another one; empty in a process that was not.
modules_before_fork: set[str] = set()
if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=lambda: modules_before_fork.update(sys.modules))

_MODULES = {
    "CatranConfig": "config",
    "FittedNetwork": "grn.fitted_network",
    "InputError": "errors",
    "PerturbationDataset": "data.dataset",
    "TrainingError": "errors",
    "fit": "inference",
    "infer_network": "inference",
    "load": "grn.fitted_network",
    "load_config": "config",
    "method_names": "methods",
    "presets": "config",
    "simulate_anndata": "simulation.to_anndata",
    "validate_dataset": "data.validation",
}
__all__ = [
    "CatranConfig",
    "FittedNetwork",
    "InputError",
    "PerturbationDataset",
    "TrainingError",
    "fit",
    "infer_network",
    "load",
    "load_config",
    "method_names",
    "presets",
    "simulate_anndata",
    "validate_dataset",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """Offer the public names only, for completion."""
    return sorted([*__all__, "__version__"])
