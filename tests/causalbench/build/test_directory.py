"""Benchmark directories, written by the package and read by CausalBench itself."""

import csv
import gzip
import json
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from catran_causalbench.causalbench.build.directory import (
    Dataset,
    Origin,
    References,
    write_benchmark_directory,
)
from catran_causalbench.causalbench.build.from_simulation import reference_networks, write_simulated_directory
from catran_causalbench.causalbench.metadata import find_metadata
from catran_causalbench.errors import InputError
from catran_causalbench.simulation.causal_model import SimulationConfig, sample_causal_model
from catran_causalbench.simulation.expression import simulate_cells, true_effects
from catran_causalbench.simulation.presets import size_preset

SETTINGS = SimulationConfig(genes=30, cells=1_000, min_cells=20)
ORIGIN = Origin("a test", simulated=True)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return write_simulated_directory(tmp_path_factory.mktemp("made") / "tiny", SETTINGS, 0)


@pytest.fixture
def loaders(monkeypatch):
    """Return CausalBench's loaders, with every download turned into a failure."""
    warnings.simplefilter("ignore")
    pytest.importorskip("causalscbench", reason="causalbench is not installed")
    from causalscbench.data_access import create_dataset, create_evaluation_datasets
    from causalscbench.data_access.utils import download, splitting

    def refuse(url, path, **_):
        raise AssertionError(f"CausalBench wants to download {path}")

    monkeypatch.setattr(download.gdown, "download", refuse)
    return create_dataset.CreateDataset, create_evaluation_datasets.CreateEvaluationDatasets, splitting.DatasetSplitter


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def tiny_dataset(**changes):
    labels = np.repeat(["A", "B", "non-targeting"], 10)
    parts = {
        "expression": np.ones((30, 2), np.float32),
        "gene_ids": ["A", "B"],
        "gene_names": ["a", "b"],
        "labels": labels,
    }
    return Dataset(**{**parts, **changes})


@pytest.mark.parametrize("do_filter", [False, True])
def test_causalbench_reads_the_cells_as_written(directory, loaders, do_filter):
    create_dataset, _, splitter = loaders
    cells = simulate_cells(sample_causal_model(SETTINGS, 0))
    before = contents(directory)
    for path in create_dataset(str(directory), do_filter).load():
        with np.load(path) as arrays:
            np.testing.assert_array_equal(arrays["expression_matrix"], cells.expression)
            np.testing.assert_array_equal(arrays["interventions"], cells.labels)
            assert arrays["expression_matrix"].dtype == np.float32
        split = splitter(path)
        assert split.gene_names == list(sample_causal_model(SETTINGS, 0).gene_ids)
        test_matrix, test_labels, _ = split.get_test_data()
        matrix, labels, _ = split.get_partial_interventional(0.5, seed=0)
        assert set(split.gene_names) <= set(test_labels)
        assert len(test_matrix) == 200
        assert 0 < len(matrix) == len(list(labels)) < 800
    assert contents(directory) == before


@pytest.mark.parametrize("name", ["weissmann_k562", "weissmann_rpe1"])
def test_causalbench_reads_the_reference_networks_as_written(directory, loaders, name):
    _, create_evaluation_datasets, _ = loaders
    model = sample_causal_model(SETTINGS, 0)
    expected = reference_networks(model)

    def both_ways(pairs):
        ids = model.gene_ids
        return {(ids[i], ids[j]) for i, j in pairs} | {(ids[j], ids[i]) for i, j in pairs}

    corum, ligand_receptor, network, physical, chipseq = create_evaluation_datasets(str(directory), name).load()
    assert corum == both_ways([(i, j) for group in expected.complexes for i in group for j in group if i < j])
    assert ligand_receptor == both_ways(expected.ligand_receptor)
    assert network == both_ways(expected.string_network)
    assert physical == both_ways(expected.string_physical) < network
    assert chipseq == set()
    assert corum
    assert ligand_receptor
    assert physical


def test_reference_networks_hold_most_true_edges_and_some_false_ones():
    model = sample_causal_model(size_preset("small"), 0)
    true_pairs = {(min(edge), max(edge)) for edge in model.edges()}
    known = set(reference_networks(model).string_network)
    assert 0.6 < len(known & true_pairs) / len(true_pairs) < 0.8
    assert 0.1 < len(known - true_pairs) / len(known) < 0.3


def test_empty_reference_networks_are_read_as_empty(tmp_path, loaders):
    directory = write_benchmark_directory(tmp_path / "bare", tiny_dataset(), References(), ORIGIN)
    assert loaders[1](str(directory), "weissmann_k562").load() == [set()] * 5


def test_simulated_data_are_marked(directory):
    assert (directory / "README.txt").read_text(encoding="utf-8").startswith("SIMULATED DATA – ")
    description = find_metadata(directory)
    assert description["simulated"] is True
    assert description["title"].startswith("SIMULATED DATA")
    assert description["seed"] == 0
    assert description["settings"] == {**asdict(SETTINGS), "regulatory_graph": None}
    assert description["shape"] == {"cells": 1_000, "genes": 30, "controls": 100, "excluded": 50}
    with np.load(directory / "dataset_rpe1.npz") as arrays:
        assert str(arrays["origin"]).startswith("SIMULATED DATA")


