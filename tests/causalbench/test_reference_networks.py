"""Counts against all seven networks of CausalBench, as CausalBench itself loads and counts them."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from odd_references import GENES, SYMBOLS, write_odd_references

from catran_causalbench.causalbench.benchmark_dataset import BenchmarkDataset
from catran_causalbench.causalbench.build.directory import Dataset, Origin, References, write_benchmark_directory
from catran_causalbench.causalbench.dataset_spec import DATASET_NAMES, DatasetSpec
from catran_causalbench.causalbench.manifest import DATASET_FILES
from catran_causalbench.causalbench.network_cache import cached_networks
from catran_causalbench.causalbench.reference_networks import DIRECTED, ReferenceNetworks
from catran_causalbench.evaluation.edge_lists import edge_columns
from catran_causalbench.evaluation.held_out import HeldOutEvaluator

# Attribute of CausalBench's program → the name of the network in its metrics.json.
EVALUATORS = {
    "corum_evaluator": "corum",
    "lr_evaluator": "ligand_receptor",
    "string_network_evaluator": "string_network",
    "string_physical_evaluator": "string_physical",
    "chipseq_evaluator": "chipseq",
    "pooled_biological_evaluator": "pooled_biological",
    "pooled_biological_significant_evaluator": "pooled_biological_sigificant",
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Cells in which every perturbation shifts some genes, and reference files with odd names beside them."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["non-targeting", *GENES], [300, *[60] * len(GENES)])
    expression = rng.gamma(2.0, size=(len(labels), len(GENES)))
    shifts = rng.exponential(0.4, (len(GENES), len(GENES))) * (rng.random((len(GENES), len(GENES))) < 0.5)
    expression[300:] += np.repeat(shifts, 60, axis=0)
    dataset = Dataset(expression.astype(np.float32), GENES, SYMBOLS, labels)
    path = tmp_path_factory.mktemp("data") / "odd"
    write_benchmark_directory(path, dataset, References(), Origin("SIMULATED for a test", True))
    write_odd_references(path)
    return path


@pytest.fixture(scope="module")
def random_edges():
    pairs = [(a, b) for a in GENES for b in GENES if a != b]
    order = np.random.default_rng(0).permutation(len(pairs))
    return [[pairs[position] for position in order[:size]] for size in (1, 20, 80)]


@pytest.mark.guarantee(
    "Input", "Counts against all biological networks, for both cell lines, are those of CausalBench."
)
@pytest.mark.parametrize("dataset_name", DATASET_NAMES)
def test_every_count_is_causalbenchs(directory, random_edges, tmp_path, dataset_name):
    warnings.simplefilter("ignore")
    import importlib.util  # noqa: F401  CausalBench uses it without importing it

    from causalscbench.apps.main_app import MainApp

    theirs = MainApp(str(tmp_path), str(directory), dataset_name=dataset_name)
    theirs.load_data()
    theirs.load_evaluators()
    ours = BenchmarkDataset.read(directory, DatasetSpec(dataset_name)).known
    again = BenchmarkDataset.read(directory, DatasetSpec(dataset_name)).known  # from the cache
    assert list(ours.networks) == list(EVALUATORS.values())
    for attribute, name in EVALUATORS.items():
        evaluator = getattr(theirs, attribute)
        among = {(a, b) for a, b in evaluator.ground_truth_subnetwork if a in GENES and b in GENES and a != b}
        found = zip(*np.nonzero(ours.networks[name]), strict=True)
        assert {(GENES[source], GENES[target]) for source, target in found} == among
        assert among, name
        np.testing.assert_array_equal(again.networks[name], ours.networks[name])
        for edges in random_edges:
            expected = evaluator.evaluate_network(edges, directed=name in DIRECTED)["true_positives"]
            assert ours.agreement(*edge_columns(edges, GENES))[name].true_positives == expected
    pooled = ours.networks["pooled_biological"].sum()
    assert 0 < ours.networks["pooled_biological_sigificant"].sum() < pooled


def read(directory):
    return cached_networks(directory, DatasetSpec(), GENES)


def read_cells(directory, without=()):
    with np.load(directory / DATASET_FILES[1]) as arrays:
        kept = ~np.isin(arrays["interventions"], without)
        return HeldOutEvaluator(arrays["expression_matrix"][kept], arrays["interventions"][kept], GENES)


def test_a_source_without_held_out_cells_has_no_significant_pairs(directory):
    networks = ReferenceNetworks.of(read(directory), read_cells(directory, GENES[3])).networks
    assert networks["pooled_biological"][3].any()
    assert not networks["pooled_biological_sigificant"][3].any()


def test_ambiguous_symbols_are_named(directory, caplog):
    """They are told whether the networks are read or were kept."""
    ReferenceNetworks.of(replace(read(directory), ambiguous=[*"ABCDEF"]), read_cells(directory))
    assert "A, B, C, D, E, …: symbols of several genes; CausalBench draws one of them at every start" in caplog.text
