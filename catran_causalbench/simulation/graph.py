"""A regulatory graph from the user's table of edges, whose edges a simulated network takes over."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.data.dataset import CONTROL_LABEL, EXCLUDED_LABEL
from catran_causalbench.data.edge_table import read_edge_table
from catran_causalbench.errors import InputError
from catran_causalbench.utils.validation import checked, number

if TYPE_CHECKING:
    import pandas as pd

# How tables write the sign of an edge, after `_normalised`; of a number the sign counts.
_SIGNS = {"activation": 1, "+": 1, "repression": -1, "-": -1, "unknown": 0, "": 0, "nan": 0}
# A name must hold no separator of CausalBench's tables, and be no label of cells without a target.
_NO_NAME = rf"[\s;\"]|^$|^{CONTROL_LABEL}$|^{EXCLUDED_LABEL}$"
_SIGN_COLUMNS = ("sign", "mode", "regulation")


@dataclass(frozen=True)
class RegulatoryGraph:
    """The edges between G genes, and the number of the table's rows that were left out."""

    gene_names: tuple[str, ...]
    edges: NDArray[np.bool_]  # (G, G), source × target; False on the diagonal
    signs: NDArray[np.int8]  # (G, G): 1 activation, −1 repression, 0 where the table does not say or contradicts itself
    name: str  # file name of the table
    self_loops: int = 0  # rows with an edge from a gene to itself
    repeats: int = 0  # rows with an edge that another row holds

    def neighbourhood(self, genes: int, seed: int) -> RegulatoryGraph:
        """Draw a number of genes that are connected where possible, and keep the edges among them.

        The first gene is drawn in proportion to its number of targets, each further one in proportion to its number
        of edges with those already drawn. If no gene has such edges, the next is drawn like the first.

        Raises
        ------
        InputError
            The table has fewer genes, or the seed is not a non-negative whole number.
        """
        seed = checked("seed", seed, int, number(low=0).metadata)
        if not 2 <= genes <= len(self.gene_names):
            raise InputError.of("genes", str(genes), f"2 to {len(self.gene_names)}, the genes of {self.name}")
        rng = np.random.default_rng(seed)
        adjacency = (self.edges | self.edges.T).astype(float)
        targets = self.edges.sum(axis=1).astype(float)
        ties, free = np.zeros(len(adjacency)), np.ones(len(adjacency), dtype=bool)
        for _ in range(genes):
            weights = next(w for w in (ties * free, targets * free, free.astype(float)) if w.any())
            gene = rng.choice(len(adjacency), p=weights / weights.sum())
            free[gene] = False
            ties += adjacency[gene]
        kept = np.flatnonzero(~free)
        names, among = tuple(self.gene_names[gene] for gene in kept), np.ix_(kept, kept)
        return replace(self, gene_names=names, edges=self.edges[among], signs=self.signs[among])


def read_regulatory_graph(path: str | os.PathLike[str]) -> RegulatoryGraph:
    """Read a table of edges.

    Parameters
    ----------
    path
        A table that :func:`~catran_causalbench.data.edge_table.read_edge_table` reads, where signs are known with a
        column ``sign``, ``mode`` or ``regulation`` (as ``fit`` writes it): activation, repression or unknown, + or −,
        or a number whose sign counts. A table without a heading must begin with source, target and one of these words,
        as TRRUST's does.

    Returns
    -------
    RegulatoryGraph
        All genes of the table, sorted by name, without edges from a gene to itself.

    Raises
    ------
    InputError
        The file cannot be read as such a table.
    """
    path = Path(path)
    table = _read_table(path)
    table["sign"] = _read_signs(path, table["sign"])
    source, target = table["source"], table["target"]
    for name in sorted({*source[source.str.contains(_NO_NAME)], *target[target.str.contains(_NO_NAME)]}):
        expected = "names of genes without space, quote or semicolon in every row"
        raise InputError.of(path.name, f"the name {name!r}", expected)
    kept = table[source != target]
    if kept.empty:
        raise InputError.of(path.name, f"{len(table)} rows without an edge between two genes", "at least one")
    names, positions = np.unique(kept[["source", "target"]].to_numpy(object), return_inverse=True)
    rows, columns = positions.reshape(-1, 2).T
    edges, activates, represses = np.zeros((3, len(names), len(names)), dtype=bool)
    edges[rows, columns] = True
    for matrix, chosen in ((activates, kept["sign"] > 0), (represses, kept["sign"] < 0)):
        matrix[rows[chosen], columns[chosen]] = True
    signs = activates.astype(np.int8) - represses.astype(np.int8)
    counts = {"self_loops": len(table) - len(kept), "repeats": int(len(kept) - edges.sum())}
    return RegulatoryGraph(tuple(names), edges, signs, path.name, **counts)


def _read_table(path: Path) -> pd.DataFrame:
    """Read the columns source, target and sign as text."""
    import pandas as pd

    table = read_edge_table(path, "graph", lambda row: len(row) >= 3 and _normalised(row[2]) in _SIGNS)
    for column in _SIGN_COLUMNS:
        if table.columns.tolist().count(column) > 1:
            raise InputError.of("graph", f"two columns {column!r} in {path.name}", "each once")
    signs = next((table[column] for column in (*_SIGN_COLUMNS, "2") if column in table), "")
    return pd.DataFrame({"source": table["source"], "target": table["target"], "sign": signs})


def _read_signs(path: Path, values: pd.Series) -> pd.Series:
    signs = {}
    for value in values.unique():
        text = _normalised(value)
        try:
            signs[value] = _SIGNS[text] if text in _SIGNS else int(np.sign(float(text)))
        except ValueError:
            expected = "activation, repression, unknown, +, - or a number"
            raise InputError.of(path.name, f"the sign {value!r}", expected) from None
    return values.map(signs)


def _normalised(text: str) -> str:
    """Strip a text, lower its case, and replace the typographic minus sign by a hyphen."""
    return str(text).strip().lower().replace("−", "-")
