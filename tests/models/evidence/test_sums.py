"""Sums in blocks, on several threads or none, against the naive formulas in float64."""

import numpy as np
import pytest
import torch
from helpers import QUICK_EVIDENCE, random_data

from catran_causalbench import infer_network, validate_dataset
from catran_causalbench.config import EvidenceSettings
from catran_causalbench.data.dataset import CONTROL
from catran_causalbench.models.evidence import factors, sums, training_plan
from catran_causalbench.models.evidence.statistics import Associations, sufficient_statistics
from catran_causalbench.models.evidence.training_plan import EvidenceTrainingPlan
from catran_causalbench.utils import parallel


@pytest.fixture
def small_blocks(monkeypatch):
    """Let blocks cut labels and folds, and panels cut the genes."""
    monkeypatch.setattr(sums, "_FEWEST_CELLS_PER_BLOCK", 37)
    monkeypatch.setattr(sums, "_MIN_GENES_TO_MULTIPLY", 5)
    monkeypatch.setattr(sums, "_MIN_GENES_TO_CENTRE", 4)


def offset_data():
    """Cells whose means are far from 0 in units of the standard deviations, which float32 alone would not survive."""
    matrix, labels, names = random_data()
    return validate_dataset(matrix + np.linspace(0, 1000, len(names), dtype=np.float32), labels, names)


def within(values, label):
    """Values minus the means of their labels, float64."""
    values = values.astype(np.float64)
    for code in np.unique(label):
        values[label == code] -= values[label == code].mean(axis=0)
    return values


@pytest.mark.guarantee(
    "Statistics",
    "Sums over cells in float32 blocks equal the formulas in float64, also far from 0 and in small blocks.",
)
def test_sums_equal_the_naive_formulas(small_blocks):
    dataset = offset_data()
    found = sufficient_statistics(dataset, 3, seed=0, device=torch.device("cpu"))
    included = dataset.intervention >= CONTROL
    label, values = dataset.intervention[included], dataset.expression[included]
    centred = within(values, label)
    covariance = centred.T @ centred / (len(label) - len(np.unique(label)))
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(found.covariance, covariance, atol=1e-4 * np.outer(scale, scale).min())
    np.testing.assert_array_equal(found.covariance, found.covariance.T)
    cells, order, fold = sums._deal(dataset, 3, 0)
    values = dataset.expression[cells]
    for number in range(3):
        measured = found.effects([number])
        part = fold == number
        residual = within(values[part], order[part])
        for gene in range(dataset.num_genes):
            others = order[part] != gene
            freedom = others.sum() - len(np.unique(order[part][others]))
            deviation = np.sqrt((residual[others, gene] ** 2).sum() / freedom)
            assert measured.deviation[gene] == pytest.approx(deviation, rel=1e-4)
    rest, part = found.effects([0, 2]), fold != 1
    for gene in range(dataset.num_genes):
        residual, others = within(values[part], order[part])[:, gene], order[part] != gene
        freedom = others.sum() - len(np.unique(order[part][others]))
        assert rest.deviation[gene] == pytest.approx(np.sqrt((residual[others] ** 2).sum() / freedom), rel=1e-4)
        for source in dataset.perturbed_genes:
            own, controls = (values[part & (order == code), gene] for code in (source, dataset.num_genes))
            effect = own.astype(float).mean() - controls.astype(float).mean()
            assert rest.effect[source, gene] * rest.deviation[gene] == pytest.approx(effect, abs=1e-4)


def test_blocks_change_no_more_than_rounding(monkeypatch):
    dataset = offset_data()
    whole = sufficient_statistics(dataset, 3, seed=0)
    monkeypatch.setattr(sums, "_FEWEST_CELLS_PER_BLOCK", 11)
    cut = sufficient_statistics(dataset, 3, seed=0)
    np.testing.assert_array_equal(cut.count, whole.count)
    np.testing.assert_allclose(cut.covariance, whole.covariance, atol=1e-5)
    for name in ("effect", "deviation", "control_mean"):
        one, other = (getattr(statistics.effects([0, 1]), name) for statistics in (cut, whole))
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4)


