"""SIMULATED reference networks in the formats, and as long as, those that CausalBench downloads."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from catran_causalbench.causalbench.build.file_formats import table_bytes, zip_bytes
from catran_causalbench.causalbench.manifest import (
    CORUM,
    LIGAND_RECEPTOR,
    STRING_NETWORK,
    STRING_PHYSICAL,
    STRING_PROTEINS,
)

if TYPE_CHECKING:
    from replogle_files import Gene

ROWS_AT_ONCE = 2**20


@dataclass(frozen=True)
class ReferenceSizes:
    """Numbers of rows; by default about those of STRING 11.5 (human), CORUM and CellTalkDB."""

    proteins: int = 18_600  # STRING has 19,566, the table with the symbols fewer
    network: int = 11_938_498  # every link in both directions
    physical: int = 1_500_000
    complexes: int = 5_000
    ligand_receptor: int = 3_398


def known_symbols() -> np.ndarray:
    """Return the real gene symbols in the ChIP-seq table that comes with CausalBench, sorted."""
    from importlib.resources import files

    table = files("causalscbench.data_access").joinpath("data/K562_ChipSeq.csv")
    with table.open("rb") as content:
        return np.unique(pd.read_csv(content, usecols=["target"])["target"].dropna().astype(str))


def write_references(
    folder: Path, sizes: ReferenceSizes, genes: Sequence[Gene], essential: int, rng: np.random.Generator
) -> list[str]:
    """Write all reference networks, and return the names of the files.

    The first `essential` genes have five times as many links as the others, so that a quarter of the pairs of a
    benchmark's genes is linked at full size.
    """
    weights = rng.lognormal(sigma=0.5, size=sizes.proteins)
    weights[:essential] *= 5
    weights /= weights.sum()
    proteins = np.frombuffer(b"".join(b"9606.ENSP9%010d" % number for number in range(len(genes))), np.uint8)
    proteins = proteins.reshape(len(genes), -1)
    links = _sample_links(sizes.network // 2, weights, rng)
    physical = links[np.sort(rng.permutation(len(links))[: sizes.physical // 2])]
    subscores = b"neighborhood fusion cooccurence coexpression experimental database textmining"
    _write_links(folder / STRING_NETWORK, links, proteins, subscores, rng)
    _write_links(folder / STRING_PHYSICAL, physical, proteins, b"experimental database textmining", rng)

    rows: Iterable[Sequence[str]] = (
        [bytes(protein).decode(), gene.symbol, "300", "simulated"]
        for protein, gene in zip(proteins, genes, strict=True)
    )
    heading = ["#string_protein_id", "preferred_name", "protein_size", "annotation"]
    (folder / STRING_PROTEINS).write_bytes(gzip.compress(table_bytes("\t", heading, rows), mtime=0))

    groups = (rng.choice(len(genes), 2 + rng.poisson(3), p=weights) for _ in range(sizes.complexes))
    rows = (
        [str(number), "simulated", "Human", ";".join(genes[i].symbol for i in group)]
        for number, group in enumerate(groups)
    )
    complexes = table_bytes("\t", ["ComplexID", "ComplexName", "Organism", "subunits(Gene name)"], rows)
    (folder / CORUM).write_bytes(zip_bytes({"humanComplexes.txt": complexes}))

    pairs = rng.integers(len(genes), size=(sizes.ligand_receptor, 2))
    heading = ["ligand_gene_symbol", "receptor_gene_symbol", "ligand_ensembl_gene_id", "receptor_ensembl_gene_id"]
    rows = ([genes[i].symbol, genes[j].symbol, genes[i].id, genes[j].id] for i, j in pairs)
    (folder / LIGAND_RECEPTOR).write_bytes(table_bytes("\t", heading, rows))
    return [STRING_NETWORK, STRING_PHYSICAL, STRING_PROTEINS, CORUM, LIGAND_RECEPTOR]


def _sample_links(number: int, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw distinct pairs of proteins, each protein in proportion to its weight: int64, (number, 2), sorted."""
    proteins, edges = len(weights), np.cumsum(weights)
    keys = np.empty(0, np.int64)
    while len(keys) < number:
        drawn = np.minimum(np.searchsorted(edges, rng.random((2, number))), proteins - 1)
        first, second = np.sort(drawn, axis=0)
        keys = np.unique(np.concatenate([keys, (first * proteins + second)[first != second]]))
    keys = np.sort(rng.permutation(keys)[:number])
    return np.column_stack(np.divmod(keys, proteins))


def _write_links(
    path: Path, links: np.ndarray, proteins: np.ndarray, subscores: bytes, rng: np.random.Generator
) -> None:
    """Write links in both directions, as STRING does, with scores of three digits."""
    both = np.concatenate([links, links[:, ::-1]])
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    columns = len(subscores.split()) + 1
    with gzip.GzipFile(path, "wb", compresslevel=6, mtime=0) as file:
        file.write(b"protein1 protein2 " + subscores + b" combined_score\n")
        for start in range(0, len(both), ROWS_AT_ONCE):
            source, target = both[start : start + ROWS_AT_ONCE].T
            scores = rng.integers(100, 1000, (len(source), columns))
            scores[:, :-1][rng.random((len(source), columns - 1)) < 0.7] = 0  # most kinds of evidence are missing
            space = np.full((len(source), 1), ord(" "), np.uint8)
            digits = (scores[:, :, None] // [100, 10, 1] % 10 + ord("0")).astype(np.uint8)
            spaced = np.concatenate([digits, np.broadcast_to(space[:, None], (len(source), columns, 1))], axis=2)
            spaced[:, -1, -1] = ord("\n")
            line = [proteins[source], space, proteins[target], space, spaced.reshape(len(source), -1)]
            file.write(np.concatenate(line, axis=1).tobytes())


if __name__ == "__main__":
    raise SystemExit("replogle_files.py calls this")
