"""CausalBench's reference networks among the genes of a data set, read from its files.

CausalBench (`causalscbench.data_access.create_evaluation_datasets`) collects the pairs of all genes in loops over
millions of rows. Here a name becomes a column of the expression matrix as soon as it is read, and pairs with any other
gene are dropped, since no edge of the data set could be one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from catran_causalbench.causalbench.manifest import (
    CORUM,
    EXPRESSION_FILES,
    FILES,
    LIGAND_RECEPTOR,
    STRING_NETWORK,
    STRING_PHYSICAL,
    STRING_PROTEINS,
)
from catran_causalbench.causalbench.npz import UNREADABLE
from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    import pyarrow

# In the order in which CausalBench loads them.
NAMES = ("corum", "ligand_receptor", "string_network", "string_physical", "chipseq")

_BLOCK = 2**22  # bytes

Columns = Mapping[Any, int]  # name of a gene or protein → column of the gene, −1 for a gene of no column


@dataclass(frozen=True)
class Networks:
    """The pairs of each network among G genes, and the symbols that stand for one of the genes and for others, too."""

    pairs: dict[str, np.ndarray]  # bool, (G, G), source × target, without self-pairs
    ambiguous: list[str]


def no_networks(genes: int) -> Networks:
    """Return networks without any pair."""
    return Networks({name: np.zeros((genes, genes), dtype=bool) for name in NAMES}, [])


def read_networks(directory: Path, dataset_name: str, gene_names: Sequence[str]) -> Networks:
    """Read the five networks; raise InputError if a file is missing or damaged, or if CausalBench would fail on it."""
    column_of_id = {gene: column for column, gene in enumerate(gene_names)}
    columns, ambiguous = _columns_of_symbols(directory, column_of_id)
    symbol_of = read_proteins(directory / STRING_PROTEINS)
    proteins = {protein: columns.get(symbol, -1) for protein, symbol in symbol_of.items()}
    genes, ligand_and_receptor = len(gene_names), FILES[LIGAND_RECEPTOR].parts[1:]
    pairs = (
        _read_complexes(directory / CORUM, columns, genes),
        _undirected(_read_pairs(directory / LIGAND_RECEPTOR, "\t", ligand_and_receptor, column_of_id, genes)),
        _undirected(_read_links(directory / STRING_NETWORK, proteins, genes)),
        _undirected(_read_links(directory / STRING_PHYSICAL, proteins, genes)),
        _read_pairs(chipseq_file(dataset_name), ",", ("source", "target"), columns, genes),
    )
    for network in pairs:
        np.fill_diagonal(network, False)
    return Networks(dict(zip(NAMES, pairs, strict=True)), ambiguous)


def chipseq_file(dataset_name: str) -> Path:
    """Return the path of CausalBench's ChIP-seq table: from HepG2 cells for RPE1, for which there is none."""
    from causalscbench import data_access

    name = "K562_ChipSeq.csv" if dataset_name == "weissmann_k562" else "Hep_G2_ChipSeq.csv"
    return Path(data_access.__file__).parent / "data" / name


def _columns_of_symbols(directory: Path, column_of_id: Mapping[str, int]) -> tuple[dict[Any, int], list[str]]:
    """Return the column of every symbol, and the ambiguous symbols.

    CausalBench's map from symbols to genes is limited to perturbed ones. Of several genes with one symbol it takes
    whichever comes last in a set, which changes at every start. Here it is one that is perturbed and has a column; of
    several, the first by name.
    """
    genes_of: dict[Any, set[str]] = {}
    perturbed: set[str] = set()
    for name in EXPRESSION_FILES:
        with _reading(directory / name):
            symbols, perturbed_here = read_genes(directory / name)
        perturbed |= perturbed_here
        for symbol, gene in symbols:
            genes_of.setdefault(symbol, set()).add(gene)
    perturbed &= column_of_id.keys()
    columns = {symbol: column_of_id[min(genes & perturbed)] for symbol, genes in genes_of.items() if genes & perturbed}
    return columns, sorted(str(symbol) for symbol in columns if len(genes_of[symbol]) > 1)


