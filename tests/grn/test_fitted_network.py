"""From a screen to a fitted network: what comes out, and that a file brings it back."""

import importlib
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import networkx as nx
import numpy as np
import pandas as pd
import pytest

import catran_causalbench as catran
from catran_causalbench.config import CatranConfig
from catran_causalbench.data.anndata_reader import read_screen
from catran_causalbench.data.effects import measure_effects
from catran_causalbench.data.validation import validate_dataset
from catran_causalbench.inference import infer_network
from catran_causalbench.simulation import to_anndata as simulated_screens

QUICK = {"evidence": {"steps": 8, "pairs_per_minibatch": 256, "gates": 2}}
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


def test_the_core_gives_the_same_network(simulated, network):
    targets = simulated.obs["target_gene"].astype(str).tolist()
    core = infer_network(validate_dataset(simulated.X, targets, simulated.var_names), SETTINGS).edges(40)
    pd.testing.assert_frame_equal(network.edges(40), core)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"config": "nonsense"}, "config: "), ({"seed": -1}, "seed: "), ({"control": "nonsense"}, "control: .*SIM")],
)
def test_bad_input_says_what_is_wrong(simulated, options, message):
    with pytest.raises(catran.InputError, match=message):
        fit(simulated, **options)


def test_effects_are_differences_of_means(simulated, network):
    edges = network.edges(50)
    measured = ["regulation", "effect", "p_value", "q_value", "source_perturbed"]
    assert list(edges) == ["rank", "source", "target", "weight", *measured]
    assert edges["source_perturbed"].all()
    assert edges["weight"].is_monotonic_decreasing
    for edge in edges.itertuples():
        of = simulated.to_df()[edge.target].groupby(simulated.obs["target_gene"].astype(str)).mean()
        assert edge.effect == pytest.approx(of[edge.source] - of["non-targeting"], abs=1e-4)
        assert edge.regulation == -np.sign(edge.effect)


def test_targets_and_regulators_are_edges_of_a_gene(network):
    edges = network.edges(60)
    for gene in network.gene_names[:3]:
        for found, end in ((network.targets(gene, 60), "source"), (network.regulators(gene, 60), "target")):
            pd.testing.assert_frame_equal(found, edges[edges[end] == gene].reset_index(drop=True))
    assert len(network.targets(network.gene_names[0], 10**6)) == GENES - 1
    with pytest.raises(catran.InputError, match=r"gene: found 'TP53'; expected one of the network's genes, such as"):
        network.targets("TP53")


def test_sources_that_were_not_perturbed_have_no_effect(simulated):
    adata = simulated[simulated.obs["target_gene"] != "SIM4"]
    edges = fit(adata, genes="all").edges(GENES * (GENES - 1))
    unperturbed = edges["source"] == "SIM4"
    assert unperturbed.sum() == GENES - 1
    assert (edges["source_perturbed"] == ~unperturbed).all()
    for column in ("effect", "p_value", "q_value"):
        assert (edges[column].isna() == unperturbed).all()
    assert (edges.loc[unperturbed, "regulation"] == 0).all()
    assert edges["regulation"].dtype == np.int8


def test_p_values_and_q_values_are_those_of_all_tested_pairs(network, simulated):
    edges = network.edges(GENES * (GENES - 1))
    dataset = read_screen(simulated, perturbation_key="target_gene").dataset()
    p_values = pd.DataFrame(measure_effects(dataset).p_value, dataset.gene_names, dataset.gene_names).stack()
    assert edges["p_value"].tolist() == p_values.loc[list(zip(edges["source"], edges["target"], strict=True))].tolist()
    by_p = edges.sort_values("p_value")
    bounds = by_p["p_value"] * len(edges) / np.arange(1, len(edges) + 1)  # Benjamini and Hochberg 1995
    np.testing.assert_allclose(by_p["q_value"], bounds[::-1].cummin()[::-1].clip(upper=1), rtol=1e-5)
    assert network.num_significant == (edges["q_value"] <= 0.05).sum() > 0
    assert f"q ≤ 0.05: {network.num_significant} of 132 pairs" in repr(network)


