"""The commands: what they write, what they print, and how they end."""

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
    for command in ("fit", "simulate", "convert", "download", "plugin", "presets", "methods", "compare", "evaluate"):
        assert command in text
    for command in ("sweep", "report", "check-submission", "doctor"):
        assert command in text


def test_simulate_says_that_it_simulates(tmp_path):
    text = run("simulate", tmp_path / "data", "--size", "tiny", "--seed", 3)
    assert "SIMULATED" in text
    assert json.loads((tmp_path / "data" / "description.json").read_text())["simulated"]


def test_simulate_refuses_a_folder_that_is_taken(tmp_path):
    (tmp_path / "mine.txt").write_text("do not lose this")
    assert re.search(r"Error: .*found", run("simulate", tmp_path, "--size", "tiny", code=2))
    assert (tmp_path / "mine.txt").exists()


def test_an_unknown_size_is_refused(tmp_path):
    assert re.search("Error: .*enormous", run("simulate", tmp_path / "data", "--size", "enormous", code=2))


def test_convert_reads_an_npz(tmp_path):
    matrix, labels, names = random_data(cells=1500, genes=8)
    np.savez(tmp_path / "mine.npz", expression_matrix=matrix, var_names=names, interventions=labels)
    run("convert", tmp_path / "folder", tmp_path / "mine.npz")
    with np.load(tmp_path / "folder" / "dataset_rpe1.npz") as written:
        assert len(written["expression_matrix"]) == 1500
    assert "Error: " in run("convert", tmp_path / "other", tmp_path / "missing.npz", code=2)


def test_plugin_prints_the_path_of_a_file():
    path = Path(run("plugin").strip())
    assert path.name == "plugin.py"
    assert path.is_file()


@pytest.mark.parametrize(
    ("command", "names"),
    [("presets", ("demo", "evidence", "paper")), ("methods", ("catran", "catran-paper", "mean_difference", "dcdi_g"))],
)
def test_presets_and_methods_are_listed_with_a_line_each(command, names):
    text = run(command)
    listed = {row["name"]: row["description"] for row in json.loads(run(command, "--json"))}
    for name in names:
        assert re.search(rf"^{name} +\w.{{20}}", text, flags=re.MULTILINE)
        assert len(listed[name]) > 20


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


def test_compare_shows_every_run(tmp_path, finished):
    """Two of one name, and some whose names matplotlib would read as a formula and rich as markup."""
    folders = [finished(name) for name in ("one/run", "other/run", "$a_b$^{", "run[a]", "run[", "b]")]
    text = run("compare", tmp_path, *folders, "--figure", tmp_path / "comparison.png")
    assert text.count("0.250") == len(folders)
    assert "run[a]" in text
    assert (tmp_path / "comparison.png").exists()
    (folders[0] / "metrics.json").write_text("{}")
    assert "no readable metrics.json" in run("compare", tmp_path, *folders, code=2)


def test_what_was_not_measured_is_never_the_best(tmp_path, finished):
    """CausalBench writes −1 where it drew no omissions."""
    folders = [finished("without", omission=-1), finished("null", omission=None), finished("with")]
    text = run("compare", tmp_path, *folders, "--figure", tmp_path / "comparison.svg")
    assert text.count("–") == 2
    assert "1.000" not in text
    rows = json.loads(run("compare", tmp_path, *folders, "--json"))["runs"]
    assert [row["false_omission_rate"] for row in rows] == [None, None, 0.1]
    nothing = finished("nothing", wasserstein=float("nan"))
    run("compare", tmp_path, nothing, "--figure", tmp_path / "comparison.pdf")


def test_a_title_is_no_markup(tmp_path, finished):
    (tmp_path / "description.json").write_text(json.dumps({"made_by": "catran_causalbench", "title": "DATA [/x]"}))
    assert "DATA [/x]" in run("compare", tmp_path, finished("run"))


@pytest.mark.parametrize(
    ("data", "figure", "message"),
    [
        ("absent", "f.png", "Error: data_directory: found no folder"),
        (".", "f.xyz", "Error: figure: found a file named f.xyz; expected a name that ends in .png"),
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
