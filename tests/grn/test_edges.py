"""Ranking against a brute-force sort, whatever the block size and however many ties."""

import numpy as np
import pytest

from catran_causalbench.grn import edges as edges_module
from catran_causalbench.grn.edges import collect_weights, complete_edges, rank_edges


def brute_force(weights, count):
    genes = len(weights)
    pairs = [(source, target) for source in range(genes) for target in range(genes) if source != target]
    return sorted(pairs, key=lambda pair: (-weights[pair], pair))[:count]


@pytest.mark.parametrize("pairs_per_block", [1, 50, 10**6])
@pytest.mark.parametrize("count", [1, 17, 300, 380, 1000])
@pytest.mark.parametrize("levels", [3, 10**9])
def test_equals_a_brute_force_sort(monkeypatch, pairs_per_block, count, levels):
    monkeypatch.setattr(edges_module, "_PAIRS_PER_BLOCK", pairs_per_block)
    weights = np.random.default_rng(count).integers(0, levels, (20, 20)).astype(np.float32)
    found = rank_edges(weights, count)
    assert list(zip(found.source, found.target, strict=True)) == brute_force(weights, count)
    np.testing.assert_array_equal(found.weight, weights[found.source, found.target])


def test_the_weakest_edges_kept_are_those_that_a_sort_keeps():
    weights = np.random.default_rng(1500).permutation(60 * 60).reshape(60, 60).astype(np.float32)
    found = rank_edges(weights, 1500)
    assert list(zip(found.source, found.target, strict=True)) == brute_force(weights, 1500)


def test_all_equal_weights_still_give_distinct_edges():
    found = rank_edges(np.zeros((30, 30)), 100)
    assert len(set(zip(found.source, found.target, strict=True))) == 100
    assert (found.source != found.target).all()


def test_the_weights_given_are_not_changed():
    weights = np.ones((4, 4), dtype=np.float32)
    rank_edges(weights, 3)
    assert (weights == 1).all()


def test_table_names_source_and_target():
    weights = np.zeros((3, 3))
    weights[0, 2] = 1  # source a, target c
    table = rank_edges(weights, 1).table(["a", "b", "c"])
    assert table.to_dict("records") == [{"rank": 1, "source": "a", "target": "c", "weight": 1.0}]


@pytest.mark.parametrize("pairs_per_block", [1, 50, 10**6])
def test_weights_are_collected_block_by_block(monkeypatch, pairs_per_block):
    monkeypatch.setattr(edges_module, "_PAIRS_PER_BLOCK", pairs_per_block)
    attention = np.random.default_rng(0).random((20, 20), np.float32)  # target × source
    np.testing.assert_array_equal(collect_weights(lambda targets: attention[targets], 20), attention.T)


def test_pairs_without_a_score_are_added_at_random():
    weights = np.full((5, 5), -np.inf)
    weights[[0, 3], [1, 2]] = 2.0, 5.0
    known = rank_edges(weights, 10)
    assert list(zip(known.source, known.target, strict=True)) == [(3, 2), (0, 1)]
    first, again, other = (complete_edges(known, 5, 10, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.source, again.source)
    assert not np.array_equal(first.source, other.source)
    assert len({*zip(first.source, first.target, strict=True)}) == len(first) == 10
    np.testing.assert_array_equal(first.weight, [5, 2, *[-np.inf] * 8])
    assert len(complete_edges(known, 5, 100, 0)) == 20
