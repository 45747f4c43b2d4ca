"""All methods by their names, behind one call: CaTran's two models and the baselines. They are imported on use."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from catran_causalbench.baselines.config import require_package
from catran_causalbench.config import (
    CONFIG_VARIABLE,
    DEFAULT_PRESET,
    RANKINGS,
    CatranConfig,
    ConfigSource,
    OutputSettings,
    load_config,
    preset_descriptions,
    presets,
)
from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.errors import InputError
from catran_causalbench.utils.progress import report
from catran_causalbench.utils.validation import plain

if TYPE_CHECKING:
    import pandas as pd

    from catran_causalbench.training.run_directory import RunDirectory

CATRAN = "catran"
METHOD_VARIABLE = "CATRAN_METHOD"


class PairScores(NamedTuple):
    """Weights of all pairs (G × G, source × target, ``-inf`` where a method knows no edge), losses of the training.

    ``direct_weights`` (G × G) are those of the ranking by direct effect, where the settings ask for it.
    """

    weights: np.ndarray
    history: pd.DataFrame
    direct_weights: np.ndarray | None = None


@dataclass(frozen=True)
class Method:
    """A way to infer a network.

    Attributes
    ----------
    name, description
        As in commands, tables and directories; one line.
    config
        Settings that the name stands for (``catran-PRESET`` or a YAML file); None where the caller decides.
    baseline
        Module of a baseline, whose function has the method's name; empty for CaTran.
    section
        Section of the settings that only a baseline uses, if any.
    """

    name: str
    description: str
    config: CatranConfig | None = None
    baseline: str = ""
    section: str = ""

    def settings(self, config: CatranConfig) -> CatranConfig:
        """Return the settings to use: those that the name stands for, if any, with the output settings of ``config``.

        A ranking that the name stands for is kept, unless ``config`` asks for another than the default.

        Raises
        ------
        InputError
            A section is set that the method does not use, a package is missing that it needs, or it does not have the
            ranking.
        """
        require_package(self.name)
        chosen = config if self.config is None else replace(self.config, output=self._output(config.output))
        used = self.section if self.baseline else chosen.model
        unused = [name for name in chosen.sections if name != used]
        if unused:
            found = f"the section {unused[0]}, which the method {self.name} does not use"
            raise InputError.of("config", found, f"the section {used}" if used else "no section of a method")
        if chosen.output.rank_by == "direct" and used != "evidence":
            found = f"direct, a ranking that the method {self.name} does not have"
            raise InputError.of("output.rank_by", found, "total, or a method with model: evidence (the default)")
        return chosen

    def _output(self, output: OutputSettings) -> OutputSettings:
        if self.config is None or output.rank_by != RANKINGS[0]:
            return output
        return replace(output, rank_by=self.config.output.rank_by)

    def load(self) -> list[Any]:
        """Import and return the modules that the method needs; benchmarks do this before they measure its time."""
        trained = ("training.trainer", "models.catran.training_plan", "models.evidence.training_plan")
        names = [f"baselines.{self.baseline}"] if self.baseline else trained
        return [importlib.import_module(f"catran_causalbench.{name}") for name in names]

    def score_pairs(
        self, dataset: PerturbationDataset, config: CatranConfig, seed: int, directory: RunDirectory | None = None
    ) -> PairScores:
        """Score all ordered pairs of genes.

        ``config`` comes from :meth:`settings`; a method that is trained writes logs and checkpoints to ``directory``.
        """
        import pandas as pd

        if not self.baseline:
            return self._train(dataset, config, seed, directory)
        report(f"Scoring all pairs by {self.name}")
        score = getattr(self.load()[0], self.name)
        settings = getattr(config, self.section) if self.section else None
        weights = score(dataset, seed) if settings is None else score(dataset, seed, settings)
        return PairScores(weights, pd.DataFrame({"step": []}))

    def _train(
        self, dataset: PerturbationDataset, config: CatranConfig, seed: int, directory: RunDirectory | None
    ) -> PairScores:
        import torch

        from catran_causalbench.grn.edges import collect_weights
        from catran_causalbench.models.evidence.direct import direct_weights
        from catran_causalbench.training.trainer import train
        from catran_causalbench.utils.parallel import blas_on_one_thread, torch_on_one_thread

        report("Preparing the model, with sums over all cells" if config.model == "evidence" else "Preparing the model")
        with torch_on_one_thread(), blas_on_one_thread():
            plan = _training_plan(config.model)(dataset, config.model_settings, seed)
            train(plan, directory)
            module = plan.trained_module()

            def attention_rows(targets: np.ndarray) -> np.ndarray:
                with torch.no_grad():
                    return module.attention_rows(torch.from_numpy(targets)).numpy()

            weights = collect_weights(attention_rows, dataset.num_genes)
            direct = direct_weights(dataset, weights) if config.output.rank_by == "direct" else None
        return PairScores(weights, plan.history(), direct)


def _training_plan(model: str) -> Any:
    """Return the class of a model's training plan; the other model, and numba which only one needs, stay unloaded."""
    if model == "catran":
        from catran_causalbench.models.catran.training_plan import CatranTrainingPlan

        return CatranTrainingPlan
    from catran_causalbench.models.evidence.training_plan import EvidenceTrainingPlan

    return EvidenceTrainingPlan


