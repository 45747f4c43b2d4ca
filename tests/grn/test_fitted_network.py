"""From an AnnData to a fitted network: what is read, what comes out, and that a file brings it back."""

import importlib
import re
import subprocess
import sys
from contextlib import suppress

import anndata
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from catran_causalbench.fitting import _read_losses
from scipy import sparse

import catran_causalbench as catran
from catran_causalbench.config import CatranConfig
from catran_causalbench.data.anndata_reader import read_screen
from catran_causalbench.data.dataset import validate_dataset
from catran_causalbench.inference import infer_network
from catran_causalbench.simulation import to_anndata as simulated_screens

QUICK = {"evidence": {"steps": 8, "pairs_per_minibatch": 256, "gates": 2, "gates_kept": 1}}
SETTINGS = CatranConfig.from_mapping(QUICK)
GENES = 12


@pytest.fixture(scope="module")
def simulated():
    return simulated_screens.simulate_anndata(genes=GENES, cells=2000, seed=1)


def fit(data, **options):
    return catran.fit(data, **{"perturbation_key": "target_gene", "config": SETTINGS, **options})


@pytest.fixture(scope="module")
def network(simulated):
    return fit(simulated)


def read(adata, **options):
    return read_screen(adata, **{"perturbation_key": "target_gene", "min_cells": 2, **options})


def small(targets, names=("A", "B", "C"), **options):
    rng = np.random.default_rng(0)
    matrix = np.log1p(rng.poisson(3.0, (len(targets), len(names))) * 0.7).astype(np.float32)
    obs = pd.DataFrame({"target_gene": targets}, index=[f"cell{i}" for i in range(len(targets))])
    return anndata.AnnData(matrix, obs=obs, var=pd.DataFrame(index=list(names)), **options)


# What is read


def stored(simulated, how, folder):
    adata = simulated.copy()
    if "csr" in how or "csc" in how:
        adata.X = sparse.csr_matrix(adata.X) if "csr" in how else sparse.csc_matrix(adata.X)
    if "float64" in how:
        adata.X = adata.X.astype(np.float64)
    if "shuffled" in how:
        rng = np.random.default_rng(5)
        adata = adata[rng.permutation(adata.n_obs), rng.permutation(adata.n_vars)].copy()
    if "file" not in how and "backed" not in how:
        return adata
    adata.write_h5ad(folder / "screen.h5ad")
    return folder / "screen.h5ad" if "file" in how else anndata.read_h5ad(folder / "screen.h5ad", backed="r")


@pytest.mark.parametrize(
    "how", ["csr", "csc", "float64", "csr shuffled", "file", "csr file", "csc backed", "csr backed", "dense backed"]
)
def test_however_it_is_stored_the_edges_are_the_same(simulated, network, how, tmp_path):
    pd.testing.assert_frame_equal(fit(stored(simulated, how, tmp_path)).edges(60), network.edges(60))


@pytest.mark.parametrize("how", ["dense", "csr", "csc"])
def test_blocks_join_without_seams(simulated, how, monkeypatch, tmp_path):
    monkeypatch.setattr("catran_causalbench.data.anndata_reader._VALUES_PER_BLOCK", 7 * 1999)
    chosen = [f"SIM{number}" for number in (3, 0, 7)]
    dataset = read(stored(simulated, how, tmp_path), genes=chosen).dataset
    assert dataset.gene_names == ("SIM0", "SIM3", "SIM7")
    expected = np.asarray(simulated[:, list(dataset.gene_names)].X)
    np.testing.assert_array_equal(np.sort(dataset.expression, axis=0), np.sort(expected, axis=0))


def test_a_fit_leaves_the_data_alone(simulated, network):
    again = simulated_screens.simulate_anndata(genes=GENES, cells=2000, seed=1)
    np.testing.assert_array_equal(simulated.X, again.X)
    pd.testing.assert_frame_equal(simulated.obs, again.obs)
    assert set(simulated.uns) == set(again.uns)
    assert not set(simulated.varp) - set(again.varp)


def test_the_core_gives_the_same_network(simulated, network):
    targets = simulated.obs["target_gene"].astype(str).replace("not measured", "excluded").tolist()
    core = infer_network(validate_dataset(simulated.X, targets, simulated.var_names), SETTINGS).edges(40)
    pd.testing.assert_frame_equal(network.edges(40)[["rank", "source", "target", "weight"]], core)


