"""Reference files that hold whatever a file of names can hold, for a few genes with real symbols."""

import gzip

import anndata
import numpy as np
import pandas as pd

from catran_causalbench.causalbench.build.file_formats import table_bytes, zip_bytes
from catran_causalbench.causalbench.manifest import (
    CORUM,
    EXPRESSION_FILES,
    LIGAND_RECEPTOR,
    STRING_NETWORK,
    STRING_PHYSICAL,
    STRING_PROTEINS,
)

# Each of them is a source and a target in the ChIP-seq tables of both cell lines.
SYMBOLS = ["AGO2", "ARID3A", "ATF3", "CCAR2", "CEBPB", "CEBPD", "CHD2", "CREB1", "CTCF", "CTNNB1", "ELF1", "EP300"]
GENES = [f"ENSG{number:02d}" for number in range(len(SYMBOLS))]
# Perturbed without a column; measured without a perturbation; lower case, isoforms, spaces, and what pandas drops.
OUTSIDE = {"ENSG20": "TP53", "ENSG21": "MYC"}
ODD = ["ago2", "AGO2-2", " AGO2", "AGO2 ", "ENSG00", "NA", "nan", "None", "", "nobody"]


def write_names(path, genes, perturbed):
    """Write an .h5ad with symbols of genes by id, and the ids of the perturbed ones."""
    obs = pd.DataFrame({"gene_id": [*perturbed, "non-targeting"], "gene": "unused"})
    var = pd.DataFrame({"gene_name": list(genes.values())}, index=list(genes))
    matrix = np.zeros((len(obs), len(var)), np.float32)
    anndata.AnnData(matrix, obs.set_index(obs.index.astype(str)), var).write_h5ad(path)


def write_links(path, rows):
    path.write_bytes(gzip.compress(table_bytes(" ", ["protein1", "protein2", "experimental", "combined_score"], rows)))


def write_odd_references(directory, seed=0):
    """Write random reference files full of repeated, reversed, one-sided and unknown pairs, and odd names."""
    rng = np.random.default_rng(seed)
    symbols = [*SYMBOLS * 3, *OUTSIDE.values(), *ODD]
    ids = [*GENES * 3, *OUTSIDE, "ensg00", "AGO2", "NA", "", "nobody"]

    def draw(names, rows, columns=2):
        return [[names[i] for i in row] for row in rng.integers(len(names), size=(rows, columns))]

    named = dict(zip(GENES, SYMBOLS, strict=True))
    write_names(directory / EXPRESSION_FILES[0], {**dict([*named.items()][:9]), **OUTSIDE}, [*GENES[:8], "ENSG20"])
    # The last gene has a column, but is perturbed in neither file; another one has no symbol.
    write_names(directory / EXPRESSION_FILES[1], {**named, "ENSG10": np.nan, "ENSG20": "TP53"}, GENES[3:11])
    complexes = [["7", ";".join(group[: rng.integers(2, 7)])] for group in draw(symbols, 12, 6)]
    table = table_bytes("\t", ["ComplexID", "subunits(Gene name)"], complexes)
    (directory / CORUM).write_bytes(zip_bytes({"humanComplexes.txt": table}))
    heading = ["ligand_gene_symbol", "ligand_ensembl_gene_id", "receptor_ensembl_gene_id"]
    rows = [["unused", *pair] for pair in draw(ids, 40)]
    (directory / LIGAND_RECEPTOR).write_bytes(table_bytes("\t", heading, rows))
    proteins = [f"9606.P{number}" for number in range(30)]
    names = [[protein, symbols[rng.integers(len(symbols))], "9"] for protein in [*proteins, *proteins[:5]]]
    heading = ["#string_protein_id", "preferred_name", "protein_size"]
    (directory / STRING_PROTEINS).write_bytes(gzip.compress(table_bytes("\t", heading, names)))
    for name, links in ((STRING_NETWORK, 80), (STRING_PHYSICAL, 30)):
        write_links(directory / name, [[*pair, "0", "500"] for pair in draw(proteins, links)])
    chipseq = [["7", target, "7", source] for source, target in draw(symbols, 80)]
    (directory / "chipseq.csv").write_bytes(table_bytes(",", ["", "target", "weight", "source"], chipseq))
