"""Screens of all formats: which cells and genes count as what, the same values however stored, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from screens import read, small, stored, write_npz

from catran_causalbench import InputError
from catran_causalbench.simulation import to_anndata as simulated_screens

GENES = 12


@pytest.fixture(scope="module")
def simulated():
    return simulated_screens.simulate_anndata(genes=GENES, cells=2000, seed=1)


# Values


@pytest.mark.parametrize("how", ["dense", "csr", "csc", "npz"])
def test_the_genes_chosen_are_read_from_their_columns(simulated, how, tmp_path):
    screen = read(stored(simulated, how, tmp_path), genes=[f"SIM{number}" for number in (3, 0, 7)])
    np.testing.assert_array_equal(screen.expression, simulated[:, screen.gene_ids].X)
    assert screen.dataset().gene_names == ("SIM0", "SIM3", "SIM7")


def test_reading_leaves_the_data_alone(simulated):
    adata, counts = simulated.copy(), simulated.copy()
    counts.X = counts.layers["counts"].toarray()
    before = counts.X.copy()
    read(adata)
    read(counts, counts=True)
    np.testing.assert_array_equal(adata.X, simulated.X)
    np.testing.assert_array_equal(counts.X, before)
    pd.testing.assert_frame_equal(adata.obs, simulated.obs)
    assert set(adata.uns) == set(simulated.uns)


# Cells


def test_combined_labels_follow_the_rule():
    targets = ["NT"] * 3 + ["A"] * 3 + ["A+NT", "NT+A", "A+A", " A + NT"] + ["B"] * 3 + ["NT+NT"]
    targets += ["A+B", "B+A+NT", "A+unmeasured", "unmeasured", None, "", "non-targeting", "excluded"]
    with pytest.warns(UserWarning, match="3 cells with several targets"):
        screen = read(small(targets), control="NT")
    cells = {"perturbed": 10, "control": 4, "combined": 3, "unlabelled": 2, "other": 1, "unmeasured": 2}
    assert screen.cells == {**cells, "uncontrolled": 0}
    counts = dict(zip(*np.unique(screen.dataset().intervention, return_counts=True), strict=True))
    assert counts == {0: 7, 1: 3, -1: 4, -2: 8}


def test_few_excluded_cells_can_be_left_out():
    adata = small(["A", "Z", "A", "non-targeting", "B"] * 3)
    assert len(read(adata, min_excluded=3).expression) == 15
    screen = read(adata, min_excluded=4)
    np.testing.assert_array_equal(screen.expression, adata[adata.obs["target_gene"] != "Z", :2].X)
    assert (screen.intervention >= -1).all()


# Genes


def test_genes_considered():
    adata = small(["non-targeting"] * 5 + ["A"] * 5 + ["B"] * 4 + ["C"] * 3 + ["Z"] * 9, names=("B", "D", "C", "A"))
    assert read(adata, min_cells=3).gene_ids == ["B", "A"]
    assert read(adata, min_cells=2).gene_ids == ["B", "C", "A"]
    assert read(adata, genes="all").gene_ids == ["B", "D", "C", "A"]
    for names in (["D", "A"], adata.var_names[[1, 3]], np.array(["A", "D"])):
        screen = read(adata, genes=names)
        assert screen.gene_ids == ["D", "A"]
        assert (screen.cells["other"], screen.cells["unmeasured"]) == (7, 9)


def test_genes_may_be_called_as_in_another_column_of_var():
    targets = ["non-targeting"] * 4 + ["A"] * 4 + ["B"] * 4
    screen = read(small(targets, ["ENSG1", "ENSG2", "ENSG3"], gene_name=["A", "B", "C"]))
    assert screen.dataset().gene_names == ("A", "B")
    assert (screen.gene_ids, screen.gene_symbols) == (["ENSG1", "ENSG2"], ["A", "B"])
    screen = read(small(targets, ["S1", "S2", "S3"], gene_ids=["A", "B", "C"], gene_name=["S1", None, "S3"]))
    assert screen.dataset().gene_names == ("A", "B")
    assert (screen.gene_ids, screen.gene_symbols) == (["S1", "S2"], ["S1", "S2"])


def test_ids_go_before_other_names_and_labels_may_mix_them():
    targets = ["non-targeting"] * 4 + ["A"] * 4 + ["B"] * 4 + ["symbol"] * 4
    screen = read(small(targets, gene_name=["B", "A", "symbol"]))
    assert screen.gene_ids == ["A", "B", "C"]
    assert screen.labels(screen.gene_ids).tolist() == targets[:-4] + ["C"] * 4


@pytest.mark.guarantee(
    "Input", "A symbol that two genes share excludes the cells it labels, with a warning, and nothing else."
)
def test_cells_whose_label_names_two_genes_are_excluded():
    """CausalBench's own files have such symbols: TBCE and HSPA14."""
    targets = ["non-targeting"] * 4 + ["A"] * 4 + ["B"] * 4 + ["C"] * 4 + ["A+B"] * 4
    adata = small(targets, ["E1", "E2", "E3", "E4"], gene_name=["A", "B", "A", "C"])
    with pytest.warns(UserWarning, match=r"cells labelled 'A' \(4\), 'A\+B' \(4\) are excluded, as several genes"):
        screen = read(adata)
    assert screen.gene_ids == ["E2", "E4"]
    assert (screen.cells["unmeasured"], screen.cells["combined"]) == (4, 4)
    assert screen.labels(screen.gene_ids).tolist() == [
        *["non-targeting"] * 4,
        *["excluded"] * 4,
        *["E2"] * 4,
        *["E4"] * 4,
        *["excluded"] * 4,
    ]