# From the simplest to the most expensive.
_BASELINES = {
    method.name: method
    for method in (
        Method("random", "A random score for every pair.", baseline="statistics"),
        Method("correlation", "Absolute Pearson correlation in controls.", baseline="statistics"),
        Method("mean_difference", "Absolute difference of means, perturbed cells and controls.", baseline="statistics"),
        Method("effect_size", "Cohen's d of perturbed cells and controls.", baseline="statistics"),
        Method("ash", "Effects shrunk by the prior that all effects tell.", baseline="ash"),
        Method("guanlab", "Boosted trees that predict correlated pairs from four means.", baseline="guanlab"),
        Method("betterboost", "GRNBoost's importances behind a test of the effect.", baseline="betterboost"),
        Method("sparserc", "A linear acyclic model with few root causes.", baseline="sparserc"),
        Method("grnboost", "Boosted trees that predict a gene from all others.", baseline="grnboost"),
        Method("inspre", "A sparse inverse of the matrix of effects.", baseline="inspre"),
        Method("dspin", "The authors' D-SPIN, a directed spin network.", baseline="dspin"),
        Method("sdcd", "The authors' SDCD, an acyclic neural model in two stages.", baseline="sdcd"),
        Method("dcdi_g", "CausalBench's DCDI with Gaussian noise.", baseline="dcdi", section="dcdi"),
        Method("dcdi_dsf", "CausalBench's DCDI with normalising flows.", baseline="dcdi", section="dcdi"),
        Method("dcdfg_lin", "CausalBench's linear DCDFG.", baseline="dcdi", section="dcdi"),
        Method("dcdfg_mlp", "CausalBench's DCDFG with neural factors.", baseline="dcdi", section="dcdi"),
    )
}


def baseline_names() -> list[str]:
    """Return the names of the baselines, from the simplest to the most expensive."""
    return list(_BASELINES)


def method_names() -> list[str]:
    """Return the names of all methods: CaTran, each of its presets, and the baselines."""
    return [CATRAN, *(f"{CATRAN}-{preset}" for preset in presets()), *_BASELINES]


def find_method(name: str, field: str = "method") -> Method:
    """Find a method by its name, or CaTran with the settings of a YAML file by the file's path.

    Raises
    ------
    InputError
        There is no such method, or its settings cannot be used; the message calls the name ``field``.
    """
    name = plain(name)
    if is_settings_file(name):
        label = method_label(name)
        if label in method_names():  # its results would be mistaken for those of the preset
            raise InputError.of(field, f"{name!r}, which is named like a preset", "another name for the file")
        return Method(label, f"CaTran with the settings of {Path(name).name}.", load_config(name))
    if name not in method_names():
        expected = f"one of {', '.join(method_names())}, or the path of a YAML file with settings of CaTran"
        raise InputError.of(field, repr(name), expected)
    if name == CATRAN:
        return Method(name, f"CaTran with the settings of {CONFIG_VARIABLE}, by default those of {DEFAULT_PRESET}.")
    preset = name.removeprefix(f"{CATRAN}-")
    return _BASELINES.get(name) or Method(name, preset_descriptions()[preset], load_config(preset))


def choose_method(name: str | None = None, config: ConfigSource = None) -> tuple[str, CatranConfig]:
    """Return the name and the settings of a method, as the environment variables have it where they are not given.

    Raises
    ------
    InputError
        There is no such method, or its settings cannot be used; the message names the variable that says so.
    """
    chosen = name or os.environ.get(METHOD_VARIABLE) or CATRAN
    method = find_method(chosen, "method" if name else METHOD_VARIABLE)
    return chosen, method.settings(load_config(config))


def method_label(name: str) -> str:
    """Return a method's name in tables and directories, which is ``catran-STEM`` for a YAML file."""
    return f"{CATRAN}-{Path(name).stem}" if is_settings_file(name) else name


def is_settings_file(name: str) -> bool:
    """Return whether a method's name is the path of a YAML file."""
    return name.endswith((".yaml", ".yml"))
