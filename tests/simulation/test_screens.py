"""Simulated screens as files: what `simulate --output NAME.h5ad` writes, and what it does not replace."""

import anndata
import numpy as np
import pytest
from typer.testing import CliRunner

from catran_causalbench.cli import app
from catran_causalbench.errors import InputError
from catran_causalbench.simulation.causal_model import SimulationConfig
from catran_causalbench.simulation.to_anndata import simulate_anndata, write_simulated_screen

SETTINGS = SimulationConfig(genes=12, cells=400, min_cells=10)


def test_the_command_writes_the_screen_that_python_makes(tmp_path):
    path = tmp_path / "screen.h5ad"
    words = ["simulate", "--output", str(path), "--genes", "12", "--cells", "1600", "--seed", "3"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "SIMULATED DATA" in result.stdout
    written, made = anndata.read_h5ad(path), simulate_anndata(12, 1600, 3)
    np.testing.assert_array_equal(written.X, made.X)
    assert written.obs["target_gene"].astype(str).tolist() == made.obs["target_gene"].astype(str).tolist()
    assert written.uns["simulated"].startswith("SIMULATED DATA – no cell here was measured; 12 genes, seed 3")
    assert [entry.name for entry in tmp_path.iterdir()] == ["screen.h5ad"]


def test_only_simulated_screens_are_replaced(tmp_path):
    path = write_simulated_screen(tmp_path / "screen.h5ad", SETTINGS, seed=0)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"output: found an existing file .*; expected a new one, or --overwrite"):
        write_simulated_screen(path, SETTINGS, seed=1)
    assert path.read_bytes() == before
    write_simulated_screen(path, SETTINGS, seed=1, overwrite=True)
    assert path.read_bytes() != before
    measured = anndata.AnnData(np.ones((3, 2), np.float32))
    for name, write in (("mine.h5ad", measured.write_h5ad), ("text.h5ad", lambda path: path.write_text("mine"))):
        write(tmp_path / name)
        with pytest.raises(InputError, match="existing file"):
            write_simulated_screen(tmp_path / name, SETTINGS, seed=0, overwrite=True)
