"""The gates: what they must not use, how they start, that they learn, and that learning pays on a known network."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import random_data

from catran_causalbench import CatranConfig, infer_network, validate_dataset
from catran_causalbench.config import EvidenceSettings
from catran_causalbench.evaluation.ground_truth import effect_recovery
from catran_causalbench.models.evidence import dataloader, module
from catran_causalbench.models.evidence import gates as gates_module
from catran_causalbench.models.evidence.gates import IS_PERTURBED, GateModule
from catran_causalbench.models.evidence.module import GatedAttention, PairEvidence
from catran_causalbench.models.evidence.statistics import Associations, sufficient_statistics
from catran_causalbench.models.evidence.training_plan import EvidenceTrainingPlan
from catran_causalbench.simulation.causal_model import sample_causal_model
from catran_causalbench.simulation.expression import simulate_cells, true_effects
from catran_causalbench.simulation.presets import size_preset


def gathered(change=None):
    dataset = validate_dataset(*random_data())
    statistics = sufficient_statistics(dataset, 2, seed=0)
    measured = statistics.effects([0, 1])
    if change:
        change(measured.effect)
    return dataset, PairEvidence.gather(measured, Associations.of(statistics), EvidenceSettings())


def all_pairs(genes):
    source, target = np.nonzero(~np.eye(genes, dtype=bool))
    return torch.from_numpy(source), torch.from_numpy(target)


def test_a_source_judged_as_unperturbed_is_judged_without_its_own_effects():
    dataset, evidence = gathered()
    judged = int(dataset.perturbed_genes[0])

    def change(effect):
        others = np.arange(dataset.num_genes) != judged
        effect[judged, others] += 7

    _, changed = gathered(change)
    source, target = (column[all_pairs(dataset.num_genes)[0] == judged] for column in all_pairs(dataset.num_genes))
    unperturbed = torch.zeros(len(source))
    for before, after in zip(
        evidence.look_up(source, target, unperturbed), changed.look_up(source, target, unperturbed), strict=True
    ):
        torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-4)
    perturbed = torch.ones(len(source))
    before, after = (e.look_up(source, target, perturbed)[0] for e in (evidence, changed))
    assert (before - after).abs().max() > 1


def test_a_pairs_own_effect_enters_no_activity():
    dataset, evidence = gathered()
    source, target = (int(gene) for gene in dataset.perturbed_genes[:2])

    def change(effect):
        effect[source, target] += 7

    _, changed = gathered(change)
    pair = torch.tensor([source]), torch.tensor([target]), torch.ones(1)
    before, after = (e.look_up(*pair)[0][0, 6:10] for e in (evidence, changed))
    torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-4)


def shrunk_partial(evidence, source, target):
    """The effect that the partial correlation of a pair predicts, 0 within two standard errors."""
    correlation = float(evidence.partial[source, target])
    noise = 4 / correlation**2 / evidence.num_cells if correlation else 1
    return correlation * float(evidence.depth[source]) * max(1 - noise, 0)


def test_evidence_is_turned_to_the_sign_of_the_effect():
    dataset, evidence = gathered()
    source, target = all_pairs(dataset.num_genes)
    is_perturbed = evidence.perturbed[source]
    _, terms, sign = evidence.look_up(source, target, is_perturbed)
    assert (terms[:, 0] >= 0).all()
    assert (terms[is_perturbed == 0, 1] >= 0).all()
    shrunk = torch.tensor([shrunk_partial(evidence, *pair) for pair in zip(source, target, strict=True)])
    assert 0.1 < (shrunk == 0).float().mean() < 0.99
    torch.testing.assert_close(terms[:, 1] * sign, shrunk)
    torch.testing.assert_close(terms[:, 2] * sign, evidence.factor_adjusted[source, target] * evidence.depth[source])


def test_untrained_gates_weigh_all_pairs_alike():
    dataset, evidence = gathered()
    attention = GatedAttention(evidence, GateModule(2, 8, torch.Generator().manual_seed(0)))
    with torch.no_grad():
        rows = attention.attention_rows(torch.tensor([3, 0]))
    for row, target in zip(rows, (3, 0), strict=True):
        for source in range(dataset.num_genes):
            effect, depth = evidence.effect[source, target], evidence.depth[source]
            partial, adjusted = (
                depth * matrix[source, target] for matrix in (evidence.partial, evidence.factor_adjusted)
            )
            sign = effect.sign() if effect != 0 else partial.sign()
            agreed = sign * (0.1 * shrunk_partial(evidence, source, target) + 0.05 * adjusted)
            expected = (0.5 * effect.abs() + agreed + 0.002) * evidence.deviation[target]
            assert row[source].item() == pytest.approx(expected.item(), abs=1e-6)


def test_blocks_of_targets_change_no_attention(monkeypatch):
    dataset, evidence = gathered()
    gates = GateModule(2, 8, torch.Generator().manual_seed(0))
    torch.nn.init.normal_(gates.weight_3, generator=torch.Generator().manual_seed(1))
    attention, targets = GatedAttention(evidence, gates), torch.tensor([5, 0, 11, 3, 7])
    at_once = attention.attention_rows(targets)
    monkeypatch.setattr(module, "PAIRS_PER_BLOCK", 2 * dataset.num_genes)
    torch.testing.assert_close(attention.attention_rows(targets), at_once)


def test_a_held_out_fold_is_no_part_of_the_evidence():
    dataset = validate_dataset(*random_data())
    statistics = sufficient_statistics(dataset, 3, seed=0)
    plan = EvidenceTrainingPlan(dataset, EvidenceSettings(), seed=0)
    for number, fold in enumerate(plan.loader._folds[:3]):
        rest = statistics.effects([other for other in range(3) if other != number])
        expected = np.where(np.eye(dataset.num_genes), 0, rest.effect)
        np.testing.assert_allclose(fold.evidence.effect.numpy(), expected, atol=1e-5)
        held_out = statistics.effects([number])
        effect = held_out.effect * held_out.deviation / rest.deviation
        np.testing.assert_allclose(fold.effect.numpy(), effect, atol=1e-5)


def test_sources_judged_as_unperturbed_alone_are_no_fold():
    """One cell of each perturbation lies in one fold only: how far to trust a measured effect cannot be learned."""
    matrix, labels, names = random_data(cells=40)
    single = [label if label == "non-targeting" else "excluded" for label in labels]
    single[:3] = names[:3]
    assert not EvidenceTrainingPlan(validate_dataset(matrix, single, names), EvidenceSettings(), seed=0).can_learn


def test_members_learn_as_if_they_were_alone():
    dataset = validate_dataset(*random_data())
    several = EvidenceTrainingPlan(dataset, EvidenceSettings(gates=3), seed=0)
    minibatch = several.loader.minibatches(several.loader.draw(500, torch.Generator().manual_seed(1)))[0]
    several.training_step = several._losses  # Lightning's logging wants a trainer
    several._losses(minibatch).sum().backward()
    gradient = several.gates.weight_3.grad.clone()
    several.zero_grad()
    several._losses(minibatch)[1].backward()
    torch.testing.assert_close(several.gates.weight_3.grad[1], gradient[1])
    assert not several.gates.weight_3.grad[[0, 2]].any()


def test_a_gate_network_does_not_learn_from_the_sources_that_were_dealt_to_it():
    plan = EvidenceTrainingPlan(validate_dataset(*random_data()), EvidenceSettings(gates=3), seed=0)
    drawn = plan.loader.draw(500, torch.Generator().manual_seed(1))
    dealt, minibatch = plan._left_out_by[drawn.source], plan.loader.minibatches(drawn)[0]
    assert set(dealt.tolist()) == {0, 1, 2}
    changed = minibatch._replace(effect=minibatch.effect + 5.0 * (dealt == 1))
    before, after = plan._losses(minibatch), plan._losses(changed)
    assert (before != after).tolist() == [True, False, True]


def test_a_gate_network_is_calibrated_on_the_sources_that_were_dealt_to_it():
    plan = EvidenceTrainingPlan(validate_dataset(*random_data()), EvidenceSettings(gates=3), seed=0)
    for parameter in plan.gates.parameters():
        parameter.data[1] += 0.1
    pairs = plan._left_out_pairs()
    chosen = plan._sample.features[:, IS_PERTURBED] == 1
    with torch.no_grad():
        inputs = plan.gates.prepare(plan._sample.features[chosen], plan._sample.terms[chosen])
        every = plan.gates(inputs)[0].double().numpy()
    expected = every[plan._left_out_by.numpy()[pairs.source], np.arange(len(pairs.source))]
    np.testing.assert_array_equal(pairs.expected, expected)
    assert pairs.weight == pytest.approx(3 * 6 * 11 / len(pairs.source))


@pytest.mark.parametrize("pairs_per_share", [40, 25])
def test_the_gates_and_their_gradients_are_those_of_the_plain_formula(pairs_per_share, monkeypatch):
    """Forward and backward pass are written by hand; here torch differentiates one pair and one network at a time."""
    monkeypatch.setattr(gates_module, "_PAIRS_PER_PRODUCT", 16)  # 40 pairs are two blocks and a half
    monkeypatch.setattr(gates_module, "_PAIRS_PER_SHARE", pairs_per_share)
    generator = torch.Generator().manual_seed(0)
    gates = GateModule(2, 5, generator).double()
    for parameter in gates.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    features, noise = torch.randn(2, 40, 12, dtype=torch.float64, generator=generator)
    gates.standardise(features)
    features[:, IS_PERTURBED] = (features[:, IS_PERTURBED] > 0).double()
    terms = torch.randn(40, 3, dtype=torch.float64, generator=generator)

    def plain(member, pair):
        weight_1, bias_1, weight_2, bias_2, weight_3, level = (parameter[member] for parameter in gates.parameters())
        x = (features[pair] - gates.centre) / gates.spread + noise[pair]
        for weight, bias in ((weight_1, bias_1), (weight_2, bias_2)):
            x = x @ weight + bias[0]
            x = x * torch.sigmoid(x)
        deviation = x @ weight_3
        strength = gates.start * torch.exp(3 * torch.tanh((level[int(features[pair, IS_PERTURBED])] + deviation) / 3))
        return (strength[:3] * terms[pair]).sum() + strength[3], (deviation**2).sum()

    expected = [[plain(member, pair) for pair in range(40)] for member in range(2)]
    expected = [torch.stack([torch.stack([both[n] for both in row]) for row in expected]) for n in range(2)]
    found = gates(gates.prepare(features, terms, noise))
    weights = torch.randn(2, 2, 40, dtype=torch.float64, generator=generator)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    gradients = [
        torch.autograd.grad((weights * torch.stack(list(result))).sum(), list(gates.parameters()))
        for result in (found, expected)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_the_number_of_parameters_is_far_below_the_papers():
    gates = GateModule(3, 24, torch.Generator())
    assert sum(parameter.numel() for parameter in gates.parameters()) < 9000


def test_pairs_are_drawn_alike_from_a_table_of_all_pairs_or_without_one():
    loader = EvidenceTrainingPlan(validate_dataset(*random_data()), EvidenceSettings(), seed=0).loader
    from_table = loader.draw(1000, torch.Generator().manual_seed(1))
    loader._all_pairs = None
    for one, other in zip(from_table, loader.draw(1000, torch.Generator().manual_seed(1)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_few_minibatches_at_a_time_mix_all_folds():
    settings = EvidenceSettings(pairs_per_minibatch=300)
    loader = EvidenceTrainingPlan(validate_dataset(*random_data()), settings, seed=0).loader
    drawn = loader.draw(900, torch.Generator().manual_seed(1))
    minibatches = loader.minibatches(drawn)
    for number, minibatch in enumerate(minibatches):
        torch.testing.assert_close(minibatch.effect, drawn.effect[300 * number : 300 * (number + 1)], rtol=0, atol=0)
        torch.testing.assert_close(minibatch.weight.sum(dim=1), torch.ones(3))
    unperturbed = torch.stack([minibatch.inputs.kind[0].mean() for minibatch in minibatches])
    torch.testing.assert_close(unperturbed, torch.full((3,), 0.25), rtol=0.4, atol=0)  # one fold of four


def test_the_fewer_pairs_the_more_input_noise():
    dataset = validate_dataset(*random_data())  # 12 genes, 6 of them perturbed
    loader = EvidenceTrainingPlan(dataset, EvidenceSettings(prior_pairs=50), seed=0).loader
    assert loader.prior == pytest.approx(50 / (3 * 6 * 11))
    drawn = loader.draw(dataloader._PAIRS_AT_ONCE, torch.Generator().manual_seed(0))
    noise = next(iter(loader)).inputs.features - loader.minibatches(drawn)[0].inputs.features
    known = np.arange(len(noise)) == IS_PERTURBED
    assert noise[~known].std().item() == pytest.approx(loader.prior**0.5, rel=0.02)
    assert not noise[known].any()


def mean_difference(dataset, num_edges):
    return infer_network(dataset, seed=0, method="mean_difference").edges(num_edges, complete=True)


def recovery(edges, dataset, effects):
    column = {gene: number for number, gene in enumerate(dataset.gene_names)}
    return effect_recovery(edges["source"].map(column), edges["target"].map(column), effects)


def known_effects(genes, cells, seed, share=1, most=None):
    """Simulate cells in which a share of the genes is perturbed, in ``most`` cells each at most; and true effects."""
    model = sample_causal_model(replace(size_preset("small"), genes=genes, cells=cells), seed)
    cells, effects = simulate_cells(model), np.abs(true_effects(model))
    np.fill_diagonal(effects, 0)
    seen = {*model.gene_ids[:: round(1 / share)], "non-targeting"}
    labels = pd.Series(cells.labels)
    kept = labels.isin(seen).to_numpy()
    if most is not None:
        kept &= ((labels.groupby(labels).cumcount() < most) | (labels == "non-targeting")).to_numpy()
    dataset = validate_dataset(cells.expression[kept], np.array(cells.labels)[kept].tolist(), list(model.gene_ids))
    return dataset, effects


@pytest.mark.parametrize(("share", "margin"), [(0.5, 1.1), (1.0, 1.0)])
def test_beats_mean_difference_where_the_true_effects_are_known(share, margin):
    dataset, effects = known_effects(genes=100, cells=12_000, seed=3, share=share)
    ours = recovery(infer_network(dataset, CatranConfig(), seed=0).edges(250), dataset, effects)
    theirs = recovery(mean_difference(dataset, 250), dataset, effects)
    assert ours > margin * theirs


def test_equally_many_cells_of_each_perturbation_are_no_trap():
    """A feature that hardly varies here, but does where the gates are applied, would dominate the others."""
    dataset, effects = known_effects(genes=80, cells=9600, seed=4, most=100)
    ours = recovery(infer_network(dataset, CatranConfig(), seed=0).edges(200), dataset, effects)
    theirs = recovery(mean_difference(dataset, 200), dataset, effects)
    assert ours > 1.1 * theirs


def test_the_best_edges_of_a_small_panel_are_no_worse_than_mean_differences():
    """Without input noise the gates memorise such panels, and fall behind Mean Difference."""
    ours, theirs = [], []
    for seed in (1, 5):
        dataset, effects = known_effects(genes=40, cells=7200, seed=seed)
        ours.append(recovery(infer_network(dataset, CatranConfig(), seed=0).edges(20), dataset, effects))
        edges = mean_difference(dataset, 20)
        theirs.append(recovery(edges, dataset, effects))
    assert np.mean(ours) > 0.95 * np.mean(theirs)


def confounded_world(loadings, latent_factors, seed, genes=60, cells=8000):
    """Simulate cells in which every fourth gene is perturbed and factors act strongly; and true effects."""
    config = replace(size_preset("small"), genes=genes, cells=cells, latent_factors=latent_factors)
    model = sample_causal_model(config, seed)
    model = replace(model, loadings=model.loadings * np.float32(loadings))
    cells, effects = simulate_cells(model), np.abs(true_effects(model))
    np.fill_diagonal(effects, 0)
    kept = np.isin(cells.labels, [*model.gene_ids[::4], "non-targeting"])
    return validate_dataset(cells.expression[kept], cells.labels[kept].tolist(), list(model.gene_ids)), effects


def test_unperturbed_sources_are_overrated_less_where_factors_confound_them():
    """Their weights were 5.4 times their true effects before gates were calibrated on others, now 2.8 times."""
    weight, effect = 0.0, 0.0
    for seed in (1, 2):
        dataset, effects = confounded_world(5.0, 3, seed)
        edges = infer_network(dataset, CatranConfig(), seed=0).edges(120)
        column = {gene: number for number, gene in enumerate(dataset.gene_names)}
        source, target = edges["source"].map(column).to_numpy(), edges["target"].map(column).to_numpy()
        unperturbed = ~np.isin(source, dataset.perturbed_genes)
        weight += edges["weight"][unperturbed].sum()
        effect += effects[source, target][unperturbed].sum()
    assert 0 < weight < 4 * effect


def test_a_world_without_factors_keeps_all_correlations():
    dataset, _ = confounded_world(1.0, 0, seed=1)
    statistics = sufficient_statistics(dataset, 3, seed=0)
    scale = np.sqrt(np.diag(statistics.covariance))
    correlation = statistics.covariance / np.outer(scale, scale)
    np.fill_diagonal(correlation, 0)
    np.testing.assert_allclose(Associations.of(statistics).factor_adjusted, correlation, atol=1e-6)
