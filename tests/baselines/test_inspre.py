"""Inverse sparse regression on networks whose effects are known."""

import numpy as np
import pytest

from catran_causalbench import validate_dataset
from catran_causalbench.baselines import inspre
from catran_causalbench.data.dataset import CONTROL

EDGES = {(0, 3): 0.8, (3, 1): -0.7, (1, 4): 0.6, (0, 5): 0.5, (2, 5): 0.7, (5, 1): 0.4}


def network(genes=6):
    direct = np.zeros((genes, genes))
    for (source, target), weight in EDGES.items():
        direct[source, target] = weight
    return direct


def ratios(direct):
    """Total effects of a linear model, as shares of the effects on the sources themselves."""
    total = np.linalg.inv(np.eye(len(direct)) - direct)
    return total / np.diag(total)[:, None]


@pytest.mark.parametrize("cycle", [0.0, 0.5])
def test_a_sparse_network_is_recovered_from_effects_without_noise(cycle):
    direct = network()
    direct[4, 0] = cycle  # closes 0 → 3 → 1 → 4 → 0
    effects = inspre.Effects(ratios(direct), np.ones((6, 6)), np.ones(6))
    found = inspre.direct_effects(inspre.sparse_inverses(effects, np.geomspace(1, 1e-4, 15))[-1])
    np.testing.assert_allclose(found, direct, atol=0.01)


def test_entries_of_weight_0_do_not_count():
    direct = network()
    effects = inspre.Effects(ratios(direct), np.ones((6, 6)), np.ones(6))
    wrong = effects.ratios.copy()
    wrong[2, 3] = 1.9
    weights = effects.weights.copy()
    weights[2, 3] = 0
    penalties = np.geomspace(1, 1e-3, 12)
    found = inspre.direct_effects(inspre.sparse_inverses(inspre.Effects(wrong, weights, np.ones(6)), penalties)[-1])
    assert np.abs(found - direct).max() < 0.05


def test_no_small_change_lowers_the_objective():
    rng = np.random.default_rng(0)
    effects = inspre.Effects(
        ratios(network()) + 0.05 * rng.normal(size=(6, 6)), rng.uniform(0.5, 2, (6, 6)), np.ones(6)
    )
    (inverse,) = inspre.sparse_inverses(effects, np.array([0.05]))
    least = inspre.objective(inverse, effects, 0.05)
    assert least < inspre.objective(np.eye(6), effects, 0.05)
    for row in range(6):
        for column in range(6):
            for change in (-0.01, 0.01):
                near = inverse.copy()
                near[row, column] += change
                assert inspre.objective(near, effects, 0.05) > least - 1e-4
    assert np.count_nonzero(inverse) < 25, "some pairs are exactly 0"


def test_effects_and_errors_equal_loops():
    rng = np.random.default_rng(0)
    codes = np.repeat([CONTROL, 0, 1, 2], [60, 20, 30, 10])
    cells = rng.normal(size=(120, 3))
    cells -= cells[codes == CONTROL].mean(axis=0)
    for source in range(3):
        cells[codes == source, source] -= 3
    found = inspre.estimate_effects(cells, codes)
    expected = np.zeros((3, 3))
    for source in range(3):
        perturbed = codes == source
        both = cells[(codes == CONTROL) | perturbed]
        assert found.shifts[source] == pytest.approx(cells[perturbed, source].mean())
        for target in set(range(3)) - {source}:
            slope = cells[perturbed, target].sum() / cells[perturbed, source].sum()
            assert found.ratios[source, target] == pytest.approx(slope)
            spread = ((both[:, target] - slope * both[:, source]) ** 2).sum()
            expected[source, target] = (
                len(both) * perturbed.sum() * cells[perturbed, source].mean() ** 2 / spread
            )  # the authors' inverse squared standard error
    pairs = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(found.weights[pairs] / found.weights[0, 1], expected[pairs] / expected[0, 1])
    assert found.weights.mean() == pytest.approx(1)
    assert (np.diag(found.weights) == found.weights.max()).all()


def linear_cells(unperturbed=()):
    """Cells of a linear model in which a perturbation moves its gene and those downstream."""
    rng = np.random.default_rng(1)
    names = [f"gene{number}" for number in range(6)]
    perturbed = [name for name in names if name not in unperturbed]
    labels = np.repeat(["non-targeting", *perturbed], [600] + [150] * len(perturbed))
    noise = rng.normal(0, 1, (len(labels), 6))
    for column, name in enumerate(names):
        noise[labels == name, column] -= 4
    return 30 + noise @ np.linalg.inv(np.eye(6) - network()), labels.tolist(), names


def test_direct_edges_come_first_and_point_from_source_to_target():
    scores = inspre.inspre(validate_dataset(*linear_cells()), 0)
    best = np.argsort(-scores, axis=None)[: len(EDGES)]
    assert {(int(place) // 6, int(place) % 6) for place in best} == set(EDGES)


def test_the_penalty_is_that_which_predicts_left_out_cells():
    matrix, labels, names = linear_cells()
    codes = np.array([CONTROL if label == "non-targeting" else names.index(label) for label in labels])
    cells = matrix - matrix[codes == CONTROL].mean(axis=0)
    networks, best = inspre._cross_validated(cells, codes, 0)
    assert len(networks) == inspre.PENALTIES
    found = {(int(source), int(target)) for source, target in np.argwhere(networks[best] != 0)}
    assert set(EDGES) <= found, "the largest penalties have none of them"
    np.testing.assert_allclose(networks[best], network(), atol=0.15)


def test_genes_that_are_never_perturbed_are_unknown():
    scores = inspre.inspre(validate_dataset(*linear_cells(unperturbed=["gene2"])), 0)
    assert (scores[2] == -np.inf).all()
    assert (scores[:, 2] == -np.inf).all()
    assert np.isfinite(scores[0, 3])
    controls = validate_dataset(*linear_cells()).controls_only()
    assert (inspre.inspre(controls, 0) == -np.inf).all()


def test_genes_with_many_missing_effects_are_left_out_one_by_one():
    weights = np.ones((6, 6))
    weights[2, :4] = 0  # four of six effects of gene 2 are missing
    weights[:3, 5] = 0  # half of the effects on gene 5: not more than half
    effects = inspre.Effects(np.eye(6), weights, np.ones(6))
    assert inspre.usable_genes(effects).tolist() == [0, 1, 3, 4, 5]


def test_a_gene_that_hardly_answers_its_own_perturbation_is_left_out():
    matrix, labels, names = linear_cells()
    weak = np.array(labels) == "gene2"
    matrix[weak] = matrix[: weak.sum()] - 0.02 * (np.arange(6) == 2)
    scores = inspre.inspre(validate_dataset(matrix, labels, names), 0)
    assert (scores[2] == -np.inf).all()
    assert np.isfinite(scores[0, 3])
