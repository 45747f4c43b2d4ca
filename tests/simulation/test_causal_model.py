"""Causal models: determinism, the structure of the network, and validated settings."""

from dataclasses import replace

import numpy as np
import pytest

from catran_causalbench.errors import InputError
from catran_causalbench.simulation.causal_model import SimulationConfig, sample_causal_model
from catran_causalbench.simulation.presets import size_preset

SETTINGS = SimulationConfig(genes=60, cells=8_000)


def is_cyclic(edges):
    """Return whether the adjacency matrix has a cycle; without one it is nilpotent."""
    return np.abs(np.linalg.eigvals(edges.astype(float))).max() > 0.9


def test_the_models_of_published_figures_do_not_change():
    model = sample_causal_model(size_preset("tiny"), 0)
    edges = model.edges()
    assert edges[:4] == [(11, 19), (23, 10), (13, 2), (0, 9)]
    assert len(edges) == 85
    assert model.weights[edges[0]] == pytest.approx(-0.989209, abs=1e-5)


def test_seed_decides_the_network_and_the_number_of_cells_does_not():
    weights = sample_causal_model(SETTINGS, 3).weights
    np.testing.assert_array_equal(sample_causal_model(SETTINGS, np.int64(3)).weights, weights)
    np.testing.assert_array_equal(sample_causal_model(replace(SETTINGS, cells=9_000), 3).weights, weights)
    assert ((sample_causal_model(SETTINGS, 4).weights != 0) != (weights != 0)).mean() > 0.03


@pytest.mark.parametrize("seed", range(5))
def test_network_has_cycles_both_signs_and_the_degrees_asked_for(seed):
    weights = sample_causal_model(SimulationConfig(genes=200, cells=30_000), seed).weights
    edges = weights != 0
    assert is_cyclic(edges)
    assert not edges.diagonal().any()
    assert edges.sum() / 200 == pytest.approx(3, abs=0.4)
    assert (weights < 0).sum() / edges.sum() == pytest.approx(0.3, abs=0.07)


def test_few_hubs_regulate_many():
    out_degrees = np.sort((sample_causal_model(SimulationConfig(genes=200, cells=30_000), 0).weights != 0).sum(axis=1))
    assert out_degrees[-20:].sum() > 0.4 * out_degrees.sum()
    assert np.median(out_degrees) <= 2


def test_a_sparse_network_still_has_a_cycle():
    assert is_cyclic(sample_causal_model(replace(SETTINGS, mean_in_degree=0.5), 0).weights != 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("genes", 5),
        ("genes", 60.5),
        ("latent_factors", True),
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
