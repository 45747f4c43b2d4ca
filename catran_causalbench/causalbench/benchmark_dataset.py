"""A data directory as ``causalbench_run`` uses it: training and held-out cells, reference networks, the truth.

The cells are those of the harness itself: its own class splits them and draws the partial regimes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from causalscbench.data_access.utils.splitting import DatasetSplitter

from catran_causalbench.causalbench.dataset_spec import INTERVENTIONAL, OBSERVATIONAL, DatasetSpec
from catran_causalbench.causalbench.ground_truth import GroundTruth
from catran_causalbench.causalbench.metadata import find_metadata
from catran_causalbench.causalbench.npz import read_cells
from catran_causalbench.causalbench.reference_networks import ReferenceNetworks
from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.data.validation import validate_dataset
from catran_causalbench.errors import InputError
from catran_causalbench.evaluation import HeldOutEvaluator


@dataclass(frozen=True)
class BenchmarkDataset:
    """What methods learn from and are scored by.

    Attributes
    ----------
    title, simulated
        What the directory says about its data.
    held_out
        The fifth of each label's cells that no method sees.
    known
        The reference networks.
    truth
        Of simulated worlds only.
    """

    title: str
    simulated: bool
    held_out: HeldOutEvaluator
    known: ReferenceNetworks
    truth: GroundTruth | None
    _splitter: DatasetSplitter

    @classmethod
    def read(cls, folder: Path, selection: DatasetSpec) -> BenchmarkDataset:
        """Read a data directory; nothing is ever downloaded.

        Raises
        ------
        InputError
            A file is missing or broken, or the harness could not split its cells.
        """
        path = selection.check(folder)
        read_cells(path)  # the harness's own class would unpickle them
        try:
            splitter = DatasetSplitter(str(path))
        except ValueError as error:  # as of a label with one cell
            raise InputError.of(str(path), f"cells that cannot be split ({error})", "several of each label") from None
        held_out = HeldOutEvaluator(*splitter.get_test_data())
        described = find_metadata(folder)
        return cls(
            title=str(described.get("title", f"Data in {folder.name}")),
            simulated=bool(described.get("simulated", False)),
            held_out=held_out,
            known=ReferenceNetworks.read(folder, selection.dataset_name, held_out),
            truth=GroundTruth.read(folder, held_out.gene_names),
            _splitter=splitter,
        )

    def training_cells(self, regime: str, fraction: float, seed: int) -> tuple[np.ndarray, list[str], list[str]]:
        """Give the expression matrix, the labels and the gene names that the harness gives a model.

        Parameters
        ----------
        regime
            One of ``REGIMES``.
        fraction, seed
            Share of the labels kept in the partial regime, and the seed of its draw.
        """
        kept = {OBSERVATIONAL: 0.0, INTERVENTIONAL: 1.0}.get(regime, fraction)
        matrix, labels, genes = self._splitter.get_partial_interventional(kept, seed)
        return matrix, list(labels), genes

    def training_set(self, regime: str, fraction: float, seed: int) -> PerturbationDataset:
        """Validate the training cells as the plugins do: the observational regime keeps controls only."""
        dataset = validate_dataset(*self.training_cells(regime, fraction, seed))
        return dataset.controls_only() if regime == OBSERVATIONAL else dataset
