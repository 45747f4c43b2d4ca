"""Labels as real screens write them: the dataset is that of the clean file, or a message says what to do."""

import numpy as np
import pandas as pd
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
    relabelled,
    screen,
    written,
)

from catran_causalbench.data.anndata_reader import read_screen
from catran_causalbench.data.label_reader import LABEL_PATTERNS, looks_like_control

# Names of guides


@pytest.mark.guarantee(
    "Input",
    "Names of guides, pairs with a control, several labels of controls, versions of Ensembl ids, and names in a column "
    "of `var` give the dataset of the clean file.",
)
@pytest.mark.parametrize(
    ("pattern", "gene", "control"),
    [
        ("guide-number", "{gene}_g{guide}", "NT_g{guide}"),
        ("guide-number", "{gene}_sg{guide}", "NT"),
        ("guide-number", "{gene}g{guide}", "NTg{guide}"),  # Papalexi
        ("guide-number", "{gene}-{guide}", "NT-{guide}"),
        ("guide-number", "{gene}_{guide}", "NT_000{guide}"),
        ("guide-number", "{gene}.{guide}", "NT.{guide}"),
        ("guide-number", "{gene}_i{guide}", "NT_i{guide}"),  # Tian
        ("guide-number", "{gene}-sgRNA{guide}", "NT-sgRNA-{guide}"),
        ("guide-number", "{id}_{guide}", "NT_{guide}"),
        ("guide-number", "{gene}", "NT"),
        ("sg-prefix", "sg{gene}", "sgNT"),
        ("sg-prefix", "sg{gene}-{guide}", "sgNT-{guide}"),
        ("sg-prefix", "p_sg{gene}_{guide}", "p_sgNT_{guide}"),  # Dixit
        ("promoter", "{gene}_+_5371{guide}.23-P1P2", "NT"),  # Schraivogel
        ("promoter", "{gene}_-_5371{guide}.23-all", "NT"),
        ("promoter", "{gene}_P1P2-{guide}", "NT"),
        ("promoter", "{gene}_ENST0000037706.4-{guide}", "NT"),
        ("promoter", "{guide}_{gene}_P1P2_{id}", "{guide}_NT_P1P2_non-targeting"),  # Replogle
        (r"(?P<target>.+)_pDS\d+", "{gene}_pDS25{guide}", "NT_pDS{guide}"),  # Adamson
        (r"ES\.sg\d+\.(?P<target>.+)", "ES.sg{guide}.{gene}", "ES.sg{guide}.NT"),  # Shifrut
    ],
)
def test_names_of_guides_are_read_by_a_pattern(pattern, gene, control):
    found = read(screen(written(gene, control), gene_ids=IDS), control="NT", label_pattern=pattern)
    assert_same_as_clean(found, IDS if gene == "{id}_{guide}" else GENES)


def test_the_promoter_pattern_knows_the_controls_of_its_libraries():
    labels = written("{gene}_+_5371{guide}.23-P1P2", "non-targeting_0002{guide}")
    assert_same_as_clean(read(screen(labels), label_pattern="promoter"))


def test_two_guides_of_one_gene_are_one_target():
    labels = written("{gene}_+_1.23-P1P2|{gene}_+_4.56-P1P2", "non-targeting_01|non-targeting_02")
    assert_same_as_clean(read(screen(labels), label_pattern="promoter", combination_separator="|"))


@pytest.mark.parametrize(
    ("pattern", "guide"),
    [
        ("guide-number", "{}_g1"),
        ("sg-prefix", "sg{}"),
        ("promoter", "{}_-_1.23-P1P2"),
        ("promoter", "{}_P1-1"),
        ("promoter", "1_{}_P1_ENSG1"),
        ("(?P<target>[^_]+)_.*", "{}_-_x"),
    ],
)
@pytest.mark.parametrize("separator", ["+", "|", ";"])
def test_a_pattern_does_not_swallow_the_second_gene_of_a_pair(pattern, guide, separator):
    labels = relabelled(TBCE=separator.join(map(guide.format, ("AAAS", "KLF1"))))
    found, _ = read_with_notes(screen(labels), label_pattern=pattern, combination_separator=separator)
    assert (found.cells["combined"], found.cells["perturbed"]) == (CELLS, (len(GENES) - 1) * CELLS)
    labels = relabelled(TBCE=separator.join(map(guide.format, ("non-targeting", "TBCE"))))
    assert_same_as_clean(read(screen(labels), label_pattern=pattern, combination_separator=separator))


def test_a_pair_that_cannot_be_divided_is_excluded():
    labels = relabelled(TBCE="AAAS_+_1.23-P1+KLF1_+_4.56-P1")
    found, notes = read_with_notes(screen(labels), label_pattern="promoter")
    assert found.cells["unmeasured"] == CELLS
    assert "'AAAS_+_1.23-P1+KLF1_+_4.56-P1' (12)" in notes[0]


