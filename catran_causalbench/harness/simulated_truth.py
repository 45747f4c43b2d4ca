"""The truth that lies beside a simulated data set, in the order of its genes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from catran_causalbench.errors import InputError
from catran_causalbench.evaluation import adjacency_matrix, edge_columns

TRUE_NETWORK, TRUE_EFFECTS = "true_network.csv", "true_effects.npz"


@dataclass(frozen=True)
class SimulatedTruth:
    """A simulated world without its noise; G genes in the order of the expression matrix.

    Attributes
    ----------
    network
        bool, G × G, source × target: direct edges.
    effects
        float, G × G, source × target: shift of the target when the source is perturbed.
    """

    network: np.ndarray
    effects: np.ndarray

    @classmethod
    def read(cls, folder: Path, gene_names: Sequence[str]) -> SimulatedTruth | None:
        """Read the truth, or return none where the directory does not hold it.

        Raises
        ------
        InputError
            It is about other genes.
        """
        if not has_truth(folder):
            return None
        import pandas as pd

        table = pd.read_csv(folder / TRUE_NETWORK, dtype={"source": str, "target": str})
        edges = list(zip(table["source"], table["target"], strict=True))
        with np.load(folder / TRUE_EFFECTS, allow_pickle=False) as arrays:
            row = {str(gene): position for position, gene in enumerate(arrays["gene_ids"])}
            if set(row) != set(gene_names):
                found = f"{len(set(row) ^ set(gene_names))} genes that are in one and not in the other"
                raise InputError.of(TRUE_EFFECTS, found, "the genes of the expression matrix")
            order = [row[gene] for gene in gene_names]
            effects = arrays["effects"][np.ix_(order, order)]
        return cls(adjacency_matrix(*edge_columns(edges, gene_names), len(gene_names)), effects)


def has_truth(folder: Path) -> bool:
    """Whether a directory holds the true network and the true effects."""
    return (folder / TRUE_NETWORK).is_file() and (folder / TRUE_EFFECTS).is_file()
