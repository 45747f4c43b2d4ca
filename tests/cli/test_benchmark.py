"""Commands around causalbench_run and its results."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
from catran_causalbench.causalbench.gene_symbols import read_gene_symbols
from catran_causalbench.cli import app
from catran_causalbench.simulation.causal_model import SimulationConfig
from catran_causalbench.simulation.to_anndata import simulate_anndata
from catran_causalbench.sweep.plan import EvaluationProtocol, RunSpec
from catran_causalbench.sweep.records import RunResult
from catran_causalbench.sweep.worker import execute


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_plugin_prints_the_path_of_a_file():
    path = Path(run("plugin").strip())
    assert path.name == "plugin.py"
    assert path.is_file()


@pytest.mark.parametrize(
    ("command", "names"),
    [("presets", ["demo", "evidence", "paper"]), ("methods", ["catran", "catran-paper", "mean_difference", "dcdi_g"])],
)
def test_names_are_listed_with_a_line_each(command, names):
    text = run(command)
    for name in names:
        assert re.search(rf"^{name} +\w.{{20}}", text, flags=re.MULTILINE)
    listed = json.loads(run(command, "--json"))
    assert set(names) <= {entry["name"] for entry in listed}
    assert all(set(entry) == {"name", "description"} for entry in listed)


@pytest.fixture
def finished(tmp_path):
    """Return a function that makes an output directory of causalbench_run."""

    def make(name, wasserstein=0.25, omission=0.1):
        directory = tmp_path / name
        directory.mkdir(parents=True)
        statistics = {"output_graph": {"wasserstein_distance": {"mean": wasserstein}}, "false_omission_rate": omission}
        metrics = {"quantitative_test_evaluation": statistics, "run_time": 2.0}
        (directory / "metrics.json").write_text(json.dumps(metrics))
        (directory / "output_network.csv").write_text(",0,1\n0,A,B\n")
        return directory

    return make


def test_compare_shows_every_run(tmp_path, finished):
    """Two of one name, and some whose names matplotlib would read as a formula and rich as markup."""
    directories = [finished(name) for name in ("one/run", "other/run", "$a_b$^{", "run[a]", "run[", "b]")]
    text = run("compare", tmp_path, *directories, "--figure", tmp_path / "comparison.png")
    assert text.count("0.250") == len(directories)
    assert "run[a]" in text
    assert (tmp_path / "comparison.png").exists()
    (directories[0] / "metrics.json").write_text("{}")
    assert "no readable metrics.json" in run("compare", tmp_path, *directories, code=2)


def test_what_was_not_measured_is_never_the_best(tmp_path, finished):
    """CausalBench writes −1 where it drew no omissions."""
    directories = [finished("without", omission=-1), finished("null", omission=None), finished("with")]
    text = run("compare", tmp_path, *directories, "--figure", tmp_path / "comparison.svg")
    assert text.count("–") == 2
    assert "-1.000" not in text
    answer = json.loads(run("compare", tmp_path, *directories, "--json"))
    assert answer["data"] == {"name": tmp_path.name, "title": f"Data in {tmp_path}", "simulated": False}
    assert [row["false_omission_rate"] for row in answer["runs"]] == [None, None, 0.1]
    expected = {"run": "with", "num_edges": 1, "mean_wasserstein": 0.25, "false_omission_rate": 0.1, "seconds": 2.0}
    assert answer["runs"][-1] == expected
    nothing = finished("nothing", wasserstein=float("nan"))
    run("compare", tmp_path, nothing, "--figure", tmp_path / "comparison.pdf")


def test_a_title_is_not_read_as_markup(tmp_path, finished):
    (tmp_path / "description.json").write_text(json.dumps({"made_by": "catran_causalbench", "title": "DATA [/x]"}))
    assert "DATA [/x]" in run("compare", tmp_path, finished("run"))


@pytest.mark.parametrize(
    ("data", "figure", "message"),
    [
        ("absent", "f.png", "Error: data_directory: found no directory"),
        (".", "f.xyz", "Error: --figure: found a file named f.xyz; expected a name that ends in .png"),
        (".", "absent/f.png", "which cannot be written (No such file or directory)"),
    ],
)
def test_compare_refuses_what_it_cannot_read_or_draw(tmp_path, finished, data, figure, message):
    text = run("compare", tmp_path / data, finished("run"), "--figure", tmp_path / figure, code=2)
    assert message in text
    assert "0.250" not in text


def test_compare_needs_finished_runs(tmp_path):
    (tmp_path / "run").mkdir()
    assert "no readable metrics.json" in run("compare", tmp_path, tmp_path / "run", code=2)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data") / "simulated"
    return write_simulated_directory(directory, SimulationConfig(genes=12, cells=900, min_cells=20), 0)


def test_evaluate_says_what_a_run_says(simulated, tmp_path):
    spec = RunSpec("mean_difference", simulated, "interventional", 1.0, 0)
    assert not execute(spec, EvaluationProtocol(edges=30, omission_estimation_size=40), tmp_path).error
    network = tmp_path / spec.directory / "output_network.csv"
    answer = json.loads(run("evaluate", simulated, network, "--omission-estimation-size", "40", "--json"))
    result = RunResult.read(tmp_path / spec.directory)
    assert answer["data"] == {"name": "simulated", "title": result.title, "simulated": True}
    assert answer["mean_wasserstein"] == result.mean_wasserstein
    assert answer["truth"]["effect_recovery"] == result.truth.effect_recovery
    assert answer["exact_false_omission_rate"] is None, "it takes long, so only sweeps compute it"
    assert 0 <= result.exact_false_omission_rate <= 1
    metrics = json.loads((tmp_path / spec.directory / "metrics.json").read_text())
    metrics.pop("run_time")
    assert answer["metrics"] == metrics
    assert answer["references"] == result.references
    count = answer["references"]["string_network"]["true_positives"]
    assert count == metrics["string_network_evaluation"]["true_positives"] > 0

    table = pd.read_csv(network, index_col=0).set_axis(["source", "target"], axis=1)
    table.to_csv(tmp_path / "edges.csv", index=False)
    text = run("evaluate", simulated, tmp_path / "edges.csv")
    assert "SIMULATED" in text
    shown = {"mean Wasserstein": result.mean_wasserstein, "effect recovery": result.truth.effect_recovery}
    assert all(re.search(rf"{label}\s↑ .* {value:.3f}", text) for label, value in shown.items())
    shown = [f"{result.references['string_network'][name]:.3f}" for name in ("precision", "recall", "f1")]
    assert re.search(rf"string network .* {count:.0f} .* {' .* '.join(shown)}", text)
    assert "pooled biological significant" in text


def test_evaluate_prints_brackets_of_a_title(tmp_path):
    directory = write_simulated_directory(tmp_path / "data", SimulationConfig(genes=12, cells=900, min_cells=20), 0)
    described = json.loads((directory / "description.json").read_text())
    (directory / "description.json").write_text(json.dumps({**described, "title": "SIMULATED [/x]"}))
    assert "SIMULATED [/x]" in run("evaluate", directory, directory / "true_network.csv")


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    """A SIMULATED screen whose genes have ids, and whose labels are symbols; and its benchmark directory."""
    directory = tmp_path_factory.mktemp("screen")
    adata = simulate_anndata(genes=12, cells=1600, seed=0)
    adata.var["gene_name"] = adata.var_names
    adata.var_names = [f"ENSG{number:011d}" for number in range(adata.n_vars)]
    adata.write_h5ad(directory / "screen.h5ad")
    options = ["--perturbation-key", "target_gene"]
    fitting = ["fit", directory / "screen.h5ad", "-o", directory / "network", "--method", "mean_difference", *options]
    run(*fitting, "--edges", 40)
    run("convert", directory / "screen.h5ad", "-o", directory / "data", *options)
    return directory


def evaluated(screen, path):
    return json.loads(run("evaluate", screen / "data", path, "--omission-estimation-size", 20, "--json"))


@pytest.mark.guarantee(
    "Input", "`evaluate` scores the edges.csv that `fit` wrote for the same file, by symbols or ids."
)
def test_evaluate_takes_the_edges_of_fit(screen, tmp_path):
    """And the same edges by ids, as arboreto writes them, in any order of the rows."""
    table = pd.read_csv(screen / "network" / "edges.csv")
    assert table["source"].str.startswith("SIM").all()
    expected = evaluated(screen, screen / "network" / "edges.csv")
    assert (expected["num_edges"], expected["left_out"], expected["sorted_by"]) == (40, {}, "")
    id_of = {symbol: gene for gene, symbol in read_gene_symbols(screen / "data").items()}
    assert set(table["target"]) <= set(id_of)
    arboreto = table[["source", "target", "weight"]].replace(id_of).set_axis(["TF", "target", "importance"], axis=1)
    arboreto.to_csv(tmp_path / "edges.tsv.gz", sep="\t", index=False)
    assert evaluated(screen, tmp_path / "edges.tsv.gz") == expected
    arboreto.sample(frac=1, random_state=0).to_csv(tmp_path / "edges.tsv", sep="\t", index=False)
    assert evaluated(screen, tmp_path / "edges.tsv") == {**expected, "sorted_by": "importance"}
    arboreto.iloc[:, :2].to_csv(tmp_path / "edges.csv", index=False, header=False)
    assert evaluated(screen, tmp_path / "edges.csv") == expected


def test_evaluate_says_what_it_leaves_out(screen, tmp_path):
    network = tmp_path / "edges.csv"
    network.write_text("source,target\nSIM1,SIM2\nSIM1,TP53\nSIM2,SIM2\nSIM1,SIM2\nSIM3,SIM2\n")
    text = run("evaluate", screen / "data", network)
    assert "3 of 5 edges are left out: 1 with a gene that is not in the data ('TP53', for one); 1 from a gene " in text
    assert re.search(r"│ edges +│ +2 │", text)
    network.write_text("source,target\nTP53,MYC\n")
    assert "Error: network: found no edge that can be scored among 1: 1 with a" in run(
        "evaluate", screen / "data", network, code=2
    )


def test_evaluate_needs_the_names_of_the_genes(screen, tmp_path):
    (tmp_path / "network.csv").write_text("source,target\nSIM1,SIM2\n")
    text = run("evaluate", tmp_path, tmp_path / "network.csv", code=2)
    assert "Error: data: found k562.h5ad in" in text


def test_the_plugin_warns_of_variables_before_causalbench_loads_its_data(monkeypatch):
    monkeypatch.setenv("CATRAN_METHOD", "mean_diference")
    result = CliRunner().invoke(app, ["plugin"])
    assert result.exit_code == 0
    assert Path(result.stdout.strip()).name == "plugin.py"
    assert result.stderr.startswith("Warning: CATRAN_METHOD: found 'mean_diference'; expected one of catran, ")
