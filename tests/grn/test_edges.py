"""Ranking against a brute-force sort, whatever the block size and however many ties."""

import numpy as np
import pytest

from catran_causalbench.grn import edges as edges_module
from catran_causalbench.grn.edges import rank_edges


def brute_force(weights, count):
    genes = len(weights)
    pairs = [(source, target) for source in range(genes) for target in range(genes) if source != target]
    return sorted(pairs, key=lambda pair: (-weights[pair[1], pair[0]], pair))[:count]


@pytest.mark.parametrize("pairs_per_block", [1, 50, 10**6])
@pytest.mark.parametrize("count", [1, 17, 300, 380, 1000])
@pytest.mark.parametrize("levels", [3, 10**9])
def test_equals_a_brute_force_sort(monkeypatch, pairs_per_block, count, levels):
    monkeypatch.setattr(edges_module, "_PAIRS_PER_BLOCK", pairs_per_block)
    weights = np.random.default_rng(count).integers(0, levels, (20, 20)).astype(np.float32)
    found = rank_edges(lambda targets: weights[targets], 20, count)
    assert list(zip(found.source, found.target, strict=True)) == brute_force(weights, count)
    np.testing.assert_array_equal(found.weight, weights[found.target, found.source])


def test_the_weakest_edges_kept_are_those_that_a_sort_keeps():
    weights = np.random.default_rng(1500).permutation(60 * 60).reshape(60, 60).astype(np.float32)
    found = rank_edges(lambda targets: weights[targets], 60, 1500)
    assert list(zip(found.source, found.target, strict=True)) == brute_force(weights, 1500)


def test_all_equal_weights_still_give_distinct_edges():
    found = rank_edges(lambda targets: np.zeros((len(targets), 30)), 30, 100)
    assert len(set(zip(found.source, found.target, strict=True))) == 100
    assert (found.source != found.target).all()


def test_the_rows_given_are_not_changed():
    weights = np.ones((4, 4), dtype=np.float32)
    rank_edges(lambda targets: weights[:], 4, 3)
    assert (weights == 1).all()


def test_table_names_source_and_target():
    weights = np.zeros((3, 3))
    weights[2, 0] = 1  # target c, source a
    table = rank_edges(lambda targets: weights[targets], 3, 1).table(["a", "b", "c"])
    assert table.to_dict("records") == [{"rank": 1, "source": "a", "target": "c", "weight": 1.0}]
