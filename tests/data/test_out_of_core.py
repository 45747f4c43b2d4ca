"""Matrices beyond the memory: the same edges as in memory, in less memory than the matrix takes."""

import errno
import os
import subprocess
import sys
import tempfile

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import catran_causalbench as catran
from catran_causalbench.config import CatranConfig
from catran_causalbench.data.out_of_core import allocate_matrix
from catran_causalbench.errors import InputError
from catran_causalbench.simulation import to_anndata as simulated_screens

GATES = {"evidence": {"steps": 8, "pairs_per_minibatch": 256, "gates": 2}}
PAPER = {"model": "catran", "catran": {"epochs": 2, "cells_per_minibatch": 128, "genes_per_minibatch": 6}}


@pytest.fixture
def no_memory(monkeypatch, tmp_path):
    monkeypatch.setattr("catran_causalbench.data.out_of_core._SHARE_OF_MEMORY", 0)
    monkeypatch.setattr("catran_causalbench.data.canonical_order._CELLS_PER_BLOCK", 77)
    monkeypatch.setattr("catran_causalbench.data.canonical_order.VALUES_IN_CACHE", 1000)
    monkeypatch.setattr("catran_causalbench.data.matrix_blocks._VALUES_PER_BLOCK", 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def raw_counts():
    """A screen of raw counts with cells that have none, and a gene that is seen nowhere."""
    adata = simulated_screens.simulate_anndata(genes=12, cells=2000, seed=1)
    counts = np.round(np.expm1(adata.X))
    counts[::7], counts[:, 5] = 0, 0
    adata.X = sparse.csr_matrix(counts)
    return adata


def fit(adata, settings):
    with pytest.warns(UserWarning, match="one value in all cells"):
        return catran.fit(
            adata, perturbation_key="target_gene", genes="all", counts=True, config=CatranConfig.from_mapping(settings)
        )


@pytest.mark.guarantee(
    "Scale",
    "A matrix larger than the memory is kept in an unnamed temporary file; the edges are the same.",
)
@pytest.mark.parametrize("settings", [GATES, PAPER], ids=["evidence", "paper"])
def test_in_a_file_or_in_memory_the_edges_are_the_same(settings, request, tmp_path):
    in_memory = fit(raw_counts(), settings)
    request.getfixturevalue("no_memory")
    path = tmp_path / "screen.h5ad"
    raw_counts().write_h5ad(path)
    in_a_file = fit(anndata.read_h5ad(path, backed="r"), settings)
    pd.testing.assert_frame_equal(in_a_file.edges(60), in_memory.edges(60))
    assert list(tmp_path.iterdir()) == [path], "no file is left behind"


@pytest.mark.guarantee(
    "Scale", "`fit` holds the cells once, in memory or in a file: it brings them into order in place."
)
def test_a_fit_allocates_one_matrix_of_the_cells(monkeypatch):
    made = []

    def allocate(cells, genes):
        made.append((cells, genes))
        return allocate_matrix(cells, genes)

    for module in ("canonical_order", "matrix_blocks", "batches"):
        monkeypatch.setattr(f"catran_causalbench.data.{module}.allocate_matrix", allocate)
    fit(raw_counts(), GATES)
    assert made == [(2000, 12)]


def test_where_the_memory_is_short_the_matrix_is_a_file_without_a_name(no_memory, tmp_path):
    matrix = allocate_matrix(50, 40)
    matrix[:] = np.arange(40)
    assert isinstance(matrix.base, np.memmap)
    assert matrix.sum() == 50 * sum(range(40))
    assert not list(tmp_path.iterdir())


def test_where_it_is_not_it_stays_in_memory():
    assert allocate_matrix(50, 40).base is None


@pytest.mark.parametrize(
    ("limit", "pages_of_files", "in_a_file"),
    [("20000", 500, True), ("20000", 1500, False), ("max", 0, False), (None, 0, False)],
)
def test_the_memory_limit_of_a_job_counts(limit, pages_of_files, in_a_file, monkeypatch, tmp_path):
    job, step = tmp_path / "job", tmp_path / "job" / "step"
    step.mkdir(parents=True)
    (step / "memory.max").write_text("max\n")
    if limit:
        (job / "memory.max").write_text(f"{limit}\n")
        (job / "memory.current").write_text("5000\n")
        (job / "memory.stat").write_text(f"anon 3000\ninactive_file {pages_of_files}\n")
    own = tmp_path / "cgroup"
    own.write_text("0::/job/step\n")
    monkeypatch.setattr("catran_causalbench.data.out_of_core._CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr("catran_causalbench.data.out_of_core._OWN_GROUP", own)
    assert isinstance(allocate_matrix(50, 40).base, np.memmap) == in_a_file  # 8,000 bytes


@pytest.mark.guarantee(
    "Scale",
    "Where neither memory nor disk has room, an `InputError` says how much is needed before anything is computed.",
)
def test_without_room_anywhere_the_error_says_how_much_is_needed(no_memory, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match=r"too many for memory and for .*expected 4\.0 GB in .* that TMPDIR"):
        allocate_matrix(100_000, 10_000)


# Reads a matrix of 300 MB, beside which the file holds another, with room for 250 MB beyond what the libraries take.
CHILD = """
import resource, sys
import anndata, torch, openpyxl
import catran_causalbench.data.out_of_core
from catran_causalbench.causalbench.build.from_screen import convert_screen
from catran_causalbench.data.anndata_reader import read_screen
from catran_causalbench.models.evidence.statistics import sufficient_statistics

path, share, directory = sys.argv[1:]
catran_causalbench.data.out_of_core._SHARE_OF_MEMORY = float(share)
data = {line.split(":")[0]: line.split(":")[1] for line in open("/proc/self/status")}["VmData"]
limit = int(data.split()[0]) * 1024 + 250_000_000
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
dataset = read_screen(path, perturbation_key="target", genes="all").dataset()
print(sufficient_statistics(dataset, 2, 0).count.sum())
made = convert_screen(f"{directory}/made", path, perturbation_key="target")
convert_screen(f"{directory}/again", made / "dataset_k562.npz")
"""


@pytest.mark.guarantee(
    "Scale",
    "Less memory than such a matrix takes is enough (under a limit on the memory of the process).",
)
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory by Linux's resource limits")
def test_less_memory_than_the_matrix_takes_is_enough(tmp_path):
    cells, genes, present = 250_000, 300, 15
    rng = np.random.default_rng(0)
    places = (rng.integers(genes, size=(cells, 1)) + genes // present * np.arange(present)) % genes
    starts = np.arange(cells + 1) * present
    values = sparse.csr_matrix((rng.random(places.size, np.float32), places.ravel(), starts), (cells, genes))
    names = [f"gene{number}" for number in range(genes)]
    targets = np.resize(["non-targeting", *names], cells)
    obs = pd.DataFrame({"target": targets}, index=np.arange(cells).astype(str))
    layers = {"dense": np.zeros((cells, genes), np.float32)}
    adata = anndata.AnnData(values, obs, pd.DataFrame(index=names), layers=layers)
    adata.write_h5ad(tmp_path / "screen.h5ad", compression="lzf")

    def run(share_of_memory):
        command = [sys.executable, "-W", "ignore", "-c", CHILD, str(tmp_path / "screen.h5ad"), str(share_of_memory)]
        environment = {**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        command.append(str(tmp_path))
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    in_memory, in_a_file = run(1), run(0)
    assert "MemoryError" in in_memory.stderr, "the limit is felt"
    assert in_a_file.returncode == 0, in_a_file.stderr[-2000:]
    assert float(in_a_file.stdout) == cells
    converted = [np.load(tmp_path / name / "dataset_k562.npz") for name in ("made", "again")]
    for name in ("expression_matrix", "var_names", "interventions"):
        np.testing.assert_array_equal(*(arrays[name] for arrays in converted))
    np.testing.assert_array_equal(converted[0]["expression_matrix"][:500], values[:500].toarray())
