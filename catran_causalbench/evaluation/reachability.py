"""Which genes a network reaches from which, by CausalBench's rounds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def path_closures(adjacency: np.ndarray, max_path_length: int) -> Iterator[np.ndarray]:
    """Yield after each round what can be reached, until nothing changes.

    CausalBench's `max_path_length` is a number of rounds plus one, and a round joins everything reached so far: the
    longest path doubles in each, so 3 allows paths of 4 edges.

    Parameters
    ----------
    adjacency
        bool, G × G, source × target.
    max_path_length
        As CausalBench's: 1 or less for no round, −1 for as many as change something.

    Yields
    ------
    np.ndarray
        bool, G × G: reached, never from a gene to itself.
    """
    reached = adjacency
    for _ in range((len(adjacency) if max_path_length == -1 else max_path_length) - 1):
        steps = reached.astype(np.float32)  # counts below 2²⁴ are exact, and the product is a fast one
        deeper = reached | (steps @ steps > 0)
        np.fill_diagonal(deeper, False)
        if np.array_equal(deeper, reached):
            return
        reached = deeper
        yield reached


def reachable(adjacency: np.ndarray, max_path_length: int = -1) -> np.ndarray:
    """Give the last of `path_closures`, or the adjacency itself where nothing is added; without rounds −1: ancestors.

    Parameters
    ----------
    adjacency
        bool, G × G, source × target.
    max_path_length
        As CausalBench's; −1 for paths of any length.
    """
    reached = adjacency
    for deeper in path_closures(adjacency, max_path_length):
        reached = deeper
    return reached


def adjacency_matrix(source: np.ndarray, target: np.ndarray, num_genes: int) -> np.ndarray:
    """Mark the edges in a bool matrix, source × target."""
    adjacency = np.zeros((num_genes, num_genes), bool)
    adjacency[source, target] = True
    return adjacency
