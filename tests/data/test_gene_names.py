"""Names of genes: in which columns they are found, versions of ids, what the result calls them, and duplicates."""

import numpy as np
import pytest
from labelled_screens import (
    CELLS,
    GENES,
    IDS,
    TARGETS,
    assert_same_as_clean,
    read,
    read_with_notes,
    refusal,
    screen,
    written,
)

import catran_causalbench as catran
from catran_causalbench.data.gene_names import ID_COLUMNS, SYMBOL_COLUMNS

LABELS_BY_ID = written("{id}")
VERSIONED = [f"{id_}.{number + 3}" for number, id_ in enumerate(IDS)]


# Columns of names


@pytest.mark.guarantee(
    "Input",
    "Names of guides, pairs with a control, several labels of controls, versions of Ensembl ids, and names in a column "
    "of `var` give the dataset of the clean file.",
)
@pytest.mark.parametrize("column", [*SYMBOL_COLUMNS, "Symbol", "SYMBOL", "Gene"])
def test_symbols_are_found_in_the_usual_columns(column):
    found = read(screen(ids=IDS, **{column: GENES}))
    assert_same_as_clean(found)
    assert (found.gene_ids, found.gene_symbols) == (IDS, GENES)
    assert_same_as_clean(read(screen(LABELS_BY_ID, IDS, **{column: GENES})), IDS)


@pytest.mark.parametrize("column", [*ID_COLUMNS, "Gene_ID"])
def test_ids_are_found_in_the_usual_columns(column):
    found = read(screen(LABELS_BY_ID, **{column: IDS}))
    assert_same_as_clean(found, IDS)
    assert (found.gene_ids, found.gene_symbols) == (GENES, GENES)


def test_a_column_of_names_can_be_chosen():
    other = [f"N{gene}" for gene in GENES]
    for labels in (TARGETS, LABELS_BY_ID, written("N{gene}")):
        found = read(screen(labels, IDS, gene_name=GENES, mine=other), gene_names="mine")
        assert_same_as_clean(found, other)
        assert (found.gene_ids, found.gene_symbols) == (IDS, other)
    found = read(screen(LABELS_BY_ID, IDS, mine=other), gene_names="mine", genes=[IDS[3], "NAAAS"])
    assert found.gene_names == ["NAAAS", "NKLF1"]


def test_a_chosen_column_goes_before_the_ids():
    """The names of the genes are those of others' ids, in another order."""
    found = read(screen(ids=GENES[::-1], mine=GENES), gene_names="mine")
    assert found.gene_names == GENES
    np.testing.assert_array_equal(found.intervention, read(screen()).intervention)


def test_a_column_that_does_not_exist_is_refused():
    message = "gene_names: found no 'symbols' in var; expected one of gene_name, mine"
    assert refusal(screen(gene_name=GENES, mine=GENES), gene_names="symbols") == message


def test_a_missing_or_shared_symbol_falls_back_to_the_id():
    symbols = [None, "", "HLA-A", "HLA-A", *GENES[4:]]
    found = read(screen(LABELS_BY_ID, IDS, gene_name=symbols), gene_names="gene_name")
    assert found.gene_names == found.gene_symbols == [*IDS[:4], *GENES[4:]]


# Versions


@pytest.mark.parametrize("label", ["{id}", "{id}.7", "{id}.7_g{guide}"])
@pytest.mark.parametrize("ids", [IDS, VERSIONED])
def test_versions_of_ids_need_not_agree(label, ids):
    pattern = "guide-number" if "guide" in label else None
    found = read(screen(written(label), ids, gene_name=GENES[::-1]), label_pattern=pattern)
    assert_same_as_clean(found, ids)
    assert_same_as_clean(read(screen(written(label), ens=ids), gene_names="ens", label_pattern=pattern), ids)


def test_genes_are_called_by_ids_of_other_versions_rather_than_by_a_few_names():
    found = read(screen(LABELS_BY_ID, VERSIONED, gene_name=[IDS[0], *GENES[1:]]))
    assert_same_as_clean(found, VERSIONED)


def test_versions_are_not_dropped_where_two_genes_would_be_one():
    ids = [*IDS[:5], f"{IDS[5]}.1", f"{IDS[5]}.2"]
    labels = [label.replace(IDS[6], IDS[0]) for label in written("{id}")]
    found, notes = read_with_notes(screen(labels, ids))
    assert found.cells["unmeasured"] == CELLS
    assert len(notes) == 1
    assert read(screen([label.replace(IDS[5], ids[5]) for label in labels], ids)).cells["perturbed"] == 7 * CELLS


def test_only_ensembl_ids_have_versions():
    names = ["RP11-34P13.7", "RP11-34P13.8", "AC0123.1", *GENES[3:]]
    targets = np.repeat([*names, "non-targeting"], CELLS)
    assert read(screen(targets, names)).cells["perturbed"] == 7 * CELLS
    found, _ = read_with_notes(screen([target.replace("AC0123.1", "AC0123.2") for target in targets], names))
    assert found.cells["unmeasured"] == CELLS


# Duplicates


@pytest.mark.parametrize("genes", ["perturbed", "all", ["HLA-A", "KLF1"]])
def test_a_name_for_two_genes_is_refused_with_the_cure(genes):
    names = [*GENES[:5], "HLA-A", "TBCE"]
    labels = [target.replace("NKX2-5", "TBCE") for target in TARGETS]
    message = refusal(screen(labels, names, gene_ids=IDS), genes=genes)
    assert message == (
        "var_names: found 'HLA-A' for 2 genes; expected distinct names, by adata.var_names_make_unique() or from a "
        "column of var by gene_names=COLUMN"
    )


def test_a_name_for_two_genes_matters_only_if_they_are_considered():
    names = [*GENES[:5], "X", "X"]
    labels = [target if target in GENES[:5] else "non-targeting" for target in TARGETS]
    assert read(screen(labels, names)).gene_names == GENES[:5]
    assert refusal(screen(labels, names), genes="all").startswith("var_names: found 'X' for 2 genes")


def test_a_chosen_column_of_distinct_names_cures_duplicates():
    found = read(screen(LABELS_BY_ID, ["X"] * 7, gene_ids=IDS), gene_names="gene_ids", genes="all")
    assert_same_as_clean(found, IDS)
    assert found.gene_ids == IDS


def test_no_genes_are_refused():
    assert refusal(screen(), genes=[]) == "genes: found none; expected measured genes"


# The result


def test_a_result_finds_its_genes_again_whatever_column_named_them():
    adata = screen(LABELS_BY_ID, IDS, mine=[f"N{gene}" for gene in GENES])
    network = catran.fit(
        adata, perturbation_key="target_gene", gene_names="mine", min_cells=2, method="mean_difference"
    )
    network.annotate(adata, 5)
    best = network.edges(1)
    place = tuple(GENES.index(best[end][0].removeprefix("N")) for end in ("source", "target"))
    assert adata.varp["catran"][place] == pytest.approx(best["weight"][0])
