"""The simulated world: determinism, the network's shape, and cells that follow it."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from catran_causalbench.errors import InputError
from catran_causalbench.simulation.causal_model import SimulationConfig, sample_causal_model
from catran_causalbench.simulation.expression import log_normalise, simulate_cells, true_effects
from catran_causalbench.simulation.presets import size_preset

SETTINGS = SimulationConfig(genes=60, cells=8_000)
OFF_DIAGONAL = ~np.eye(60, dtype=bool)


@pytest.fixture(scope="module")
def world():
    return sample_causal_model(SETTINGS, 3)


@pytest.fixture(scope="module")
def cells(world):
    return simulate_cells(world)


@pytest.fixture(scope="module")
def effects(world):
    return true_effects(world)


def observed_effects(world, cells):
    means = {label: cells.expression[cells.labels == label].mean(axis=0) for label in np.unique(cells.labels)}
    return np.array([means[gene] - means["non-targeting"] for gene in world.gene_ids])


def test_same_seed_gives_the_same_world_and_cells(world, cells, effects):
    again = sample_causal_model(SETTINGS, 3)
    np.testing.assert_array_equal(again.weights, world.weights)
    np.testing.assert_array_equal(simulate_cells(again).counts, cells.counts)
    np.testing.assert_array_equal(simulate_cells(again).labels, cells.labels)
    np.testing.assert_array_equal(true_effects(again), effects)


def test_the_worlds_of_published_figures_stay_as_they_are():
    world = sample_causal_model(size_preset("tiny"), 0)
    edges = world.edges()
    assert edges[:4] == [(11, 19), (23, 10), (13, 2), (0, 9)]
    assert len(edges) == 85
    assert world.weights[edges[0]] == pytest.approx(-0.989209, abs=1e-5)


def test_another_seed_gives_another_network(world):
    assert ((sample_causal_model(SETTINGS, 4).weights != 0) != (world.weights != 0)).mean() > 0.03


def test_more_cells_leave_the_network_as_it_is(world):
    np.testing.assert_array_equal(sample_causal_model(replace(SETTINGS, cells=9_000), 3).weights, world.weights)


def test_network_has_cycles_both_signs_and_the_degrees_asked_for():
    for seed in range(5):
        weights = sample_causal_model(SimulationConfig(genes=200, cells=30_000), seed).weights
        edges = (weights != 0).astype(float)
        # A graph without cycles has a nilpotent adjacency matrix.
        assert np.abs(np.linalg.eigvals(edges)).max() > 0.9
        assert edges.diagonal().sum() == 0
        assert edges.sum() / 200 == pytest.approx(3, abs=0.4)
        assert (weights < 0).sum() / edges.sum() == pytest.approx(0.3, abs=0.07)


def test_the_strongest_regulation_still_settles():
    world = sample_causal_model(replace(SETTINGS, effect_strength=1.0, mean_in_degree=20.0), 0)
    assert np.abs(np.linalg.eigvals(np.abs(world.weights))).max() == pytest.approx(0.8, abs=1e-3)
    assert np.isfinite(simulate_cells(world).expression).all()


def test_few_hubs_regulate_many():
    out_degrees = np.sort((sample_causal_model(SimulationConfig(genes=200, cells=30_000), 0).weights != 0).sum(axis=1))
    assert out_degrees[-20:].sum() > 0.4 * out_degrees.sum()
    assert np.median(out_degrees) <= 2


def test_a_sparse_network_still_has_a_cycle():
    edges = sample_causal_model(replace(SETTINGS, mean_in_degree=0.5), 0).weights != 0
    assert np.abs(np.linalg.eigvals(edges.astype(float))).max() > 0.9


def test_labels_and_numbers_of_cells(world, cells):
    labels, numbers = np.unique(cells.labels, return_counts=True)
    cells_of = dict(zip(labels.tolist(), numbers.tolist(), strict=True))
    assert cells_of.pop("non-targeting") == 800
    assert cells_of.pop("excluded") == 400
    assert sorted(cells_of) == sorted(world.gene_ids)
    assert min(cells_of.values()) >= 101
    assert len(set(cells_of.values())) > 5


def test_unperturbed_genes_have_no_cells():
    settings = SimulationConfig(genes=30, cells=4_500, unperturbed=7)
    world = sample_causal_model(settings, 0)
    labels = set(simulate_cells(world).labels.tolist()) - {"non-targeting", "excluded"}
    assert labels == {gene for gene, perturbed in zip(world.gene_ids, world.perturbed, strict=True) if perturbed}
    assert len(labels) == 23


def test_a_knocked_down_gene_drops(world, cells, effects):
    own = observed_effects(world, cells).diagonal()
    assert (effects.diagonal() < 0).all()
    assert (own < 0).mean() > 0.95
    assert own.mean() < -0.4


def test_true_children_shift_more_than_other_genes(world, cells):
    shifts = np.abs(observed_effects(world, cells))
    children = (world.weights != 0) & OFF_DIAGONAL
    others = (world.weights == 0) & OFF_DIAGONAL
    assert shifts[children].mean() > 1.5 * shifts[others].mean()


def test_indirect_effects_exist(world, effects):
    # From a gene to one that it regulates through others only.
    assert np.abs(effects[(world.weights == 0) & OFF_DIAGONAL]).max() > 0.05


def test_true_effects_have_the_sign_of_strong_edges(world, effects):
    # A knock-down turns the sign: less of an activator is less of its target.
    strong = np.abs(world.weights) > 0.3
    assert strong.sum() > 15
    assert (np.sign(effects[strong]) == -np.sign(world.weights[strong])).mean() > 0.9


def test_true_effects_are_what_many_cells_show():
    world = sample_causal_model(SimulationConfig(genes=12, cells=200_000, control_share=0.3), 1)
    errors = observed_effects(world, simulate_cells(world)) - true_effects(world, cells_per_gene=2_000)
    # Some 10,000 cells per gene: the mean of one is known to about 0.01, a knock-down's own effect less well.
    assert np.sqrt(np.mean(errors**2)) < 0.015
    assert np.abs(errors).max() < 0.05


def test_counts_are_overdispersed(cells):
    controls = cells.counts[cells.labels == "non-targeting"].astype(float)
    mean, variance = controls.mean(axis=0), controls.var(axis=0)
    assert (variance > mean).mean() > 0.95
    abundant = mean > 3
    assert (variance[abundant] > 1.5 * mean[abundant]).all()
    assert mean.min() < 1 < 5 < mean.max()


def test_excluded_cells_differ_from_controls(cells):
    excluded, controls = (cells.expression[cells.labels == label] for label in ("excluded", "non-targeting"))
    errors = np.sqrt(excluded.var(axis=0) / len(excluded) + controls.var(axis=0) / len(controls))
    scores = (excluded.mean(axis=0) - controls.mean(axis=0)) / errors
    assert (np.abs(scores) > 4).sum() >= 3


def test_programs_are_shared_by_genes():
    def strongest_share(programs):
        settings = replace(SETTINGS, programs=programs)
        cells = simulate_cells(sample_causal_model(settings, 0))
        return np.linalg.eigvalsh(np.corrcoef(cells.expression[cells.labels == "non-targeting"].T))[-1]

    assert strongest_share(3) > strongest_share(0) + 0.3


def test_log_normalise_is_scanpys(cells):
    anndata, scanpy = pytest.importorskip("anndata"), pytest.importorskip("scanpy")
    counts = cells.counts[:200].astype(np.float32)
    data = anndata.AnnData(counts.copy())
    scanpy.pp.normalize_total(data)
    scanpy.pp.log1p(data)
    np.testing.assert_allclose(log_normalise(counts.astype(int), counts.sum(axis=1).astype(int)), data.X, rtol=1e-5)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("genes", 5),
        ("genes", 60.5),
        ("programs", True),
        ("cells", "many"),
        ("cells", 6_000),
        ("unperturbed", 60),
        ("control_share", 0.0),
        ("knockdown", 1.0),
        ("dispersion", float("nan")),
    ],
)
def test_settings_out_of_range_are_refused(field, value):
    with pytest.raises(InputError, match=f"^{field}: found .*; expected"):
        replace(SETTINGS, **{field: value})


@pytest.mark.parametrize("seed", [-1, 1.5, "0", None])
def test_bad_seeds_are_refused(seed):
    with pytest.raises(InputError, match=r"^seed: found"):
        sample_causal_model(SETTINGS, seed)


def test_named_shapes():
    assert (size_preset("rpe1").genes, size_preset("rpe1").cells) == (383, 92_000)
    assert (size_preset("k562").genes, size_preset("k562").cells) == (622, 129_000)
    with pytest.raises(InputError, match=r"^shape: found 'hepg2'; expected one of tiny"):
        size_preset("hepg2")


def test_import_is_cheap():
    code = (
        "import sys, catran_causalbench.simulation, catran_causalbench.causalbench.build.from_screen as _;"
        "print(*{'torch', 'causalscbench', 'pandas', 'scanpy', 'anndata', 'scipy'} & set(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []
