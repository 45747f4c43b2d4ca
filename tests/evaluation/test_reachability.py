"""Reachable pairs against a search, and CausalBench's rounds."""

import numpy as np

from catran_causalbench.evaluation.reachability import adjacency_matrix, reachable, reachable_by_round


def search_ancestors(network):
    """Depth-first search, as slow as it is plain."""
    joined = np.zeros_like(network)
    for start in range(len(network)):
        stack = list(np.flatnonzero(network[start]))
        while stack:
            gene = stack.pop()
            if not joined[start, gene]:
                joined[start, gene] = True
                stack.extend(np.flatnonzero(network[gene]))
        joined[start, start] = False
    return joined


def test_ancestors_are_all_that_a_search_finds():
    rng = np.random.default_rng(1)
    for density in (0.02, 0.05, 0.1, 0.3):
        network = rng.random((40, 40)) < density
        np.fill_diagonal(network, False)
        np.testing.assert_array_equal(reachable(network), search_ancestors(network))


def test_rounds_double_the_paths():
    chain = adjacency_matrix(np.arange(9), np.arange(1, 10), 10)
    for max_path_length, longest in ((0, 1), (1, 1), (2, 2), (3, 4), (4, 8), (-1, 9)):
        reached = reachable(chain, max_path_length)
        assert set(np.flatnonzero(reached[0])) == set(range(1, longest + 1))


def test_rounds_end_when_nothing_changes():
    chain = adjacency_matrix(np.arange(9), np.arange(1, 10), 10)
    rounds = [int(reached.sum()) for reached in reachable_by_round(chain, 100)]
    assert rounds == [17, 30, 44, 45]  # pairs at a distance of at most 2, 4, 8 and 9


def test_adjacency_matrix_marks_source_by_target():
    network = adjacency_matrix(np.array([0, 2]), np.array([1, 0]), 3)
    np.testing.assert_array_equal(np.argwhere(network), [[0, 1], [2, 0]])
