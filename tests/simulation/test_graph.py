"""Regulatory graphs read from tables, and simulations that follow them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from catran_causalbench.cli import app
from catran_causalbench.errors import InputError
from catran_causalbench.simulation.causal_model import SimulationConfig, sample_causal_model
from catran_causalbench.simulation.expression import simulate_cells, true_effects
from catran_causalbench.simulation.graph import read_regulatory_graph

SHARED = Path(__file__).parents[3] / "shared" / "data"
TRRUST = SHARED / "ground_truth" / "trrust_rawdata.human.tsv"
REPLOGLE = SHARED / "SUMMARY_replogle2022_k562_up_degs_585kd.npz"
TABLE = """source,target,sign
A,B,Activation
A,C,repression
B,C,+
B,C,-
C,A,
A,A,+
A,B,Activation
D,E,-0.7
"""


def written(directory, text, name="edges.csv"):
    path = directory / name
    path.write_text(text)
    return path


def needs(path):
    return pytest.mark.skipif(not path.exists(), reason=f"{path.name} is not in ../shared/data")


def pairs(graph, chosen):
    return {(graph.gene_names[i], graph.gene_names[j]) for i, j in zip(*np.nonzero(chosen), strict=True)}


def test_a_table_gives_edges_and_signs(tmp_path):
    graph = read_regulatory_graph(written(tmp_path, TABLE))
    assert graph.gene_names == ("A", "B", "C", "D", "E")
    assert pairs(graph, graph.edges) == {("A", "B"), ("A", "C"), ("B", "C"), ("C", "A"), ("D", "E")}
    assert pairs(graph, graph.signs > 0) == {("A", "B")}
    assert pairs(graph, graph.signs < 0) == {("A", "C"), ("D", "E")}


def test_a_table_without_headings_has_the_columns_of_trrust(tmp_path):
    graph = read_regulatory_graph(written(tmp_path, "A\tB\tActivation\t123\nB\tC\tUnknown\t7;8\n", "edges.tsv"))
    assert pairs(graph, graph.edges) == {("A", "B"), ("B", "C")}
    assert pairs(graph, graph.signs != 0) == {("A", "B")}


def test_rows_left_out_are_counted(tmp_path):
    graph = read_regulatory_graph(written(tmp_path, TABLE))
    assert (graph.self_loops, graph.repeats) == (1, 2)
    assert (graph.neighbourhood(3, 0).self_loops, graph.neighbourhood(3, 0).repeats) == (1, 2)


def test_signs_may_be_in_a_column_mode(tmp_path):
    graph = read_regulatory_graph(written(tmp_path, "Mode,Source,Target\nRepression,A,B\nActivation,B,C\n"))
    assert pairs(graph, graph.signs < 0) == {("A", "B")}
    assert pairs(graph, graph.signs > 0) == {("B", "C")}


def test_the_edges_that_fit_writes_are_a_graph_with_their_regulation(tmp_path):
    table = "rank,source,target,weight,regulation,effect\n1,A,B,0.3,-1,0.2\n2,B,C,0.2,1,-0.1\n3,C,A,0.1,0,\n"
    graph = read_regulatory_graph(written(tmp_path, table))
    assert pairs(graph, graph.signs < 0) == {("A", "B")}
    assert pairs(graph, graph.signs > 0) == {("B", "C")}


@pytest.mark.parametrize("head", ["source,target,sign\n", ""])
def test_a_minus_sign_may_be_typographic(tmp_path, head):
    graph = read_regulatory_graph(written(tmp_path, f"{head}A,B,−\nB,C,−0.5\nC,A,-\n"))
    assert pairs(graph, graph.signs < 0) == {("A", "B"), ("B", "C"), ("C", "A")}


def test_the_order_of_rows_does_not_matter(tmp_path):
    head, *rows = TABLE.splitlines()
    turned = read_regulatory_graph(written(tmp_path, "\n".join([head, *rows[::-1]]))).neighbourhood(4, 5)
    graph = read_regulatory_graph(written(tmp_path, TABLE)).neighbourhood(4, 5)
    assert turned.gene_names == graph.gene_names
    np.testing.assert_array_equal(turned.signs, graph.signs)
    settings = SimulationConfig(genes=10, cells=2_000)
    ten = "source,target\n" + "\n".join(f"{a},{b}" for a, b in zip("ABCDEFGHIJ", "BCDEFGHIJA", strict=True))
    np.testing.assert_array_equal(
        sample_causal_model(settings, 1, read_regulatory_graph(written(tmp_path, ten))).weights != 0,
        np.roll(np.eye(10), 1, axis=1),
    )


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("regulator,gene\nA,B\n", "edges.csv", "columns regulator, gene; expected columns source, target"),
        ("source,target,sign\nA,B,upwards\n", "edges.csv", "the sign 'upwards'"),
        ("source,target\nA,\n", "edges.csv", "the name ''; expected names of genes"),
        ("source,target\nHLA A,B\n", "edges.csv", "the name 'HLA A'; expected names of genes without space"),
        ("source,target\nA,excluded\n", "edges.csv", "the name 'excluded'"),
        ("source,target,source\nA,B,C\n", "edges.csv", "two columns 'source'"),
        ("source,target\nA,A\n", "edges.csv", "1 rows without an edge between two genes"),
        ("", "edges.csv", "no readable table"),
        ("A\n", "edges.csv", "columns A; expected columns source, target"),
        ("source,target\nA,B\nA,B,C\n", "edges.csv", "no readable table"),
    ],
)
def test_an_invalid_table_is_refused(tmp_path, text, name, message):
    with pytest.raises(InputError, match=message):
        read_regulatory_graph(written(tmp_path, text, name))


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="no file"):
        read_regulatory_graph(tmp_path / "none.csv")


@pytest.fixture
def ring(tmp_path):
    """Return a graph of forty genes in a ring, and a separate pair."""
    rows = [f"G{i:02d},G{(i + 1) % 40:02d}" for i in range(40)]
    return read_regulatory_graph(written(tmp_path, "\n".join(["source,target", *rows, "X,Y"])))


def test_a_neighbourhood_is_connected(ring):
    for seed in range(20):
        chosen = ring.neighbourhood(12, seed)
        if "X" in chosen.gene_names:  # the separate pair was drawn first
            assert "Y" in chosen.gene_names
        assert chosen.edges.sum() >= 10
    assert ring.neighbourhood(12, 0).gene_names == ring.neighbourhood(12, 0).gene_names
    assert ring.neighbourhood(12, 0).gene_names != ring.neighbourhood(12, 1).gene_names
    assert ring.neighbourhood(42, 3).edges.sum() == 41
    with pytest.raises(InputError, match=r"genes: found 43; expected 2 to 42"):
        ring.neighbourhood(43, 0)
    with pytest.raises(InputError, match=r"seed: found -1; expected"):
        ring.neighbourhood(12, -1)


def test_a_causal_model_has_the_edges_of_the_graph(tmp_path, ring):
    graph = replace(ring, signs=np.where(ring.edges, -1, 0).astype(np.int8)).neighbourhood(30, 1)
    model = sample_causal_model(SimulationConfig(genes=30, cells=4_500), 1, graph)
    assert model.gene_names == model.gene_ids == graph.gene_names
    np.testing.assert_array_equal(model.weights < 0, graph.edges)
    assert (model.weights <= 0).all()
    effects, cells = true_effects(model), simulate_cells(model)
    assert (effects[graph.edges] > 0).mean() > 0.9  # less of a repressor means more of its target
    assert set(cells.labels) == {*graph.gene_names, "non-targeting", "excluded"}
    with pytest.raises(InputError, match="graph: found 30 genes; expected 40"):
        sample_causal_model(SimulationConfig(genes=40, cells=6_000), 1, graph)


def simulate(directory, *options):
    result = CliRunner().invoke(app, ["simulate", "--output", str(directory), *map(str, options)])
    assert result.exit_code == 0, result.output
    network = pd.read_csv(directory / "true_network.csv", keep_default_na=False)
    return json.loads((directory / "description.json").read_text()), network


def edges_between(table, genes):
    inside = table["source"].isin(genes) & table["target"].isin(genes) & (table["source"] != table["target"])
    return set(zip(table["source"][inside], table["target"][inside], strict=True))


@needs(TRRUST)
def test_true_network_is_trrust_s(tmp_path):
    described, network = simulate(tmp_path / "simulated", "--graph", TRRUST, "--genes", 60, "--cells", 9000)
    assert described["simulated"]
    assert described["title"].startswith("SIMULATED DATA")
    assert "trrust_rawdata.human.tsv" in described["title"]
    assert described["settings"]["regulatory_graph"] == "trrust_rawdata.human.tsv"
    assert described["rows_left_out"]["self_loops"] > 0
    with np.load(tmp_path / "simulated" / "dataset_rpe1.npz") as written_data:
        genes = written_data["var_names"].astype(str)
    table = pd.read_csv(TRRUST, sep="\t", names=["source", "target", "mode", "papers"], keep_default_na=False)
    expected = edges_between(table, genes)
    assert len(expected) > 60
    assert set(zip(network["source"], network["target"], strict=True)) == expected
    modes = table.groupby(["source", "target"])["mode"].agg(set)
    for row in network.itertuples():
        known = modes[row.source, row.target] - {"Unknown"}
        if len(known) == 1:
            assert (row.weight > 0) == (known == {"Activation"})


@needs(REPLOGLE)
def test_true_network_is_that_of_knockdown_lists(tmp_path):
    with np.load(REPLOGLE) as lists:
        perturbed, genes, rises = lists["perturbations"].astype(str), lists["genes"].astype(str), lists["sig_up"]
    rows, columns = np.nonzero(rises)
    table = pd.DataFrame({"source": perturbed[rows], "target": genes[columns]})
    table = table[table["target"].isin(perturbed)].assign(sign="-")  # a gene represses what rises after its knockdown
    table.to_csv(tmp_path / "replogle.csv", index=False)
    _, network = simulate(tmp_path / "simulated", "--graph", tmp_path / "replogle.csv", "--genes", 50, "--cells", 7500)
    assert (network["weight"] < 0).all()
    found = set(zip(network["source"], network["target"], strict=True))
    assert found == edges_between(table, {gene for edge in found for gene in edge})