def test_combined_labels_follow_the_rule():
    targets = ["NT"] * 3 + ["A"] * 3 + ["A+NT", "NT+A", "A+A", " A + NT"] + ["B"] * 3 + ["NT+NT"]
    targets += ["A+B", "B+A+NT", "A+unmeasured", "unmeasured", None, "", "non-targeting", "excluded"]
    with pytest.warns(UserWarning, match="3 cells with several targets"):
        screen = read(small(targets), control="NT")
    assert screen.cells == {"perturbed": 10, "control": 4, "combined": 3, "unlabelled": 2, "other": 3}
    counts = dict(zip(*np.unique(screen.dataset.intervention, return_counts=True), strict=True))
    assert counts == {0: 7, 1: 3, -1: 4, -2: 8}


def test_genes_considered():
    adata = small(["non-targeting"] * 5 + ["A"] * 5 + ["B"] * 4 + ["C"] * 3 + ["Z"] * 9, names=("B", "D", "C", "A"))
    assert read(adata, min_cells=3).dataset.gene_names == ("A", "B")
    assert read(adata, min_cells=2).dataset.gene_names == ("A", "B", "C")
    assert read(adata, genes="all").dataset.gene_names == ("A", "B", "C", "D")
    for names in (["D", "A"], adata.var_names[[1, 3]], np.array(["A", "D"])):
        screen = read(adata, genes=names)
        assert screen.dataset.gene_names == ("A", "D")
        assert screen.cells["other"] == 16


def test_genes_may_be_called_as_in_another_column_of_var():
    adata = small(["non-targeting"] * 4 + ["A"] * 4 + ["B"] * 4)
    adata.var["gene_name"], adata.var_names = list(adata.var_names), ["ENSG1", "ENSG2", "ENSG3"]
    assert read(adata).dataset.gene_names == ("A", "B")


def test_a_gene_that_never_varies_is_left_out_with_a_word():
    adata = small(["non-targeting"] * 4 + ["A"] * 4 + ["B"] * 4)
    adata.X[:, 2] = 0
    with pytest.warns(UserWarning, match="1 genes have one value"):
        assert read(adata, genes="all").dataset.gene_names == ("A", "B")
    with pytest.raises(catran.InputError, match=r"constant|every cell"):
        read(adata, genes=["A", "C"])


def test_counts_are_recognised_and_normalised_as_causalbench_does(simulated):
    counts = simulated.copy()
    counts.X = counts.layers["counts"].copy()
    with pytest.raises(catran.InputError, match=r"whole numbers only.*counts=True"):
        read(counts)
    with pytest.raises(catran.InputError, match="fractions"):
        read(simulated, counts=True)
    whole = counts.layers["counts"].toarray()
    totals = whole.sum(axis=1, keepdims=True)
    expected = np.log1p(whole / totals * np.median(totals))
    got = read(simulated, layer="counts", counts=True).dataset
    order = [simulated.var_names.get_loc(name) for name in got.gene_names]
    np.testing.assert_allclose(np.sort(got.expression, axis=0), np.sort(expected[:, order], axis=0), rtol=1e-5)
    start_from_counts = CatranConfig.from_mapping({**QUICK, "data": {"preprocessing": "log_normalise"}})
    assert len(fit(counts, config=start_from_counts).edges(5)) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"perturbation_key": "nonsense"}, "perturbation_key.*target_gene"),
        ({"control": "nonsense"}, "control.*SIM"),
        ({"layer": "nonsense"}, "layer.*counts"),
        ({"genes": "nonsense"}, "genes: .*'perturbed', 'all'"),
        ({"genes": ["SIM1", "nonsense"]}, "genes: .*nonsense"),
        ({"min_cells": 10**6}, "min_cells: found 0 measured genes"),
        ({"config": "nonsense"}, "config: "),
        ({"seed": -1}, "seed: "),
    ],
)
def test_bad_input_says_what_is_wrong(simulated, options, message):
    with pytest.raises(catran.InputError, match=message):
        fit(simulated, **options)


def test_bad_files_say_what_is_wrong(tmp_path):
    with pytest.raises(catran.InputError, match="data: found no file"):
        fit(tmp_path / "missing.h5ad")
    (tmp_path / "broken.h5ad").write_bytes(b"\x89HDF nothing of the kind")
    with pytest.raises(catran.InputError, match="which anndata cannot read"):
        fit(tmp_path / "broken.h5ad")
    with pytest.raises(catran.InputError, match="data: found a list"):
        fit([1, 2])


