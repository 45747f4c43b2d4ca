"""A benchmark directory is read as CausalBench reads it, and what is damaged is refused."""

import itertools
import json
import shutil
from dataclasses import asdict

import numpy as np
import pytest
from causalscbench.data_access.utils.splitting import DatasetSplitter

from catran_causalbench.causalbench.benchmark_dataset import BenchmarkDataset
from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
from catran_causalbench.causalbench.dataset_spec import REGIMES, DatasetSpec
from catran_causalbench.errors import InputError
from catran_causalbench.simulation.causal_model import SimulationConfig, sample_causal_model
from catran_causalbench.simulation.graph import read_regulatory_graph

SETTINGS = SimulationConfig(genes=12, cells=900, min_cells=20)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return write_simulated_directory(tmp_path_factory.mktemp("data") / "simulated", SETTINGS, 0)


@pytest.fixture
def copied(directory, tmp_path):
    """Return a copy of the directory, to be changed."""
    return shutil.copytree(directory, tmp_path / "copied")


@pytest.mark.parametrize("regime", REGIMES)
def test_training_cells_are_causalbench_s(directory, regime):
    theirs = DatasetSplitter(str(directory / "dataset_rpe1.npz"))
    matrix, labels, genes = {
        "observational": theirs.get_observational,
        "partial_interventional": lambda: theirs.get_partial_interventional(0.5, 3),
        "interventional": theirs.get_interventional,
    }[regime]()
    ours = BenchmarkDataset.read(directory, DatasetSpec()).training_cells(regime, 0.5, 3)
    np.testing.assert_array_equal(ours[0], matrix)
    assert ours[1:] == (list(labels), genes)


def test_another_seed_holds_out_other_cells(directory):
    first, again, other = (BenchmarkDataset.read(directory, DatasetSpec(), seed) for seed in (0, 0, 1))
    cells = [data.training_cells("interventional", 1.0, 0)[0] for data in (first, again, other)]
    np.testing.assert_array_equal(cells[0], cells[1])
    assert cells[0].shape == cells[2].shape
    assert not np.array_equal(cells[0], cells[2])
    np.testing.assert_array_equal(first.held_out.num_cells, other.held_out.num_cells)


def test_significant_pairs_agree_with_single_tests(directory):
    data, other = (BenchmarkDataset.read(directory, DatasetSpec()) for _ in range(2))
    source, target = np.array([0, 3, 11]), np.array([5, 1, 2])
    expected = other.held_out.compare(source, target).significant
    np.testing.assert_array_equal(data.significant[source, target], expected)
    assert not data.significant.diagonal().any()


def test_the_regulatory_graph_of_a_simulation_is_in_its_settings(tmp_path):
    pairs = itertools.combinations([f"G{number}" for number in range(SETTINGS.genes)], 2)
    (tmp_path / "edges.csv").write_text("\n".join(["source,target", *map(",".join, pairs)]))
    graph = read_regulatory_graph(tmp_path / "edges.csv")
    path = write_simulated_directory(tmp_path / "data", SETTINGS, 0, graph=graph)
    assert BenchmarkDataset.read(path, DatasetSpec()).settings == {**asdict(SETTINGS), "regulatory_graph": "edges.csv"}


def test_an_incomplete_directory_is_refused_and_nothing_downloaded(copied):
    (copied / "human_lr_pair.txt").unlink()
    with pytest.raises(InputError, match=r"human_lr_pair\.txt"):
        BenchmarkDataset.read(copied, DatasetSpec())


def test_measured_data_have_no_settings_and_no_ground_truth(copied):
    for name in ("description.json", "true_effects.npz"):
        (copied / name).unlink()
    data = BenchmarkDataset.read(copied, DatasetSpec())
    assert (data.simulated, data.settings, data.truth) == (False, {}, None)


@pytest.mark.parametrize(("field", "value"), [("dataset_name", "rpe1"), ("do_filter", 1)])
def test_unknown_data_sets_are_refused(field, value):
    with pytest.raises(InputError, match=f"{field}: found"):
        DatasetSpec(**{field: value})


def pickled(arrays):
    return {"var_names": arrays["var_names"].astype(object)}


def flat(arrays):
    return {"expression_matrix": arrays["expression_matrix"].ravel()}


def lonely(arrays):
    return {"interventions": np.array(["lonely", *arrays["interventions"][1:]])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pickled, r"dataset_rpe1\.npz: found a file that cannot be read \(Object arrays"),
        (flat, r"dataset_rpe1\.npz: found an expression_matrix of type float32 and shape \(10800,\)"),
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
        ("true_network.csv", b"a,b\n1,2\n", r"true_network\.csv: found .*; expected columns source, target"),
        ("true_network.csv", b"", r"true_network\.csv: found no readable table"),
        ("true_effects.npz", b"junk", r"true_effects\.npz: found a file that cannot be read"),
        ("description.json", b"{", r"description\.json: found a file that cannot be read"),
    ],
)
def test_damaged_files_are_refused(copied, name, content, message):
    (copied / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        BenchmarkDataset.read(copied, DatasetSpec())


def test_effects_of_another_size_are_refused(copied):
    np.savez(copied / "true_effects.npz", gene_ids=sample_causal_model(SETTINGS, 0).gene_ids, effects=np.zeros((2, 2)))
    with pytest.raises(InputError, match=r"^true_effects\.npz: found effects of shape \(2, 2\); expected 12 × 12"):
        BenchmarkDataset.read(copied, DatasetSpec())


@pytest.mark.parametrize("description", [{"mine": 1}, {"made_by": "catran_causalbench"}])
def test_a_directory_without_a_title_is_named_after_its_path(copied, description):
    """One description is not from this package, the other has no title."""
    (copied / "description.json").write_text(json.dumps(description))
    assert BenchmarkDataset.read(copied, DatasetSpec()).title == "Data in copied"
