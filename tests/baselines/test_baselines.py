"""Each baseline against its definition written as loops, and the rules that hold for all of them."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import stats

from catran_causalbench import CatranConfig, InputError, infer_network, validate_dataset
from catran_causalbench.baselines import betterboost, grnboost, guanlab, sparserc, statistics
from catran_causalbench.baselines.config import INSTALL
from catran_causalbench.data.dataset import CONTROL
from catran_causalbench.grn.edges import rank_edges
from catran_causalbench.methods import baseline_names, find_method

# All but CausalBench's neural models and those that need a package of their authors.
OWN = [name for name in baseline_names()[:-4] if name not in INSTALL]
GENES = [f"gene{number}" for number in range(8)]
PERTURBED = GENES[:5]


def linked_data(cells=900, seed=0):
    """gene0 drives gene1, which drives gene2; gene3 and gene7 are rarely seen; gene5 to gene7 are never perturbed."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([*PERTURBED, "non-targeting", "non-targeting", "excluded"], cells)
    values = rng.gamma(4, 0.5, (cells, len(GENES)))
    for source, target in ((None, 0), (0, 1), (1, 2)):
        if source is not None:
            values[:, target] = values[:, source] + 0.2 * values[:, target]
        values[labels == GENES[target], target] *= 0.1
    values[rng.random(cells) < 0.9, 3] = 0
    values[rng.random(cells) < 0.8, 7] = 0
    return values.astype(np.float32), [str(label) for label in labels], GENES


@pytest.fixture(scope="module")
def dataset():
    return validate_dataset(*linked_data())


@pytest.fixture(scope="module", params=OWN)
def name(request):
    return request.param


@pytest.fixture
def quick_sparserc(monkeypatch):
    monkeypatch.setattr(sparserc, "MAX_EPOCHS", 30)


def pairs(edges, names=GENES):
    return [(names[source], names[target]) for source, target in zip(edges.source, edges.target, strict=True)]


def off_diagonal(scores):
    return scores[~np.eye(len(scores), dtype=bool)]


def best_edges(name, dataset, num_edges, seed):
    return infer_network(dataset, CatranConfig(), seed, name).edges(num_edges, complete=True)


def named_pairs(edges):
    return list(zip(edges["source"], edges["target"], strict=True))


# Rules for all


@pytest.mark.filterwarnings("ignore:1000 edges were asked for")
@pytest.mark.parametrize("wanted", [1, 20, 56, 1000])
def test_gives_exactly_the_edges_asked_for(name, dataset, wanted, quick_sparserc):
    edges = best_edges(name, dataset, wanted, seed=0)
    assert len(set(named_pairs(edges))) == len(edges) == min(wanted, 56)
    assert (edges["source"] != edges["target"]).all()
    assert (np.diff(edges["weight"][np.isfinite(edges["weight"])]) <= 0).all()


def test_order_of_genes_and_cells_is_irrelevant(name, dataset, quick_sparserc):
    matrix, labels, genes = linked_data()
    rng = np.random.default_rng(5)
    cells, columns = rng.permutation(len(labels)), rng.permutation(len(genes))
    shuffled = validate_dataset(
        matrix[cells][:, columns], [labels[cell] for cell in cells], [genes[c] for c in columns]
    )
    assert named_pairs(best_edges(name, shuffled, 40, 3)) == named_pairs(best_edges(name, dataset, 40, 3))


