"""Direct edges: simulated worlds in which direct and total effects differ, and regressions against naive ones."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import random_data
from sklearn.metrics import average_precision_score

from catran_causalbench import validate_dataset
from catran_causalbench.data.dataset import CONTROL, EXCLUDED, PerturbationDataset
from catran_causalbench.models.evidence import direct as module
from catran_causalbench.models.evidence.direct import direct_weights, fit_conditionally

CHAINS, LENGTH, CELLS = 6, 4, 50
GENES = CHAINS * LENGTH


def chains(noise=1.0, factor=0.0, seed=0, spared=0.0):
    """Give a simulated screen of genes that regulate each other in chains, its direct edges and its total effects.

    The genes of a chain stand in random columns. ``noise`` passes through the network; ``factor`` is the size of what
    shifts all measurements of a cell alike, as its size does; ``spared`` is what a knockdown leaves of a gene's noise.
    """
    rng = np.random.default_rng(seed)
    slopes = np.zeros((GENES, GENES))
    for chain in rng.permutation(GENES).reshape(CHAINS, LENGTH):
        slopes[chain[:-1], chain[1:]] = rng.choice([-1.3, -0.5, 0.5, 1.3], LENGTH - 1)
    intervention = np.repeat([CONTROL, *range(GENES)], [10 * CELLS, *[CELLS] * GENES])
    own = noise * rng.normal(size=(len(intervention), GENES))
    knocked_down = np.arange(10 * CELLS, len(intervention)), intervention[10 * CELLS :]
    expression = own
    for _ in range(LENGTH):  # one step along the chains
        expression[knocked_down] = -2.0 + spared * own[knocked_down]
        expression = own + expression @ slopes
    expression[knocked_down] = -2.0 + spared * own[knocked_down]
    measured = expression + 0.3 * rng.normal(size=expression.shape) + factor * rng.normal(size=(len(expression), 1))
    if noise < 1:
        measured += rng.normal(size=expression.shape)
    total = np.abs(np.linalg.inv(np.eye(GENES) - slopes) - np.eye(GENES))
    names = tuple(f"g{gene:02d}" for gene in range(GENES))
    return PerturbationDataset(measured.astype(np.float32), names, intervention), slopes != 0, total


def measured_effects(dataset):
    """Give the sizes of the measured effects, which rank edges by total effect."""
    effects = np.abs(dataset.perturbation_effects())
    np.fill_diagonal(effects, 0)
    return effects


def area(weights, edges):
    """Give the area under the precision-recall curve over all pairs."""
    pairs = ~np.eye(len(edges), dtype=bool)
    return average_precision_score(edges[pairs], weights[pairs])


@pytest.mark.guarantee("Statistics", "Ranked by direct effect, regulators come before genes that act through them.")
def test_direct_edges_come_before_indirect_ones():
    dataset, edges, total = chains()
    assert area(total, edges) < 0.9, "not even the true total effects tell them apart"
    weights = measured_effects(dataset)
    assert area(direct_weights(dataset, weights), edges) > max(0.97, area(weights, edges) + 0.1)


def test_genes_downstream_are_no_sources():
    dataset, edges, _ = chains()
    fits = fit_conditionally(dataset, measured_effects(dataset))
    reverse = edges.T
    assert (np.abs(fits.t_value[edges]) > 10).all()
    assert (np.abs(fits.t_value[reverse]) < 5).mean() > 0.9
    ratio = fits.shift_ratio + fits.within_ratio
    assert (ratio[edges] > 3).all()
    weights = np.ones((GENES, GENES))  # which say nothing
    assert (fits.direct_weights(weights)[edges] > fits.direct_weights(weights)[reverse]).all()


@pytest.mark.guarantee(
    "Statistics",
    "Where cells do not vary through the network, the ranking by direct effect finds what the total ranking finds.",
)
def test_without_variation_through_the_network_the_total_ranking_is_left():
    dataset, edges, _ = chains(noise=0.05)
    weights = measured_effects(dataset)
    found = direct_weights(dataset, weights)
    assert area(found, edges) > area(weights, edges) - 0.02


def test_what_shifts_all_measurements_of_a_cell_makes_no_edges():
    dataset, edges, _ = chains(factor=1.0)
    weights = measured_effects(dataset)
    assert area(direct_weights(dataset, weights), edges) > area(weights, edges) - 0.02


def test_regressions_and_ratios_equal_naive_ones(monkeypatch):
    """Of all genes on all others, once, with each source left out in turn and each cell on its own."""
    monkeypatch.setattr(module, "_MISLEADS", -np.inf)
    monkeypatch.setattr(module, "_RIDGE", 0.0)
    dataset = validate_dataset(*random_data())
    fits = fit_conditionally(dataset, measured_effects(dataset))
    expression = dataset.expression.astype(float)
    included = dataset.intervention >= CONTROL
    controls = dataset.intervention == CONTROL
    for target in range(dataset.num_genes):
        others = np.delete(np.arange(dataset.num_genes), target)
        chosen = included & (dataset.intervention != target)
        values = expression[chosen, target]
        slope, variance = least_squares(expression[chosen][:, others], values)
        residual = expression[:, target] - expression[:, others] @ slope
        covariance = np.cov(expression[chosen].T, bias=True)
        for place, source in enumerate(others):
            rest = np.delete(others, place)
            without, remaining = least_squares(expression[chosen][:, rest], values)
            t_square = (remaining * (chosen.sum() - len(rest)) / variance) - (chosen.sum() - len(others))
            assert fits.t_value[source, target] ** 2 == pytest.approx(t_square, rel=1e-3, abs=1e-4)
            assert np.sign(fits.t_value[source, target]) == np.sign(slope[place])
            share = slope[place] * covariance[source, target] / covariance[target, target]
            assert fits.contribution[source, target] == pytest.approx(share, abs=1e-6)
            cells = dataset.intervention == source
            if not cells.any():
                assert fits.shift_ratio[source, target] == fits.within_ratio[source, target] == 0
                continue
            left_out = expression[:, target] - expression[:, rest] @ without
            shift, within = 0.0, 0.0
            for sign, values_of in ((1, left_out), (-1, residual)):
                mean = values_of[cells].mean()
                shift += sign * (mean - values_of[controls].mean()) ** 2 / (1 / cells.sum() + 1 / controls.sum())
                within += sign * sum((value - mean) ** 2 for value in values_of[cells])
            assert fits.shift_ratio[source, target] == pytest.approx(shift / variance / 2, rel=1e-3, abs=1e-4)
            assert fits.within_ratio[source, target] == pytest.approx(within / variance / 2, rel=1e-3, abs=1e-4)


def least_squares(sources, values):
    """Give the slopes of a regression with an intercept, and the variance of its residuals per degree of freedom."""
    sources, values = sources - sources.mean(axis=0), values - values.mean()
    slope = np.linalg.lstsq(sources, values, rcond=None)[0]
    residual = values - sources @ slope
    return slope, residual @ residual / (len(values) - len(slope))


def test_variation_speaks_for_sources_only_where_it_does_not_for_those_that_are_none():
    for factor, lowest, highest in ((0.0, 0.4, 1.0), (1.0, 0.0, 0.1)):
        dataset, _, _ = chains(factor=factor, spared=1.0)
        fits = fit_conditionally(dataset, measured_effects(dataset))
        assert lowest <= fits.trust <= highest
    assert replace(fits, within_ratio=-np.abs(fits.within_ratio)).trust > 0.8
    assert replace(fits, within_ratio=0 * fits.within_ratio).trust == 0


def test_a_perturbation_without_effect_speaks_for_the_other_direction():
    """Of genes that are never perturbed, whose targets at the ends of the chains are."""
    dataset, edges, _ = chains()
    ends = np.flatnonzero(~edges.any(axis=1))
    chosen = np.isin(dataset.intervention, [CONTROL, *ends])
    few = replace(dataset, expression=dataset.expression[chosen], intervention=dataset.intervention[chosen])
    weights = np.ones((GENES, GENES))
    fits = fit_conditionally(few, weights)
    into_ends = edges & np.isin(np.arange(GENES), ends)
    ratio = fits.shift_ratio + fits.within_ratio
    assert not fits.t_value[into_ends.T].any(), "the genes at the ends are no sources"
    assert (ratio[into_ends.T] < -3).all()
    forgetful = replace(fits, shift_ratio=0 * ratio, within_ratio=np.where(ratio > 0, ratio, 0))
    assert (fits.direct_weights(weights)[into_ends] > 1.3 * forgetful.direct_weights(weights)[into_ends]).all()


@pytest.mark.guarantee("Determinism", "The ranking by direct effect does not depend on the order of genes or cells.")
def test_the_order_of_genes_and_cells_does_not_matter():
    dataset, _, _ = chains()
    weights = measured_effects(dataset)
    expected = direct_weights(dataset, weights)
    np.testing.assert_array_equal(direct_weights(dataset, weights), expected)
    rng = np.random.default_rng(3)
    genes, cells = rng.permutation(GENES), rng.permutation(dataset.num_cells)
    place = np.append(np.argsort(genes), CONTROL)  # of a gene; the last stands for the controls
    moved = PerturbationDataset(
        dataset.expression[cells][:, genes], dataset.gene_names, place[dataset.intervention[cells]]
    )
    found = direct_weights(moved, weights[np.ix_(genes, genes)])
    np.testing.assert_allclose(found, expected[np.ix_(genes, genes)], rtol=1e-3)


def test_excluded_cells_do_not_count():
    dataset, _, _ = chains()
    weights = measured_effects(dataset)
    more = replace(
        dataset,
        expression=np.concatenate([dataset.expression, 9 + dataset.expression[:100]]),
        intervention=np.append(dataset.intervention, [EXCLUDED] * 100),
    )
    np.testing.assert_allclose(direct_weights(more, weights), direct_weights(dataset, weights), rtol=1e-5)


@pytest.mark.parametrize("kind", ["controls only", "few cells", "a constant gene", "a copied gene", "no weights"])
def test_scores_are_numbers_whatever_the_data(kind):
    dataset, _, _ = chains()
    weights = measured_effects(dataset)
    if kind == "controls only":
        dataset = dataset.controls_only()
    if kind == "few cells":
        few = np.arange(0, dataset.num_cells, 70)
        dataset = replace(dataset, expression=dataset.expression[few], intervention=dataset.intervention[few])
    if kind == "a constant gene":
        dataset.expression[:, 0] = 1
    if kind == "a copied gene":
        dataset.expression[:, 0] = dataset.expression[:, 1]
    if kind == "no weights":
        weights = 0 * weights
    found = direct_weights(dataset, weights)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert (found[~np.eye(GENES, dtype=bool)] > 0).all()
    assert not np.diag(found).any()


def test_the_score_of_a_pair_is_that_of_the_description():
    """Pair by pair, with the share of causes that is likeliest on a grid."""
    rng = np.random.default_rng(0)
    genes = 12
    t_value, shift, within = rng.normal(0, 6, (genes, genes)), *rng.normal(0, 2, (2, genes, genes))
    contribution, perturbed = rng.uniform(0, 0.15, (genes, genes)), np.arange(genes) > 2
    within[shift < -3] -= 2
    shift[~perturbed] = within[~perturbed] = 0
    total = rng.uniform(1, 2, (genes, genes))
    found = module.ConditionalFits(t_value, contribution, shift, within, perturbed).direct_weights(total)
    pairs = [(p, q) for p in range(genes) for q in range(genes) if p != q]
    ruled_out = [within[pair] for pair in pairs if shift[pair] < -3]
    against, in_favour = -sum(min(ratio, 0) for ratio in ruled_out), sum(max(ratio, 0) for ratio in ruled_out)
    trust = ((against - in_favour) / (against + in_favour + 5)) ** 2
    assert against > 2 * in_favour, "the case must be one with some trust"
    against = shift + np.minimum(within, 0) + trust * np.maximum(within, 0)
    strong = [against[pair] for pair in pairs if abs(t_value[pair]) > 4 and perturbed[pair[0]]]
    grid = np.linspace(0.001, 0.999, 999)
    likelihood = 2 * np.log(1 - grid) + sum(np.log(grid * np.exp(ratio) + 1 - grid) for ratio in strong)
    share = grid[np.argmax(likelihood)]
    is_cause = share * np.exp(against) / (share * np.exp(against) + 1 - share)
    explained = np.mean([sum(is_cause[p, q] * contribution[p, q] for p in range(genes)) for q in range(genes)])
    assert 0.1 < share < 0.9
    assert 0.1 < explained < 0.9
    unit = np.mean([total[pair] for pair in pairs])
    for p, q in pairs:
        odds = total[p, q] / total[q, p] * np.exp(shift[p, q] + within[p, q] - shift[q, p] - within[q, p])
        dependence = 1 + is_cause[p, q] * odds / (1 + odds) * (max(abs(t_value[p, q]), 1) ** 0.5 - 1)
        assert found[p, q] == pytest.approx((total[p, q] / unit) ** (1 - explained) * dependence**2, rel=0.02)


def test_the_share_of_causes_is_that_of_the_evidence():
    assert module._share_of_causes(np.empty(0)) == 0.5
    sure = np.repeat([20.0, -20.0], [300, 700])
    assert module._share_of_causes(sure) == pytest.approx(0.3, abs=0.01)
    assert module._share_of_causes(np.full(4, -1.0)) == 0.01
