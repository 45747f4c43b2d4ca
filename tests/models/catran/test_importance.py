"""What is measured in all training cells against loops, the cross-entropy of attention, and the read-out of effects."""

import numpy as np
import pytest
import torch
from helpers import randomised

from catran_causalbench import validate_dataset
from catran_causalbench.data import shrinkage
from catran_causalbench.data.dataset import CONTROL, EXCLUDED
from catran_causalbench.models.catran.importance import CellStatistics, importance_cross_entropy
from catran_causalbench.models.catran.module import CatranModule
from catran_causalbench.models.catran.readout import ExpectedEffects, prediction_slopes


def hub_data(genes=12, seed=0):
    """SIMULATED: the first gene acts on all others, the second on none; the last three are never perturbed."""
    rng = np.random.default_rng(seed)
    names = [f"gene{number:02d}" for number in range(genes)]
    labels = np.repeat([*names[:-3], "non-targeting", "excluded"], [*[30] * (genes - 3), 200, 40])
    matrix = rng.normal(3, np.linspace(0.3, 1, genes), (len(labels), genes))
    matrix[labels == names[0], 1:] -= np.linspace(0.3, 1, genes)[1:]
    matrix[labels == "excluded"] += 5  # would show in every mean
    for column, name in enumerate(names):
        matrix[labels == name, column] -= 1
    return validate_dataset(np.clip(matrix, 0, None).astype(np.float32), labels.tolist(), names)


def naive_statistics(dataset):
    """Means, deviations and standardised effects by loops over labels and genes."""
    x, codes, genes = dataset.expression.astype(float), dataset.intervention, dataset.num_genes
    control_mean = x[codes == CONTROL].mean(axis=0)
    deviation, effect, error = np.zeros(genes), np.full((genes, genes), np.nan), np.full(genes, np.nan)
    for gene in range(genes):
        squares, freedom = 0.0, 0
        for code in set(codes.tolist()) - {gene, EXCLUDED}:
            values = x[codes == code, gene]
            squares, freedom = squares + ((values - values.mean()) ** 2).sum(), freedom + len(values) - 1
        deviation[gene] = np.sqrt(squares / freedom)
    for source in set(codes[codes >= 0].tolist()):
        effect[source] = (x[codes == source].mean(axis=0) - control_mean) / deviation
        error[source] = np.sqrt(1 / (codes == source).sum() + 1 / (codes == CONTROL).sum())
    return control_mean, deviation, effect, error


def naive_importance(effect, error):
    """The documented shrinkage, pair by pair."""
    genes = len(effect)
    perturbed = [source for source in range(genes) if np.isfinite(error[source])]
    importance = np.full((genes, genes), np.nan)
    pairs = [(source, target) for source in perturbed for target in range(genes) if source != target]
    effects, errors = np.array([effect[pair] for pair in pairs]), np.array([error[source] for source, _ in pairs])
    low, high = shrinkage.half_uniforms(effects, errors)  # tests/data/test_shrinkage.py has their independent checks
    weights = shrinkage.mixture_weights(effects, errors, low, high)
    shrunk = dict(zip(pairs, shrinkage.posterior_means(effects, errors, low, high, weights), strict=True))
    for source in perturbed:
        for target in range(genes):
            others = [effect[source, other] for other in range(genes) if other not in (source, target)]
            of_source = sum(min((e / error[source]) ** 2 - 1, 400) for e in others) / (genes - 2)
            others = [(effect[o, target], error[o]) for o in perturbed if o not in (source, target)]
            on_target = sum(min((e / se) ** 2 - 1, 400) for e, se in others) / (len(perturbed) - 1)
            variance = (max(of_source, 0.01) + max(on_target, 0.01)) / 2
            size = abs(shrunk.get((source, target), 0))
            importance[target, source] = size * variance / (variance + 1)
    return importance


