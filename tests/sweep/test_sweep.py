"""The command `evaluate`."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
from catran_causalbench.cli import app
from catran_causalbench.simulation.causal_model import SimulationConfig
from catran_causalbench.sweep.plan import EvaluationProtocol, RunSpec
from catran_causalbench.sweep.records import RunResult
from catran_causalbench.sweep.worker import execute

SETTINGS = SimulationConfig(genes=12, cells=900, min_cells=20)
PROTOCOL = EvaluationProtocol(edges=30, omission_estimation_size=40)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_simulated_directory(tmp_path_factory.mktemp("data") / "world", SETTINGS, 0)


def test_evaluate_says_what_a_run_says(world, tmp_path):
    run = RunSpec("mean_difference", world, "interventional", 1.0, 0)
    execute(run, PROTOCOL, tmp_path)
    network = tmp_path / run.directory / "output_network.csv"
    options = ["--omission-estimation-size", "40"]
    result = CliRunner().invoke(app, ["evaluate", str(world), str(network), *options, "--json"])
    assert result.exit_code == 0, result.output
    scores, result_of_run = json.loads(result.output), RunResult.read(tmp_path / run.directory)
    assert scores["mean_wasserstein"] == result_of_run.mean_wasserstein
    assert scores["truth"]["effect_recovery"] == result_of_run.truth.effect_recovery
    metrics = json.loads((tmp_path / run.directory / "metrics.json").read_text())
    metrics.pop("run_time")
    assert scores["metrics"] == metrics

    table = pd.read_csv(network, index_col=0).set_axis(["source", "target"], axis=1)
    table.to_csv(tmp_path / "edges.csv", index=False)
    text = CliRunner().invoke(app, ["evaluate", str(world), str(tmp_path / "edges.csv")]).output
    assert "SIMULATED" in text
    assert f"{result_of_run.mean_wasserstein:.4f}" in text
    table.replace(table["source"][0], "elsewhere").to_csv(tmp_path / "wrong.csv")
    result = CliRunner().invoke(app, ["evaluate", str(world), str(tmp_path / "wrong.csv")])
    assert result.exit_code == 2
    assert "unknown" in result.output or "'elsewhere'" in result.output


def test_a_headline_may_hold_brackets(tmp_path):
    folder = write_simulated_directory(tmp_path / "world", SETTINGS, 0)
    described = json.loads((folder / "description.json").read_text())
    (folder / "description.json").write_text(json.dumps({**described, "title": "SIMULATED [/x]"}))
    result = CliRunner().invoke(app, ["evaluate", str(folder), str(folder / "true_network.csv")])
    assert "SIMULATED [/x]" in result.output
