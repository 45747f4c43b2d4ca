"""Which genes a network reaches from which, in CausalBench's rounds.

Networks are bool matrices, G × G, source × target. CausalBench's ``max_path_length`` is a number of rounds plus one. In
each round everything reached so far is joined, which doubles the longest path: 3 allows paths of 4 edges. −1 stands for
as many rounds as change something, that is for paths of any length.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def reachable_by_round(network: np.ndarray, max_path_length: int) -> Iterator[np.ndarray]:
    """Yield the reachable pairs after each round, until nothing changes: bool, G × G, no gene from itself."""
    reached = network
    for _ in range((len(network) if max_path_length == -1 else max_path_length) - 1):
        steps = reached.astype(np.float32)  # exact for counts below 2²⁴, and multiplied faster than whole numbers
        deeper = reached | (steps @ steps > 0)
        np.fill_diagonal(deeper, False)
        if np.array_equal(deeper, reached):
            return
        reached = deeper
        yield reached


def reachable(network: np.ndarray, max_path_length: int = -1) -> np.ndarray:
    """Return the reachable pairs after the last round; by default, source is an ancestor of target."""
    reached = network
    for deeper in reachable_by_round(network, max_path_length):
        reached = deeper
    return reached


def adjacency_matrix(source: np.ndarray, target: np.ndarray, num_genes: int) -> np.ndarray:
    """Return the network whose edges are given by the columns of their genes."""
    network = np.zeros((num_genes, num_genes), bool)
    network[source, target] = True
    return network