def test_names_that_only_unperturbed_genes_share_do_not_matter():
    targets = ["non-targeting"] * 4 + ["A"] * 4 + ["B"] * 4
    assert read(small(targets, ["E1", "E2", "E3", "E4"], gene_name=["A", "B", "G", "G"])).gene_ids == ["E1", "E2"]
    assert read(small(targets, gene_name=["A", "B", "A"])).gene_ids == ["A", "B"]


def test_a_gene_that_never_varies_is_left_out_with_a_word():
    adata = small(["non-targeting"] * 4 + ["A"] * 4 + ["B"] * 4)
    adata.X[:, 2] = 0
    with pytest.warns(UserWarning, match="1 genes have one value"):
        assert read(adata, genes="all").gene_ids == ["A", "B"]
    with pytest.raises(InputError, match=r"expression_matrix: .*every cell"):
        read(adata, genes=["A", "C"]).dataset()


# Counts


def test_counts_are_recognised_and_normalised_as_causalbench_does(simulated):
    counts = simulated.copy()
    counts.X = counts.layers["counts"].copy()
    with pytest.raises(InputError, match=r"^counts: found whole numbers only.*counts=True"):
        read(counts)
    with pytest.raises(InputError, match=r"^counts: found values that are log-normalised already"):
        read(simulated, counts=True)
    whole = counts.layers["counts"].toarray()
    np.testing.assert_array_equal(read(counts, allow_counts=True).expression, whole)
    totals = whole.sum(axis=1, keepdims=True)
    got = read(simulated, layer="counts", counts=True)
    np.testing.assert_allclose(got.expression, np.log1p(whole / totals * np.median(totals)), rtol=1e-5)


def test_cells_without_a_count_are_left_out_before_cells_are_counted():
    adata = small(["non-targeting"] * 5 + ["A"] * 5 + ["B"] * 5 + ["C"] * 5)
    adata.X = np.arange(1, 61).reshape(20, 3) % 7 + 1
    adata.X[:1], adata.X[10:12] = 0, 0
    screen = read(adata, counts=True, min_cells=3)
    assert screen.gene_ids == ["A", "C"]
    assert screen.cells == {**dict.fromkeys(screen.cells, 0), "perturbed": 10, "control": 4, "other": 3}
    assert len(screen.expression) == 17


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_refused_where_it_is_used(simulated, value):
    adata = simulated.copy()
    adata.X[7, 3] = value
    assert read(adata, genes=["SIM0", "SIM1"]).cells["control"]
    with pytest.raises(InputError, match=r"^expression_matrix: found NaN or infinity in row 7"):
        read(adata)
    adata.X = np.round(np.expm1(adata.X))
    with pytest.raises(InputError, match=r"^expression_matrix: found NaN or infinity in row 7"):
        read(adata, genes=["SIM0", "SIM1"], counts=True)  # it is part of the total


# Origin


def test_what_is_known_of_the_origin(simulated, tmp_path):
    assert read(simulated).origin.startswith("SIMULATED")
    assert read(simulated).simulated
    assert read(stored(simulated, "file", tmp_path)).origin == read(simulated).origin
    measured = small(["non-targeting"] * 4 + ["A"] * 4 + ["B"] * 4)
    assert (read(measured).origin, read(measured).simulated) == ("", False)
    measured.write_h5ad(tmp_path / "measured.h5ad")
    assert read(tmp_path / "measured.h5ad").origin == "measured.h5ad"
    for marks, origin in (
        ({}, "mine.npz"),
        ({"origin": "Data from elsewhere", "simulated": False}, "mine.npz"),
        ({"simulated": True}, "SIMULATED DATA from mine.npz"),
        ({"origin": "SIMULATED DATA – a test", "simulated": True}, "SIMULATED DATA – a test"),
    ):
        screen = read(write_npz(tmp_path / "mine.npz", measured, **marks))
        assert (screen.origin, screen.simulated) == (origin, marks.get("simulated", False))


# What is refused


@pytest.mark.parametrize("how", ["memory", "file", "npz"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"perturbation_key": "nonsense"}, "^perturbation_key: .*target_gene"),
        ({"control": "nonsense"}, "^control: .*SIM"),
        ({"layer": "nonsense"}, "^layer: "),
        ({"genes": "nonsense"}, "^genes: .*'perturbed', 'all'"),
        ({"genes": ["SIM1", "nonsense"]}, "^genes: .*nonsense"),
        ({"min_cells": 10**6}, r"^min_cells: found 0 measured genes .*the most: \d"),
    ],
)
def test_bad_arguments_say_what_is_wrong(simulated, how, options, message, tmp_path):
    data = stored(simulated, how, tmp_path)
    if how == "npz" and "perturbation_key" in options:
        assert read(data, **options).gene_ids  # the one thing for which an .npz has no use
        return
    with pytest.raises(InputError, match=message):
        read(data, **options)
