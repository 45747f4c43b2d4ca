"""The command `fit`: what it writes and prints, and what it refuses before any work."""

import json
import sys

import anndata
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import catran_causalbench as catran
from catran_causalbench.cli import app
from catran_causalbench.cli.fit import FIGURES, FILES
from catran_causalbench.simulation.to_anndata import simulate_anndata

TABLES = [name for name in FILES if name not in FIGURES]
CONFIG = "evidence: {steps: 8, pairs_per_minibatch: 256, gates: 2}\noutput: {edges: 40}\n"


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    directory = tmp_path_factory.mktemp("screen")
    simulate_anndata(genes=10, cells=1600, seed=0).write_h5ad(directory / "screen.h5ad")
    (directory / "quick.yaml").write_text(CONFIG)
    return directory / "screen.h5ad"


def fit(screen, output, *options, code=0):
    words = ["fit", screen, "--output", output, "--config", screen.parent / "quick.yaml", *options]
    if "--perturbation-key" not in options:
        words += ["--perturbation-key", "target_gene"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def test_what_is_written_agrees_with_the_api(screen, tmp_path):
    result = fit(screen, tmp_path / "network")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["network"]
    assert {entry.name for entry in (tmp_path / "network").iterdir()} == set(TABLES)
    expected = catran.fit(screen, perturbation_key="target_gene", config=str(screen.parent / "quick.yaml")).edges()
    assert len(expected) == 40
    written = pd.read_csv(tmp_path / "network" / "edges.csv")
    pd.testing.assert_frame_equal(written, expected, check_dtype=False, rtol=1e-6)
    pd.testing.assert_frame_equal(catran.load(tmp_path / "network" / "network.npz").edges(), expected)
    assert nx.read_graphml(tmp_path / "network" / "network.graphml").number_of_edges() == 40
    assert expected["source"][0] in result.stdout
    assert "40 edges in" in result.stderr
    assert "44.4% of all 90 pairs; " in result.stderr
    assert "it/s" not in result.output


def test_figures_are_drawn_on_request(screen, tmp_path):
    result = fit(screen, tmp_path / "network", "--figures")
    assert {entry.name for entry in (tmp_path / "network").iterdir()} == set(FILES)
    for figure in FIGURES:
        assert (tmp_path / "network" / figure).read_bytes().startswith(b"\x89PNG")
        assert figure in result.stderr
    assert "--overwrite" in fit(screen, tmp_path / "network", code=2).stderr
    fit(screen, tmp_path / "network", "--overwrite")
    assert {entry.name for entry in (tmp_path / "network").iterdir()} == set(TABLES), "no figures of another network"


def test_without_figures_nothing_is_drawn(screen, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("catran_causalbench.plotting")]:
        monkeypatch.delitem(sys.modules, name)
    fit(screen, tmp_path / "network")
    assert not [name for name in sys.modules if name.startswith("catran_causalbench.plotting.")]


def test_json_is_all_that_goes_to_standard_output(screen, tmp_path):
    result = fit(screen, tmp_path / "network", "--json", "--quiet", "--edges", 3, "--seed", 4)
    printed = json.loads(result.stdout)
    assert (printed["edges"], printed["genes"], len(printed["best"]), printed["files"]) == (3, 10, 3, TABLES)
    assert (printed["perturbation"], printed["pairs"]) == ("knockdown", 90)
    network = catran.load(tmp_path / "network" / "network.npz")
    assert printed["significant_pairs"] == network.num_significant > 0
    assert "SIMULATED" in printed["origin"]
    assert result.stderr == ""


def test_the_ranking_is_an_option(screen, tmp_path):
    fit(screen, tmp_path / "direct", "--rank-by", "direct")
    network = catran.load(tmp_path / "direct" / "network.npz")
    written = pd.read_csv(tmp_path / "direct" / "edges.csv")
    assert written["source"].tolist() == network.edges(40, rank_by="direct")["source"].tolist()
    assert written["weight"].tolist() == pytest.approx(network.edges(40, rank_by="direct")["weight"])
    assert not written[["source", "target"]].equals(network.edges(40, rank_by="total")[["source", "target"]])
    refused = fit(screen, tmp_path / "no", "--rank-by", "best", code=2)
    assert "rank_by: found 'best'; expected one of total, direct" in refused.stderr


def test_batches_and_the_kind_of_perturbation_are_options(screen, tmp_path):
    adata = anndata.read_h5ad(screen)
    adata.obs["lane"] = np.where(np.arange(adata.n_obs) % 3, "one", "two")
    adata.write_h5ad(tmp_path / "lanes.h5ad")
    config = screen.parent / "quick.yaml"
    options = ["--config", config, "--batch-key", "lane", "--perturbation", "knockout", "--json"]
    printed = json.loads(fit(tmp_path / "lanes.h5ad", tmp_path / "lanes", *options).stdout)
    assert printed["perturbation"] == "knockout"
    assert printed["cells"]["uncontrolled"] == 0
    keys = {"perturbation_key": "target_gene", "batch_key": "lane", "config": str(config)}
    expected = catran.fit(adata, **keys).edges()
    written = pd.read_csv(tmp_path / "lanes" / "edges.csv")
    pd.testing.assert_frame_equal(written, expected, check_dtype=False, rtol=1e-6)
    assert not np.allclose(written["effect"], catran.fit(adata, **{**keys, "batch_key": None}).edges()["effect"])


def test_the_number_of_edges_by_default_is_said(screen, tmp_path):
    config = screen.parent / "no number.yaml"
    config.write_text(CONFIG.partition("output")[0])
    result = fit(screen, tmp_path / "network", "--config", config)
    network = catran.load(tmp_path / "network" / "network.npz")
    assert len(pd.read_csv(tmp_path / "network" / "edges.csv")) == 9
    supported = f"{network.num_significant} pairs have a significant effect (q_value ≤ 0.05)"
    assert f"These are 10% of all 90 pairs; {supported}. --edges sets another number." in result.stderr


def test_an_npz_is_read_too(screen, tmp_path):
    adata = anndata.read_h5ad(screen)
    targets = adata.obs["target_gene"].astype(str).to_numpy(str)
    arrays = {"var_names": adata.var_names.to_numpy(str), "interventions": targets, "simulated": True}
    np.savez(screen.parent / "mine.npz", expression_matrix=adata.X, **arrays)
    fit(screen.parent / "mine.npz", tmp_path / "npz")
    fit(screen, tmp_path / "h5ad")
    assert (tmp_path / "npz" / "edges.csv").read_bytes() == (tmp_path / "h5ad" / "edges.csv").read_bytes()
    assert catran.load(tmp_path / "npz" / "network.npz").origin == "SIMULATED DATA from mine.npz"


def test_a_baseline_can_be_asked_for(screen, tmp_path):
    config = screen.parent / "edges.yaml"
    config.write_text("output: {edges: 40}\n")
    result = fit(screen, tmp_path / "network", "--json", "--config", config, "--method", "mean_difference", "--figures")
    printed = json.loads(result.stdout)
    assert (printed["method"], printed["files"]) == (
        "mean_difference",
        [name for name in FILES if name != "training.png"],
    )
    edges = pd.read_csv(tmp_path / "network" / "edges.csv")
    np.testing.assert_allclose(edges["weight"], edges["effect"].abs(), rtol=1e-5)


def test_preprocessing_that_starts_from_counts_takes_counts(screen, tmp_path):
    config = screen.parent / "counts.yaml"
    config.write_text(CONFIG + "data: {preprocessing: log_normalise}\n")
    printed = json.loads(fit(screen, tmp_path / "network", "--json", "--layer", "counts", "--config", config).stdout)
    assert printed["edges"] == 40


def test_genes_can_be_chosen(screen, tmp_path):
    printed = json.loads(fit(screen, tmp_path / "network", "--json", "--genes", "SIM1, SIM4,SIM7").stdout)
    assert printed["genes"] == 3


def test_an_earlier_result_is_replaced_only_with_overwrite(screen, tmp_path):
    output = tmp_path / "network"
    fit(screen, output)
    before = (output / "edges.csv").read_bytes()
    assert "--overwrite" in fit(screen, output, "--edges", 5, code=2).stderr
    assert (output / "edges.csv").read_bytes() == before
    fit(screen, output, "--edges", 5, "--overwrite")
    assert len(pd.read_csv(output / "edges.csv")) == 5


@pytest.mark.guarantee(
    "Faults",
    "`--overwrite` replaces what the same command made, and refuses a directory that holds anything else.",
)
def test_what_others_put_there_is_never_replaced(screen, tmp_path):
    (tmp_path / "thesis.tex").write_text("do not lose this")
    assert "other things" in fit(screen, tmp_path, "--overwrite", code=2).stderr
    (tmp_path / "file").write_text("nor this")
    fit(screen, tmp_path / "file", "--overwrite", code=2)
    fit(screen, tmp_path / "no directory" / "network", code=2)
    assert (tmp_path / "thesis.tex").exists()
    assert (tmp_path / "file").read_text() == "nor this"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--perturbation-key", "nonsense"], "--perturbation-key: found no 'nonsense'"),
        (["--control", "nonsense"], "--control: found no cell labelled 'nonsense'"),
        (["--layer", "nonsense"], "layer"),
        (["--label-pattern", "nonsense"], "--label-pattern: found 'nonsense'"),
        (["--combination-separator", ""], "--combination-separator: found ''"),
        (["--gene-names", "nonsense"], "--gene-names: found no 'nonsense' in var"),
        (["--control", ""], "--control: found no cell without a label"),
        (["--genes", "SIM1,nonsense"], "genes"),
        (["--counts"], "counts"),
        (["--layer", "counts"], "whole numbers"),
        (["--batch-key", "nonsense"], "--batch-key: found no 'nonsense' in obs; expected one of target_gene"),
        (["--perturbation", "nonsense"], "--perturbation: found 'nonsense'; expected one of knockdown, knockout"),
        (["--preset", "nonsense"], "config"),
        (["--seed", "-2"], "seed"),
        (["--method", "nonsense"], "method"),
    ],
)
def test_bad_input_ends_with_one_sentence_and_writes_nothing(screen, tmp_path, options, message):
    result = fit(screen, tmp_path / "network", *options, code=2)
    assert message in result.stderr
    assert result.stderr.removeprefix("Reading the cells …\n").count("\n") == 1
    assert not list(tmp_path.iterdir())
    assert not result.stdout


def test_a_disk_that_fails_leaves_nothing(screen, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    assert "No space left" in fit(screen, tmp_path / "network", "--figures", code=2).stderr
    assert not list(tmp_path.iterdir())