def test_the_number_of_threads_changes_no_bit(small_blocks, monkeypatch):
    dataset = offset_data()
    found = []
    for threads in (1, 2):
        monkeypatch.setattr(parallel, "_threads", threads)
        statistics = sufficient_statistics(dataset, 2, seed=0)
        found.append((statistics.covariance, statistics.total, statistics.square, Associations.of(statistics).partial))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_gene_that_does_not_vary_within_labels_varies_by_nothing(small_blocks):
    dataset = offset_data()
    dataset.expression[:, 3] = 0.1 + dataset.intervention
    statistics = sufficient_statistics(dataset, 2, seed=0)
    assert np.abs(statistics.covariance[3]).max() < 1e-12
    assert np.isfinite(Associations.of(statistics).partial).all()


def test_tf32_is_off_during_sums_and_restored(monkeypatch):
    before, seen = torch.get_float32_matmul_precision(), []
    product = sums._product
    monkeypatch.setattr(sums, "_product", lambda *of: seen.append(torch.get_float32_matmul_precision()) or product(*of))
    torch.set_float32_matmul_precision("high")
    try:
        sufficient_statistics(offset_data(), 2, seed=0)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
    assert set(seen) == {"highest"}


def test_iterated_eigenpairs_are_those_of_the_whole_decomposition(monkeypatch):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(500, 120)) + 2 * rng.normal(size=(500, 2)) @ rng.normal(size=(2, 120))
    correlation, sources = np.corrcoef(values.T), np.arange(0, 120, 3)
    effects = rng.normal(size=(40, 120))
    effects[np.arange(40), sources] = 0
    whole = factors.factor_adjusted_correlations(correlation, sources, effects, np.full(40, -9.0))
    monkeypatch.setattr(factors, "_MANY_GENES", 0)
    iterated = factors.factor_adjusted_correlations(correlation, sources, effects, np.full(40, -9.0))
    assert np.abs(whole - correlation)[~np.eye(120, dtype=bool)].max() > 0.1
    np.testing.assert_allclose(iterated, whole, atol=1e-7)


def test_blocks_panels_and_iteration_keep_the_edges(monkeypatch):
    dataset = validate_dataset(*random_data(cells=2000, genes=40))
    pairs = []
    for path in ("as it is", "as for many genes and cells"):
        if path != "as it is":
            monkeypatch.setattr(sums, "_FEWEST_CELLS_PER_BLOCK", 37)
            monkeypatch.setattr(sums, "_MIN_GENES_TO_MULTIPLY", 5)
            monkeypatch.setattr(factors, "_MANY_GENES", 0)
        edges = infer_network(dataset, QUICK_EVIDENCE, seed=0).edges(200)
        pairs.append(set(zip(edges["source"], edges["target"], strict=True)))
    assert len(pairs[0] & pairs[1]) >= 198


@pytest.mark.guarantee(
    "Faults", "Where a GPU has too little memory for the evidence, the CPU computes it, and a warning says so."
)
def test_without_memory_on_the_device_the_cpu_computes(monkeypatch):
    dataset = validate_dataset(*random_data())
    expected = EvidenceTrainingPlan(dataset, EvidenceSettings(), seed=0).evidence
    on_cpu, tried = training_plan.sufficient_statistics, []

    def short_of_memory(dataset, folds, seed, device):
        tried.append(device.type)
        if device.type == "cuda":
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return on_cpu(dataset, folds, seed, device)

    monkeypatch.setattr(training_plan, "sufficient_statistics", short_of_memory)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.warns(UserWarning, match="too little memory for matrices of 12 genes; the CPU computes them"):
        found = EvidenceTrainingPlan(dataset, EvidenceSettings(), seed=0).evidence
    assert tried == ["cuda", "cpu"]
    torch.testing.assert_close(found.partial, expected.partial, rtol=0, atol=0)
    torch.testing.assert_close(found.effect, expected.effect, rtol=0, atol=0)
