"""Every method by its name, behind one call: CaTran's two models and the baselines.

A method answers ``method.score_pairs(dataset, config, seed)`` with a weight for every pair of genes, G × G, source ×
target; ``-inf`` where it knows no such edge. Methods load on first use.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from catran_causalbench.config import (
    CONFIG_VARIABLE,
    DEFAULT_PRESET,
    CatranConfig,
    load_config,
    preset_descriptions,
    presets,
)
from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from catran_causalbench.training.run_directory import RunDirectory

CATRAN = "catran"
METHOD_VARIABLE = "CATRAN_METHOD"


class PairScores(NamedTuple):
    """Weights of all pairs (G × G, source × target), and the losses of the training, without rows if there was none."""

    weights: np.ndarray
    history: pd.DataFrame


@dataclass(frozen=True)
class Method:
    """A way to infer a network.

    Attributes
    ----------
    name
        As in commands, tables and directories.
    description
        One line.
    config
        Settings that the name stands for (``catran-PRESET`` or a YAML file); None where the caller's count.
    section
        The section of settings that belongs to the method alone, if any.
    """

    name: str
    description: str
    config: CatranConfig | None = None
    section: str = ""

    def settings(self, config: CatranConfig) -> CatranConfig:
        """Return the settings in force: those that the name stands for, with the output that the caller asks for.

        Raises
        ------
        InputError
            A section is set that this method does not use.
        """
        chosen = config if self.config is None else replace(self.config, output=config.output)
        unused = [name for name in chosen.sections if name not in self._sections(chosen)]
        if unused:
            expected = f"no such section for the method {self.name}, which does not use it"
            raise InputError.of("config", f"the section {unused[0]}", expected)
        return chosen

    def load(self) -> None:
        """Import what the method needs, so that the time of a run is that of its work."""
        raise NotImplementedError

    def score_pairs(
        self, dataset: PerturbationDataset, config: CatranConfig, seed: int, directory: RunDirectory | None = None
    ) -> PairScores:
        """Score all ordered pairs of genes.

        Parameters
        ----------
        dataset
            The training cells.
        config
            From :meth:`settings`.
        seed
            Decides every random draw.
        directory
            Where a training logs and from where it continues.
        """
        raise NotImplementedError

    def _sections(self, config: CatranConfig) -> tuple[str, ...]:
        return (self.section,)


class _Catran(Method):
    """CaTran: whichever model the settings name."""

    def load(self) -> None:
        importlib.import_module("catran_causalbench.training.trainer")
        for model in ("catran", "evidence"):
            importlib.import_module(f"catran_causalbench.models.{model}.training_plan")

    def score_pairs(
        self, dataset: PerturbationDataset, config: CatranConfig, seed: int, directory: RunDirectory | None = None
    ) -> PairScores:
        import torch

        from catran_causalbench.grn.edges import collect_weights
        from catran_causalbench.models.catran.training_plan import CatranSettings, CatranTrainingPlan
        from catran_causalbench.models.evidence.training_plan import EvidenceSettings, EvidenceTrainingPlan
        from catran_causalbench.training.trainer import train

        plan: CatranTrainingPlan | EvidenceTrainingPlan
        if config.model == "catran":
            plan = CatranTrainingPlan(dataset, config.catran or CatranSettings(), seed)
        else:
            plan = EvidenceTrainingPlan(dataset, config.evidence or EvidenceSettings(), seed)
        train(plan, directory)
        module = plan.trained_module()

        def attention_rows(targets: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return module.attention_rows(torch.from_numpy(targets)).numpy()

        return PairScores(collect_weights(attention_rows, dataset.num_genes), plan.history())

    def _sections(self, config: CatranConfig) -> tuple[str, ...]:
        return (config.model,)


@dataclass(frozen=True)
class _Baseline(Method):
    """A baseline: a function of the dataset and the seed, named like the method, and of its settings if it has any."""

    module: str = ""

    def load(self) -> None:
        importlib.import_module(f"catran_causalbench.baselines.{self.module}")

    def score_pairs(
        self, dataset: PerturbationDataset, config: CatranConfig, seed: int, directory: RunDirectory | None = None
    ) -> PairScores:
        import pandas as pd

        score = getattr(importlib.import_module(f"catran_causalbench.baselines.{self.module}"), self.name)
        settings = getattr(config, self.section) if self.section else None
        weights = score(dataset, seed) if settings is None else score(dataset, seed, settings)
        return PairScores(weights, pd.DataFrame({"step": []}))


# From the simplest to the most laborious.
_BASELINES = {
    method.name: method
    for method in (
        _Baseline("random", "a random score for every pair", module="statistics"),
        _Baseline("correlation", "absolute Pearson correlation in controls", module="statistics"),
        _Baseline("mean_difference", "absolute difference of means, perturbed cells and controls", module="statistics"),
        _Baseline("effect_size", "Cohen's d of perturbed cells and controls", module="statistics"),
        _Baseline("guanlab", "boosted trees that predict correlated pairs from four means", module="guanlab"),
        _Baseline("betterboost", "GRNBoost's importances behind a test of the effect", module="betterboost"),
        _Baseline("sparserc", "linear acyclic network with few root causes", module="sparserc"),
        _Baseline("grnboost", "boosted trees that predict a gene from all others", module="grnboost"),
        _Baseline("dcdi_g", "CausalBench's DCDI with Gaussian noise", module="dcdi", section="dcdi"),
        _Baseline("dcdi_dsf", "CausalBench's DCDI with normalising flows", module="dcdi", section="dcdi"),
        _Baseline("dcdfg_lin", "CausalBench's linear DCDFG", module="dcdi", section="dcdi"),
        _Baseline("dcdfg_mlp", "CausalBench's DCDFG with neural factors", module="dcdi", section="dcdi"),
    )
}


def baseline_names() -> list[str]:
    """Return the names of the baselines, from the simplest to the most laborious."""
    return list(_BASELINES)


def method_names() -> list[str]:
    """Return the names of all methods: CaTran, each of its presets, and the baselines."""
    return [CATRAN, *(f"{CATRAN}-{preset}" for preset in presets()), *_BASELINES]


def find_method(name: str) -> Method:
    """Find a method by its name, or CaTran with the settings of a YAML file by the file's path.

    Raises
    ------
    InputError
        There is no such method, or its settings cannot be used.
    """
    if name in _BASELINES:
        return _BASELINES[name]
    if name == CATRAN:
        return _Catran(CATRAN, f"CaTran with the settings of {CONFIG_VARIABLE}, by default the preset {DEFAULT_PRESET}")
    if name in method_names():
        preset = name.removeprefix(f"{CATRAN}-")
        return _Catran(name, preset_descriptions()[preset], load_config(preset))
    if is_settings_file(name):
        label = method_label(name)
        if label in method_names():  # its results would be taken for those of the preset
            raise InputError.of("method", f"{name!r}, which is named like a preset", "another name for the file")
        return _Catran(label, f"CaTran with the settings of {Path(name).name}", load_config(name))
    expected = f"one of {', '.join(method_names())}, or the path of a YAML file with settings of CaTran"
    raise InputError.of("method", repr(name), expected)


def is_settings_file(name: str) -> bool:
    """Return whether a method is the path of a file with CaTran's settings."""
    return name.endswith((".yaml", ".yml"))


def method_label(name: str) -> str:
    """Return a method's name in tables and directories; a settings file is ``catran-`` and the file's name."""
    return f"{CATRAN}-{Path(name).stem}" if is_settings_file(name) else name
