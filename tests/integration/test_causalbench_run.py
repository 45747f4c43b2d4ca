"""The real causalbench_run, as a subprocess, on directories that this package made."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import catran_causalbench
from catran_causalbench.causalbench.build.from_screen import convert_screen
from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
from catran_causalbench.report.run_table import read_runs
from catran_causalbench.simulation.presets import size_preset

PLUGIN = Path(catran_causalbench.__file__).parent / "plugin.py"
REGIMES = ["observational", "partial_interventional", "interventional"]


def causalbench_run(data_directory, directory, regime, config, dataset="weissmann_rpe1"):
    """Run CausalBench with CaTran and return the directory of the run."""
    settings = directory / "settings.yaml"
    settings.write_text(config)
    working_directory = directory / "working_directory"
    working_directory.mkdir()
    command = [
        Path(sys.executable).parent / "causalbench_run",
        *("--dataset_name", dataset),
        *("--data_directory", data_directory),
        *("--output_directory", directory),
        *("--exp_id", "run"),
        *("--model_name", "custom"),
        *("--inference_function_file_path", PLUGIN),
        *("--training_regime", regime),
        *("--partial_intervention_seed", "0"),
        *("--fraction_partial_intervention", "0.5"),
        *("--max_path_length", "1"),
        *("--omission_estimation_size", "50"),
    ]
    finished = subprocess.run(
        list(map(str, command)),
        cwd=working_directory,
        env={**os.environ, "CATRAN_CONFIG": str(settings)},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert list(working_directory.iterdir()) == [], "the run wrote into its working directory"
    return directory / "run"


def check_run(run, edges, genes):
    metrics = json.loads((run / "metrics.json").read_text())
    statistics = metrics["quantitative_test_evaluation"]
    outcome = statistics["output_graph"]
    assert outcome["true_positives"] + outcome["false_positives"] == edges
    assert outcome["wasserstein_distance"]["mean"] > 0
    assert 0 <= statistics["false_omission_rate"] <= 1
    network = pd.read_csv(run / "output_network.csv", index_col=0)
    assert len(network.drop_duplicates()) == edges
    assert set(network.to_numpy().ravel()) <= set(genes)
    return metrics


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return write_simulated_directory(tmp_path_factory.mktemp("simulated") / "data", size_preset("tiny"), seed=1)


@pytest.mark.parametrize("regime", REGIMES)
def test_simulated_directory(simulated, tmp_path, regime):
    run = causalbench_run(simulated, tmp_path, regime, "evidence: {steps: 20}\noutput: {edges: 60}\n")
    true_network = pd.read_csv(simulated / "true_network.csv")
    check_run(run, 60, {*true_network["source"], *true_network["target"]})

    table = read_runs(simulated, [run])
    found = pd.read_csv(run / "output_network.csv", index_col=0)
    hits = found.merge(true_network, left_on=["0", "1"], right_on=["source", "target"])
    assert table.loc["run", "precision"] == pytest.approx(len(hits) / 60)


@pytest.mark.parametrize("regime", REGIMES)
def test_real_tap_seq_data(real_data, tmp_path, regime):
    source = real_data("schraivogel2020_tapseq_k562_crispri.npz")
    directory = convert_screen(tmp_path / "schraivogel", source)
    run = causalbench_run(directory, tmp_path, regime, "output: {edges: 60}\n", dataset="weissmann_k562")
    genes = json.loads((directory / "description.json").read_text())
    assert not genes["simulated"]
    check_run(run, 60, pd.read_csv(run / "output_network.csv", index_col=0).to_numpy().ravel())