@pytest.mark.parametrize(("perturbation", "direction"), [("knockdown", -1), ("knockout", -1), ("activation", 1)])
@pytest.mark.filterwarnings("ignore:the expression of .* falls when they are perturbed")
def test_the_kind_of_perturbation_decides_about_activation_and_repression(
    network, simulated, perturbation, direction, tmp_path
):
    found = fit(simulated, perturbation=perturbation)
    edges = found.edges(60)
    assert found.perturbation == perturbation
    assert (edges["regulation"] == direction * np.sign(edges["effect"])).all()
    columns = [column for column in edges if column != "regulation"]
    pd.testing.assert_frame_equal(edges[columns], network.edges(60)[columns])
    pd.testing.assert_frame_equal(catran.load(found.save(tmp_path / "network.npz")).edges(60), edges)
    graph = found.to_networkx(60)
    for edge in edges.itertuples():
        expected = {1: "activates", -1: "represses"}[edge.regulation]
        assert graph.edges[edge.source, edge.target]["interaction"] == expected


def test_a_knockdown_shows_the_true_regulation(simulated, network):
    edges = network.edges(12)
    true = pd.DataFrame(simulated.varp["true_weights"].toarray(), simulated.var_names, simulated.var_names)
    weights = np.array([true.loc[edge.source, edge.target] for edge in edges.itertuples()])
    assert (weights != 0).sum() > 6
    assert (np.sign(weights) == edges["regulation"])[weights != 0].mean() > 0.9


def test_a_kind_of_perturbation_that_does_not_exist_or_cannot_be_is_noticed(simulated):
    with pytest.raises(catran.InputError, match="perturbation: found 'crispri'; expected one of knockdown, knockout"):
        fit(simulated, perturbation="crispri")
    with pytest.warns(UserWarning, match=r"the expression of 12 of 12 genes falls .* 'knockdown' rather than 'activ"):
        fit(simulated, perturbation="activation")


def test_a_regulon_holds_signed_weights_of_known_sign(simulated):
    network = fit(simulated[simulated.obs["target_gene"] != "SIM4"], genes="all")
    network = replace(network, weights=network.weights + 1)
    edges = network.edges(132)
    known = edges[edges["regulation"] != 0].reset_index(drop=True)
    assert len(known) == 121
    regulon = network.to_regulon(132)
    assert list(regulon) == ["source", "target", "weight"]
    assert regulon[["source", "target"]].equals(known[["source", "target"]])
    np.testing.assert_array_equal(regulon["weight"], known["weight"] * known["regulation"])
    assert set(replace(network, weights=-network.weights).to_regulon(132)["weight"]) == {-1, 1}, "no sizes above 0"


def test_how_many_edges_there_are_by_default(network):
    assert len(network.edges()) == 13, "a tenth of 132 pairs"
    config = CatranConfig.from_mapping({**QUICK, "output": {"edges": 70}})
    assert len(replace(network, config=config).edges()) == 70, "the settings decide"
    with pytest.warns(UserWarning, match="1000 edges were asked for"):
        assert len(network.edges(complete=True)) == 132, "benchmarks get 1,000 where there are as many"
    for genes, edges in ((120, 1000), (2, 1)):
        ones = np.ones((genes, genes), np.float32)
        names = tuple(f"G{number:03d}" for number in range(genes))
        assert len(replace(network, gene_names=names, weights=ones, effects=ones, p_values=ones).edges()) == edges


def test_adjacency_and_edges_agree(network):
    adjacency = network.adjacency()
    assert (np.diag(adjacency) == 0).all()
    for edge in network.edges(20).itertuples():
        assert adjacency.loc[edge.source, edge.target] == np.float32(edge.weight)
    assert len(network.edges(10**6)) == GENES * (GENES - 1)
    assert [len(network.edges(number)) for number in (1, 7, np.int64(3))] == [1, 7, 3]
    for nonsense in (0, -1, -3, 2.0, 2.5, True, "5"):
        with pytest.raises(catran.InputError, match="num_edges: found"):
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
        assert (data["p_value"], data["q_value"]) == pytest.approx((edge.p_value, edge.q_value))
        assert (data["regulation"], data["rank"]) == (edge.regulation, edge.rank)
        assert data["interaction"] == {1: "activates", -1: "represses"}[edge.regulation]
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


