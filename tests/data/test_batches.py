"""Batches: which cells count, shifts against a regression, what is warned of, and networks of confounded screens."""

import anndata
import numpy as np
import pandas as pd
import pytest

import catran_causalbench as catran
from catran_causalbench import CatranConfig, InputError, validate_dataset
from catran_causalbench.config import EvidenceSettings
from catran_causalbench.data.anndata_reader import read_screen
from catran_causalbench.data.batches import remove_batch_shifts
from catran_causalbench.data.dataset import CONTROL
from catran_causalbench.simulation.batches import simulate_batches
from catran_causalbench.simulation.causal_model import SimulationConfig, sample_causal_model
from catran_causalbench.simulation.expression import simulate_cells

CELLS = ["non-targeting"] * 60 + ["A"] * 30 + ["B"] * 30 + ["C"] * 30


def screen(labels=CELLS, **columns):
    rng = np.random.default_rng(0)
    matrix = np.log1p(rng.poisson(3.0, (len(labels), 3)) * 0.7).astype(np.float32)
    obs = pd.DataFrame({"target": labels, **columns}, index=np.arange(len(labels)).astype(str))
    return anndata.AnnData(matrix, obs, pd.DataFrame(index=["A", "B", "C"]))


def read(adata, **options):
    return read_screen(adata, **{"perturbation_key": "target", "min_cells": 2, **options})


def confounded(seed=0, cells=400, genes=6):
    """A dataset in which perturbations lie in different batches, with shifts between these."""
    rng = np.random.default_rng(seed)
    names = [f"gene{number}" for number in range(genes)]
    labels = rng.choice([*names, "non-targeting", "excluded"], cells)
    batches = rng.choice(["x", "y", "z"], cells)
    batches[labels == "gene1"] = "z"
    batches[(labels == "gene2") & (batches == "x")] = "y"
    shift = {"x": 0, "y": rng.uniform(0, 2, genes), "z": rng.uniform(0, 2, genes)}
    matrix = rng.gamma(2, 1, (cells, genes)) + np.stack([shift[batch] + np.zeros(genes) for batch in batches])
    return matrix.astype(np.float32), labels.tolist(), names, batches.tolist()


# Which cells count


def test_cells_of_batches_without_a_control_are_excluded_and_counted():
    batch = ["x"] * 40 + ["y"] * 20 + ["x"] * 30 + ["x"] * 10 + ["z"] * 20 + ["z"] * 30
    with pytest.warns(UserWarning, match="50 cells in batches without a control are excluded, .* of 1 genes: C$"):
        found = read(screen(batch=batch), batch_key="batch")
    assert found.gene_names == ["A", "B"], "no cell of C can be compared"
    kinds = ("perturbed", "control", "combined", "other", "unmeasured", "unlabelled", "uncontrolled")
    assert found.cells == dict(zip(kinds, (40, 60, 0, 0, 0, 0, 50), strict=True))
    assert found.dataset().num_cells == 100
    assert np.unique(found.batch, return_counts=True)[1].tolist() == [80, 20]


def test_cells_without_a_batch_are_excluded():
    batch = np.array(["x", "y"] * 75, dtype=object)
    batch[[0, 1, 60]] = None, np.nan, None
    with pytest.warns(UserWarning, match="3 cells in batches without a control are excluded$"):
        found = read(screen(batch=batch), batch_key="batch")
    assert (found.cells["control"], found.cells["perturbed"], found.cells["uncontrolled"]) == (58, 89, 3)


@pytest.mark.parametrize("kind", [str, int, float, "category"])
def test_batches_may_be_text_or_numbers(kind):
    batch = pd.Series([1, 2, 10] * 50, index=np.arange(150).astype(str)).astype(kind)
    found = read(screen(batch=batch), batch_key="batch")
    assert pd.crosstab(found.batch, np.array([1, 2, 10] * 50)).to_numpy().astype(bool).sum() == 3
    assert found.dataset().batch is not None


def test_batches_stay_with_their_cells_where_cells_without_counts_are_left_out():
    adata = screen(batch=["x"] * 50 + ["y"] * 100)
    adata.X = np.random.default_rng(0).poisson(5, adata.shape).astype(np.float32)
    adata.X[40:45] = 0
    found = read(adata, batch_key="batch", counts=True)
    assert found.batch.tolist() == [0] * 45 + [1] * 100


def test_cells_without_a_label_do_not_count_as_a_perturbation(recwarn):
    labels = [*CELLS, *[None] * 300]
    read(screen(labels, batch=["x", "y"] * 75 + ["z"] * 300))
    assert not recwarn


