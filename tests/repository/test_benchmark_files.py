"""The SIMULATED files of scripts/benchmarks/replogle_files.py, at their small size."""

import importlib
import sys

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from causalscbench.data_access.utils.preprocessing import get_strong_perts
from helpers import REPOSITORY

from catran_causalbench.causalbench.manifest import check_data_directory
from catran_causalbench.causalbench.metadata import find_metadata

SHEETS = {"k562": "TabB_K562_day6_summary_stat", "rpe1": "TabC_RPE1_summary_statistic"}


@pytest.fixture(scope="module")
def write_files():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REPOSITORY / "scripts" / "benchmarks")
        yield importlib.import_module("replogle_files").write_files
    del sys.modules["replogle_files"], sys.modules["reference_files"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_files):
    folder = tmp_path_factory.mktemp("files") / "data"
    write_files(folder, "small", seed=0)
    return folder


def test_every_file_is_what_causalbench_reads(folder):
    checks = {check.name: check.passed for check in check_data_directory(folder)}
    optional = {name for name in checks if name.endswith(".npz")}
    assert {name for name, passed in checks.items() if not passed} == optional


@pytest.mark.filterwarnings("ignore")  # anndata's on files of version 0.7
@pytest.mark.parametrize("line", SHEETS)
def test_screens_have_the_layout_of_the_published_files(folder, line):
    """Check the storage, and what the filter of CausalBench finds in cells and summary."""
    with h5py.File(folder / f"{line}.h5ad") as file:
        matrix = file["X"]
        assert (matrix.dtype, matrix.chunks, matrix.compression) == (np.float32, None, None)
        assert file["obs/__categories/gene"].shape == (1 + file["obs/gene"][:].max(),)
    screen = anndata.read_h5ad(folder / f"{line}.h5ad")
    assert (screen.obs_names.name, screen.var_names.name) == ("cell_barcode", "gene_id")
    assert screen.obs_names.is_unique
    assert not (screen.X % 1).any()
    assert set(screen.obs["gene_id"]) - set(screen.var_names) >= {"non-targeting", "nan"}
    assert screen.var["gene_name"].duplicated().sum() == 1

    summary = pd.read_excel(folder / "summary_stats.xlsx", sheet_name=SHEETS[line])
    strong = get_strong_perts(summary)
    assert 5 < len(strong) < len(summary)
    controls = screen[screen.obs["gene"] == "non-targeting"]
    column_of = {gene: column for column, gene in enumerate(screen.var_names)}
    change = {
        of["gene"].iloc[0]: screen.X[screen.obs["gene_id"] == gene, column_of[gene]].mean()
        / controls.X[:, column_of[gene]].mean()
        for gene, of in screen.obs.groupby("gene_id", observed=True)
        if gene in column_of
    }
    assert np.median([change[gene] for gene in change if gene in strong]) < 0.3
    assert np.median([change[gene] for gene in change if gene not in strong]) > 0.5


def test_files_say_that_they_are_simulated(folder):
    assert find_metadata(folder)["simulated"] is True
    assert "SIMULATED" in (folder / "README.txt").read_text()
    for line in SHEETS:
        assert "SIMULATED" in anndata.read_h5ad(folder / f"{line}.h5ad", backed="r").uns["simulated"]
    assert "SIMULATED" in pd.ExcelFile(folder / "summary_stats.xlsx").sheet_names


def test_the_same_seed_gives_the_same_files(folder, tmp_path, write_files):
    write_files(tmp_path, "small", seed=0)
    for name in ("rpe1.h5ad", "protein.links.txt.gz", "corum_complexes.txt.zip", "human_lr_pair.txt"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
