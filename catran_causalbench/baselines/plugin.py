"""The rivals' CausalBench plugin: pass this file to ``causalbench_run --inference_function_file_path``.

The environment variable ``CATRAN_RIVAL`` names the rival. As the harness imports the file by its path and takes the
last direct subclass of AbstractInferenceModel that it finds, there is one here and no relative import.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from causalscbench.models.abstract_model import AbstractInferenceModel
from causalscbench.models.training_regimes import TrainingRegime

from catran_causalbench.baselines import rival_edges, rival_names
from catran_causalbench.config import load_config
from catran_causalbench.data.validation import validate_dataset
from catran_causalbench.errors import InputError

RIVAL_VARIABLE = "CATRAN_RIVAL"


class RivalInferenceModel(AbstractInferenceModel):
    """One of CaTran's rivals as CausalBench calls it."""

    def __call__(
        self,
        expression_matrix: np.ndarray,
        interventions: list[str],
        gene_names: list[str],
        training_regime: TrainingRegime,
        seed: int = 0,
    ) -> list[tuple[Any, ...]]:
        """Infer a network from what :class:`~catran_causalbench.plugin.CatranInferenceModel` is given, in its form.

        Raises
        ------
        InputError
            Where ``CATRAN_RIVAL`` names no rival, or for input that cannot be used.
        """
        name = os.environ.get(RIVAL_VARIABLE)
        if name not in rival_names():
            raise InputError.of(RIVAL_VARIABLE, f"{name!r}", f"one of {', '.join(rival_names())}")
        num_edges = load_config().output.edges
        dataset = validate_dataset(expression_matrix, interventions, gene_names)
        if training_regime is TrainingRegime.Observational:
            dataset = dataset.controls_only()
        edges = rival_edges(name, dataset, num_edges, seed).table(dataset.gene_names)
        return list(zip(edges["source"], edges["target"], strict=True))
