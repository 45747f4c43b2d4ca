"""Metrics of a run, computed another way; CausalBench's own are compared in test_worker."""

import numpy as np
import pandas as pd
import pytest

from catran_causalbench.causalbench.benchmark_dataset import BenchmarkDataset
from catran_causalbench.causalbench.dataset_spec import DatasetSpec
from catran_causalbench.errors import InputError
from catran_causalbench.evaluation.ground_truth import average_precision
from catran_causalbench.evaluation.ranked_metrics import false_omission_rate
from catran_causalbench.sweep.scoring import calibration, score_edges, unperturbed_average_precision


@pytest.fixture(scope="module")
def data(directory):
    return BenchmarkDataset.read(directory, DatasetSpec())


@pytest.fixture(scope="module")
def edges(data):
    genes = data.held_out.gene_names
    pairs = [(source, target) for source in genes for target in genes if source != target]
    order = np.random.default_rng(0).permutation(len(pairs))[:30]
    return [pairs[position] for position in order]


def test_scores_against_the_ground_truth(data, edges, directory):
    scores = score_edges(data, edges, 1, 40)
    true_network = pd.read_csv(directory / "true_network.csv")
    true = set(zip(true_network["source"], true_network["target"], strict=True))
    hits = [edge in true for edge in edges]
    assert scores.truth.precision.value[-1] == pytest.approx(np.mean(hits))
    assert scores.truth.recall.value[-1] == pytest.approx(sum(hits) / len(true))
    assert scores.truth.precision.edges[-1] == scores.wasserstein.edges[-1] == scores.num_edges == 30
    assert scores.wasserstein.value[-1] == pytest.approx(scores.mean_wasserstein)
    assert 0 < scores.truth.effect_recovery <= 1
    assert scores.truth.ancestor_precision >= scores.truth.precision.value[-1]
    assert "chipseq" not in scores.references, "it has no pairs of simulated genes"
    assert {"corum", "string_network", "pooled_biological", "pooled_biological_sigificant"} <= set(scores.references)
    for name, agreement in scores.references.items():
        assert agreement["true_positives"] == scores.metrics[f"{name}_evaluation"]["true_positives"]
        assert list(agreement) == ["true_positives", "precision", "recall", "f1"]
    assert scores.references["string_network"]["true_positives"] > 0


@pytest.mark.parametrize("max_path_length", [1, 3, -1])
@pytest.mark.parametrize(("asked", "drawn"), [(10_000, 132 - 30), (0, 0)])
def test_false_omission_rates(data, edges, max_path_length, asked, drawn):
    scores = score_edges(data, edges, max_path_length, asked, exact_omission_rate=True)
    if max_path_length == 1:
        assert scores.omissions == drawn
    expected = false_omission_rate(data.held_out, edges, max_path_length=max_path_length)
    assert scores.exact_false_omission_rate == pytest.approx(expected)
    assert np.isnan(score_edges(data, edges, max_path_length, asked).exact_false_omission_rate), "not asked for"
    if drawn:
        assert scores.false_omission_rate == pytest.approx(expected), "all omitted pairs were drawn"
    else:
        assert np.isnan(scores.false_omission_rate)


def test_without_an_omitted_pair_there_is_no_false_omission_rate(data):
    genes = data.held_out.gene_names
    every_pair = [(source, target) for source in genes for target in genes if source != target]
    scores = score_edges(data, every_pair, 1, 40, exact_omission_rate=True)
    assert scores.omissions == 0
    assert np.isnan(scores.exact_false_omission_rate)


def test_effects_of_unperturbed_sources(data):
    half, all_perturbed = (data.training_set("partial_interventional", fraction, 0) for fraction in (0.5, 1))
    effects = np.abs(data.truth.effects)
    unperturbed = np.setdiff1d(np.arange(12), half.perturbed_genes)
    assert len(unperturbed)
    assert unperturbed_average_precision(data, half, effects, 30) == pytest.approx(1), "the oracle ranks them best"
    rng = np.random.default_rng(0)
    weights = rng.random((12, 12))
    np.fill_diagonal(effects, 0)
    true = effects >= np.sort(effects, axis=None)[-30]
    true[half.perturbed_genes] = False
    expected = average_precision(np.where(np.isin(np.arange(12), unperturbed)[:, None], weights, -1), true)
    assert unperturbed_average_precision(data, half, weights, 30) == pytest.approx(expected)
    weights[half.perturbed_genes] = -np.inf
    assert unperturbed_average_precision(data, half, weights, 30) == pytest.approx(expected)
    assert np.isnan(unperturbed_average_precision(data, all_perturbed, weights, 30))


def test_calibration_compares_weights_and_true_effects_of_the_best_edges(data):
    half = data.training_set("partial_interventional", 0.5, 0)
    effects = np.abs(data.truth.effects)
    for perturbed in (True, False):
        found = calibration(data, half, 2 * effects, 40, perturbed)
        np.testing.assert_allclose(found.weight, 2 * np.array(found.effect), rtol=1e-6)
        assert found.weight == sorted(found.weight, reverse=True)
        rows = np.isin(np.arange(12), half.perturbed_genes) == perturbed
        best = effects * rows[:, None]
        np.fill_diagonal(best, 0)
        assert found.effect[0] == pytest.approx(best.max(), rel=0.6)
    everything = data.training_set("interventional", 1.0, 0)
    assert calibration(data, everything, effects, 40, perturbed=False).weight == []


@pytest.mark.parametrize("edges", [[], [("elsewhere", "ENSG")]])
def test_edges_that_cannot_be_scored(data, edges):
    with pytest.raises(InputError, match="edges: found"):
        score_edges(data, edges, 1, 40)
