"""A simulated screen as an AnnData object."""

import subprocess
import sys

import numpy as np
import pytest

from catran_causalbench.errors import InputError
from catran_causalbench.simulation.causal_model import SimulationConfig, sample_causal_model
from catran_causalbench.simulation.expression import simulate_cells
from catran_causalbench.simulation.to_anndata import simulate_anndata


def test_the_screen_holds_what_was_simulated():
    screen = simulate_anndata(genes=12, cells=2_000, seed=4)
    model = sample_causal_model(SimulationConfig(genes=12, cells=2_000), 4)
    cells = simulate_cells(model)
    np.testing.assert_array_equal(screen.X, cells.expression)
    np.testing.assert_array_equal(screen.layers["counts"].toarray(), cells.counts)
    np.testing.assert_array_equal(screen.varp["true_weights"].toarray(), model.weights)
    assert tuple(screen.var_names) == model.gene_names
    targets = screen.obs["target_gene"].astype(str).to_numpy()
    assert set(targets) == {*model.gene_names, "non-targeting", "excluded"}
    np.testing.assert_array_equal(targets == "SIM3", cells.labels == model.gene_ids[3])
    np.testing.assert_array_equal(targets == "excluded", cells.labels == "excluded")
    assert screen.uns["simulated"].startswith("SIMULATED DATA")


def test_the_default_is_180_cells_per_gene():
    assert simulate_anndata(genes=10).shape == (1_800, 10)
    with pytest.raises(InputError, match=r"^cells: found 500"):
        simulate_anndata(genes=10, cells=500)


def test_import_is_cheap():
    code = (
        "import sys, catran_causalbench.simulation.to_anndata, catran_causalbench.causalbench.build.from_screen;"
        "print(*{'torch', 'causalscbench', 'pandas', 'scanpy', 'anndata', 'scipy'} & set(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []
