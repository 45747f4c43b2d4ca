"""A benchmark directory as ``causalbench_run`` uses it: training and held-out cells, references, ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from causalscbench.data_access.utils.splitting import DatasetSplitter
from sklearn.model_selection import train_test_split

from catran_causalbench.causalbench.dataset_spec import INTERVENTIONAL, OBSERVATIONAL, DatasetSpec
from catran_causalbench.causalbench.ground_truth import GroundTruth
from catran_causalbench.causalbench.known_truth import is_known_truth, read_known_truth
from catran_causalbench.causalbench.metadata import find_metadata
from catran_causalbench.causalbench.network_cache import cached_networks
from catran_causalbench.causalbench.npz import read_cells
from catran_causalbench.causalbench.reference_files import no_networks
from catran_causalbench.causalbench.reference_networks import ReferenceNetworks
from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.data.validation import validate_dataset
from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.held_out import HeldOutEvaluator
from catran_causalbench.utils.described import Described


class _Splitter(DatasetSplitter):
    """CausalBench's splitter with any seed, for the numbers of the cells: their expression is copied when needed."""

    def __init__(self, genes: np.ndarray, labels: np.ndarray, seed: int) -> None:
        self.gene_names = list(genes)
        cells = np.arange(len(labels))[:, None]
        parts = train_test_split(cells, labels, test_size=0.2, random_state=seed, stratify=labels)
        self.expression_matrix_train, self.expression_matrix_test = parts[:2]
        self.interventions_train, self.interventions_test = parts[2:]


@dataclass(frozen=True, repr=False)
class BenchmarkDataset(Described):
    """The training cells of a data set, and what networks are evaluated against."""

    title: str  # of the directory's description
    simulated: bool
    settings: dict[str, Any]  # of the simulation, with the regulatory graph's name, without the seed; empty if measured
    held_out: HeldOutEvaluator  # a fifth of each label's cells, which no method sees
    known: ReferenceNetworks
    truth: GroundTruth | None  # None for measured data
    _expression: np.ndarray  # cells × genes
    _splitter: DatasetSplitter

    @classmethod
    def read(cls, directory: Path, spec: DatasetSpec, split_seed: int = 0) -> BenchmarkDataset:
        """Read a data set of a benchmark directory, or a file with known truth; nothing is ever downloaded.

        The split seed decides which cells are held out; CausalBench always takes 0. Raise InputError if a file is
        missing or damaged, or the cells cannot be split.
        """
        path = spec.find(directory)
        known = read_known_truth(path) if is_known_truth(directory) else None
        expression, genes, labels = known[:3] if known else read_cells(path)
        try:
            splitter = _Splitter(genes, labels, split_seed)
        except ValueError as error:  # for example, if a label has one cell
            raise InputError.of(str(path), f"cells that cannot be split ({error})", "several of each label") from None
        cells, held_out_labels, names = splitter.get_test_data()
        held_out = HeldOutEvaluator(expression[cells[:, 0]], held_out_labels, names)
        networks = no_networks(len(names)) if known else cached_networks(directory, spec, held_out.gene_names)
        metadata = find_metadata(directory)
        return cls(
            title=str(metadata.get("title", f"Data in {directory.name}")),
            simulated=bool(metadata.get("simulated", False)),
            settings=dict(metadata.get("settings") or {}),
            held_out=held_out,
            known=ReferenceNetworks.of(networks, held_out),
            truth=GroundTruth(*known[3:]) if known else GroundTruth.read(directory, held_out.gene_names),
            _expression=expression,
            _splitter=splitter,
        )

    def describe(self) -> str:
        """Return the title, the size, and whether the true network is known."""
        known = "known" if self.truth else "not known"
        cells, genes = len(self._expression), len(self.held_out.gene_names)
        return f"{self.title}; {cells:,} cells × {genes:,} genes, a fifth held out; true network {known}"

    @cached_property
    def significant(self) -> np.ndarray:
        """Whether the target changes significantly in the held-out cells: bool, (G, G), source × target."""
        genes = len(self.held_out.gene_names)
        source, target = np.nonzero((self.held_out.num_cells > 0)[:, None] & ~np.eye(genes, dtype=bool))
        significant = np.zeros((genes, genes), bool)
        significant[source, target] = self.held_out.compare(source, target).significant
        return significant

    def training_cells(self, regime: str, fraction: float, seed: int) -> tuple[np.ndarray, list[str], list[str]]:
        """Return the expression matrix, the labels and the gene names that CausalBench gives a model.

        In the partial regime, the seed draws the labels to keep, a fraction of all.
        """
        kept = {OBSERVATIONAL: 0.0, INTERVENTIONAL: 1.0}.get(regime, fraction)
        cells, labels, genes = self._splitter.get_partial_interventional(kept, seed)
        return self._expression[cells[:, 0]], list(labels), genes

    def training_set(self, regime: str, fraction: float, seed: int) -> PerturbationDataset:
        """Validate the training cells as the plugin does: the observational regime keeps controls only."""
        dataset = validate_dataset(*self.training_cells(regime, fraction, seed))
        return dataset.controls_only() if regime == OBSERVATIONAL else dataset
