"""Rows and columns in a canonical order, in place and as a copy, against numpy's indexing."""

import numpy as np
import pytest
from screens import read

from catran_causalbench.data import canonical_order
from catran_causalbench.data.matrix_blocks import select_in_place
from catran_causalbench.simulation.to_anndata import simulate_anndata


@pytest.mark.parametrize("values_in_cache", [1, 60, 10**6], ids=["a row", "some rows", "all rows"])
@pytest.mark.parametrize("seed", range(3))
def test_rows_and_columns_come_to_their_places(values_in_cache, seed, monkeypatch):
    """In blocks of a row, of some and of all, with a zero below 0 and with rows that are in place already."""
    monkeypatch.setattr(canonical_order, "VALUES_IN_CACHE", values_in_cache)
    monkeypatch.setattr(canonical_order, "_CELLS_PER_BLOCK", 7)
    rng = np.random.default_rng(seed)
    matrix = rng.random((53, 6), np.float32)
    matrix[5] = -0.0
    rows, columns = rng.permutation(53), rng.permutation(6)
    rows[20:40] = np.sort(rows[20:40])
    expected = matrix[rows][:, columns]
    copy = canonical_order.sorted_copy(matrix, rows, columns)
    np.testing.assert_array_equal(copy, expected)
    in_place = canonical_order.sorted_in_place(matrix, rows, columns)
    assert in_place.tobytes() == copy.tobytes(), "zeros below 0 included"
    assert np.shares_memory(in_place, matrix)


@pytest.mark.parametrize("values_per_block", [1, 20, 10**6])
def test_a_selection_is_contiguous_in_the_same_memory(values_per_block, monkeypatch):
    monkeypatch.setattr("catran_causalbench.data.matrix_blocks._VALUES_PER_BLOCK", values_per_block)
    matrix = np.arange(20 * 6, dtype=np.float32).reshape(20, 6)
    rows, columns = np.array([0, 3, 4, 5, 11, 19]), np.array([1, 2, 5])
    expected = matrix[np.ix_(rows, columns)]
    selected = select_in_place(matrix, rows, columns)
    np.testing.assert_array_equal(selected, expected)
    assert np.shares_memory(selected, matrix)
    assert selected.flags.c_contiguous


def test_a_screen_gives_the_same_dataset_whether_it_keeps_its_matrix_or_not():
    """SIMULATED, with genes and cells left out."""
    adata = simulate_anndata(genes=12, cells=1600, seed=0)
    options = {"genes": ["SIM9", "SIM3", "SIM7"], "min_excluded": 10**6}
    screen = read(adata, **options)
    before = screen.expression.copy()
    copied = screen.dataset()
    np.testing.assert_array_equal(screen.expression, before)
    taken = screen.dataset(copy=False)
    assert np.shares_memory(taken.expression, screen.expression)
    assert not np.shares_memory(copied.expression, screen.expression)
    for name in ("expression", "intervention"):
        np.testing.assert_array_equal(getattr(taken, name), getattr(copied, name))
    assert taken.gene_names == copied.gene_names == ("SIM3", "SIM7", "SIM9")
