"""Held-out cells and networks that several test modules share."""

import random

import numpy as np
import pytest

from catran_causalbench.evaluation.held_out import HeldOutEvaluator

GENES = tuple(f"G{index}" for index in range(12))


def counts(rng, shape):
    """Log-normalised counts: many zeros, many ties."""
    return np.log1p(rng.poisson(rng.uniform(0.1, 3, shape[1]), shape)).astype(np.float32)


def held_out_cells(draw=counts, seed=0, cells_of=(3, 60), controls=150):
    """Cells in random order; every perturbation raises some genes, so that some edges are significant."""
    rng = np.random.default_rng(seed)
    labels = ["non-targeting"] * controls + ["excluded"] * 20 + ["elsewhere"] * 10
    for gene in GENES:
        labels += [gene] * int(rng.integers(*cells_of))
    expression = draw(rng, (len(labels), len(GENES)))
    effects = rng.exponential(0.3, (len(GENES), len(GENES))) * (rng.random((len(GENES), len(GENES))) < 0.5)
    for row, gene in enumerate(GENES):
        of_gene = np.array(labels) == gene
        raised = expression[of_gene] + effects[row].astype(expression.dtype)
        expression[of_gene] = np.where(rng.random(raised.shape) < 0.7, raised, expression[of_gene])
    order = rng.permutation(len(labels))
    return expression[order], [np.str_(labels[cell]) for cell in order]


def evaluator(seed, **options):
    return HeldOutEvaluator(*held_out_cells(seed=seed, **options), GENES)


def causalbench_evaluator(expression, labels):
    module = pytest.importorskip("causalscbench.evaluation.statistical_evaluation")
    return module.Evaluator(expression, labels, list(GENES))


def random_network(seed, edges):
    pairs = [(a, b) for a in GENES for b in GENES if a != b]
    return random.Random(seed).sample(pairs, edges)


def all_pairs():
    """Columns of all pairs of different genes."""
    return np.nonzero(~np.eye(len(GENES), dtype=bool))
