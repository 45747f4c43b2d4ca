"""A network's edges from a table that the user gives, for a simulated world to act through."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# How tables write the sign of an edge, in lower case; a number counts by its sign.
_SIGNS = {"activation": 1, "+": 1, "repression": -1, "-": -1, "unknown": 0, "": 0, "nan": 0}
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


@dataclass(frozen=True)
class Topology:
    """Who regulates whom, among G genes.

    Attributes
    ----------
    gene_names
        Length G.
    edges
        bool, (G, G), source × target, nothing on the diagonal.
    signs
        int8, (G, G): 1 for activation, −1 for repression, 0 where the table does not say or contradicts itself.
    origin
        Name of the table.
    """

    gene_names: tuple[str, ...]
    edges: NDArray[np.bool_]
    signs: NDArray[np.int8]
    origin: str

    def neighbourhood(self, genes: int, seed: int) -> Topology:
        """Choose genes that hang together, and keep the edges among them.

        Chosen are, one after the other, genes with an edge to those chosen before, drawn by the number of such edges; a
        hub, drawn by its number of targets, is the first, and the next where nothing is left to grow to.

        Parameters
        ----------
        genes
            How many.
        seed
            Decides the draws.

        Raises
        ------
        InputError
            There are not so many genes in the table.
        """
        if not 2 <= genes <= len(self.gene_names):
            raise InputError.of("genes", str(genes), f"2 to {len(self.gene_names)}, the genes of {self.origin}")
        rng = np.random.default_rng(seed)
        partners = (self.edges | self.edges.T).astype(float)
        targets = self.edges.sum(axis=1).astype(float)
        ties, free = np.zeros(len(partners)), np.ones(len(partners), dtype=bool)
        for _ in range(genes):
            # A gene that only has regulators left outside can no longer start a neighbourhood: all are alike then.
            weights = next(w for w in (ties * free, targets * free, free.astype(float)) if w.any())
            gene = rng.choice(len(partners), p=weights / weights.sum())
            free[gene] = False
            ties += partners[gene]
        kept = np.flatnonzero(~free)
        names = tuple(self.gene_names[gene] for gene in kept)
        return Topology(names, self.edges[np.ix_(kept, kept)], self.signs[np.ix_(kept, kept)], self.origin)


def read_topology(path: str | os.PathLike[str]) -> Topology:
    """Read a table of edges.

    Parameters
    ----------
    path
        A .csv, .tsv or .txt (the latter two separated by tabs; .gz may follow) with columns ``source``, ``target``
        and, if the signs are known, ``sign``: activation, repression or unknown, + or −, or a number that counts by
        its sign. A table without headings has to hold these three columns first, as TRRUST's does.

    Returns
    -------
    Topology
        All genes of the table by name; edges from a gene to itself are left out, repeated ones count once.

    Raises
    ------
    InputError
        Naming the file, what was found and what was expected.
    """
    path = Path(path)
    table = _read_table(path)
    signs = _read_signs(path, table["sign"])
    source, target = (table[column].str.strip() for column in ("source", "target"))
    if (source == "").any() or (target == "").any():
        row = int(np.flatnonzero((source == "") | (target == ""))[0])
        raise InputError.of(path.name, f"an edge without a gene in row {row + 1}", "source and target in every row")
    other = (source != target).to_numpy()
    names = sorted({*source[other], *target[other]})
    if len(names) < 2:
        raise InputError.of(path.name, f"{len(table)} rows without an edge between two genes", "at least one")
    column = {name: position for position, name in enumerate(names)}
    rows, columns = source[other].map(column).to_numpy(), target[other].map(column).to_numpy()
    activates, represses = np.zeros((2, len(names), len(names)), dtype=bool)
    edges = activates.copy()
    edges[rows, columns] = True
    activates[rows[signs[other] > 0], columns[signs[other] > 0]] = True
    represses[rows[signs[other] < 0], columns[signs[other] < 0]] = True
    return Topology(tuple(names), edges, activates.astype(np.int8) - represses.astype(np.int8), path.name)


def _read_table(path: Path) -> pd.DataFrame:
    """Read the columns source, target and sign as text."""
    import pandas as pd

    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    if not suffixes or suffixes[-1] not in _SEPARATORS:
        raise InputError.of("topology", f"a file named {path.name}", "a .csv, .tsv or .txt, perhaps with .gz")
    try:
        table = pd.read_csv(path, sep=_SEPARATORS[suffixes[-1]], header=None, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError.of("topology", f"no file {str(path)!r}", "an existing table of edges") from None
    except (OSError, ValueError) as error:
        raise InputError.of(path.name, f"no readable table ({error})", "rows of source, target and sign") from None
    head = [str(name).strip().lower() for name in table.iloc[0]]
    if {"source", "target"} <= set(head):
        table = table[1:].set_axis(head, axis=1)
        return table.assign(sign=table["sign"] if "sign" in head else "").reset_index(drop=True)
    if len(head) < 3 or head[2] not in _SIGNS:
        raise InputError.of(path.name, f"columns {', '.join(head[:5])}", "columns source, target and perhaps sign")
    return table.iloc[:, :3].set_axis(["source", "target", "sign"], axis=1)


def _read_signs(path: Path, values: pd.Series) -> np.ndarray:
    signs = {}
    for value in values.unique():
        word = value.strip().lower()
        try:
            signs[value] = _SIGNS[word] if word in _SIGNS else int(np.sign(float(word)))
        except ValueError:
            expected = "activation, repression, unknown, +, - or a number"
            raise InputError.of(path.name, f"the sign {value!r}", expected) from None
    return values.map(signs).to_numpy()
