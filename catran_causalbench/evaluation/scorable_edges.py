"""The edges of any table that can be scored on held-out cells, and why the others cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.held_out import HeldOutEvaluator

if TYPE_CHECKING:
    import pandas as pd

_ENDS = ["source", "target"]
_UNKNOWN, _SHARED = -1, -2
# Columns that say which edges are the best ones, and whether their numbers rise from the best edge on.
_ORDERS = {"rank": True, "importance": False}
_REASONS = {
    "unknown_gene": "with a gene that is not in the data",
    "shared_symbol": "with a symbol that several genes have",
    "self_edge": "from a gene to itself",
    "untested_source": "from a gene that is perturbed in no held-out cell",
    "repeated": "that repeat an edge farther up",
}


@dataclass(frozen=True)
class ScorableEdges:
    """Distinct edges that can be scored, best first.

    Attributes
    ----------
    edges
        Pairs (source, target) of names of columns of the expression matrix.
    rows
        Number of edges in the table.
    left_out
        Number of edges that cannot be scored, by the reason: ``unknown_gene``, ``shared_symbol``, ``self_edge``,
        ``untested_source`` or ``repeated``. An edge has the first reason that holds.
    unknown
        The first name of no gene, if there is any.
    sorted_by
        The column by which the table was sorted; empty if its rows were in order.
    """

    edges: list[tuple[str, str]]
    rows: int
    left_out: dict[str, int]
    unknown: str
    sorted_by: str

    def remarks(self) -> list[str]:
        """Say in a sentence each what was left out, and how the edges were sorted, if so."""
        left_out = f"{self.rows - len(self.edges):,} of {self.rows:,} edges are left out: {self._reasons()}."
        ordered = f"The best edges did not come first: sorted by {self.sorted_by}."
        return [left_out] * bool(self.left_out) + [ordered] * bool(self.sorted_by)

    def _reasons(self) -> str:
        example = {"unknown_gene": f" ({self.unknown!r}, for one)"}
        return "; ".join(f"{rows:,} {_REASONS[key]}{example.get(key, '')}" for key, rows in self.left_out.items())


def scorable_edges(table: pd.DataFrame, held_out: HeldOutEvaluator, symbols: Mapping[str, str]) -> ScorableEdges:
    """Find the edges of a table that can be scored.

    Parameters
    ----------
    table
        From :func:`~catran_causalbench.data.edge_table.read_edge_table`, best edges first. It is sorted by its column
        ``rank``, from the lowest on, or else ``importance``, from the highest on, if it has one.
    held_out
        The held-out cells.
    symbols
        Symbols of genes by their ids, which name the columns of the expression matrix. Edges may use either; a name
        that is the id of one gene and the symbol of another stands for the first.

    Raises
    ------
    InputError
        No edge can be scored, or the column to sort by does not hold numbers.
    """
    import pandas as pd

    table, sorted_by = _best_first(table)
    column_of = _columns_by_name(held_out.gene_names, symbols)
    source, target = (table[end].map(column_of).fillna(_UNKNOWN).to_numpy(np.int64) for end in _ENDS)
    wrong = {
        "unknown_gene": (source == _UNKNOWN) | (target == _UNKNOWN),
        "shared_symbol": (source == _SHARED) | (target == _SHARED),
        "self_edge": source == target,
        "untested_source": held_out.num_cells[source] == 0,
        "repeated": pd.DataFrame({"source": source, "target": target}).duplicated().to_numpy(),
    }
    kept, left_out = np.ones(len(table), bool), {}
    for reason, mask in wrong.items():
        if (kept & mask).any():
            left_out[reason] = int((kept & mask).sum())
        kept &= ~mask
    unknown = next((name for edge in table[_ENDS].to_numpy() for name in edge if name not in column_of), "")
    names = held_out.gene_names
    edges = [(names[i], names[j]) for i, j in zip(source[kept], target[kept], strict=True)]
    scorable = ScorableEdges(edges, len(table), left_out, unknown, sorted_by)
    if not edges:
        found = f"no edge that can be scored among {len(table):,}: {scorable._reasons()}" if len(table) else "no edges"
        expected = f"edges between genes of the data, such as {names[0]!r} or {symbols.get(names[0], names[1])!r}"
        raise InputError.of("network", found, expected)
    return scorable


def _best_first(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the table with its best edges first, and the column by which it had to be sorted, if so."""
    import pandas as pd

    column = next((column for column in _ORDERS if [*table].count(column) == 1), "")
    if not column:
        return table, ""
    numbers = pd.to_numeric(table[column], errors="coerce")
    if numbers.isna().any():
        found = f"{table[column][numbers.isna().idxmax()]!r} in the column {column}"
        raise InputError.of("network", found, "numbers, by which the edges are sorted")
    order = numbers.sort_values(ascending=_ORDERS[column], kind="stable").index
    return table.loc[order].reset_index(drop=True), "" if order.is_monotonic_increasing else column


def _columns_by_name(gene_ids: Sequence[str], symbols: Mapping[str, str]) -> dict[str, int]:
    """Return the column of every id, and of every symbol, or ``_SHARED`` where several genes have it."""
    genes_of = Counter(symbols.get(gene, gene) for gene in gene_ids)
    by_symbol = {
        symbols[gene]: _SHARED if genes_of[symbols[gene]] > 1 else column
        for column, gene in enumerate(gene_ids)
        if gene in symbols
    }
    return by_symbol | {gene: column for column, gene in enumerate(gene_ids)}
