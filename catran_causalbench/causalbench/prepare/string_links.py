"""STRING's links without those that CausalBench drops: at every start it reads twelve million in a loop."""

from __future__ import annotations

import gzip
from collections.abc import Collection
from pathlib import Path

from catran_causalbench.causalbench.manifest import EXPRESSION_FILES, FILES, STRING_PROTEINS
from catran_causalbench.causalbench.reference_files import read_genes, read_links, read_proteins
from catran_causalbench.utils.atomic_io import write_atomically
from catran_causalbench.utils.parallel import prefetched


def dropped_proteins(data: Path) -> list[str]:
    """Return the proteins of which CausalBench uses no link: those of genes that are not both perturbed and measured.

    ``data`` holds the names of the proteins, and the .h5ad files with those of the genes.
    """
    screens = [read_genes(data / name) for name in EXPRESSION_FILES]
    perturbed = set().union(*(ids for _, ids in screens))
    used = {symbol for genes, _ in screens for symbol, gene in genes if gene in perturbed}
    symbol_of = read_proteins(data / STRING_PROTEINS)
    return [protein for protein, symbol in symbol_of.items() if symbol not in used]


def write_links(source: Path, target: Path, dropped: Collection[str]) -> str:
    """Write the links, in their order and without scores, of which neither protein is dropped.

    Return how many there are, in a sentence. Raise InputError if the links cannot be read, or not be written.
    """
    import pyarrow
    from pyarrow import compute

    values = pyarrow.array(dropped, pyarrow.string())
    separator, heading = FILES[source.name].separator, FILES[source.name].parts
    rows = kept = 0

    def write(part: Path) -> None:
        nonlocal rows, kept
        with (
            part.open("wb") as file,
            gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as links,  # the same bytes every time
            prefetched(read_links(source)) as blocks,
        ):
            links.write(f"{separator.join(heading)}\n".encode())
            for block in blocks:
                first, second = (compute.is_in(proteins, value_set=values) for proteins in block.columns)
                chosen = block.filter(compute.invert(compute.or_(first, second)))
                lines = compute.binary_join_element_wise(*chosen.columns, separator).to_pylist()
                links.write("".join(f"{line}\n" for line in lines).encode())
                rows, kept = rows + len(block), kept + len(lines)

    write_atomically(target, write)
    return f"{target.name}: {kept:,} of {rows:,} links, those between genes that are perturbed and measured"
