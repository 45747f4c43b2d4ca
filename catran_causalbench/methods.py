"""Methods by name: ``catran``, ``catran-PRESET``, a settings file, a rival, or the oracle of simulated worlds."""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from catran_causalbench.baselines import rival_edges, rival_names, rival_scores
from catran_causalbench.config import DEFAULT_PRESET, OutputSettings, load_config, presets
from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.errors import InputError
from catran_causalbench.grn.edges import rank_matrix

CATRAN = "catran"
ORACLE = "oracle"

Edges = list[tuple[str, str]]


def method_names() -> list[str]:
    """Names that a sweep knows, beside paths of settings files."""
    return [CATRAN, *(f"{CATRAN}-{preset}" for preset in presets()), *rival_names(), ORACLE]


def is_settings_file(method: str) -> bool:
    """Whether a method is the path of a file with CaTran's settings."""
    return method.endswith((".yaml", ".yml"))


def check_method(method: str) -> str:
    """Return the method as it can be found from anywhere: a settings file by its absolute path.

    Raises
    ------
    InputError
        There is no such method, or its settings cannot be used.
    """
    if is_settings_file(method):
        if label(method) in method_names():  # its results would be taken for those of the preset
            raise InputError.of("methods", f"{method!r}, which is named like a preset", "another name for the file")
        load_config(method)
        return str(Path(method).absolute())
    if method not in method_names():
        expected = f"one of {', '.join(method_names())}, or the path of a YAML file with settings of CaTran"
        raise InputError.of("methods", repr(method), expected)
    return method


def label(method: str) -> str:
    """Name a method in folders and records; a settings file is ``catran-`` and the file's name."""
    return f"{CATRAN}-{Path(method).stem}" if is_settings_file(method) else method


def settings_digest(method: str) -> str:
    """Fingerprint of CaTran's settings but those of its output, which are the sweep's; empty for all other methods."""
    if method == ORACLE or method in rival_names():
        return ""
    config = replace(load_config(_config_name(method)), output=OutputSettings())
    return hashlib.sha256(config.to_yaml().encode()).hexdigest()


def plugin_file(method: str) -> Path:
    """Name the file by which ``causalbench_run`` would run the method."""
    package = Path(__file__).parent
    return package / "baselines" / "plugin.py" if method in rival_names() else package / "plugin.py"


def load_method(method: str) -> None:
    """Import what the method needs, so that its time is that of its work."""
    if method in rival_names():
        rival_scores(method)
    elif method != ORACLE:
        importlib.import_module("catran_causalbench.training.trainer")


def infer_edges(method: str, dataset: PerturbationDataset, num_edges: int, seed: int) -> Edges:
    """Let a method infer a network.

    Parameters
    ----------
    method
        From :func:`check_method`, but not the oracle.
    dataset
        The training cells.
    num_edges
        How many edges.
    seed
        Decides every random draw.
    """
    if method in rival_names():
        table = rival_edges(method, dataset, num_edges, seed).table(dataset.gene_names)
    else:
        from catran_causalbench.inference import infer_network

        config = load_config(_config_name(method))
        table = infer_network(dataset, replace(config, output=OutputSettings(num_edges)), seed).edges()
    return list(zip(table["source"], table["target"], strict=True))


def oracle_edges(effects: np.ndarray, gene_names: tuple[str, ...], num_edges: int) -> Edges:
    """Rank the pairs by their true effects, G × G: what no method can beat."""
    table = rank_matrix(np.abs(effects), num_edges).table(gene_names)
    return list(zip(table["source"], table["target"], strict=True))


def _config_name(method: str) -> str:
    return method if is_settings_file(method) else method.removeprefix(CATRAN).removeprefix("-") or DEFAULT_PRESET
