"""Data sets and results show what they are in one line, not their arrays."""

from helpers import random_data

from catran_causalbench import validate_dataset
from catran_causalbench.causalbench.benchmark_dataset import BenchmarkDataset
from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
from catran_causalbench.causalbench.dataset_spec import DatasetSpec
from catran_causalbench.data.anndata_reader import read_screen
from catran_causalbench.simulation.causal_model import SimulationConfig
from catran_causalbench.simulation.to_anndata import simulate_anndata
from catran_causalbench.utils.described import Described


def objects(tmp_path):
    yield validate_dataset(*random_data()), "PerturbationDataset: 600 cells × 12 genes, knockdown; "
    screen = read_screen(simulate_anndata(12, 1600), perturbation_key="target_gene")
    yield screen, "Screen: 12 genes, 12 of them perturbed; cells: 1,"
    settings = SimulationConfig(genes=12, cells=400, min_cells=10)
    directory = write_simulated_directory(tmp_path / "data", settings, seed=0)
    yield BenchmarkDataset.read(directory, DatasetSpec("weissmann_rpe1")), "BenchmarkDataset: SIMULATED DATA – no cell"


def test_representations_are_a_line_and_html(tmp_path):
    for found, beginning in objects(tmp_path):
        assert repr(found).startswith(beginning)
        assert repr(found).endswith(".")
        assert len(repr(found)) < 250
        assert "\n" not in repr(found)
        assert found._repr_html_().startswith(f"<div><b>{type(found).__name__}</b>")


def test_names_of_files_are_no_html():
    class Named(Described):
        def describe(self):
            return "from <b>.h5ad"

    assert "from &lt;b&gt;.h5ad" in Named()._repr_html_()


def test_cells_are_counted_by_their_kind():
    dataset = validate_dataset(*random_data())
    perturbed, control = (dataset.intervention >= 0).sum(), (dataset.intervention == -1).sum()
    expected = f"{perturbed} cells perturbed in 6 genes, {control} control, {600 - perturbed - control} excluded"
    assert repr(dataset) == f"PerturbationDataset: 600 cells × 12 genes, knockdown; {expected}."
