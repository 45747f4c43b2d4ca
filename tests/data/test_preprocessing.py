"""Preprocessing against the counts that are known and against loops."""

import numpy as np
import pytest
from helpers import random_data

from catran_causalbench import InputError, validate_dataset
from catran_causalbench.config import CatranConfig, DataSettings
from catran_causalbench.data.preprocessing import METHODS, log_normalise, preprocess, recover_counts


def counted_cells(cells=300, genes=20, seed=0, smallest=0):
    rng = np.random.default_rng(seed)
    counts = rng.negative_binomial(2, 0.3, (cells, genes)) + smallest
    depth = rng.lognormal(0, 0.5, (cells, 1))
    return counts, np.log1p(counts * depth).astype(np.float32)


def test_log_normalise_is_scanpys():
    anndata, scanpy = pytest.importorskip("anndata"), pytest.importorskip("scanpy")
    counts, _ = counted_cells(smallest=1)
    data = anndata.AnnData(counts.astype(np.float32))
    scanpy.pp.normalize_total(data)
    scanpy.pp.log1p(data)
    np.testing.assert_allclose(log_normalise(counts, counts.sum(axis=1)), data.X, rtol=1e-5)


@pytest.mark.parametrize("smallest", [0, 1, 3])
def test_counts_are_recovered_exactly(smallest):
    counts, log_normalised = counted_cells(smallest=smallest)
    recovered = recover_counts(log_normalised)
    # A cell whose counts share a divisor cannot be told from one with smaller counts.
    divisors = np.gcd.reduce(counts, axis=1, keepdims=True).clip(min=1)
    np.testing.assert_array_equal(recovered, counts // divisors)


def test_counts_stay_counts():
    counts, _ = counted_cells()
    np.testing.assert_array_equal(recover_counts(counts.astype(np.float32)), counts)


def test_values_that_no_counts_explain_are_refused():
    noise = np.random.default_rng(0).random((10, 6)).astype(np.float32)
    with pytest.raises(InputError, match=r"expression_matrix: found 10 cell\(s\) whose values are not multiples"):
        recover_counts(noise)


def dataset(counts):
    cells, genes = counts.shape
    return validate_dataset(counts, ["non-targeting"] * cells, [f"g{gene:02d}" for gene in range(genes)])


def test_centred_log_ratio_equals_a_loop():
    given = dataset(counted_cells()[0])
    for before, after in zip(given.expression, preprocess(given, "clr").expression, strict=True):
        logarithms = [np.log(1 + value) for value in before]
        np.testing.assert_allclose(after, [value - np.mean(logarithms) for value in logarithms], atol=1e-5)


def test_log_normalise_gives_every_cell_the_median_total():
    given = dataset(counted_cells(genes=50)[0])
    totals = np.expm1(preprocess(given, "log_normalise").expression).sum(axis=1)
    np.testing.assert_allclose(totals, np.median(given.expression.sum(axis=1)), rtol=1e-3)


def test_svd_changes_zeros_only():
    given = dataset(counted_cells()[0])
    after = preprocess(given, "svd").expression
    zeros = given.expression == 0
    np.testing.assert_array_equal(after[~zeros], given.expression[~zeros])
    assert (after[zeros] > 0).any()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_labels_and_gives_finite_values(method):
    if method == "magic":
        pytest.importorskip("magic", reason="MAGIC is an optional extra")
    matrix, labels, names = random_data()
    given = validate_dataset(np.expm1(matrix).round(), labels, names)
    after = preprocess(given, method)
    assert after.expression.shape == given.expression.shape
    assert np.isfinite(after.expression).all()
    np.testing.assert_array_equal(after.intervention, given.intervention)


def test_the_default_is_none():
    given = dataset(counted_cells()[0])
    assert preprocess(given, CatranConfig().data.preprocessing) is given
    assert DataSettings(preprocessing="clr").preprocessing == "clr"
