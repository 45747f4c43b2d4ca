"""The command: what it writes, what it says, and how it ends."""

import json
import re

import numpy as np
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
    for command in ("simulate", "datadir", "plugin", "presets", "methods", "compare", "evaluate", "report"):
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