# What comes out


def test_a_file_that_proves_damaged_while_it_is_read_says_so(simulated, tmp_path, monkeypatch):
    def damaged(*arguments, **options):
        raise RuntimeError("Unable to synchronously open object\n(bad heap)")  # as h5py does

    monkeypatch.setattr("catran_causalbench.fitting.read_screen", damaged)
    simulated.write_h5ad(tmp_path / "screen.h5ad")
    with pytest.raises(catran.InputError, match=r"data: found screen.h5ad, which .* read \(Unable .* \(bad heap"):
        fit(tmp_path / "screen.h5ad")


def test_effects_are_differences_of_means(simulated, network):
    edges = network.edges(50)
    assert list(edges) == ["rank", "source", "target", "weight", "sign", "effect", "source_perturbed"]
    assert edges["source_perturbed"].all()
    assert edges["weight"].is_monotonic_decreasing
    for edge in edges.itertuples():
        of = simulated.to_df()[edge.target].groupby(simulated.obs["target_gene"].astype(str)).mean()
        assert edge.effect == pytest.approx(of[edge.source] - of["non-targeting"], abs=1e-4)
        assert edge.sign == np.sign(edge.effect)


def test_sources_that_were_not_perturbed_have_no_effect(simulated):
    adata = simulated[simulated.obs["target_gene"] != "SIM4"]
    edges = fit(adata, genes="all").edges(GENES * (GENES - 1))
    unperturbed = edges["source"] == "SIM4"
    assert unperturbed.sum() == GENES - 1
    assert (edges["source_perturbed"] == ~unperturbed).all()
    assert (edges["effect"].isna() == unperturbed).all()
    assert (edges.loc[unperturbed, "sign"] == 0).all()


def test_adjacency_and_edges_agree(network):
    adjacency = network.adjacency()
    assert (np.diag(adjacency) == 0).all()
    for edge in network.edges(20).itertuples():
        assert adjacency.loc[edge.source, edge.target] == np.float32(edge.weight)
    assert len(network.edges(10**6)) == GENES * (GENES - 1)
    for nonsense in (0, -3, 2.5, True):
        with pytest.raises(catran.InputError, match="num_edges"):
            network.edges(nonsense)


def test_graphml_and_csv_bring_the_edges_back(network, tmp_path):
    edges = network.edges(30)
    graph = nx.read_graphml(network.write_graphml(tmp_path / "network.graphml", 30))
    assert graph.is_directed()
    assert set(graph.edges) == set(zip(edges["source"], edges["target"], strict=True))
    for edge in edges.itertuples():
        data = graph.edges[edge.source, edge.target]
        assert data["weight"] == pytest.approx(edge.weight)
        assert data["effect"] == pytest.approx(edge.effect)
        assert (data["sign"], data["rank"]) == (edge.sign, edge.rank)
    read_back = pd.read_csv(network.write_csv(tmp_path / "edges.csv", 30))
    pd.testing.assert_frame_equal(read_back, edges, check_dtype=False, rtol=1e-6)


def test_annotating_an_anndata(simulated, network):
    adata = simulated.copy()
    network.annotate(adata, 25)
    varp = pd.DataFrame(adata.varp["catran"].toarray(), adata.var_names, adata.var_names)
    for edge in network.edges(25).itertuples():
        assert varp.loc[edge.source, edge.target] == pytest.approx(edge.weight)
    assert adata.varp["catran"].nnz == 25
    with pytest.raises(catran.InputError, match="no gene"):
        network.annotate(simulated[:, :4].copy())


def test_saving_and_loading(network, tmp_path):
    path = network.save(tmp_path / "network.npz")
    assert [entry.name for entry in tmp_path.iterdir()] == ["network.npz"]
    again = catran.load(path)
    pd.testing.assert_frame_equal(again.edges(10**4), network.edges(10**4), check_exact=True)
    pd.testing.assert_frame_equal(again.losses, network.losses, check_dtype=False)
    assert (again.config, again.seed, again.origin, again.cells) == (
        network.config,
        network.seed,
        network.origin,
        network.cells,
    )
    with pytest.raises(catran.InputError, match=r"ends in \.npz"):
        network.save(tmp_path / "network.pickle")


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("the pickle ran",))