def read_genes(path: Path) -> tuple[Iterable[tuple[Any, str]], set[str]]:
    """Return symbol and id of every gene of an .h5ad, and the ids of the perturbed genes; expression is not read."""
    import anndata

    adata = anndata.read_h5ad(path, backed="r")
    try:
        return zip(adata.var["gene_name"], adata.var_names, strict=True), set(adata.obs["gene_id"].unique())
    finally:
        adata.file.close()


def read_proteins(path: Path) -> dict[str, Any]:
    """Return the symbol of each of STRING's proteins."""
    import pandas as pd

    parts = list(FILES[STRING_PROTEINS].parts)
    with _reading(path):
        table = pd.read_csv(path, sep="\t", compression="gzip", usecols=parts, dtype={parts[0]: str})
        return dict(table[parts].dropna(subset=parts[:1]).itertuples(index=False))


def _read_complexes(path: Path, columns: Columns, genes: int) -> np.ndarray:
    """Return all pairs of genes that share a protein complex."""
    import pandas as pd

    (part,) = FILES[CORUM].parts
    with _reading(path):
        members = pd.read_csv(path, sep="\t", compression="zip", usecols=[part], dtype=str)[part]
    if members.isna().any():
        found = f"{members.isna().sum()} complexes without names of genes"
        raise InputError.of(str(path), found, "names for every complex, or CausalBench fails")
    network = np.zeros((genes, genes), bool)
    for names in members:
        group = [columns[name] for name in names.split(";") if name in columns]
        network[np.ix_(group, group)] = True
    return network


def _read_pairs(path: Path, separator: str, parts: Sequence[str], columns: Columns, genes: int) -> np.ndarray:
    """Return the pairs of a table, from the gene of its first part to that of its second."""
    import pandas as pd

    network = np.zeros((genes + 1, genes + 1), bool)
    with _reading(path):
        table = pd.read_csv(path, sep=separator, usecols=list(parts)).dropna()
        source, target = (table[part].map(columns).fillna(-1).to_numpy(np.int64) for part in parts)
    network[source, target] = True  # −1 is the last row and column
    return network[:genes, :genes]


def _read_links(path: Path, proteins: Columns, genes: int) -> np.ndarray:
    """Return the links of one of STRING's networks."""
    import pyarrow
    from pyarrow import compute

    known, columns = pyarrow.array(list(proteins), pyarrow.string()), np.array(list(proteins.values()), np.int64)
    network = np.zeros((genes + 1, genes + 1), bool)
    for block in read_links(path):
        positions = [compute.index_in(names, value_set=known) for names in block.columns]
        if any(found.null_count for found in positions):
            found = f"a file that cannot be read (a link of a protein that {STRING_PROTEINS} does not name)"
            raise InputError.of(str(path), found, "CausalBench's file")
        source, target = (columns[found.to_numpy()] for found in positions)
        network[source, target] = True  # −1 is the last row and column
    return network[:genes, :genes]


def read_links(path: Path) -> Iterator[pyarrow.RecordBatch]:
    """Yield the millions of links of one of STRING's networks in blocks, with columns ``protein1`` and ``protein2``."""
    import pyarrow
    from pyarrow import csv

    file = FILES[path.name]
    with _reading(path):
        yield from csv.open_csv(
            path,
            read_options=csv.ReadOptions(block_size=_BLOCK),
            parse_options=csv.ParseOptions(delimiter=file.separator),
            convert_options=csv.ConvertOptions(
                include_columns=list(file.parts), column_types=dict.fromkeys(file.parts, pyarrow.string())
            ),
        )


def _undirected(network: np.ndarray) -> np.ndarray:
    return network | network.T


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn whatever a missing or damaged file raises into InputError."""
    try:
        yield
    except (*UNREADABLE, TypeError) as error:
        raise InputError.of(str(path), f"a file that cannot be read ({error})", "CausalBench's file") from None
