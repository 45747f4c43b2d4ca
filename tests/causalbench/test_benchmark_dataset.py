"""Benchmark directories as methods see them: what is damaged is refused."""

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("causalscbench", reason="causalbench is not installed")

from catran_causalbench.causalbench.benchmark_dataset import BenchmarkDataset
from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
from catran_causalbench.causalbench.dataset_spec import DatasetSpec
from catran_causalbench.errors import InputError
from catran_causalbench.simulation.causal_model import SimulationConfig, sample_causal_model

SETTINGS = SimulationConfig(genes=30, cells=1_000, min_cells=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_simulated_directory(tmp_path_factory.mktemp("made") / "tiny", SETTINGS, 0)


@pytest.fixture
def copied(folder, tmp_path):
    """A copy of the directory of which parts may be changed."""
    return shutil.copytree(folder, tmp_path / "copied")


def pickled(arrays):
    return {"var_names": arrays["var_names"].astype(object)}


def flat(arrays):
    return {"expression_matrix": arrays["expression_matrix"].ravel()}


def lonely(arrays):
    return {"interventions": np.array(["lonely", *arrays["interventions"][1:]])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pickled, r"dataset_rpe1\.npz: found what cannot be read \(Object arrays"),
        (flat, r"dataset_rpe1\.npz: found an expression_matrix of type float32 and shape \(30000,\)"),
        (lonely, r"dataset_rpe1\.npz: found cells that cannot be split"),
    ],
)
def test_cells_that_cannot_be_used_are_refused(copied, change, message):
    with np.load(copied / "dataset_rpe1.npz") as arrays:
        changed = {**arrays, **change(arrays)}
    np.savez(copied / "dataset_rpe1.npz", **changed)
    with pytest.raises(InputError, match=message):
        BenchmarkDataset.read(copied, DatasetSpec())
    if change is pickled:
        with pytest.raises(InputError, match=message):
            DatasetSpec().num_genes(copied)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("true_network.csv", b"a,b\n1,2\n", r"true_network\.csv: found .*; expected columns source and target"),
        ("true_network.csv", b"", r"true_network\.csv: found what cannot be read"),
        ("true_effects.npz", b"junk", r"true_effects\.npz: found what cannot be read"),
        ("description.json", b"{", r"description\.json: found what cannot be read"),
    ],
)
def test_damaged_files_are_refused(copied, name, content, message):
    (copied / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        BenchmarkDataset.read(copied, DatasetSpec())


def test_effects_of_another_size_are_refused(copied):
    np.savez(copied / "true_effects.npz", gene_ids=sample_causal_model(SETTINGS, 0).gene_ids, effects=np.zeros((2, 2)))
    with pytest.raises(InputError, match=r"^true_effects\.npz: found effects of shape \(2, 2\); expected 30 × 30"):
        BenchmarkDataset.read(copied, DatasetSpec())


@pytest.mark.parametrize("description", [{"mine": 1}, {"made_by": "catran_causalbench"}])
def test_a_directory_without_a_title_is_called_by_its_name(copied, description):
    """A description that somebody else wrote, and one without a title."""
    (copied / "description.json").write_text(json.dumps(description))
    assert BenchmarkDataset.read(copied, DatasetSpec()).title == "Data in copied"
