"""The symbols of the genes of a benchmark directory, from the .h5ad files in which CausalBench looks them up."""

from __future__ import annotations

from pathlib import Path

from catran_causalbench.causalbench.known_truth import is_known_truth
from catran_causalbench.causalbench.manifest import EXPRESSION_FILES
from catran_causalbench.causalbench.npz import UNREADABLE, read_npz
from catran_causalbench.errors import InputError


def read_gene_symbols(directory: Path) -> dict[str, str]:
    """Return the symbol of every gene that the .h5ad files name, by its id; no cells are read.

    In a file with known truth, every gene is its own symbol. Raise InputError if a file is missing or cannot be read.
    """
    if is_known_truth(directory):
        return {name: name for name in map(str, read_npz(directory, ["names"])["names"].ravel())}

    import h5py
    from anndata.io import read_elem

    symbols: dict[str, str] = {}
    for name in EXPRESSION_FILES:
        try:
            with h5py.File(directory / name) as file:
                genes = read_elem(file["var"])["gene_name"]
        except (*UNREADABLE, TypeError) as error:
            found = f"{name} in {str(directory)!r}, which cannot be read ({' '.join(str(error).split())})"
            raise InputError.of("data", found, "an .h5ad with gene_name in var") from None
        symbols |= {str(gene): str(symbol) for gene, symbol in genes.items()}
    return symbols