def test_what_a_pattern_reads_goes_before_a_gene_named_like_the_guide():
    """TBCE and TBCE-1 are names made unique; the guides of TBCE are not to be divided among them."""
    names = [*GENES[:-2], "TBCE", "TBCE-1"]
    labels = [label.replace("NKX2-5", "CEBPA") for label in written("{gene}-{guide}")]
    found = read(screen(labels, names), label_pattern="guide-number")
    assert found.gene_names == [*GENES[:-2], "TBCE"]
    assert (found.intervention == len(GENES) - 2).sum() == CELLS


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("guide", "label_pattern: found 'guide' without that group; expected guide-number, sg-prefix, promoter or a"),
        ("(?P<target>", "label_pattern: found '(?P<target>', which is no pattern (missing ), unterminated"),
        (7, "label_pattern: found 7, which is no pattern"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused(pattern, message):
    assert refusal(screen(), label_pattern=pattern).startswith(message)


def test_every_named_pattern_is_documented():
    assert all(f'``"{name}"``' in read_screen.__doc__ for name in LABEL_PATTERNS)


# Pairs


@pytest.mark.guarantee(
    "Input",
    "Names of guides, pairs with a control, several labels of controls, versions of Ensembl ids, and names in a column "
    "of `var` give the dataset of the clean file.",
)
@pytest.mark.parametrize(
    ("gene", "control", "options"),
    [
        ("{gene}+ctrl", "ctrl", {"control": "ctrl"}),  # GEARS
        ("ctrl+{gene}", "ctrl", {"control": "ctrl"}),
        ("Control + {gene}", "non-targeting", {}),
        ("  {gene} ", " non-targeting", {}),
        ("{gene}+non-targeting", "non-targeting+non-targeting", {}),
        ("{gene}+{gene}", "non-targeting+ctrl", {}),
        ("{gene}+{id}", "non-targeting", {}),
        ("{gene}_control", "control", {"control": "control", "combination_separator": "_"}),
        ("{gene}_NegCtrl0__{gene}_NegCtrl0", "NegCtrl0_NegCtrl0",
         {"control": "NegCtrl0", "combination_separator": "_"}),  # Norman
        ("{gene}_{guide};NO_SITE_{guide}", "NO_SITE_1;NO_SITE_4",
         {"control": "NO_SITE", "combination_separator": ";", "label_pattern": "guide-number"}),  # Frangieh
    ],
)  # fmt: skip
def test_controls_and_repetitions_in_a_pair_do_not_count(gene, control, options):
    found = read(screen(written(gene, control), gene_ids=IDS), **options)
    assert_same_as_clean(found)
    assert (found.cells["perturbed"], found.cells["control"]) == (len(GENES) * CELLS, CELLS)


@pytest.mark.parametrize("separator", ["+", "_", "|", "__", " and "])
def test_pairs_are_combined_whatever_stands_between(separator):
    adata = screen(relabelled(TBCE=f"KLF1{separator}HLA-A"))
    found, notes = read_with_notes(adata, combination_separator=separator)
    assert (found.cells["combined"], found.cells["perturbed"]) == (CELLS, (len(GENES) - 1) * CELLS)
    assert notes == [
        f"12 cells with several targets ({separator!r} in the label) are excluded: no single source explains them"
    ]


def test_a_gene_whose_name_holds_the_separator_is_one_gene():
    names = ["A_B", "A", "B", "C-D", "E", "F", "G"]
    found = read(screen(np.repeat([*names, "non-targeting"], CELLS), names), combination_separator="_")
    assert found.gene_names == names
    assert found.cells["perturbed"] == len(names) * CELLS


@pytest.mark.parametrize("separator", ["", None])
def test_a_separator_of_nothing_is_refused(separator):
    message = f"combination_separator: found {separator!r}; expected one or more characters"
    assert refusal(screen(), combination_separator=separator) == message


# Labels that name no gene


@pytest.mark.guarantee("Input", "A message names labels that match no gene, and the option by which they would.")
@pytest.mark.parametrize("genes", ["perturbed", "all", ["AAAS", "KLF1"]])
@pytest.mark.parametrize(
    ("gene", "advice"),
    [
        ("{gene}_g{guide}", "with label_pattern='guide-number', 21 of 21 name genes"),
        ("sg{gene}", "with label_pattern='sg-prefix', 7 of 7 name genes"),
        ("{gene}_+_12.34-P1P2", "with label_pattern='promoter', 7 of 7 name genes"),
        (
            "{gene}_g{guide}|ctrl",
            "with label_pattern='guide-number' and combination_separator='|', 21 of 21 name genes",
        ),
        ("{gene}_control", "with combination_separator='_', 7 of 7 name genes"),
        ("{gene}_NegCtrl1__{gene}_NegCtrl1", "with combination_separator='_', 7 of 7 name genes"),
        ("{id}", "with gene_names='ens', 7 of 7 name genes"),
        (
            "x_{gene}_y",
            "if they mean genes, as AAAS in 'x_AAAS_y', see label_pattern=REGEX, combination_separator=TEXT and "
            "gene_names=COLUMN",
        ),
        ("x{id}", "if they mean genes, see label_pattern=REGEX, combination_separator=TEXT and gene_names=COLUMN"),
    ],
)
def test_labels_none_of_which_names_a_gene_are_refused_with_advice(gene, advice, genes):
    labels = written(gene)
    message = refusal(screen(labels, ens=IDS), genes=genes)
    assert message.startswith(f"perturbation_key: found no label that names one measured gene, but {labels[0]!r} (")
    assert "where var_names has 'AAAS', 'CEBPA', 'HLA-A'; expected" in message
    assert message.endswith(f"; {advice}")


def test_case_alone_is_told():
    message = refusal(screen([target.lower() for target in TARGETS]))
    assert message.endswith("with upper and lower case as in var_names, 7 of 7 name genes")


def test_some_labels_that_name_no_gene_are_told_and_excluded():
    labels = relabelled(AAAS="AAAS_g1", CEBPA="CEBPA_g2", KLF1="KLF1-3", TBCE="TBCE_g1")
    found, notes = read_with_notes(screen(labels))
    assert notes == [
        "4 of 7 labels name no measured gene, and their 48 cells are excluded: 'AAAS_g1' (12), 'CEBPA_g2' (12), "
        "'KLF1-3' (12), where var_names has 'AAAS', 'CEBPA', 'HLA-A'; "
        "with label_pattern='guide-number', 4 of 4 name genes"
    ]
    assert found.cells == {**dict.fromkeys(found.cells, 0), "perturbed": 36, "control": 12, "unmeasured": 48}


def test_few_cells_because_of_names_are_explained():
    labels = written("{gene}_g{guide}")
    labels[:3], labels[CELLS : CELLS + 3] = ["AAAS"] * 3, ["CEBPA"] * 3
    message = refusal(screen(labels), min_cells=5)
    assert message.startswith(
        "min_cells: found 0 measured genes with more than 5 perturbed cells (the most: 3); 21 of 23"
    )
    assert "with label_pattern='guide-number', 21 of 21 name genes; expected at least 2; lower it" in message


def test_no_cell_of_any_gene_is_no_matter_of_min_cells():
    pairs = [label.replace("KLF1+KLF1", "KLF1+TBCE") for label in written("KLF1+{gene}")]
    assert refusal(screen(pairs)).startswith("perturbation_key: found no cell whose label names one measured gene;")
    message = refusal(screen(written("{gene}_g{guide}")), combination_separator="_")
    assert message.startswith("perturbation_key: found no label that names one measured gene, but 'AAAS_g1'")
    assert message.endswith("with label_pattern='guide-number', 21 of 21 name genes")


# Controls


@pytest.mark.guarantee(
    "Input",
    "Names of guides, pairs with a control, several labels of controls, versions of Ensembl ids, and names in a column "
    "of `var` give the dataset of the clean file.",
)
@pytest.mark.parametrize("container", [list, tuple, np.array, pd.Series, set, dict.fromkeys])
def test_controls_may_have_several_labels(container):
    labels = written(control="NTC_{guide}")
    assert_same_as_clean(read(screen(labels), control=container(["NTC_1", "NTC_2", "NTC_3"])))


@pytest.mark.parametrize("control", [[], (), None, 3])
def test_no_label_of_controls_is_refused(control):
    message = f"control: found {control!r}; expected the label of the control cells, or a list of such labels"
    assert refusal(screen(), control=control) == message


def test_a_label_of_controls_that_no_cell_has_is_told():
    _, notes = read_with_notes(screen(), control=["non-targeting", "NT", "x"])
    assert notes == ["no cell is labelled 'NT' or 'x', which control names"]
    assert read(screen(written("{gene}+NT")), control=["non-targeting", "NT"]).cells["control"] == CELLS


@pytest.mark.parametrize("missing", [None, np.nan, "", "  ", "nan", " None ", "NA", "<NA>"])
def test_the_empty_label_is_that_of_cells_without_one(missing):
    adata = screen(relabelled(**{"non-targeting": missing}))
    assert_same_as_clean(read(adata, control=""))
    assert refusal(adata).startswith("control: found no cell labelled 'non-targeting'; the most frequent labels are ")
    adata = screen(relabelled(TBCE=missing))
    assert read(adata).cells["unlabelled"] == CELLS
    found = read(adata, control=["", "non-targeting"])
    assert (found.cells["control"], found.cells["unlabelled"]) == (2 * CELLS, 0)


def test_without_unlabelled_cells_the_empty_label_is_refused_in_words_that_agree():
    message = refusal(screen(), control="")
    assert message.startswith("control: found no cell without a label; the most frequent labels are 'AAAS' (12), ")
    assert message.endswith("; expected the label of the control cells, such as 'non-targeting' (12)")


@pytest.mark.parametrize(
    "label",
    [
        *("NT", "NTC_1", "NT-2", "NTg1", "sgNTC-1", "ctrl", "CTRL00698", "control", "Control_5", "sgControl_g2"),
        *("safe", "safe-targeting_12", "safe harbor", "AAVS1", "ROSA26", "NegCtrl", "NegCtrl0", "neg_ctrl_3"),
        *("NegCtrl10_NegCtrl0__NegCtrl10_NegCtrl0", "negative_control", "negative control", "non_targeting"),
        *("nontargeting", "Non-Targeting", "NO-TARGET-1", "NonTarget", "non-targeting_ctrl1", "NO_SITE_411"),
        *("ONE_NON-GENE_SITE_290", "INTERGENIC393453", "LacZ", "luciferase", "EGFP", "scrambled_17", "scramble"),
        *("unperturbed", "mock", "WT", "empty vector", "Gal4-4"),
    ],
)
def test_what_looks_like_a_control_is_told_unless_it_is_named(label):
    adata = screen(relabelled(TBCE=label))
    _, notes = read_with_notes(adata)
    assert notes == [
        f"cells labelled {label!r} (12) look like controls but are excluded; "
        f"control={['non-targeting', label]!r} counts them"
    ]
    assert read(adata, control=["non-targeting", label]).cells["control"] == 2 * CELLS


@pytest.mark.parametrize(
    "gene",
    [
        *("WT1", "NTS", "NTRK1", "NT5E", "NT5C2", "NTN1", "SAFB", "CTRB1", "CTRC", "CTLA4", "NEGR1", "LUC7L", "GFPT1"),
        *("SCRIB", "ROS1", "RFPL1", "EMP1", "PARN", "MOCOS", "NONO", "KNTC1", "TP53", "TP53+control"),
    ],
)
def test_genes_do_not_look_like_controls(gene):
    assert not looks_like_control(gene)


def test_controls_by_guides_are_told_with_their_pattern():
    message = refusal(screen(written(control="NTC_{guide}")), control="NTC")
    assert message.endswith("such as 'NTC_1' (4), 'NTC_2' (4), 'NTC_3' (4); label_pattern='guide-number' reads them")
    labels = written("{gene}_+_1{guide}.2-P1", "non-targeting_0{guide}")
    assert refusal(screen(labels)).endswith("; label_pattern='promoter' reads them")
    labels = relabelled(TBCE="non-targeting_04|non-targeting_05")
    assert read_with_notes(screen(labels))[1] == [
        "cells labelled 'non-targeting_04|non-targeting_05' (12) look like controls but are excluded; "
        "control=['non-targeting', 'non-targeting_04|non-targeting_05'] counts them"
    ]


def test_a_control_goes_before_a_gene_of_that_name():
    found = read(screen(), control=["KLF1", "non-targeting"], genes=["AAAS", "CEBPA"])
    assert (found.cells["control"], found.cells["perturbed"]) == (2 * CELLS, 2 * CELLS)


# Cells


def test_every_kind_of_cell_is_counted():
    labels = relabelled(**{"AAAS": "AAAS+CEBPA", "CEBPA": "ZZZ", "HLA-A": None, "KLF1": "NTC"})
    found, notes = read_with_notes(screen(labels), genes=["MARCHF1", "NKX2-5"])
    assert len(notes) == 3
    assert found.cells == {
        "perturbed": 2 * CELLS,
        "control": CELLS,
        "combined": CELLS,
        "other": CELLS,
        "unmeasured": 2 * CELLS,
        "unlabelled": CELLS,
        "uncontrolled": 0,
    }
    assert found.num_sources == 2


def test_the_label_excluded_is_no_name_of_a_gene():
    assert read(screen(relabelled(TBCE="excluded"))).cells["other"] == CELLS


@pytest.mark.parametrize("labels", [pd.Categorical(TARGETS), np.array(TARGETS, object), pd.array(TARGETS, "string")])
def test_the_type_of_the_column_does_not_matter(labels):
    assert_same_as_clean(read(screen(labels)))


def test_numbers_may_be_labels():
    names = [str(number) for number in range(len(GENES))]
    labels = np.repeat([*range(len(GENES)), 99], CELLS)
    assert_same_as_clean(read(screen(labels, names), control="99"), names)