def test_annotating_a_copy_under_another_key(simulated, network):
    annotated = network.annotate(simulated, 25, key_added="mine", copy=True)
    assert not {"mine", "catran"} & {*simulated.varp, *simulated.uns}
    assert annotated.varp["mine"].nnz == annotated.uns["mine"]["edges"] == 25


def test_igraph_reads_the_graphml(network, tmp_path):
    igraph = pytest.importorskip("igraph", reason="igraph, which the package does not need, is not installed")
    graph = igraph.Graph.Read_GraphML(str(network.write_graphml(tmp_path / "network.graphml", 30)))
    names = graph.vs["id"]
    assert graph.is_directed()
    assert {(names[edge.source], names[edge.target]) for edge in graph.es} == {
        *zip(network.edges(30)["source"], network.edges(30)["target"], strict=True)
    }


def test_decoupler_reads_the_regulon(simulated, network):
    decoupler = pytest.importorskip("decoupler", reason="decoupler, of the extra docs, is not installed")
    activities, p_values = decoupler.mt.ulm(simulated.to_df().head(50), network.to_regulon(60), tmin=2)
    regulators = network.to_regulon(60)["source"].value_counts()
    assert set(activities.columns) == set(regulators[regulators >= 2].index)
    assert len(activities) == len(p_values) == 50