def test_one_batch_is_as_good_as_none():
    dataset = read(screen(batch="x"), batch_key="batch").dataset()
    assert dataset.batch is None
    assert remove_batch_shifts(dataset) is dataset


def test_batches_with_few_controls_are_named():
    batch = ["x"] * 40 + ["y"] * 19 + ["z"] + ["x", "y", "z"] * 30
    with pytest.warns(UserWarning, match="2 of 3 batches have fewer than 20 controls .'y': 19, 'z': 1."):
        read(screen(batch=batch), batch_key="batch")


@pytest.mark.parametrize(
    ("batch", "key", "message"),
    [
        ("x", "nonsense", "^batch_key: found no 'nonsense' in obs; expected one of target, batch"),
        ([None] * 60 + ["x"] * 90, "batch", "^batch_key: found no batch in 'batch' with a control"),
    ],
)
def test_a_key_that_cannot_be_used_says_why(batch, key, message):
    with pytest.raises(InputError, match=message):
        read(screen(batch=batch), batch_key=key)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda batches, labels: batches[1:], "^batches: found 399 values"),
        (lambda batches, labels: [None, *batches[1:]], "^batches: found none for cell 0"),
        (lambda batches, labels: [*batches[:-1], np.nan], "^batches: found none for cell 399"),
        (
            lambda batches, labels: np.where(np.array(labels) == "gene3", "own", batches),
            "^batches: found batch 'own' with .* no control",
        ),
    ],
)
def test_batches_of_arrays_are_checked(change, message):
    matrix, labels, names, batches = confounded()
    with pytest.raises(InputError, match=message):
        validate_dataset(matrix, labels, names, change(batches, labels))


# Shifts


