"""STRING's links without those that CausalBench drops: at every start it reads twelve million in a loop."""

from __future__ import annotations

import gzip
from collections.abc import Container
from pathlib import Path

from catran_causalbench.causalbench.manifest import EXPRESSION_FILES, STRING_PROTEINS
from catran_causalbench.causalbench.reference_files import read_genes, read_proteins
from catran_causalbench.errors import InputError
from catran_causalbench.utils.atomic_io import write_atomically


def dropped_proteins(data: Path, directory: Path) -> set[bytes]:
    """Return the proteins of which CausalBench uses no link: those of genes that are not both perturbed and measured.

    ``data`` holds the names of the proteins, and ``directory`` the .h5ad files with those of the genes.
    """
    screens = [read_genes(directory / name) for name in EXPRESSION_FILES]
    perturbed = set().union(*(ids for _, ids in screens))
    used = {symbol for genes, _ in screens for symbol, gene in genes if gene in perturbed}
    symbol_of = read_proteins(data / STRING_PROTEINS)
    return {protein.encode() for protein, symbol in symbol_of.items() if symbol not in used}


def write_links(source: Path, target: Path, dropped: Container[bytes]) -> str:
    """Copy the links, in their order, of which neither protein is dropped; return how many there are, in a sentence.

    Raise InputError if the links cannot be read, or the copy cannot be written.
    """
    rows = kept = 0

    def write(part: Path) -> None:
        nonlocal rows, kept
        try:
            with (
                gzip.open(source) as lines,
                part.open("wb") as file,
                gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as links,  # the same bytes every time
            ):
                links.write(next(lines))
                for line in lines:
                    first, second = line.split(None, 2)[:2]
                    rows += 1
                    if first not in dropped and second not in dropped:
                        links.write(line)
                        kept += 1
        except ValueError as error:
            raise InputError.of(source.name, f"row {rows + 2} without two proteins", "STRING's links") from error

    write_atomically(target, write)
    return f"{target.name}: {kept:,} of {rows:,} links, those between genes that are perturbed and measured"
