"""The README's examples run: python blocks in order, as one session, and its `fit` commands.

They run in an empty folder with a small simulated `screen.h5ad` (obs column `target_gene`, controls `non-targeting`).
"""

import re
import shlex
import warnings

import pytest
from helpers import REPOSITORY
from typer.testing import CliRunner

from catran_causalbench.cli import app
from catran_causalbench.simulation.to_anndata import simulate_anndata

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    path = tmp_path_factory.mktemp("readme") / "screen.h5ad"
    simulate_anndata(genes=12, cells=2000, seed=0).write_h5ad(path)
    return path


@pytest.fixture
def folder(screen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / screen.name).symlink_to(screen)
    return tmp_path


def blocks(language, text=README):
    return [block for found, block in re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S) if found == language]


def fit_commands(text=README):
    lines = "\n".join(blocks("bash", text)).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("catran-causalbench fit ")]


def test_python_examples_run_in_order(folder):
    assert blocks("python")
    names = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pairs of genes")
        for number, block in enumerate(blocks("python"), 1):
            exec(compile(block, f"README, python block {number}", "exec"), names)


def test_fit_commands_run(folder):
    if not fit_commands():
        pytest.skip("the README shows no fit command")
    for line in fit_commands():
        words = shlex.split(line, comments=True)[1:]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, f"{line}\n{result.output}"
        output = next(words[at + 1] for at, word in enumerate(words) if word in ("--output", "-o"))
        assert (folder / output / "network.png").stat().st_size > 10_000
