"""The command: what it writes, what it says, and how it ends."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from helpers import random_data
from typer.testing import CliRunner

from catran_causalbench.cli import app

RUNNER = CliRunner()


def run(*arguments, code=0):
    result = RUNNER.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_help_names_every_command():
    text = run("--help")
    for command in ("simulate", "datadir", "plugin", "presets", "scores"):
        assert command in text


def test_simulate_says_that_it_simulates(tmp_path):
    text = run("simulate", tmp_path / "world", "--size", "tiny", "--seed", 3)
    assert "SIMULATED DATA" in text
    assert json.loads((tmp_path / "world" / "description.json").read_text())["simulated"]


def test_simulate_refuses_a_folder_that_is_taken(tmp_path):
    (tmp_path / "mine.txt").write_text("do not lose this")
    assert re.search(r"Error: .*found", run("simulate", tmp_path, "--size", "tiny", code=2))
    assert (tmp_path / "mine.txt").exists()


def test_an_unknown_shape_is_refused(tmp_path):
    assert "Error: " in run("simulate", tmp_path / "world", "--size", "enormous", code=2)


def test_datadir_reads_an_npz(tmp_path):
    matrix, labels, names = random_data(cells=1500, genes=8)
    np.savez(tmp_path / "mine.npz", expression_matrix=matrix, var_names=names, interventions=labels)
    run("datadir", tmp_path / "folder", tmp_path / "mine.npz")
    with np.load(tmp_path / "folder" / "dataset_rpe1.npz") as written:
        assert len(written["expression_matrix"]) == 1500
    assert "Error: " in run("datadir", tmp_path / "other", tmp_path / "missing.npz", code=2)


def test_plugin_prints_paths_of_files():
    assert Path(run("plugin").strip()).name == "plugin.py"
    assert Path(run("plugin", "--rival").strip()).parent.name == "rivals"


def test_presets_are_listed_with_a_line_each():
    text = run("presets")
    for name in ("demo", "evidence", "paper"):
        assert re.search(rf"^{name} +\w.{{20}}", text, flags=re.MULTILINE)


@pytest.fixture
def finished(tmp_path):
    """Make an output folder of causalbench_run."""

    def make(name, wasserstein=0.25, omission=0.1):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        statistics = {"output_graph": {"wasserstein_distance": {"mean": wasserstein}}, "false_omission_rate": omission}
        metrics = {"quantitative_test_evaluation": statistics, "run_time": 2.0}
        (folder / "metrics.json").write_text(json.dumps(metrics))
        (folder / "output_network.csv").write_text(",0,1\n0,A,B\n")
        return folder

    return make


def test_scores_shows_every_run(tmp_path, finished):
    """Two of one name, and some whose names matplotlib would read as a formula and rich as markup."""
    folders = [finished(name) for name in ("one/run", "other/run", "$a_b$^{", "run[a]", "run[", "b]")]
    text = run("scores", tmp_path, *folders, "--figure", tmp_path / "scores.png")
    assert text.count("0.250") == len(folders)
    assert "run[a]" in text
    assert (tmp_path / "scores.png").exists()
    (folders[0] / "metrics.json").write_text("{}")
    assert "no readable metrics.json" in run("scores", tmp_path, *folders, code=2)


def test_what_was_not_measured_wins_no_score(tmp_path, finished):
    """The harness writes −1 where it drew no omissions."""
    folders = [finished("without", omission=-1), finished("null", omission=None), finished("with")]
    text = run("scores", tmp_path, *folders, "--figure", tmp_path / "scores.svg")
    assert text.count("–") == 2
    assert "-1.000" not in text
    rates = [
        row["false omission rate ↓"] for row in json.loads(run("scores", tmp_path, *folders, "--json"))["runs"].values()
    ]
    assert rates == [None, None, 0.1]
    nothing = finished("nothing", wasserstein=float("nan"))
    run("scores", tmp_path, nothing, "--figure", tmp_path / "scores.pdf")


def test_a_headline_is_no_markup(tmp_path, finished):
    (tmp_path / "description.json").write_text(json.dumps({"made_by": "catran_causalbench", "title": "DATA [/x]"}))
    assert "DATA [/x]" in run("scores", tmp_path, finished("run"))


@pytest.mark.parametrize(
    ("data", "figure", "message"),
    [
        ("absent", "f.png", "Error: data_directory: found no folder"),
        (".", "f.xyz", "Error: figure: found a file named f.xyz; expected a name that ends in .png"),
        (".", "absent/f.png", "which cannot be written (No such file or directory)"),
    ],
)
def test_scores_refuses_what_it_cannot_read_or_draw(tmp_path, finished, data, figure, message):
    text = run("scores", tmp_path / data, finished("run"), "--figure", tmp_path / figure, code=2)
    assert message in text
    assert "0.250" not in text


def test_scores_needs_finished_runs(tmp_path):
    (tmp_path / "run").mkdir()
    assert "no readable metrics.json" in run("scores", tmp_path, tmp_path / "run", code=2)
