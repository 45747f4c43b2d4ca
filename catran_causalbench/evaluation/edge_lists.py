"""Conversion of edge lists from gene names to columns, and their checks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from catran_causalbench.errors import InputError
from catran_causalbench.utils.validation import shown


def edge_columns(edges: Sequence[tuple[str, str]], gene_names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns of the sources and of the targets: int64, one per edge, in the order of the edges.

    Raises
    ------
    InputError
        An edge is not a pair, or names an unknown gene.
    """
    columns = {name: column for column, name in enumerate(gene_names)}
    indices = np.empty((len(edges), 2), np.int64)
    for position, edge in enumerate(edges):
        if not isinstance(edge, tuple) or len(edge) != 2:
            raise InputError.of("edges", f"{shown(edge)} at position {position}", "a tuple (source, target)")
        for end, name in enumerate(edge):
            if name not in columns:
                found = f"gene {shown(name)} at position {position}"
                raise InputError.of("edges", found, f"one of the {len(columns)} genes")
            indices[position, end] = columns[name]
    return indices[:, 0], indices[:, 1]


def check_ranking(source: np.ndarray, target: np.ndarray, gene_names: Sequence[str] | None = None) -> None:
    """Raise InputError for self-edges and repeated edges, which would count as discoveries that nobody made.

    The message names the first such edge by its genes, or by its columns without ``gene_names``.
    """
    if len(source) != len(target):
        raise InputError.of("edges", f"{len(source)} sources and {len(target)} targets", "as many of each")

    def name(column: int) -> str:
        return f"column {column}" if gene_names is None else gene_names[column]

    loops = np.flatnonzero(source == target)
    if len(loops):
        gene = name(source[loops[0]])
        raise InputError.of("edges", f"the self-edge {gene} → {gene} at position {loops[0]}", "different genes")
    pairs = np.stack([source, target], axis=1)
    first = np.unique(pairs, axis=0, return_index=True)[1]
    if len(first) < len(pairs):
        repeated = np.setdiff1d(np.arange(len(pairs)), first)[0]
        edge = " → ".join(map(name, pairs[repeated]))
        raise InputError.of("edges", f"{edge} again at position {repeated}", "distinct edges")