def test_saving_and_loading(network, tmp_path):
    path = network.save(tmp_path / "network.npz")
    assert [entry.name for entry in tmp_path.iterdir()] == ["network.npz"]
    again = catran.load(path)
    pd.testing.assert_frame_equal(again.edges(10**4), network.edges(10**4), check_exact=True)
    pd.testing.assert_frame_equal(again.history, network.history, check_dtype=False)
    assert again.config.to_mapping() == network.config.to_mapping()
    assert (again.method, again.seed, again.origin, again.cells) == (
        network.method,
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
        "version.npz": {**arrays, "description": np.array(description.replace('"version": 3', '"version": 2'))},
        "nonsense.npz": {**arrays, "description": np.array("[1, 2]")},
        "shape.npz": {**arrays, "weights": arrays["weights"][:3]},
        "nan.npz": {**arrays, "weights": arrays["weights"] * np.nan},
        "format.npz": {**arrays, "description": np.array(description.replace("fitted network", "other"))},
        "type.npz": {**arrays, "effects": arrays["effects"].astype(int)},
        "p_value.npz": {**arrays, "p_values": arrays["p_values"] + 1},
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


def test_the_history_is_known_with_and_without_a_run_directory(network, simulated, tmp_path):
    assert list(network.history) == ["step", "loss/held_out_effect"]
    assert network.history["step"].tolist() == list(range(QUICK["evidence"]["steps"]))
    config = CatranConfig.from_mapping({**QUICK, "output": {"run_directory": str(tmp_path / "run")}})
    assert fit(simulated, config=config).history.equals(network.history)
    assert (tmp_path / "run" / "edges.csv").exists()
    assert fit(simulated, config=config).history.equals(network.history), "a finished run, started again, has it too"


def test_the_history_agrees_with_the_logs(simulated, tmp_path):
    values = {"model": "catran", "catran": {"epochs": 3}, "output": {"run_directory": str(tmp_path / "run")}}
    history = fit(simulated, config=CatranConfig.from_mapping(values)).history
    logged = pd.read_csv(tmp_path / "run" / "logs" / "start_0" / "metrics.csv")[list(history)]
    pd.testing.assert_frame_equal(history, logged, check_dtype=False, rtol=1e-6)


def test_baselines_answer_the_same_call(simulated):
    network = fit(simulated[simulated.obs["target_gene"] != "SIM4"], method="mean_difference", genes="all", config=None)
    assert network.method == "mean_difference"
    assert network.history.empty
    edges = network.edges(GENES * (GENES - 1))
    assert len(edges) == (GENES - 1) ** 2, "it knows no edge of the source that is never perturbed"
    np.testing.assert_allclose(edges["weight"], edges["effect"].abs(), rtol=1e-5)
    completed = network.edges(GENES * (GENES - 1), complete=True)
    assert len(completed[["source", "target"]].drop_duplicates()) == GENES * (GENES - 1)
    assert set(completed["source"][len(edges) :]) == {"SIM4"}


def test_the_true_weights_of_a_simulated_screen_are_its_own(simulated):
    assert simulated.varp["true_weights"].shape == (GENES, GENES)
    assert "SIMULATED" in simulated.uns["simulated"]
    assert (simulated.layers["counts"].toarray() == 0).sum() == (simulated.X == 0).sum()


def test_names_of_the_package_are_complete_and_light():
    for name in catran.__all__:
        assert getattr(catran, name) is getattr(
            importlib.import_module(f"catran_causalbench.{catran._MODULES[name]}"), name
        )
    check = "import catran_causalbench, sys; sys.exit('torch' in sys.modules or 'anndata' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.fixture(scope="module")
def both_rankings(simulated):
    return fit(simulated, config=CatranConfig.from_mapping({**QUICK, "output": {"rank_by": "direct"}}))


def test_a_network_ranks_by_direct_effect_where_the_settings_say_so(network, both_rankings):
    pd.testing.assert_frame_equal(both_rankings.edges(40, rank_by="total"), network.edges(40))
    direct = both_rankings.edges(40)
    pd.testing.assert_frame_equal(both_rankings.edges(40, rank_by="direct"), direct)
    best = np.argsort(-both_rankings.direct_weights, axis=None)[:40]
    names = np.array(both_rankings.gene_names)
    assert direct["source"].tolist() == names[best // GENES].tolist()
    assert direct["target"].tolist() == names[best % GENES].tolist()
    assert not direct["target"].equals(network.edges(40)["target"])
    np.testing.assert_array_equal(both_rankings.adjacency(rank_by="direct"), both_rankings.direct_weights)
    pd.testing.assert_frame_equal(both_rankings.adjacency(), network.adjacency())
    pd.testing.assert_frame_equal(both_rankings.to_regulon(40)[["source"]], direct[["source"]])


def test_a_network_without_a_direct_ranking_says_how_to_get_one(network):
    with pytest.raises(catran.InputError, match=r"rank_by: found direct, .*expected .*output\.rank_by: direct"):
        network.edges(5, rank_by="direct")
    with pytest.raises(catran.InputError, match="rank_by: found 'best'; expected one of total, direct"):
        network.edges(5, rank_by="best")


def test_a_file_keeps_both_rankings_and_one_without_them_is_read(network, both_rankings, tmp_path):
    kept = catran.load(both_rankings.save(tmp_path / "both.npz"))
    pd.testing.assert_frame_equal(kept.edges(40), both_rankings.edges(40))
    pd.testing.assert_frame_equal(kept.edges(40, rank_by="total"), network.edges(40))
    network.save(tmp_path / "one.npz")
    with np.load(tmp_path / "one.npz") as file:
        arrays = dict(file)
    assert "direct_weights" not in arrays
    arrays["description"] = np.array(str(arrays["description"]).replace('"rank_by": "total", ', ""))
    assert "rank_by" not in str(arrays["description"])
    np.savez(tmp_path / "old.npz", **arrays)
    pd.testing.assert_frame_equal(catran.load(tmp_path / "old.npz").edges(40), network.edges(40))
    for wrong in (both_rankings.direct_weights[:3], both_rankings.direct_weights * np.nan):
        np.savez(tmp_path / "wrong.npz", **arrays, direct_weights=wrong)
        with pytest.raises(catran.InputError, match="direct_weights"):
            catran.load(tmp_path / "wrong.npz")


@pytest.mark.parametrize("method", ["mean_difference", "catran-paper"])
def test_methods_without_a_direct_ranking_say_so_before_any_work(method, simulated, monkeypatch):
    monkeypatch.setattr("catran_causalbench.inference.read_screen", lambda *_, **__: pytest.fail("work started"))
    with pytest.raises(catran.InputError, match=r"output\.rank_by: found direct, a ranking that the method .* have"):
        fit(simulated, method=method, config={"output": {"rank_by": "direct"}})
