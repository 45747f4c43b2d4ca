"""Edge lists as columns, and what is refused."""

import numpy as np
import pytest

from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.edge_lists import check_ranking, edge_columns

GENES = ("A", "B", "C")


def test_columns_come_in_the_order_of_the_edges():
    source, target = edge_columns([("C", "A"), ("A", "B"), ("B", "B")], GENES)
    assert (source.tolist(), target.tolist()) == ([2, 0, 1], [0, 1, 1])
    assert source.dtype == target.dtype == np.int64
    assert [len(columns) for columns in edge_columns([], GENES)] == [0, 0]


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([("A", "B"), ("A", "nobody")], "edges: found gene 'nobody' at position 1; expected one of the 3 genes"),
        ([("A", "B"), ("A", "B", 0.5)], r"edges: found \('A', 'B', 0.5\) at position 1; expected a tuple"),
        (["AB"], "edges: found 'AB' at position 0; expected a tuple"),
    ],
)
def test_unusable_edges(edges, message):
    with pytest.raises(InputError, match=message):
        edge_columns(edges, GENES)


@pytest.mark.parametrize(
    ("source", "target", "names", "message"),
    [
        ([1, 0, 1], [2, 1, 2], None, "edges: found column 1 → column 2 again at position 2; expected distinct"),
        ([1, 0, 1], [2, 1, 2], GENES, "edges: found B → C again at position 2; expected distinct"),
        ([1, 2], [2, 2], None, "edges: found the self-edge column 2 → column 2 at position 1; expected different"),
        ([1, 2], [2, 2], GENES, "edges: found the self-edge C → C at position 1; expected different"),
        ([1, 2], [2], None, "edges: found 2 sources and 1 targets"),
    ],
)
def test_unusable_rankings(source, target, names, message):
    with pytest.raises(InputError, match=message):
        check_ranking(np.array(source), np.array(target), names)


def test_both_directions_of_a_pair_are_distinct_edges():
    check_ranking(np.array([0, 1, 2, 2]), np.array([1, 0, 0, 1]))
