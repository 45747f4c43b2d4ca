"""The CausalBench plugin: pass this file to ``causalbench_run --inference_function_file_path``.

The environment variable ``CATRAN_METHOD`` picks the method (``catran`` by default, or a baseline), ``CATRAN_CONFIG``
its settings (a preset's name or the path of a YAML file). CausalBench imports the file by its path, under another
name, and takes the last direct subclass of AbstractInferenceModel that it finds, so there is one here and no relative
import.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from causalscbench.models.abstract_model import AbstractInferenceModel
from causalscbench.models.training_regimes import TrainingRegime

from catran_causalbench.config import ConfigSource
from catran_causalbench.data.validation import validate_dataset
from catran_causalbench.inference import infer_network
from catran_causalbench.methods import choose_method


class CatranInferenceModel(AbstractInferenceModel):
    """CaTran, or a baseline, as CausalBench calls it.

    CausalBench passes no arguments: settings and method are then those of the environment variables when it is called.

    Raises
    ------
    InputError
        There is no such method, or the settings cannot be used, also if an environment variable says so.
    """

    def __init__(self, config: ConfigSource = None, method: str | None = None) -> None:
        super().__init__()
        self.config = config
        self.method = method
        choose_method(method, config)  # CausalBench makes the model before it trains: what is wrong shows now

    def __call__(
        self,
        expression_matrix: np.ndarray,
        interventions: list[str],
        gene_names: list[str],
        training_regime: TrainingRegime,
        seed: int = 0,
    ) -> list[tuple[Any, ...]]:
        """Infer a network.

        Parameters
        ----------
        expression_matrix
            cells × genes, dense or scipy sparse.
        interventions
            One label per cell: perturbed gene, ``non-targeting`` or ``excluded``.
        gene_names
            One name per column.
        training_regime
            In the observational regime only the control cells are used, whatever else is passed.
        seed
            Decides every random draw.

        Returns
        -------
        list of (source, target)
            Distinct directed edges, best first: ``output.edges`` of them (1,000), or all pairs where there are fewer.
        """
        method, config = choose_method(self.method, self.config)
        dataset = validate_dataset(expression_matrix, interventions, gene_names)
        if training_regime is TrainingRegime.Observational:
            dataset = dataset.controls_only()
        edges = infer_network(dataset, config, seed, method).edges(complete=True)
        return list(zip(edges["source"], edges["target"], strict=True))
