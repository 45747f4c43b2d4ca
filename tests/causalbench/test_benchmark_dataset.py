"""A benchmark directory is read as CausalBench reads it."""

import shutil

import numpy as np
import pytest
from causalscbench.data_access.utils.splitting import DatasetSplitter

from catran_causalbench.causalbench.benchmark_dataset import BenchmarkDataset
from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
from catran_causalbench.causalbench.dataset_spec import REGIMES, DatasetSpec
from catran_causalbench.errors import InputError
from catran_causalbench.simulation import SimulationConfig


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    settings = SimulationConfig(genes=12, cells=900, min_cells=20)
    return write_simulated_directory(tmp_path_factory.mktemp("data") / "simulated", settings, 0)


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


def test_significant_pairs_are_those_that_are_tested_one_by_one(directory):
    data = BenchmarkDataset.read(directory, DatasetSpec())
    source, target = np.array([0, 3, 11]), np.array([5, 1, 2])
    expected = data.held_out.compare(source, target).significant
    np.testing.assert_array_equal(data.significant[source, target], expected)
    assert not data.significant.diagonal().any()


def test_an_incomplete_directory_is_refused_and_nothing_downloaded(directory, tmp_path):
    copy = shutil.copytree(directory, tmp_path / "partly")
    (copy / "human_lr_pair.txt").unlink()
    with pytest.raises(InputError, match=r"human_lr_pair\.txt"):
        BenchmarkDataset.read(copy, DatasetSpec())


def test_measured_data_have_no_settings_and_no_truth(directory, tmp_path):
    copy = shutil.copytree(directory, tmp_path / "measured")
    for name in ("description.json", "true_effects.npz"):
        (copy / name).unlink()
    data = BenchmarkDataset.read(copy, DatasetSpec())
    assert (data.simulated, data.settings, data.truth) == (False, {}, None)


@pytest.mark.parametrize(("field", "value"), [("dataset_name", "rpe1"), ("do_filter", 1)])
def test_a_data_set_that_does_not_exist_is_refused(field, value):
    with pytest.raises(InputError, match=f"{field}: found"):
        DatasetSpec(**{field: value})
