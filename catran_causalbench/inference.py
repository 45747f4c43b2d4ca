"""From a validated dataset to a network of genes, in one call."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from catran_causalbench.config import CatranConfig, load_config
from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.data.preprocessing import preprocess
from catran_causalbench.errors import InputError
from catran_causalbench.grn.edges import check_num_edges, rank_edges
from catran_causalbench.training.run_directory import RunDirectory

if TYPE_CHECKING:
    import pandas as pd

    from catran_causalbench.models.catran.module import CatranModule
    from catran_causalbench.models.evidence.module import GatedAttention


@dataclass(frozen=True)
class InferredNetwork:
    """A trained CaTran.

    Attributes
    ----------
    network
        Gives the attention of targets on sources.
    gene_names
        Names of the genes, sorted; the order of the network's genes.
    num_edges
        How many edges to return unless asked otherwise.
    """

    network: CatranModule | GatedAttention
    gene_names: tuple[str, ...]
    num_edges: int = 1000

    def edges(self, num_edges: int | None = None) -> pd.DataFrame:
        """Return the strongest edges, best first: rank, source, target, weight.

        Raises
        ------
        InputError
            Where the number is no whole one above zero.

        Warns
        -----
        UserWarning
            Where there are fewer ordered pairs of genes than edges asked for; all of them are returned then.
        """
        wanted = self.num_edges if num_edges is None else check_num_edges(num_edges)
        pairs = len(self.gene_names) * (len(self.gene_names) - 1)
        if pairs < wanted:
            message = f"{wanted} edges were asked for, but there are only {pairs} pairs of genes: returning them all"
            warnings.warn(message, stacklevel=2)

        return rank_edges(self._attention_rows, len(self.gene_names), wanted).table(self.gene_names)

    def weights(self) -> np.ndarray:
        """Return the weights of all pairs: float32, G × G, source × target, 0 on the diagonal."""
        weights = self._attention_rows(np.arange(len(self.gene_names))).T.copy()
        np.fill_diagonal(weights, 0)
        return weights

    def _attention_rows(self, targets: np.ndarray) -> np.ndarray:
        import torch

        with torch.no_grad():
            return self.network.attention_rows(torch.from_numpy(targets)).numpy()


def infer_network(dataset: PerturbationDataset, config: CatranConfig | None = None, seed: int = 0) -> InferredNetwork:
    """Train, and write the edge table into the run folder where the settings name one.

    Parameters
    ----------
    dataset
        From :func:`~catran_causalbench.data.validation.validate_dataset`.
    config
        Settings; by default what :func:`~catran_causalbench.config.load_config` finds.
    seed
        Same seed, data and device: same edges.

    Raises
    ------
    InputError
        Before training starts, for settings that cannot be used.
    """
    config = load_config() if config is None else config
    check_seed(seed)
    dataset = preprocess(dataset, config.data.preprocessing)
    with RunDirectory.prepare(config, dataset, int(seed)) as folder:
        # torch and Lightning load only once the input is known to be good
        from catran_causalbench.training.trainer import train

        network = train(dataset, config, int(seed), folder)
        inferred = InferredNetwork(network, dataset.gene_names, config.output.edges)
        if folder:
            folder.write_edges(inferred.edges())
    return inferred


def check_seed(seed: int) -> None:
    """Raise InputError where a seed is no whole number from zero to 2⁶³ − 1, which torch's generators take."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise InputError.of("seed", repr(seed), "a whole number, zero or more and below 2**63")