def test_statistics_equal_loops():
    dataset = hub_data()
    found = CellStatistics.of(dataset)
    control_mean, deviation, effect, error = naive_statistics(dataset)
    np.testing.assert_allclose(found.control_mean, control_mean, rtol=1e-5)
    np.testing.assert_allclose(found.deviation, deviation, rtol=1e-4)
    np.testing.assert_allclose(found.importance, naive_importance(effect, error), rtol=2e-3, atol=1e-4)
    assert found.depth == pytest.approx(np.median(np.abs(np.diag(effect)[:-3])), rel=1e-3)
    within = dataset.expression.astype(float)
    for code in set(dataset.intervention.tolist()):
        within[dataset.intervention == code] -= within[dataset.intervention == code].mean(axis=0)
    correlation = np.corrcoef(within[dataset.intervention != EXCLUDED].T)
    assert torch.equal(found.signs, torch.from_numpy(np.sign(correlation)).float())
    squared = correlation**2 * (1 - np.eye(12))
    freedom = (dataset.intervention != EXCLUDED).sum() - 10
    assert found.coupling == pytest.approx(max(1 - 12 * 11 / freedom / squared.sum(), 0.01), rel=0.02)


def test_associations_are_shares_of_the_explained_variance():
    """SIMULATED: gene 0 acts on gene 1, that on gene 2 and so on; half of the genes are perturbed in a few cells."""
    rng = np.random.default_rng(1)
    names = [f"gene{number}" for number in range(8)]
    labels = np.repeat([*names[:4], "non-targeting"], [20] * 4 + [400])
    matrix = rng.normal(0, 1, (len(labels), 8))
    for gene in range(1, 8):
        matrix[:, gene] += (-1) ** gene * matrix[:, gene - 1]
    dataset = validate_dataset(np.float32(matrix + 20), labels.tolist(), names)
    within = dataset.expression.astype(float)
    for code in set(dataset.intervention.tolist()):
        within[dataset.intervention == code] -= within[dataset.intervention == code].mean(axis=0)
    correlation = np.corrcoef(within.T)
    found = CellStatistics.of(dataset)
    assert found.coupling == pytest.approx(1 - 8 * 7 / (len(labels) - 5) / ((correlation**2).sum() - 8), abs=2e-5)
    shrunk = found.coupling * correlation
    for target in range(8):
        others = np.array([gene for gene in range(8) if gene != target])
        slopes = np.linalg.solve(
            shrunk[np.ix_(others, others)] + (1 - found.coupling) * np.eye(7), shrunk[others, target]
        )
        explained = np.maximum(slopes * correlation[others, target], 0)
        never_perturbed = others >= 4
        expected = (explained / explained.sum())[never_perturbed]
        np.testing.assert_allclose(found.association[target, others[never_perturbed]], expected, atol=1e-5)
    assert found.association[:, :4].isnan().all()
    assert (found.association.diagonal()[4:] == 0).all()


def test_effects_of_an_active_source_are_shrunk_less():
    importance = CellStatistics.of(hub_data()).importance
    _, _, effect, _ = naive_statistics(hub_data())
    kept = importance.T.numpy()[:-3] / np.abs(effect)[:-3]
    assert kept[0, 1:].min() > 0.6 > 0.2 > np.median(kept[1, 2:])


def test_coupling_is_that_of_the_genes_beyond_chance():
    rng = np.random.default_rng(0)
    noise = rng.normal(8, 1, (400, 15))
    names = [f"gene{number:02d}" for number in range(15)]
    independent, coupled = (
        CellStatistics.of(validate_dataset(np.float32(matrix), ["non-targeting"] * 400, names)).coupling
        for matrix in (noise, noise + 2 * rng.normal(0, 1, (400, 1)).clip(-2, 2))
    )
    assert independent < 0.2
    assert coupled > 0.95


def test_controls_alone_have_associations_but_no_importances():
    found = CellStatistics.of(hub_data().controls_only())
    assert found.importance.isnan().all()
    torch.testing.assert_close(found.association.sum(dim=1), torch.ones(12))
    assert found.depth == 1


def test_a_gene_that_varies_between_labels_only_keeps_its_scale():
    dataset = hub_data()
    dataset.expression[:, 5] = dataset.intervention == 0
    found = CellStatistics.of(dataset)
    standard = found.standardise(torch.from_numpy(dataset.expression), torch.arange(12))
    assert standard.isfinite().all()
    assert standard[:, 5].abs().max() <= 1
    assert found.importance[5].nansum() == 0
    assert found.association[5].nansum() == 0
    assert found.association[:, 5].nansum() == 0


def naive_cross_entropy(attention, importance):
    total, size = 0.0, 0.0
    for weights, values in zip(attention.tolist(), importance.tolist(), strict=True):
        measured = [index for index, value in enumerate(values) if not np.isnan(value)]
        mass = sum(weights[index] for index in measured)
        total -= sum(values[index] * np.log(weights[index] / mass) for index in measured if values[index])
        size += sum(values[index] for index in measured)
    return total / size