@pytest.mark.parametrize("name", ["random", "guanlab", "betterboost", "sparserc", "grnboost"])
def test_the_seed_decides_the_draws(name, dataset, quick_sparserc):
    score = find_method(name).score_pairs
    first, again, other = (score(dataset, CatranConfig(), seed).weights for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_edges_beyond_the_known_are_random_and_last(dataset):
    edges, others = (best_edges("mean_difference", dataset, 50, seed) for seed in (0, 1))
    known = len(PERTURBED) * (len(GENES) - 1)
    assert set(edges["source"][:known]) == set(PERTURBED)
    assert (edges["weight"][known:] == -np.inf).all()
    assert np.isfinite(edges["weight"][:known]).all()
    assert named_pairs(edges)[:known] == named_pairs(others)[:known]
    assert named_pairs(edges)[known:] != named_pairs(others)[known:]


def test_an_unknown_baseline_is_refused_by_name(dataset):
    with pytest.raises(InputError, match=r"'genie'.*guanlab.*grnboost"):
        best_edges("genie", dataset, 10, seed=0)


def test_no_baseline_but_dcdi_needs_causalbench():
    code = (
        "import sys; from catran_causalbench.methods import baseline_names, find_method\n"
        "for name in baseline_names()[:-4]: find_method(name).load()\n"
        "print(*{'causalscbench', 'dask'} & set(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []


# One by one


def test_mean_difference_and_effect_size_equal_loops(dataset):
    differences, effects = statistics.mean_difference(dataset, 0), statistics.effect_size(dataset, 0)
    x = dataset.expression.astype(np.float64)
    for source in range(len(GENES)):
        for target in range(len(GENES)):
            control, treated = x[dataset.intervention == CONTROL, target], x[dataset.intervention == source, target]
            if GENES[source] not in PERTURBED:
                assert differences[source, target] == effects[source, target] == -np.inf
                continue
            assert differences[source, target] == pytest.approx(abs(treated.mean() - control.mean()), rel=1e-9)
            # Student's t is Cohen's d with pooled deviation, times the root of the effective number of cells.
            t = stats.ttest_ind(treated, control, equal_var=True).statistic
            expected = abs(t) * np.sqrt(1 / len(treated) + 1 / len(control))
            assert effects[source, target] == pytest.approx(expected, rel=1e-6)


def test_effect_size_is_unknown_where_nothing_varies():
    matrix, labels, genes = linked_data()
    matrix[[label != "excluded" for label in labels], 6] = 0.1
    effects = statistics.effect_size(validate_dataset(matrix, labels, genes), 0)
    assert (effects[:5, 6] == -np.inf).all()
    assert np.isfinite(effects[:5, :6]).all()


def test_correlation_is_that_of_the_controls(dataset):
    scores = statistics.correlation(dataset, 0)
    controls = dataset.expression[dataset.intervention == CONTROL].astype(np.float64)
    np.testing.assert_allclose(scores, np.abs(np.corrcoef(controls.T)), rtol=1e-9)
    assert set(pairs(rank_edges(scores, 2))) == {("gene1", "gene2"), ("gene2", "gene1")}


def test_correlation_with_a_constant_gene_is_unknown():
    matrix, labels, genes = linked_data()
    matrix[[label == "non-targeting" for label in labels], 6] = 0.1
    scores = statistics.correlation(validate_dataset(matrix, labels, genes), 0)
    assert (scores[6] == -np.inf).all()
    assert (scores[:, 6] == -np.inf).all()


def test_guanlab_labels_and_features_equal_loops(dataset):
    labels, means = guanlab._correlated_pairs(dataset, 4), guanlab._pair_means(dataset)
    x = dataset.expression.astype(np.float64)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    control = dataset.intervention == CONTROL
    shuffled = x[control][np.random.default_rng(4).permutation(control.sum())]
    for source in range(len(GENES)):
        treated = dataset.intervention == source
        perturbed = treated.any()
        cells = np.concatenate([shuffled[: treated.sum()], x[treated]]) if perturbed else x[control]
        for target in set(range(len(GENES))) - {source}:
            expected = abs(stats.pearsonr(cells[:, source], cells[:, target])[0]) > 0.1
            assert labels[source, target] == expected
            expected_means = [z[control, source].mean(), z[control, target].mean()]
            expected_means += [z[treated, source].mean(), z[treated, target].mean()] if perturbed else [0, np.nan]
            np.testing.assert_allclose(means[source, target], expected_means, rtol=1e-5, atol=1e-8)
    assert 0 < off_diagonal(labels).mean() < 1


def test_guanlab_finds_the_pairs_whose_means_tell_that_they_correlate():
    rng = np.random.default_rng(0)
    names = [f"gene{number:02d}" for number in range(20)]
    labels = rng.choice([*names[:10], "non-targeting"], 4000)
    matrix = rng.normal(20, 1, (4000, 20)).astype(np.float32)
    matrix[labels != "non-targeting", :6] -= 3  # six genes answer every perturbation, so that they correlate
    scores = guanlab.guanlab(validate_dataset(matrix, [str(label) for label in labels], names), 0)
    assert set(pairs(rank_edges(scores, 30), names)) == {(a, b) for a in names[:6] for b in names[:6] if a != b}


def test_guanlab_learns_from_controls_alone(dataset):
    scores = guanlab.guanlab(dataset.controls_only(), 0)
    assert np.isfinite(scores[~np.eye(dataset.num_genes, dtype=bool)]).all()


def test_guanlab_without_contrast_knows_nothing():
    rng = np.random.default_rng(0)
    matrix = (rng.random((300, 1)) + 0.1 * rng.random((300, 4))).astype(np.float32)
    dataset = validate_dataset(matrix, ["non-targeting"] * 300, GENES[:4])
    assert (guanlab.guanlab(dataset, 0) == -np.inf).all()


@pytest.mark.parametrize(
    ("baseline", "share", "patience"), [(grnboost.grnboost, 0.25, 10), (betterboost.betterboost, 0.15, 15)]
)
def test_trees_rank_edges_as_arboreto_does(baseline, share, patience, dataset, monkeypatch):
    name = baseline.__name__
    core = pytest.importorskip("arboreto.core")
    monkeypatch.setattr(betterboost, "ks_p_values", lambda dataset: np.full((8, 8), np.nan))
    kept = [gene for gene in range(8) if (dataset.expression[:, gene] > 0).mean() >= share]
    assert kept == {"grnboost": [0, 1, 2, 4, 5, 6], "betterboost": [0, 1, 2, 4, 5, 6, 7]}[name]
    expected = {}
    for target in kept:
        x = dataset.expression[dataset.intervention != target] if name == "betterboost" else dataset.expression
        settings = ("GBM", core.SGBM_KWARGS, x[:, kept], kept, target, x[:, target], False, patience, 7)
        links = core.infer_partial_network(*settings)
        expected |= {(source, target): links["importance"][row] for row, source in links["TF"].items()}
    edges = rank_edges(baseline(dataset, 7), 56)
    found = list(zip(edges.source.tolist(), edges.target.tolist(), strict=True))
    assert found == sorted(expected, key=expected.get, reverse=True)
    if name == "grnboost":
        np.testing.assert_allclose(edges.weight, [expected[edge] for edge in found])


def test_grnboost_finds_the_regulators(dataset):
    scores = grnboost.grnboost(dataset, 0)
    assert scores[:, 2].argmax() == 1
    assert scores[:, 0].argmax() == 1
    assert (scores[[3, 7]] == -np.inf).all()
    assert (scores[:, [3, 7]] == -np.inf).all()


def test_grnboost_keeps_to_one_thread(dataset, monkeypatch):
    monkeypatch.setattr("threading.Thread.start", lambda thread: pytest.fail(f"{thread} started"))
    grnboost.grnboost(dataset, 0)


def test_ks_p_values_equal_scipys(dataset):
    found = betterboost.ks_p_values(dataset)
    x, intervention = np.round(dataset.expression, 1), dataset.intervention  # rounded, so that there are ties
    tied = betterboost.ks_p_values(type(dataset)(x, dataset.gene_names, intervention))
    for values, p_values in ((dataset.expression, found), (x, tied)):
        for source in range(5):
            for target in range(8):
                samples = values[intervention == CONTROL, target], values[intervention == source, target]
                expected = stats.ks_2samp(*samples, method="asymp").pvalue
                assert p_values[source, target] == pytest.approx(expected, rel=1e-9)
    assert np.isnan(found[5:]).all()


def test_betterboost_sorts_by_p_value_then_importance(dataset, monkeypatch):
    rng = np.random.default_rng(0)
    p_values = rng.choice([0.0, 1e-9, 0.001, 0.02, 0.04, 0.6, 0.9], (8, 8))
    p_values[5:] = np.nan
    importances = rng.random((8, 8))
    importances[rng.random((8, 8)) < 0.2] = -np.inf
    np.fill_diagonal(importances, -np.inf)
    monkeypatch.setattr(betterboost, "ks_p_values", lambda dataset: p_values)
    monkeypatch.setattr(betterboost, "boosted_importances", lambda *args, **kwargs: importances)
    used = [(s, t) for s in range(8) for t in range(8) if importances[s, t] > -np.inf]
    tested = sorted((p_values[s, t], -importances[s, t], s, t) for s, t in used if s < 5)
    untested = sorted((-importances[s, t], s, t) for s, t in used if s >= 5)
    significant = [row[2:] for rank, row in enumerate(tested, 1) if row[0] < 0.05 * rank / len(tested)]
    assert 0 < len(significant) < len(tested)
    expected = [*significant, *(row[1:] for row in untested)]
    edges = rank_edges(betterboost.betterboost(dataset, 0), 56)
    assert list(zip(edges.source, edges.target, strict=True)) == expected


@pytest.mark.parametrize(
    ("learning_rate", "patience", "epochs"), [(1e-3, 40, 4), (0.3, 2, 40)], ids=["slow", "early stop"]
)
def test_sparserc_fit_equals_autograd(monkeypatch, learning_rate, patience, epochs):
    for setting, value in (("LEARNING_RATE", learning_rate), ("PATIENCE", patience), ("MAX_EPOCHS", epochs)):
        monkeypatch.setattr(sparserc, setting, value)
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.gamma(2, 1, (57, 5)), dtype=torch.float32)
    held = torch.tensor(rng.integers(-1, 5, 57))
    mask = torch.ones(57, 5)
    mask[held >= 0, held[held >= 0]] = 0
    weights = sparserc._initial_weights(5, 0).requires_grad_()
    optimiser = torch.optim.Adam([weights], lr=learning_rate)
    losses, reached = [], []
    while len(losses) < epochs and len(losses) - np.argmin([*losses, np.inf]) <= patience:
        losses.append(0.0)
        for start in range(0, 57, 5):
            block = slice(start, start + 5)
            residual = (x[block] - x[block] @ weights) * mask[block]
            loss = residual.abs().sum() / 10 + torch.trace(torch.matrix_exp(weights * weights)) - 5
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses[-1] += loss.item()
        reached.append(weights.detach().numpy().copy())
    best = int(np.argmin(losses))
    assert best == len(losses) - 1 if patience == 40 else best < len(losses) - 1 < epochs - 1
    np.testing.assert_allclose(sparserc._fit(x, held, 0), reached[best], rtol=1e-4, atol=1e-5)


def test_sparserc_fits_expressed_genes_and_keeps_positive_weights(dataset, monkeypatch):
    given = []
    weights = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)
    monkeypatch.setattr(sparserc, "_fit", lambda *arguments: given.extend(arguments) or weights)
    scores = sparserc.sparserc(dataset, 0)
    kept = [0, 1, 2, 4, 5, 6]  # gene3 and gene7 are seen in too few cells
    cells = [cell for cell, gene in enumerate(dataset.intervention) if gene in (CONTROL, 0, 1, 2, 4)]
    expected = {(*dataset.expression[c, kept], {CONTROL: -1, 4: 3}.get(g := dataset.intervention[c], g)) for c in cells}
    rows = [(*row, gene) for row, gene in zip(given[0].tolist(), given[1].tolist(), strict=True)]
    assert len(rows) == len(cells)
    assert set(rows) == expected
    for source in range(8):
        for target in range(8):
            weight = weights[kept.index(source), kept.index(target)] if {source, target} <= set(kept) else 0
            assert scores[source, target] == (weight if weight > 0 else -np.inf)


def test_sparserc_finds_a_sparse_acyclic_network(monkeypatch):
    monkeypatch.setattr(sparserc, "LEARNING_RATE", 0.02)  # the same optimum in fewer steps
    monkeypatch.setattr(sparserc, "MAX_EPOCHS", 60)
    rng = np.random.default_rng(0)
    edges = [(0, 3), (3, 1), (1, 4), (0, 5), (2, 5)]
    network = np.zeros((6, 6))
    network[tuple(zip(*edges, strict=True))] = 0.9
    labels = rng.choice([*GENES[:6], "non-targeting"], 1500)
    causes = rng.gamma(2, 1, (1500, 6)) * (rng.random((1500, 6)) < 0.35)
    matrix = (causes @ np.linalg.inv(np.eye(6) - network)).astype(np.float32)
    dataset = validate_dataset(matrix, [str(label) for label in labels], GENES[:6])
    found = rank_edges(sparserc.sparserc(dataset, 0), len(edges))
    assert set(zip(found.source.tolist(), found.target.tolist(), strict=True)) == set(edges)