def test_foreign_and_broken_files_are_refused(network, tmp_path):
    path = network.save(tmp_path / "network.npz")
    whole = path.read_bytes()
    with np.load(path) as file:
        arrays = dict(file)
    description = str(arrays["description"])
    foreign = {
        "missing.npz": None,
        "empty.npz": b"",
        "text.npz": b"rank,source,target",
        "cut.npz": whole[: len(whole) // 2],
    }
    changed = {
        "other.npz": {"x": np.arange(3)},
        "trap.npz": {**arrays, "weights": np.array([Trap()], dtype=object)},
        "version.npz": {**arrays, "description": np.array(description.replace('"version": 1', '"version": 2'))},
        "nonsense.npz": {**arrays, "description": np.array("[1, 2]")},
        "shape.npz": {**arrays, "weights": arrays["weights"][:3]},
        "nan.npz": {**arrays, "weights": arrays["weights"] * np.nan},
        "key.npz": {**arrays, "description": np.array(re.sub('"seed"', '"sead"', description))},
        "name.npz": {**arrays, "gene_names": np.array("A")},
    }
    rng = np.random.default_rng(0)
    for place in rng.integers(len(whole), size=40):  # a flipped bit is noticed by a check sum, or does no harm
        flipped = whole[:place] + bytes([whole[place] ^ (1 << rng.integers(8))]) + whole[place + 1 :]
        (tmp_path / "flipped.npz").write_bytes(flipped)
        with suppress(catran.InputError):
            assert catran.load(tmp_path / "flipped.npz").edges(60).equals(network.edges(60))
    for name, content in foreign.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
    for name, content in changed.items():
        np.savez(tmp_path / name, **content)
    for name in [*foreign, *changed]:
        with pytest.raises(catran.InputError, match="path: found"):
            catran.load(tmp_path / name)


def test_writing_nowhere_leaves_nothing(network, tmp_path):
    (tmp_path / "file").touch()
    for write in (network.save, network.write_csv, network.write_graphml):
        for place in ("no folder/x.npz", "file/x.npz", f"{'x' * 251}.npz"):
            with pytest.raises(catran.InputError, match="cannot be written"):
                write(tmp_path / place)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_a_notebook_shows(network):
    assert "12 genes, 12 of them perturbed" in repr(network)
    best = network.edges(1).iloc[0]
    assert f"{best['source']} → {best['target']}" in repr(network)
    assert "SIMULATED" in network._repr_html_()
    assert network._repr_html_().count("<tr>") < 12


def test_losses_are_known_whether_or_not_a_run_folder_is(network, simulated, tmp_path):
    assert len(network.losses) == QUICK["evidence"]["steps"]
    config = CatranConfig.from_mapping({**QUICK, "output": {"run_directory": str(tmp_path / "run")}})
    assert fit(simulated, config=config).losses.equals(network.losses)
    assert (tmp_path / "run" / "edges.csv").exists()


def test_losses_of_several_starts_are_one_curve(tmp_path):
    for start, text in enumerate(
        ["", "step,loss/total", "step,loss/total\n0,5\n1,4\n2,9", "step,loss/total\n2,3\n3,2"]
    ):
        (tmp_path / "logs" / f"start_{start}").mkdir(parents=True)
        (tmp_path / "logs" / f"start_{start}" / "metrics.csv").write_text(text)
    found = _read_losses(tmp_path)
    pd.testing.assert_frame_equal(found, pd.DataFrame({"step": [0, 1, 2, 3], "loss/total": [5, 4, 3, 2]}))


def test_the_true_weights_of_a_simulated_screen_are_its_own(simulated):
    assert simulated.varp["true_weights"].shape == (GENES, GENES)
    assert "SIMULATED" in simulated.uns["simulated"]
    assert (simulated.layers["counts"].toarray() == 0).sum() == (simulated.X == 0).sum()


def test_names_of_the_package_are_complete_and_light():
    for name in catran.__all__:
        assert getattr(catran, name) is getattr(
            importlib.import_module(f"catran_causalbench.{catran._HOMES[name]}"), name
        )
    check = "import catran_causalbench, sys; sys.exit('torch' in sys.modules or 'anndata' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
