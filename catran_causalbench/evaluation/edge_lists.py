"""Edges come as pairs of names and are worked on as columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from catran_causalbench.errors import InputError


def edge_columns(edges: Sequence[tuple[str, str]], gene_names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Look up the genes of each edge.

    Parameters
    ----------
    edges
        E pairs (source, target) of gene names.
    gene_names
        Distinct names of the G columns.

    Returns
    -------
    source, target
        int64, length E: columns, in the order of the edges.

    Raises
    ------
    InputError
        An edge is not a pair, or names an unknown gene.
    """
    columns = {name: column for column, name in enumerate(gene_names)}
    indices = np.empty((len(edges), 2), np.int64)
    for position, edge in enumerate(edges):
        if not isinstance(edge, tuple) or len(edge) != 2:
            raise InputError.of("edges", f"{edge!r} at position {position}", "a tuple (source, target)")
        for end, name in enumerate(edge):
            if name not in columns:
                raise InputError.of(
                    "edges", f"gene {name!r} at position {position}", f"one of the {len(columns)} genes"
                )
            indices[position, end] = columns[name]
    return indices[:, 0], indices[:, 1]


def check_ranking(source: np.ndarray, target: np.ndarray, gene_names: Sequence[str] | None = None) -> None:
    """Refuse self-edges and repeated edges: both would be counted as finds that nobody made.

    Raises
    ------
    InputError
        Naming the first such edge by its genes, or by its columns where they have no names.
    """
    if len(source) != len(target):
        raise InputError.of("edges", f"{len(source)} sources and {len(target)} targets", "as many of each")
    loops = np.flatnonzero(source == target)
    if len(loops):
        gene = _name(source[loops[0]], gene_names)
        raise InputError.of("edges", f"the self-edge {gene} → {gene} at position {loops[0]}", "different genes")
    pairs = np.stack([source, target], axis=1)
    first = np.unique(pairs, axis=0, return_index=True)[1]
    if len(first) < len(pairs):
        repeated = np.setdiff1d(np.arange(len(pairs)), first)[0]
        edge = " → ".join(_name(column, gene_names) for column in pairs[repeated])
        raise InputError.of("edges", f"{edge} again at position {repeated}", "distinct edges")


def _name(column: int, gene_names: Sequence[str] | None) -> str:
    return f"column {column}" if gene_names is None else gene_names[column]
