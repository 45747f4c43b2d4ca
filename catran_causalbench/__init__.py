"""CaTran: directed gene networks from Perturb-seq data by an ultra-light attention model.

The names below load on first use, so that importing the package costs next to nothing and needs neither torch nor
causalbench.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from catran_causalbench.config import CatranConfig, load_config, presets
    from catran_causalbench.data.dataset import PerturbationDataset
    from catran_causalbench.data.validation import validate_dataset
    from catran_causalbench.errors import InputError, TrainingError
    from catran_causalbench.fitting import fit
    from catran_causalbench.grn.fitted_network import FittedNetwork
    from catran_causalbench.grn.network_file import load
    from catran_causalbench.inference import InferredNetwork, infer_network

__version__ = "0.1.0"

_HOMES = {
    "CatranConfig": "config",
    "load_config": "config",
    "presets": "config",
    "PerturbationDataset": "data.dataset",
    "validate_dataset": "data.validation",
    "InputError": "errors",
    "TrainingError": "errors",
    "FittedNetwork": "grn.fitted_network",
    "load": "grn.network_file",
    "fit": "fitting",
    "InferredNetwork": "inference",
    "infer_network": "inference",
}
__all__ = [
    "CatranConfig",
    "FittedNetwork",
    "InferredNetwork",
    "InputError",
    "PerturbationDataset",
    "TrainingError",
    "fit",
    "infer_network",
    "load",
    "load_config",
    "presets",
    "validate_dataset",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
