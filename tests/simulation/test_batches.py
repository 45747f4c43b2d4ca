"""Simulated batches: the same cells with shifts and depths."""

import numpy as np

from catran_causalbench.simulation.batches import simulate_batches
from catran_causalbench.simulation.causal_model import SimulationConfig, sample_causal_model
from catran_causalbench.simulation.expression import simulate_cells

MODEL = sample_causal_model(SimulationConfig(genes=10, cells=2000), seed=0)


def test_a_batch_without_shift_and_loss_holds_the_plain_cells():
    plain = simulate_cells(MODEL)
    batch = np.arange(2000) % 2
    cells = simulate_batches(MODEL, batch, np.array([np.zeros(10), np.ones(10)]), np.array([1.0, 0.5]))
    np.testing.assert_array_equal(cells.labels, plain.labels)
    np.testing.assert_array_equal(cells.counts[batch == 0], plain.counts[batch == 0])
    np.testing.assert_array_equal(cells.totals[batch == 0], plain.totals[batch == 0])
    assert 0.45 < cells.totals[batch == 1].mean() / plain.totals[batch == 1].mean() < 0.6
    ratio = cells.counts[batch == 1].mean(axis=0) / plain.counts[batch == 1].mean(axis=0)
    np.testing.assert_allclose(ratio, np.e / 2, rtol=0.25)


def test_the_same_arguments_give_the_same_cells():
    batch = np.arange(2000) % 2
    arguments = MODEL, batch, np.random.default_rng(0).normal(size=(2, 10)), np.array([0.5, 0.9])
    np.testing.assert_array_equal(simulate_batches(*arguments).counts, simulate_batches(*arguments).counts)
