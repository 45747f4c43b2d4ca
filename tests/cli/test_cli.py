"""The commands: what they write, what they print, and how they end."""

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
    for command in ("fit", "simulate", "convert", "download", "plugin", "presets", "methods", "compare", "evaluate"):
        assert command in text
    for command in ("prepare", "sweep", "report", "check-submission", "doctor"):
        assert command in text


def test_simulate_says_that_it_simulates(tmp_path):
    text = run("simulate", "-o", tmp_path / "data", "--size", "tiny", "--seed", 3)
    assert "SIMULATED" in text
    assert json.loads((tmp_path / "data" / "description.json").read_text())["simulated"]


def test_simulate_refuses_a_directory_that_is_taken(tmp_path):
    (tmp_path / "mine.txt").write_text("do not lose this")
    assert re.search(r"Error: .*found", run("simulate", "-o", tmp_path, "--size", "tiny", code=2))
    assert (tmp_path / "mine.txt").exists()


def test_an_unknown_size_is_refused(tmp_path):
    assert re.search("Error: .*enormous", run("simulate", "-o", tmp_path / "data", "--size", "enormous", code=2))


def test_convert_reads_an_npz(tmp_path):
    matrix, labels, names = random_data(cells=1500, genes=8)
    np.savez(tmp_path / "mine.npz", expression_matrix=matrix, var_names=names, interventions=labels)
    run("convert", tmp_path / "mine.npz", "-o", tmp_path / "made")
    with np.load(tmp_path / "made" / "dataset_rpe1.npz") as written:
        assert len(written["expression_matrix"]) == 1500
    assert "Error: " in run("convert", tmp_path / "missing.npz", "-o", tmp_path / "other", code=2)