def test_shifts_are_those_of_a_regression_on_labels_and_batches():
    dataset = validate_dataset(*confounded())
    kept = dataset.intervention >= CONTROL
    columns = [dataset.intervention[kept] == code for code in range(CONTROL, 6)]
    columns += [dataset.batch[kept] == number for number in (1, 2)]
    weights = np.linalg.lstsq(np.column_stack(columns).astype(float), dataset.expression[kept], rcond=None)[0]
    shift = np.vstack([np.zeros(6), weights[-2:]])
    shift -= shift[dataset.batch[dataset.intervention == CONTROL]].mean(axis=0)
    adjusted = remove_batch_shifts(dataset)
    np.testing.assert_allclose(adjusted.expression, dataset.expression - shift[dataset.batch], atol=1e-5)
    np.testing.assert_allclose(adjusted.control_cells().mean(axis=0), dataset.control_cells().mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(remove_batch_shifts(adjusted).expression, adjusted.expression, atol=1e-5)


def test_perturbations_of_one_batch_each_are_compared_with_its_controls():
    matrix, labels, names, _ = confounded()
    numbers = [names.index(label) if label in names else cell for cell, label in enumerate(labels)]
    batches = ["xyz"[number % 3] for number in numbers]
    dataset = remove_batch_shifts(validate_dataset(matrix, labels, names, batches))
    effects = dataset.perturbation_effects()
    of = pd.DataFrame(matrix, columns=names).groupby([labels, batches]).mean()
    for number, source in enumerate(names):
        batch = "xyz"[number % 3]
        expected = of.loc[source, batch] - of.loc["non-targeting", batch]
        np.testing.assert_allclose(effects[number], expected, atol=1e-5)


@pytest.mark.guarantee("Determinism", "With batches, the order of genes and cells does not matter either.")
def test_order_does_not_matter():
    matrix, labels, names, batches = confounded()
    matrix[50:] = matrix[np.random.default_rng(0).integers(50, size=350)]  # equal cells in different batches
    rng = np.random.default_rng(5)
    cells, genes = rng.permutation(len(matrix)), rng.permutation(len(names))
    one = validate_dataset(matrix, labels, names, batches)
    other = validate_dataset(
        matrix[np.ix_(cells, genes)],
        [labels[cell] for cell in cells],
        [names[gene] for gene in genes],
        [batches[cell] for cell in cells],
    )
    np.testing.assert_array_equal(other.batch, one.batch)
    np.testing.assert_array_equal(remove_batch_shifts(other).expression, remove_batch_shifts(one).expression)


def test_a_gene_is_expressed_in_the_same_cells_after_its_shifts_are_taken_out():
    matrix, labels, names, batches = confounded()
    matrix[np.random.default_rng(1).random(matrix.shape) < np.linspace(0, 0.9, 6)] = 0
    without = validate_dataset(matrix, labels, names)
    known = validate_dataset(matrix, labels, names, batches)
    expected = [len(without.expressed_genes(share)) for share in (0.2, 0.4, 0.6)]
    assert expected == [5, 4, 3]
    for dataset in (known, remove_batch_shifts(known)):
        assert [len(dataset.expressed_genes(share)) for share in (0.2, 0.4, 0.6)] == expected


def test_controls_only_keep_their_batches():
    dataset = validate_dataset(*confounded())
    controls = dataset.controls_only()
    np.testing.assert_array_equal(controls.batch, dataset.batch[dataset.intervention == CONTROL])


# Columns that look like batches

EVEN, APART = ["x", "y"] * 75, ["x"] * 54 + ["y"] * 6 + ["y"] * 81 + ["x"] * 9


@pytest.mark.parametrize(
    "name", ["batch", "gem_group", "Lane", "donor_id", "replicate", "rep_1", "plate", "orig.ident"]
)
def test_a_column_that_looks_like_a_batch_and_explains_the_labels_is_named(name):
    message = f"'{name}' of obs .* 7.% of the perturbed cells .* batch_key='{name}'"
    with pytest.warns(UserWarning, match=message) as seen:
        read(screen(**{name: APART, "sample_2": EVEN}))
    assert len(seen) == 1
    assert "exclude" not in str(seen[0].message)


def test_the_column_that_explains_most_is_named_and_what_the_key_would_exclude():
    batch = ["x"] * 60 + ["y"] * 45 + ["x"] * 45
    with pytest.warns(UserWarning, match="batch_key='plate' .* excludes 50% of the perturbed cells") as seen:
        read(screen(plate=batch, lane=["x"] * 45 + ["y"] * 60 + ["x"] * 45))
    assert len(seen) == 1


@pytest.mark.parametrize(
    "columns",
    [
        {"batch": EVEN},
        {"batch": np.random.default_rng(0).choice(list("uvwxyz"), 150)},
        {"phase": APART},  # no batch by its name
        {"library_size": np.arange(150.0)},  # a measurement
        {"sample": CELLS},  # another name of the labels
        {"batch": [None if batch == "x" else batch for batch in APART]},
    ],
)
@pytest.mark.filterwarnings("error")
def test_no_warning_without_need(columns):
    read(screen(**columns))


@pytest.mark.filterwarnings("error")
def test_no_warning_where_the_key_is_given():
    read(screen(gem_group=APART[:60] + ["x", "y"] * 45, batch=["x", "y"] * 75), batch_key="batch")


# Networks


@pytest.mark.guarantee(
    "Statistics",
    "With `batch_key`, screens whose perturbations are confounded with batches give edges about as precise as screens "
    "without confounding.",
)
def test_confounding_costs_little_precision_where_the_batches_are_known():
    """Nine tenths of the perturbed cells in one batch and of the controls in the other; shifts and depth differ."""
    settings = CatranConfig(evidence=EvidenceSettings(steps=50, pairs_per_minibatch=2048))
    found = []
    for seed in range(4):
        model = sample_causal_model(SimulationConfig(genes=40, cells=7200), seed)
        rng = np.random.default_rng(seed)
        labels = simulate_cells(model).labels
        batch = (rng.random(len(labels)) < np.where(labels == "non-targeting", 0.1, 0.9)).astype(int)
        shifts, depths = rng.normal(0, 0.5, (2, 40)), np.array([0.5, 1.0])
        true = {(model.gene_ids[source], model.gene_ids[target]) for source, target in model.edges()}

        def precision(batch, key, model=model, shifts=shifts, depths=depths, true=true):
            cells = simulate_batches(model, batch, shifts, depths)
            obs = pd.DataFrame({"target": cells.labels, "batch": batch}, np.arange(len(batch)).astype(str))
            adata = anndata.AnnData(cells.expression, obs, pd.DataFrame(index=list(model.gene_ids)))
            network = catran.fit(adata, perturbation_key="target", batch_key=key, config=settings)
            edges = network.edges(60)
            return np.mean([pair in true for pair in zip(edges["source"], edges["target"], strict=True)])

        found.append([precision(rng.permutation(batch), "batch"), precision(batch, "batch")])
    unconfounded, known = np.mean(found, axis=0)
    assert unconfounded > 0.5
    assert known >= 0.9 * unconfounded
    with pytest.warns(UserWarning, match="batch_key='batch'"):
        assert precision(batch, None) < 0.3 * unconfounded
