"""A regulatory graph read from the user's table of edges, for a simulation to follow."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.data.dataset import CONTROL_LABEL, EXCLUDED_LABEL
from catran_causalbench.errors import InputError
from catran_causalbench.utils.validation import checked, number

if TYPE_CHECKING:
    import pandas as pd

# How tables write the sign of an edge, after `_normalised`; a number counts by its sign.
_SIGNS = {"activation": 1, "+": 1, "repression": -1, "-": -1, "unknown": 0, "": 0, "nan": 0}
# No gene's name holds what separates the columns of CausalBench's tables, or is the label of cells without a target.
_NO_NAME = rf"[\s;\"]|^$|^{CONTROL_LABEL}$|^{EXCLUDED_LABEL}$"
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


@dataclass(frozen=True)
class RegulatoryGraph:
    """Who regulates whom, among G genes.

    Attributes
    ----------
    gene_names
        Length G.
    edges
        bool, (G, G), source × target, nothing on the diagonal.
    signs
        int8, (G, G): 1 for activation, −1 for repression, 0 where the table does not say or contradicts itself.
    name
        File name of the table.
    self_loops, repeats
        Rows of the table that were left out: edges from a gene to itself, and edges that an earlier row holds.
    """

    gene_names: tuple[str, ...]
    edges: NDArray[np.bool_]
    signs: NDArray[np.int8]
    name: str
    self_loops: int = 0
    repeats: int = 0

    def neighbourhood(self, genes: int, seed: int) -> RegulatoryGraph:
        """Draw a connected set of genes, as far as there is one, and keep the edges among them.

        The first gene is drawn in proportion to its number of targets, each further one in proportion to its number
        of edges with those already drawn. Where none is left that has any, the next is drawn like the first.

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
            # Genes that are left without ties and targets are all alike.
            weights = next(w for w in (ties * free, targets * free, free.astype(float)) if w.any())
            gene = rng.choice(len(adjacency), p=weights / weights.sum())
            free[gene] = False
            ties += adjacency[gene]
        kept = np.flatnonzero(~free)
        names = tuple(self.gene_names[gene] for gene in kept)
        among = np.ix_(kept, kept)
        return replace(self, gene_names=names, edges=self.edges[among], signs=self.signs[among])


def read_regulatory_graph(path: str | os.PathLike[str]) -> RegulatoryGraph:
    """Read a table of edges.

    Parameters
    ----------
    path
        A .csv, .tsv or .txt (the latter two separated by tabs; .gz may follow) with columns ``source``, ``target``
        and, if the signs are known, ``sign`` or ``mode``: activation, repression or unknown, + or −, or a number that
        counts by its sign. A table without a heading must begin with these three columns, as TRRUST's does.

    Returns
    -------
    RegulatoryGraph
        All genes of the table, sorted by name; edges from a gene to itself are left out, repeated ones count once.

    Raises
    ------
    InputError
        Naming the file, what was found and what was expected.
    """
    path = Path(path)
    table = _read_table(path)
    signs = _read_signs(path, table["sign"])
    source, target = (table[column].str.strip() for column in ("source", "target"))
    for name in np.unique([*source[source.str.contains(_NO_NAME)], *target[target.str.contains(_NO_NAME)]]):
        expected = "names of genes without space, quote or semicolon in every row"
        raise InputError.of(path.name, f"the name {str(name)!r}", expected)
    other = (source != target).to_numpy()
    names = sorted({*source[other], *target[other]})
    if len(names) < 2:
        raise InputError.of(path.name, f"{len(table)} rows without an edge between two genes", "at least one")
    column = {name: position for position, name in enumerate(names)}
    rows, columns = source[other].map(column).to_numpy(), target[other].map(column).to_numpy()
    edges, activates, represses = np.zeros((3, len(names), len(names)), dtype=bool)
    edges[rows, columns] = True
    activates[rows[signs[other] > 0], columns[signs[other] > 0]] = True
    represses[rows[signs[other] < 0], columns[signs[other] < 0]] = True
    signs = activates.astype(np.int8) - represses.astype(np.int8)
    loops = int((~other).sum())
    return RegulatoryGraph(tuple(names), edges, signs, path.name, loops, int(other.sum() - edges.sum()))


def _read_table(path: Path) -> pd.DataFrame:
    """Read the columns source, target and sign as text."""
    import pandas as pd

    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    if not suffixes or suffixes[-1] not in _SEPARATORS:
        raise InputError.of("graph", f"a file named {path.name}", "a .csv, .tsv or .txt, perhaps with .gz")
    try:
        table = pd.read_csv(path, sep=_SEPARATORS[suffixes[-1]], header=None, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError.of("graph", f"no file {str(path)!r}", "an existing table of edges") from None
    except (OSError, ValueError) as error:
        raise InputError.of(path.name, f"no readable table ({error})", "rows of source, target and sign") from None
    head = [_normalised(name) for name in table.iloc[0]]
    if {"source", "target"} <= set(head):
        for column in ("source", "target", "sign", "mode"):
            if head.count(column) > 1:
                raise InputError.of(path.name, f"two columns {column!r}", "each once")
        table = table[1:].set_axis(head, axis=1).reset_index(drop=True)
        known = [column for column in ("sign", "mode") if column in head]
        return table.assign(sign=table[known[0]] if known else "")
    if len(head) < 3 or head[2] not in _SIGNS:
        expected = "columns source, target and perhaps sign or mode"
        raise InputError.of(path.name, f"columns {', '.join(head[:5])}", expected)
    return table.iloc[:, :3].set_axis(["source", "target", "sign"], axis=1)


def _read_signs(path: Path, values: pd.Series) -> np.ndarray:
    signs = {}
    for value in values.unique():
        text = _normalised(value)
        try:
            signs[value] = _SIGNS[text] if text in _SIGNS else int(np.sign(float(text)))
        except ValueError:
            expected = "activation, repression, unknown, +, - or a number"
            raise InputError.of(path.name, f"the sign {value!r}", expected) from None
    return values.map(signs).to_numpy()


def _normalised(text: str) -> str:
    """Lower the case, and make a typeset minus the one that keyboards have."""
    return str(text).strip().lower().replace("−", "-")
