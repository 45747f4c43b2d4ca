"""The ground truth that lies beside a simulated data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from catran_causalbench.causalbench.npz import read_npz
from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.edge_lists import edge_columns
from catran_causalbench.evaluation.reachability import adjacency_matrix

TRUE_NETWORK, TRUE_EFFECTS = "true_network.csv", "true_effects.npz"


@dataclass(frozen=True)
class GroundTruth:
    """The causal model behind simulated cells; its G genes are in the order of the expression matrix.

    Attributes
    ----------
    network
        bool, G × G, source × target: direct edges.
    effects
        float, G × G, source × target: noise-free change of the target's expression when the source is perturbed.
    """

    network: np.ndarray
    effects: np.ndarray

    @classmethod
    def read(cls, folder: Path, gene_names: Sequence[str]) -> GroundTruth | None:
        """Read the ground truth; return None where the directory holds none.

        Raises
        ------
        InputError
            A file cannot be read, or the genes are not those of ``gene_names``.
        """
        if not has_truth(folder):
            return None
        edges = read_true_network(folder)
        arrays = read_npz(folder / TRUE_EFFECTS, ["gene_ids", "effects"])
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


def read_true_network(folder: Path) -> list[tuple[str, str]]:
    """Read the direct edges (source, target); raise InputError where they cannot be read."""
    import pandas as pd

    path = folder / TRUE_NETWORK
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        return list(zip(table["source"], table["target"], strict=True))
    except (OSError, ValueError, KeyError) as error:
        raise InputError.of(str(path), f"what cannot be read ({error!r})", "columns source and target") from None


def has_truth(folder: Path) -> bool:
    """Return whether a directory holds the true network and the true effects."""
    return (folder / TRUE_NETWORK).is_file() and (folder / TRUE_EFFECTS).is_file()