def test_the_directory_holds_the_ground_truth(directory):
    model = sample_causal_model(SETTINGS, 0)
    effects = true_effects(model)
    with (directory / "true_network.csv").open() as file:
        rows = list(csv.DictReader(file))
    column = {gene: index for index, gene in enumerate(model.gene_ids)}
    edges = [(column[row["source"]], column[row["target"]]) for row in rows]
    assert edges == model.edges()
    assert [float(row["weight"]) for row in rows] == pytest.approx([model.weights[edge] for edge in edges], rel=1e-4)
    assert [float(row["true_effect"]) for row in rows] == pytest.approx([effects[edge] for edge in edges], rel=1e-4)
    assert rows[0]["source_name"] == f"SIM{edges[0][0]}"
    with np.load(directory / "true_effects.npz") as arrays:
        np.testing.assert_array_equal(arrays["effects"], effects)


def test_same_seed_same_bytes(directory, tmp_path):
    assert contents(write_simulated_directory(tmp_path / "again", SETTINGS, 0)) == contents(directory)


def test_archives_hold_no_time(directory):
    for name in ("protein.links.txt.gz", "protein.info.txt.gz"):
        assert (directory / name).read_bytes()[4:8] == bytes(4)
    assert gzip.decompress((directory / "protein.info.txt.gz").read_bytes()).count(b"\n") == 31


@pytest.mark.guarantee(
    "Faults",
    "`--overwrite` replaces what the same command made, and refuses a directory that holds anything else.",
)
def test_overwrite_replaces_own_directories_only(tmp_path):
    target = write_benchmark_directory(tmp_path / "data", tiny_dataset(), References(), ORIGIN)
    with pytest.raises(InputError, match=r"^directory: found an earlier result in"):
        write_benchmark_directory(target, tiny_dataset(), References(), ORIGIN)
    (target / "networks_rpe1.npz").touch()  # which evaluation keeps there
    write_benchmark_directory(target, tiny_dataset(), References(), Origin("second", False), overwrite=True)
    assert not (target / "networks_rpe1.npz").exists()
    assert find_metadata(target)["title"] == "second"
    (target / "my_results").mkdir()
    with pytest.raises(InputError, match=r"^directory: found .* which holds other things such as 'my_results'"):
        write_benchmark_directory(target, tiny_dataset(), References(), ORIGIN, overwrite=True)
    assert (target / "my_results").exists()

    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    (foreign / "description.json").write_text(json.dumps({"made_by": "somebody"}))
    with pytest.raises(InputError, match=r"^directory: found .* which holds other things such as 'description\.json'"):
        write_benchmark_directory(foreign, tiny_dataset(), References(), ORIGIN, overwrite=True)
    assert (foreign / "thesis.txt").read_text() == "mine"
    (foreign / "description.json").write_text(json.dumps({"made_by": "catran_causalbench", "files": None}))
    with pytest.raises(InputError, match=r"^directory: found .* which holds other things such as 'description\.json'"):
        write_benchmark_directory(foreign, tiny_dataset(), References(), ORIGIN, overwrite=True)
    with pytest.raises(InputError, match=r"^directory: found the file"):
        write_benchmark_directory(foreign / "thesis.txt", tiny_dataset(), References(), ORIGIN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "foreign"]


def test_ctrl_c_between_two_renames_loses_nothing(tmp_path, monkeypatch):
    target = write_benchmark_directory(tmp_path / "data", tiny_dataset(), References(), ORIGIN)
    rename = Path.rename

    def interrupted(path, new):
        rename(path, new)
        if path == target:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_benchmark_directory(target, tiny_dataset(), References(), Origin("second", False), overwrite=True)
    assert find_metadata(target)["title"] == "a test"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("catran_causalbench.causalbench.build.directory.write_cells", fail)
    with pytest.raises(InputError, match="disk full"):
        write_benchmark_directory(tmp_path / "data", tiny_dataset(), References(), ORIGIN)
    assert not any(tmp_path.iterdir())


def test_an_unwritable_path_is_refused_before_the_simulation(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("catran_causalbench.causalbench.build.from_simulation.sample_causal_model", None)
    with pytest.raises(InputError, match=r"/file/data', which cannot be written \(Not a directory\)"):
        write_simulated_directory(tmp_path / "file" / "data", SETTINGS, 0)


def test_parent_directories_are_made(tmp_path):
    directory = tmp_path / "new" / "newer" / "data"
    assert write_benchmark_directory(directory, tiny_dataset(), References(), ORIGIN) == directory


def test_an_empty_directory_is_filled(tmp_path):
    assert (write_benchmark_directory(tmp_path, tiny_dataset(), References(), ORIGIN) / "k562.h5ad").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expression": np.ones((30, 3), np.float32)}, "^expression: found shape"),
        ({"expression": np.full((30, 2), np.nan, np.float32)}, "^expression: found NaN"),
        ({"gene_ids": ["A", "A"]}, "^gene_ids: found 2, 1 of them distinct"),
        ({"gene_names": ["a", "b c"]}, "^gene_names: found 'b c'"),
        ({"labels": np.repeat(["A", "non-targeting"], 15)}, "^labels: found 0 cells of 'B'"),
        ({"labels": np.repeat(["A", "B", "C"], 10)}, "^labels: found 0 cells of 'non-targeting'"),
        ({"labels": np.repeat(["A", "B", "C", "non-targeting"], [7, 8, 8, 7])}, "^labels: found 8 cells of 'C'"),
        ({"labels": np.repeat(["A", "B", "non-targeting"], [4, 13, 13])}, "^labels: found 4 cells of 'A'"),
    ],
)
def test_data_that_causalbench_cannot_use_are_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        write_benchmark_directory(tmp_path / "data", tiny_dataset(**changes), References(), ORIGIN)
    assert not any(tmp_path.iterdir())


def test_unperturbed_genes_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"^unperturbed: found 2; expected 0"):
        write_simulated_directory(tmp_path / "data", SimulationConfig(unperturbed=2), 0)
