"""The ground truth of a simulated data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from catran_causalbench.causalbench.known_truth import is_known_truth
from catran_causalbench.causalbench.npz import read_npz
from catran_causalbench.data.edge_table import read_edge_table
from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.edge_lists import edge_columns
from catran_causalbench.evaluation.reachability import adjacency_matrix

TRUE_NETWORK, TRUE_EFFECTS = "true_network.csv", "true_effects.npz"


@dataclass(frozen=True)
class GroundTruth:
    """The true network and effects of G genes, in the order of the expression matrix."""

    network: np.ndarray  # bool, (G, G), source × target: direct edges
    effects: np.ndarray  # (G, G), source × target: noise-free perturbation effect of the source on the target

    @classmethod
    def read(cls, directory: Path, gene_names: Sequence[str]) -> GroundTruth | None:
        """Read the ground truth; return None if the directory holds none.

        Raise InputError if a file cannot be read, or its genes are not those of ``gene_names``.
        """
        if not has_truth(directory):
            return None
        edges = read_true_network(directory)
        arrays = read_npz(directory / TRUE_EFFECTS, ["gene_ids", "effects"])
        ids, effects = arrays["gene_ids"].ravel().astype(str).tolist(), arrays["effects"]
        if set(ids) != set(gene_names):
            found = f"{len(set(ids) ^ set(gene_names))} genes that are in one and not in the other"
            raise InputError.of(TRUE_EFFECTS, found, "the genes of the expression matrix")
        if effects.shape != (len(ids), len(ids)):
            raise InputError.of(TRUE_EFFECTS, f"effects of shape {effects.shape}", f"{len(ids)} × {len(ids)}")
        row = {gene: position for position, gene in enumerate(ids)}
        order = [row[gene] for gene in gene_names]
        network = adjacency_matrix(*edge_columns(edges, gene_names), len(gene_names))
        return cls(network, effects[np.ix_(order, order)])


def read_true_network(directory: Path) -> list[tuple[str, str]]:
    """Read the direct edges (source, target); raise InputError if they cannot be read."""
    table = read_edge_table(directory / TRUE_NETWORK, str(directory / TRUE_NETWORK))
    return list(zip(table["source"], table["target"], strict=True))


def has_truth(directory: Path) -> bool:
    """Return whether a directory holds the true network and the true effects, or is a file with known truth instead."""
    files = directory / TRUE_NETWORK, directory / TRUE_EFFECTS
    return is_known_truth(directory) or all(path.is_file() for path in files)
