"""The same data, settings and seed give the same edges: in any process, on one thread or two, in any order."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from helpers import PYTHONPATH

from catran_causalbench import infer_network, load_config, validate_dataset

PRESETS = pytest.mark.parametrize("preset", ["evidence", "paper", "catran"])


def simulated_data(genes=203, cells=3000, seed=0):
    """SIMULATED counts from a sparse linear network; large enough for torch to use two threads."""
    rng = np.random.default_rng(seed)
    names = [f"gene{number:03d}" for number in rng.permutation(genes)]
    effects = (rng.random((genes, genes)) < 0.02) * rng.normal(0, 0.6, (genes, genes))
    labels = rng.choice([*names, *["non-targeting"] * genes], cells)
    state = rng.normal(0, 0.5, (cells, genes))
    for column, name in enumerate(names):
        state[labels == name, column] -= 2
    matrix = np.log1p(rng.poisson(np.exp(1 + 0.5 * (state + state @ effects).clip(-6, 6))))
    return matrix.astype(np.float32), labels.tolist(), names


def settings(preset):
    config = load_config(preset)
    if preset == "paper":
        return replace(config, catran=replace(config.catran, epochs=2, cells_per_minibatch=1000))
    if preset == "catran":
        return replace(config, catran=replace(config.catran, steps=12))
    return replace(config, evidence=replace(config.evidence, steps=60))


def edges(preset, data, seed=0):
    table = infer_network(validate_dataset(*data), settings(preset), seed).edges()
    return list(zip(table["source"], table["target"], table["weight"], strict=True))


@cache
def edges_of_the_data(preset):
    return edges(preset, simulated_data())


def edges_of_a_process(preset, threads, hash_seed):
    code = f"import test_determinism as t; print(t.edges({preset!r}, t.simulated_data()))"
    numbers = dict.fromkeys(["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"], str(threads))
    environment = {
        **os.environ, **numbers, "OMP_WAIT_POLICY": "passive", "PYTHONHASHSEED": str(hash_seed),
        "PYTHONPATH": PYTHONPATH,
    }  # fmt: skip
    finished = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return finished.stdout


@pytest.mark.guarantee(
    "Determinism",
    "Same data, settings and seed: same edges in any process, with any `PYTHONHASHSEED`, with one thread "
    "or two (same machine, same versions).",
)
@PRESETS
def test_processes_thread_counts_and_hash_seeds_change_no_bit(preset):
    one, two = edges_of_a_process(preset, 1, 1), edges_of_a_process(preset, 2, 2)
    assert one.count("gene") == 2000
    assert one == two
    assert one == f"{edges_of_the_data(preset)}\n"


@pytest.mark.guarantee("Determinism", "The order of genes and cells in the file changes nothing.")
@PRESETS
def test_the_order_of_genes_and_cells_changes_nothing(preset):
    matrix, labels, names = simulated_data()
    rng = np.random.default_rng(5)
    cells, genes = rng.permutation(len(matrix)), rng.permutation(len(names))
    shuffled = matrix[np.ix_(cells, genes)], [labels[cell] for cell in cells], [names[gene] for gene in genes]
    assert edges(preset, shuffled) == edges_of_the_data(preset)


@pytest.mark.guarantee(
    "Determinism",
    "Other names for the genes change the edges of `evidence` only within the noise of a seed.",
)
def test_names_decide_nothing_beyond_noise():
    """Other names sort differently, so that folds and minibatches differ; the evidence stays what it is."""
    matrix, labels, names = simulated_data()
    renamed = {name: f"other{number:03d}" for number, name in enumerate(names)}
    back = {new: old for old, new in renamed.items()}
    other = edges("evidence", (matrix, [renamed.get(label, label) for label in labels], [renamed[n] for n in names]))
    found = {(back[source], back[target]) for source, target, _ in other}
    expected = {edge[:2] for edge in edges_of_the_data("evidence")}
    assert len(found & expected) > 0.9 * len(expected)


@pytest.mark.guarantee("Determinism", "Another seed gives other edges.")
@PRESETS
def test_the_seed_matters(preset):
    assert edges(preset, simulated_data(), seed=1) != edges_of_the_data(preset)
