"""The names by which the genes of a screen are known, and the choice of the genes that are considered."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# Columns of `var` that usually hold names of genes, in whatever case; where several hold symbols, the first is used.
SYMBOL_COLUMNS = (
    *("gene_name", "gene_names", "gene_symbol", "gene_symbols", "feature_name", "gene_short_name", "symbol"),
    *("hgnc_symbol", "mgi_symbol", "external_gene_name", "gene"),
)
ID_COLUMNS = ("gene_id", "gene_ids", "ensembl_id", "ensembl_gene_id", "ensembl", "feature_id")

_TEXT = ("object", "string", "str", "category")  # types of columns
_VERSION = re.compile(r"(ENS[A-Z]*\d{6,})\.\d+")


@dataclass(frozen=True)
class GeneNames:
    """The names of the G genes of a screen.

    Attributes
    ----------
    ids
        Length G: ``var_names``; where these are not distinct, the names in the chosen column.
    columns
        Length G each: names by column of ``var``, with the id where a gene has none.
    chosen
        The column that shall name the genes, or None to name them as the labels do.
    """

    ids: np.ndarray
    columns: dict[str, np.ndarray]
    chosen: str | None = None

    @classmethod
    def of(cls, var: pd.DataFrame, chosen: str | None = None) -> GeneNames:
        """Read the names from ``var``: from the usual columns, and from the one chosen.

        Raises
        ------
        InputError
            There is no such column.
        """
        if chosen is not None and chosen not in var:
            expected = f"one of {', '.join(map(str, var.columns)) or 'its columns, of which there are none'}"
            raise InputError.of("gene_names", f"no {chosen!r} in var", expected)
        usual = (*SYMBOL_COLUMNS, *ID_COLUMNS)
        found = sorted((key for key in var if str(key).lower() in usual), key=lambda key: usual.index(key.lower()))
        return cls._read(var, [*found, *([] if chosen is None else [chosen])], chosen)

    @classmethod
    def of_every_column(cls, var: pd.DataFrame) -> GeneNames:
        """Read the names from ``var``, and take every column of text for one of names."""
        return cls._read(var, text_columns(var), None)

    @classmethod
    def _read(cls, var: pd.DataFrame, keys: Iterable[str], chosen: str | None) -> GeneNames:
        ids = np.array(var.index.astype(str), dtype=object)
        named = {key: var[key].astype(str).str.strip() for key in keys}
        columns = {key: np.where(var[key].isna() | (names == ""), ids, names) for key, names in named.items()}
        if chosen is not None and len(set(ids)) < len(ids):
            ids = columns[chosen]
        return cls(ids, columns, chosen)

    def find(self, name: str, field: str) -> int | None:
        """Return the column in the matrix of the gene with this name, or None if no gene has it.

        The name is looked for in the chosen column of ``var``, then among the ids, then in the other columns. At last
        the versions of Ensembl ids are dropped, if one gene is left.

        Raises
        ------
        InputError
            Several genes have this name; the error is about ``field``.
        """
        genes = self._genes_of.get(name, ())
        if len(genes) > 1:
            first, second, *_ = self.ids[sorted(genes)]
            if first == second:
                raise _duplicated(first, len(genes))
            raise InputError.of(field, f"{name!r}, a name of {first} and {second}", "names of one gene each")
        genes = genes or self._genes_without_version.get(without_version(name), ())
        return next(iter(genes)) if len(genes) == 1 else None

    def is_shared(self, name: str) -> bool:
        """Return whether genes with different ids have this name."""
        return len({self.ids[gene] for gene in self._genes_of.get(name, ())}) > 1

    def like(self, wanted: Collection[str]) -> np.ndarray:
        """Return the names of all genes from the chosen column, or else from where most of the wanted names are found.

        A name that several genes share is replaced by their ids.
        """
        if self.chosen is not None:
            return self._distinct(self.columns[self.chosen])
        known = set(map(without_version, wanted))
        candidates = (self.ids, *self.columns.values())
        return self._distinct(max(candidates, key=lambda names: len(known.intersection(map(without_version, names)))))

    @property
    def known(self) -> Collection[str]:
        """All names by which a gene is known."""
        return self._genes_of.keys()

    @property
    def symbols(self) -> np.ndarray:
        """The names from the chosen column, or else the first column of symbols; the ids where there is none."""
        symbols = [names for key, names in self.columns.items() if key.lower() in SYMBOL_COLUMNS]
        return self._distinct([*symbols, self.ids][0] if self.chosen is None else self.columns[self.chosen])

    def _distinct(self, names: np.ndarray) -> np.ndarray:
        count = Counter(names)
        return np.where([count[name] > 1 for name in names], self.ids, names)

    @cached_property
    def _genes_of(self) -> dict[str, set[int]]:
        chosen = [] if self.chosen is None else [self.columns[self.chosen]]
        genes_of: dict[str, set[int]] = {}
        for level in (chosen, [self.ids], self.columns.values()):
            genes_of = _index(level) | genes_of
        return genes_of

    @cached_property
    def _genes_without_version(self) -> dict[str, set[int]]:
        every = (self.ids, *self.columns.values())
        return _index([[without_version(name) for name in names] for names in every])


def text_columns(var: pd.DataFrame) -> list[str]:
    """Return the columns of ``var`` that hold text."""
    return [key for key in var if var[key].dtype.name in _TEXT]


def without_version(name: str) -> str:
    """Return an Ensembl id without the version after its dot, and any other name as it is."""
    versioned = _VERSION.fullmatch(name)
    return versioned[1] if versioned else name


def choose_columns(
    names: GeneNames, intervention: np.ndarray, genes: str | Sequence[str], min_cells: int, unmatched: str = ""
) -> np.ndarray:
    """Return the columns of the genes considered, ascending.

    ``intervention`` is the column of the gene perturbed in each cell; ``unmatched`` tells of labels that name no gene.
    """
    if not isinstance(genes, str):
        wanted = {str(name): names.find(str(name), "genes") for name in genes}
        missing = sorted(name for name, column in wanted.items() if column is None)
        if missing or not wanted:
            found = f"{len(missing)} that are not measured, as {missing[0]!r}" if missing else "none"
            raise InputError.of("genes", found, "measured genes")
        columns = np.unique(list(wanted.values()))
    elif genes == "all":
        columns = np.arange(len(names.ids))
    elif genes == "perturbed":
        columns = _perturbed(intervention, len(names.ids), min_cells, unmatched)
    else:
        raise InputError.of("genes", repr(genes), "'perturbed', 'all' or a list of names")
    for name, count in Counter(names.ids[columns]).most_common(1):
        if count > 1:
            raise _duplicated(name, count)
    return columns


def _perturbed(intervention: np.ndarray, genes: int, min_cells: int, unmatched: str) -> np.ndarray:
    cells_of = np.bincount(intervention[intervention >= 0], minlength=genes)
    perturbed = np.flatnonzero(cells_of > min_cells)
    if len(perturbed) >= 2:
        return perturbed
    if not cells_of.any():
        found = "no cell whose label names one measured gene"
        raise InputError.of("perturbation_key", found, "the column of the perturbed genes, or other genes to consider")
    found = f"{len(perturbed)} measured genes with more than {min_cells} perturbed cells (the most: {cells_of.max()})"
    expected = "at least 2; lower it, or name the genes"
    raise InputError.of("min_cells", f"{found}; {unmatched}" if unmatched else found, expected)


def _index(lists: Iterable[Iterable[str]]) -> dict[str, set[int]]:
    index: dict[str, set[int]] = {}
    for names in lists:
        for gene, name in enumerate(names):
            index.setdefault(name, set()).add(gene)
    return index


def _duplicated(name: str, genes: int) -> InputError:
    expected = "distinct names, by adata.var_names_make_unique() or from a column of var by gene_names=COLUMN"
    return InputError.of("var_names", f"{name!r} for {genes} genes", expected)
