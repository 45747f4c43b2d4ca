"""Which edges of a user's table can be scored: names, what is left out and why, and the order."""

import numpy as np
import pandas as pd
import pytest
from held_out_cells import GENES, counts

from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.held_out import HeldOutEvaluator
from catran_causalbench.evaluation.scorable_edges import scorable_edges

UNPERTURBED = GENES[-1]
SYMBOLS = {gene: f"symbol{number}" for number, gene in enumerate(GENES)}


@pytest.fixture(scope="module")
def held_out():
    labels = ["non-targeting"] * 30 + [gene for gene in GENES if gene != UNPERTURBED for _ in range(5)]
    return HeldOutEvaluator(counts(np.random.default_rng(0), (len(labels), len(GENES))), labels, GENES)


def find(held_out, edges, symbols=SYMBOLS, **columns):
    source, target = zip(*edges, strict=True)
    return scorable_edges(pd.DataFrame({"source": source, "target": target, **columns}), held_out, symbols)


def test_ids_and_symbols_name_the_same_genes(held_out):
    found = find(held_out, [("G0", "symbol1"), ("symbol2", "G1"), ("symbol3", "symbol11")])
    assert found.edges == [("G0", "G1"), ("G2", "G1"), ("G3", "G11")]
    assert found.left_out == {}
    assert found.remarks() == []


def test_an_id_counts_before_a_symbol(held_out):
    """Some databases call one gene by the id of another."""
    assert find(held_out, [("G0", "G1")], SYMBOLS | {"G5": "G0"}).edges == [("G0", "G1")]


@pytest.mark.guarantee(
    "Input",
    "`evaluate` scores the edges that can be scored, and counts the others by the reason.",
)
def test_what_cannot_be_scored_is_counted_by_its_reason(held_out):
    edges = [
        ("G0", "G1"),
        ("TP53", "G1"), ("G1", "MYC"), ("TP53", "TP53"),  # unknown
        ("twin", "G1"),  # a symbol of G7 and G8
        ("G2", "symbol2"),  # a self-edge
        (UNPERTURBED, "G0"),
        ("G1", UNPERTURBED),
        ("symbol0", "G1"), ("G0", "G1"),  # repeat the first
        ("G7", "G8"),
    ]  # fmt: skip
    found = find(held_out, edges, SYMBOLS | {"G7": "twin", "G8": "twin"})
    assert found.edges == [("G0", "G1"), ("G1", UNPERTURBED), ("G7", "G8")]
    assert found.rows == len(edges) == len(found.edges) + sum(found.left_out.values())
    reasons = ["unknown_gene", "shared_symbol", "self_edge", "untested_source", "repeated"]
    assert found.left_out == dict(zip(reasons, [3, 1, 1, 1, 2], strict=True))
    (remark,) = found.remarks()
    assert remark.startswith("8 of 11 edges are left out: 3 with a gene that is not in the data ('TP53', for one); 1 ")


def test_nothing_left_is_an_error(held_out):
    with pytest.raises(InputError, match=r"among 2: 1 with a gene .*'TP53'.*; 1 from a gene to itself; expected edges"):
        find(held_out, [("TP53", "G1"), ("G1", "G1")])
    with pytest.raises(InputError, match=r"^network: found no edges; expected edges between .*'G0' or 'symbol0'$"):
        scorable_edges(pd.DataFrame({"source": [], "target": []}, dtype=str), held_out, SYMBOLS)
    with pytest.raises(InputError, match=r"expected edges between .*'G0' or 'G1'$"):
        scorable_edges(pd.DataFrame({"source": [], "target": []}, dtype=str), held_out, {})


def test_edges_are_sorted_by_rank_or_importance_and_it_is_said(held_out):
    edges = [("G0", "G1"), ("G2", "G1"), ("G3", "G1")]
    found = find(held_out, edges, importance=["2", "1e1", "2.0"])
    assert found.edges == [edges[1], edges[0], edges[2]]
    assert found.remarks() == ["The best edges did not come first: sorted by importance."]
    many = [(source, target) for source in GENES[:-1] for target in GENES if source != target]
    found = find(held_out, many, importance=["1"] * (len(many) - 1) + ["2"])
    assert found.edges == [many[-1], *many[:-1]], "equal ones keep their order"
    found = find(held_out, edges, rank=["10", "9", "1"], importance=["3", "2", "1"])
    assert (found.edges, found.sorted_by) == (edges[::-1], "rank")
    assert find(held_out, edges, importance=["3", "2", "2"]).sorted_by == ""
    with pytest.raises(InputError, match=r"^network: found 'much' in the column importance; expected numbers"):
        find(held_out, edges, importance=["3", "much", "1"])