def attention_and_importance(genes=7, perturbed=4):
    generator = torch.Generator().manual_seed(2)
    scores = torch.randn(genes, genes, generator=generator, dtype=torch.float64).fill_diagonal_(-torch.inf)
    importance = (torch.randn(genes, genes, generator=generator, dtype=torch.float64)).clamp_min(0).fill_diagonal_(0)
    importance[:, perturbed:] = torch.nan
    return scores.requires_grad_(), importance


def test_cross_entropy_equals_a_double_loop():
    scores, importance = attention_and_importance()
    attention = scores.softmax(dim=1)
    found = importance_cross_entropy(attention, importance)
    assert found.item() == pytest.approx(naive_cross_entropy(attention.detach(), importance), rel=1e-9)


def test_cross_entropies_of_several_matrices_are_added():
    scores, importance = attention_and_importance()
    others = torch.rand(7, 7, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    others.fill_diagonal_(0)[:, :4] = torch.nan
    nothing = torch.full((7, 7), torch.nan, dtype=torch.float64)
    attention = scores.softmax(dim=1).detach()
    found = importance_cross_entropy(attention, torch.stack([importance, others, nothing]))
    expected = naive_cross_entropy(attention, importance) + naive_cross_entropy(attention, others)
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_cross_entropy_is_least_where_attention_is_in_proportion_to_importance():
    _, importance = attention_and_importance(perturbed=7)
    best = importance_cross_entropy(importance + 1e-9, importance)
    for seed in range(5):
        noise = torch.rand(7, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert importance_cross_entropy(importance + 1e-9 + 0.1 * noise, importance) > best


def test_cross_entropy_leaves_the_attention_of_unperturbed_sources_alone():
    scores, importance = attention_and_importance()
    importance_cross_entropy(scores.softmax(dim=1), importance).backward()
    assert torch.allclose(scores.grad[:, 4:], torch.zeros(7, 3, dtype=torch.float64), atol=1e-12)
    assert scores.grad[:, :4].abs().sum() > 0.1


@pytest.mark.parametrize("importance", [torch.full((5, 5), torch.nan), torch.zeros(5, 5)])
def test_cross_entropy_of_nothing_is_zero(importance):
    scores = torch.randn(5, 5).requires_grad_()
    loss = importance_cross_entropy(scores.softmax(dim=1), importance)
    loss.backward()
    assert loss.item() == 0
    assert scores.grad.isfinite().all()


def read_out(dataset):
    statistics = CellStatistics.of(dataset)
    module = randomised(CatranModule(12, self_attention=False, directed=True, signs=statistics.signs)).eval()
    genes = torch.arange(12)
    controls = statistics.standardise(torch.from_numpy(dataset.control_cells()), genes)
    return statistics, module, controls, ExpectedEffects(module, statistics, controls).attention_rows(genes).detach()


def test_effects_of_perturbed_sources_add_up_to_what_was_measured():
    statistics, module, _, effects = read_out(hub_data())
    measured = (statistics.importance.nansum(dim=1) * statistics.deviation)[:, None]
    torch.testing.assert_close(effects[:, :9].sum(dim=1, keepdim=True), measured)
    attention = module.attention(torch.arange(12)).detach()[:, :9]
    torch.testing.assert_close(effects[:, :9] / measured, attention / attention.sum(dim=1, keepdim=True))


@pytest.mark.parametrize("dataset", [hub_data(), hub_data().controls_only()], ids=["screen", "controls alone"])
def test_effects_of_other_sources_are_those_that_the_module_predicts(dataset):
    statistics, module, controls, effects = read_out(dataset)
    genes = torch.arange(12)
    attention = module.attention(genes).detach()
    mixed = (controls @ (attention * statistics.signs).T).detach().numpy()
    predicted = torch.cat([module(cells, genes)[0] for cells in controls.split(50)]).detach().numpy()
    slopes = [abs(np.polyfit(mixed[:, gene], predicted[:, gene], 1)[0]) for gene in range(12)]
    np.testing.assert_allclose(prediction_slopes(module, controls), slopes, rtol=1e-3)
    scale = 0.5 * statistics.coupling * statistics.depth * statistics.deviation.numpy()
    expected = attention.numpy() * (scale * np.array(slopes))[:, None]
    np.testing.assert_allclose(effects[:, 9:], expected[:, 9:], rtol=1e-3, atol=1e-9)
