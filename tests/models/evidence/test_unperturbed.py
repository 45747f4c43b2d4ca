"""Sources never perturbed: the formula by loops, its scale, and what neither may see or change."""

import numpy as np
import pytest
import torch
from helpers import random_data

from catran_causalbench import validate_dataset
from catran_causalbench.config import EvidenceSettings
from catran_causalbench.data.dataset import EXCLUDED
from catran_causalbench.models.evidence.shares import correlation_shares, correlations, coupling_of_genes
from catran_causalbench.models.evidence.statistics import sufficient_statistics
from catran_causalbench.models.evidence.training_plan import EvidenceTrainingPlan
from catran_causalbench.models.evidence.unperturbed import UnperturbedSources


def trained_plan():
    """Half of the twelve genes are perturbed; the gate networks differ from each other, and gates from pair to pair."""
    plan = EvidenceTrainingPlan(validate_dataset(*random_data()), EvidenceSettings(), seed=0)
    for parameter in plan.gates.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3, generator=torch.Generator().manual_seed(1))
    return plan


def naive_rules(dataset):
    """Usual depth × coupling × share of the squared correlations, source × target, by loops over labels and genes."""
    x, codes, genes = dataset.expression.astype(float), dataset.intervention, dataset.num_genes
    within = x.copy()
    for code in set(codes.tolist()):
        within[codes == code] -= x[codes == code].mean(axis=0)
    squared = np.corrcoef(within[codes != EXCLUDED].T) ** 2 * (1 - np.eye(genes))
    freedom = (codes != EXCLUDED).sum() - len(set(codes.tolist()) - {EXCLUDED})
    coupling = max(1 - genes * (genes - 1) / freedom / squared.sum(), 0.01)
    effects = sufficient_statistics(dataset, 2, seed=0).all_effects.effect
    depth = np.median([abs(effects[gene, gene]) for gene in dataset.perturbed_genes])
    return np.array(
        [[depth * coupling * squared[p, t] / squared[:, t].sum() for t in range(genes)] for p in range(genes)]
    )


def test_the_shares_equal_loops():
    dataset = validate_dataset(*random_data())
    statistics = sufficient_statistics(dataset, 2, seed=0)
    found = UnperturbedSources.of(statistics, EvidenceSettings(), 1.0).by_share
    np.testing.assert_allclose(found, naive_rules(dataset), rtol=1e-2, atol=1e-5)
    assert not UnperturbedSources.of(statistics, EvidenceSettings(disabled_terms=("share",)), 1.0).by_share.any()


def test_the_share_of_a_hub_is_larger_than_that_of_its_targets():
    rng = np.random.default_rng(0)
    hub = rng.normal(5, 1, (600, 1))
    matrix = np.hstack([hub, 0.5 * hub + rng.normal(3, 0.6, (600, 9))]).clip(0)
    dataset = validate_dataset(np.float32(matrix), ["non-targeting"] * 600, [f"g{i}" for i in range(10)])
    statistics = sufficient_statistics(dataset, 1, seed=0)
    correlation = correlations(statistics.covariance)
    shares = correlation_shares(correlation)
    assert (shares[1:, 0] > 1.2 * shares[0, 1:]).all()  # target × source
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert coupling_of_genes(correlation, statistics) > 0.95


def test_only_sources_never_perturbed_among_perturbed_ones_need_rules():
    matrix, labels, names = random_data()
    labels = np.array(labels)
    known = np.isin(labels, names)
    everything = np.where(known, np.resize(names, len(labels)), labels)
    for chosen in (everything, np.where(known, "excluded", labels)):
        plan = EvidenceTrainingPlan(validate_dataset(matrix, chosen.tolist(), names), EvidenceSettings(), seed=0)
        assert plan._unperturbed is None
        assert plan.trained_module().unperturbed is None


def test_the_fewer_the_pairs_the_more_of_the_rules_is_expected():
    plan = trained_plan()
    module, evidence = plan.trained_module(), plan.evidence
    genes, scale = len(evidence.depth), module.unperturbed.scale
    pairs = 3 * int(evidence.perturbed.sum()) * (genes - 1)
    weight = (1600 / pairs) / (1600 / pairs + 0.1)
    rows = module.attention_rows(torch.arange(genes))
    source = torch.arange(genes).repeat(genes)
    target = torch.arange(genes).repeat_interleave(genes)
    features, terms, _ = evidence.look_up(source, target, evidence.perturbed[source])
    with torch.no_grad():
        gated = module.gates(module.gates.prepare(features, terms))[0].mean(dim=0)
    for pair, (p, t) in enumerate(zip(source.tolist(), target.tolist(), strict=True)):
        if not evidence.perturbed[p] and p != t:
            by_rules = (gated[pair] + terms[pair, 1] + module.unperturbed.by_share[p, t]) / 2
            expected = scale * ((1 - weight) * gated[pair] + weight * by_rules)
            assert rows[t, p].item() == pytest.approx((expected * evidence.deviation[t]).item(), rel=1e-4, abs=1e-6)


def test_a_network_calibrates_with_the_sources_that_it_has_not_learned_from():
    plan = trained_plan()
    module, seen = plan.trained_module(), []

    class Spy(UnperturbedSources):
        def calibrated(self, expected, known, source):
            seen.extend([expected, known, source])
            return self

    rules = Spy(plan._unperturbed.by_share, weight=0.7)
    plan._calibrated(rules, module)
    expected, known, source = seen
    genes, perturbed = len(plan.evidence.depth), plan.evidence.perturbed.nonzero()[:, 0]
    assert len(source) == len(perturbed) * (genes - 1)
    targets = torch.randperm(genes, generator=torch.Generator().manual_seed(0))
    pairs = [(int(p), int(t)) for p in perturbed for t in targets if p != t]
    rows = module.attention_rows(torch.arange(genes)) / plan.evidence.deviation[:, None]
    for number, (p, t) in enumerate(pairs):
        pair = torch.tensor([p]), torch.tensor([t])
        features, terms, _ = plan.evidence.look_up(*pair, torch.zeros(1))
        with torch.no_grad():
            gated = plan.gates(plan.gates.prepare(features, terms))[0][plan._left_out_by[p]]
        assert expected[number].item() == pytest.approx(rules(gated, terms[:, 1], *pair).item(), rel=1e-4)
        assert known[number].item() == pytest.approx(rows[t, p].item(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(("factors", "low", "high"), [((0.3,), 0.28, 0.32), ((3.0,), 2.9, 3.1), ((3.0, 0.1), 1.0, 1.3)])
def test_the_scale_is_that_of_perturbed_sources_as_far_as_they_agree(factors, low, high):
    rng = np.random.default_rng(0)
    source = torch.arange(12).repeat_interleave(50)
    expected = torch.from_numpy(rng.exponential(0.1, 600))
    known = expected * torch.from_numpy(np.resize(factors, 12).astype(float))[source]
    rules = UnperturbedSources(torch.zeros(1, 1), weight=1.0)
    assert low < rules.calibrated(expected, known, source).scale < high
    assert rules.calibrated(expected[:50], known[:50], source[:50]) == rules  # one source says nothing
