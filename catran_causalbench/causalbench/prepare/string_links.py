"""STRING's links without those that CausalBench drops: at every start it reads twelve million in a loop."""

from __future__ import annotations

import gzip
from collections.abc import Collection
from pathlib import Path

from catran_causalbench.causalbench.manifest import EXPRESSION_FILES, STRING_PROTEINS
from catran_causalbench.causalbench.reference_files import read_genes, read_proteins
from catran_causalbench.errors import InputError
from catran_causalbench.utils.atomic_io import write_atomically

_BYTES_PER_BLOCK = 2**24


def dropped_proteins(data: Path, directory: Path) -> set[str]:
    """Return the proteins of which CausalBench uses no link: those of genes that are not both perturbed and measured.

    ``data`` holds the names of the proteins, and ``directory`` the .h5ad files with those of the genes.
    """
    screens = [read_genes(directory / name) for name in EXPRESSION_FILES]
    perturbed = set().union(*(ids for _, ids in screens))
    used = {symbol for genes, _ in screens for symbol, gene in genes if gene in perturbed}
    return {protein for protein, symbol in read_proteins(data / STRING_PROTEINS).items() if symbol not in used}


def write_links(source: Path, target: Path, dropped: Collection[str]) -> str:
    """Copy the links, in their order, of which neither protein is dropped; return how many there are, in a sentence.

    Raise InputError if the links cannot be read, or the copy cannot be written.
    """
    import pyarrow
    from pyarrow import compute, csv

    without = pyarrow.array(list(dropped), pyarrow.string())
    rows = kept = 0

    def write(part: Path) -> None:
        nonlocal rows, kept
        with gzip.open(source) as lines:
            heading = lines.readline()
        columns = heading.decode().split()
        blocks = csv.open_csv(
            source,
            csv.ReadOptions(block_size=_BYTES_PER_BLOCK),
            csv.ParseOptions(delimiter=" ", quote_char=False),
            csv.ConvertOptions(column_types=dict.fromkeys(columns, pyarrow.string())),
        )
        unchanged = csv.WriteOptions(include_header=False, delimiter=" ", quoting_style="none")
        with (
            part.open("wb") as file,
            gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as links,  # the same bytes every time
        ):
            links.write(heading)
            for block in blocks:
                first, second = (compute.is_in(block[end], value_set=without) for end in columns[:2])
                chosen = block.filter(compute.invert(compute.or_(first, second)))
                csv.write_csv(chosen, links, unchanged)
                rows, kept = rows + len(block), kept + len(chosen)

    try:
        write_atomically(target, write)
    except InputError:
        raise
    except (ValueError, EOFError) as error:
        found = f"a row that cannot be read, below row {rows + 1} ({' '.join(str(error).split())})"
        raise InputError.of(source.name, found, "STRING's links") from error
    return f"{target.name}: {kept:,} of {rows:,} links, those between genes that are perturbed and measured"
