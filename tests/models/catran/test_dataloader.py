"""Masking and sampling: exact shares, nothing but permuted values, no leak, nothing that depends on a restart."""

from collections import Counter

import numpy as np
import pytest
import torch
from helpers import random_data

from catran_causalbench.config import CatranSettings
from catran_causalbench.data.dataset import EXCLUDED
from catran_causalbench.data.validation import validate_dataset
from catran_causalbench.models.catran.dataloader import MinibatchLoader, mask_genes
from catran_causalbench.models.catran.importance import CellStatistics

MASKINGS = ["shuffle_within_cell", "shuffle_within_minibatch", "zero"]


def distinct_values(cells=50, genes=23):
    """Every entry has its own value, so that each can be followed."""
    return torch.arange(1.0, cells * genes + 1).view(cells, genes)


def masked(method="shuffle_within_cell", fraction=0.8, seed=0, expression=None):
    expression = distinct_values() if expression is None else expression
    settings = CatranSettings(masked_fraction=fraction, masking=method)
    return expression, *mask_genes(expression, settings, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("method", MASKINGS)
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.8, 1.0])
def test_exactly_the_asked_share_is_masked_in_every_cell(method, fraction):
    expression, _, is_masked = masked(method, fraction)
    assert (is_masked.sum(dim=1) == int(fraction * expression.shape[1])).all()


@pytest.mark.parametrize(("fraction", "genes", "expected"), [(0.8, 5, 4), (0.8, 500, 400), (0.29, 100, 29)])
def test_the_share_is_not_lost_to_rounding(fraction, genes, expected):
    _, _, is_masked = masked(fraction=fraction, expression=torch.rand(3, genes))
    assert (is_masked.sum(dim=1) == expected).all()


@pytest.mark.parametrize("method", MASKINGS)
def test_unmasked_values_stay_and_no_masked_value_shows_itself(method):
    expression, changed, is_masked = masked(method)
    assert torch.equal(changed[~is_masked], expression[~is_masked])
    assert (changed[is_masked] != expression[is_masked]).all()


def test_values_only_change_places_among_the_masked_entries_of_their_cell():
    expression, changed, is_masked = masked("shuffle_within_cell")
    for before, after, mask in zip(expression, changed, is_masked, strict=True):
        assert torch.equal(before[mask].sort().values, after[mask].sort().values)


def test_values_can_change_places_over_the_minibatch():
    expression, changed, is_masked = masked("shuffle_within_minibatch")
    assert torch.equal(expression[is_masked].sort().values, changed[is_masked].sort().values)
    same_cell = (changed - 1).div(23, rounding_mode="floor") == torch.arange(50)[:, None]
    assert not same_cell[is_masked].all()


def test_every_gene_is_masked_equally_often():
    _, _, is_masked = masked(expression=torch.rand(20_000, 10), fraction=0.3)
    assert is_masked.float().mean(dim=0).numpy() == pytest.approx(np.full(10, 0.3), abs=0.02)


def loader(seed=0, epoch=0, cells=64, genes=500, dataset=None):
    dataset = dataset or validate_dataset(*random_data())
    settings = CatranSettings(cells_per_minibatch=cells, genes_per_minibatch=genes)
    return dataset, MinibatchLoader(dataset, settings, seed, torch.device("cpu"), lambda: epoch)


def test_an_epoch_shows_every_cell_at_most_once():
    dataset, minibatches = loader()
    rows = torch.cat([minibatch.expression for minibatch in minibatches])
    assert len(rows) == len(minibatches) * 64 == dataset.num_cells // 64 * 64
    drawn = Counter(row.numpy().tobytes() for row in rows)
    assert drawn <= Counter(row.tobytes() for row in dataset.expression)


def test_fewer_cells_and_genes_than_a_minibatch_holds():
    dataset, minibatches = loader(cells=5000)
    (minibatch,) = minibatches
    assert minibatch.expression.shape == dataset.expression.shape


def test_groups_tell_who_was_perturbed():
    dataset, minibatches = loader(cells=600, genes=7)
    (minibatch,) = minibatches
    lookup = {row.tobytes(): code for row, code in zip(dataset.expression, dataset.intervention, strict=True)}
    assert len(lookup) == dataset.num_cells, "the cells of this test must be distinct"
    whole = torch.from_numpy(dataset.expression)[:, minibatch.genes]
    for row, group in zip(minibatch.expression, minibatch.group.tolist(), strict=True):
        codes = {dataset.intervention[cell] for cell in torch.nonzero((whole == row).all(dim=1)).flatten()}
        expected = {
            8 if code == EXCLUDED else minibatch.genes.tolist().index(code) if code in minibatch.genes.tolist() else 7
            for code in codes
        }
        assert group in expected


def test_epochs_and_seeds_differ_and_repeat():
    def first(seed, epoch):
        return next(iter(loader(seed, epoch)[1])).masked_expression

    assert torch.equal(first(3, 2), first(3, 2))
    assert not torch.equal(first(3, 2), first(3, 1))
    assert not torch.equal(first(3, 2), first(2, 2))
    assert not torch.equal(first(3, 2), first(2, 3))


def test_genes_are_standardised_before_they_are_masked():
    dataset = validate_dataset(*random_data())
    statistics = CellStatistics.of(dataset)
    settings, device = CatranSettings(cells_per_minibatch=64, genes_per_minibatch=7), torch.device("cpu")
    as_given, standard = (
        next(iter(MinibatchLoader(dataset, settings, 0, device, lambda: 0, given))) for given in (None, statistics)
    )
    genes = as_given.genes
    expected = (as_given.expression - statistics.control_mean[genes]) / statistics.deviation[genes]
    assert torch.equal(standard.expression, expected)
    assert torch.equal(standard.is_masked, as_given.is_masked)
    assert torch.equal(standard.masked_expression[~standard.is_masked], expected[~standard.is_masked])
