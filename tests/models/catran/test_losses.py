"""The objective against loops that follow the text of the paper."""

import math
from dataclasses import replace

import pytest
import torch

from catran_causalbench.config import CatranSettings
from catran_causalbench.models.catran.dataloader import Minibatch
from catran_causalbench.models.catran.importance import importance_cross_entropy
from catran_causalbench.models.catran.losses import catran_losses, interventional_loss

CELLS, GENES = 40, 6
CONTROL, EXCLUDED = GENES, GENES + 1


def huber(difference):
    return difference**2 / 2 if abs(difference) < 1 else abs(difference) - 0.5


def example(seed=0, groups=None):
    generator = torch.Generator().manual_seed(seed)
    expression = torch.rand(CELLS, GENES, generator=generator, dtype=torch.float64) * 3
    prediction = torch.rand(CELLS, GENES, generator=generator, dtype=torch.float64) * 3
    attention = torch.rand(GENES, GENES, generator=generator, dtype=torch.float64).softmax(dim=1)
    is_masked = torch.rand(CELLS, GENES, generator=generator) < 0.8
    choices = torch.tensor([0, 2, 3, CONTROL, CONTROL, EXCLUDED]) if groups is None else torch.tensor(groups)
    group = choices[torch.randint(len(choices), (CELLS,), generator=generator)]
    return prediction, attention, Minibatch(torch.arange(GENES), expression, expression, is_masked, group)


def naive_interventional_loss(prediction, attention, minibatch):
    group = minibatch.group.tolist()
    penalties = []
    for source in set(group) & set(range(GENES)):
        for target in set(range(GENES)) - {source}:
            inside, outside = [], []
            for cell in range(CELLS):
                error = huber((prediction[cell, target] - minibatch.expression[cell, target]).item())
                if group[cell] == source:
                    inside.append(error)
                elif group[cell] != EXCLUDED:
                    outside.append(error)
            if inside and outside:
                ratio = (sum(outside) / len(outside)) / (sum(inside) / len(inside))
                importance = 1 / (1 + math.exp(-(ratio - 1)))
                penalties.append(huber(attention[target, source].item() - importance))
    return sum(penalties) / len(penalties) if penalties else 0.0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("groups", [None, [1, CONTROL], [0, 1, 2, 3, 4, 5], [CONTROL, EXCLUDED], [EXCLUDED, 4]])
def test_interventional_loss_equals_a_double_loop(seed, groups):
    prediction, attention, minibatch = example(seed, groups)
    losses = catran_losses(prediction, attention, minibatch, CatranSettings())
    assert losses.interventional.item() == pytest.approx(
        naive_interventional_loss(prediction, attention, minibatch), rel=1e-9, abs=1e-15
    )


def test_prediction_terms_and_their_weights():
    prediction, attention, minibatch = example()
    errors = torch.tensor(
        [
            [huber((p - x).item()) for p, x in zip(*rows, strict=True)]
            for rows in zip(prediction, minibatch.expression, strict=True)
        ]
    )
    losses = catran_losses(prediction, attention, minibatch, CatranSettings(interventional_weight=2.0))
    assert losses.masked.item() == pytest.approx(errors[minibatch.is_masked].mean().item())
    assert losses.unmasked.item() == pytest.approx(errors[~minibatch.is_masked].mean().item())
    expected = 0.7 * losses.masked + 0.3 * losses.unmasked + 2.0 * losses.interventional
    assert losses.total.item() == pytest.approx(expected.item())


def test_a_perturbed_gene_counts_in_its_own_cells_only_when_asked():
    prediction, attention, minibatch = example()
    losses = catran_losses(prediction, attention, minibatch, CatranSettings(predict_perturbed=False))
    errors = {True: [], False: []}
    for cell, group in enumerate(minibatch.group.tolist()):
        for gene in set(range(GENES)) - {group}:
            difference = (prediction - minibatch.expression)[cell, gene].item()
            errors[minibatch.is_masked[cell, gene].item()].append(huber(difference))
    assert losses.masked.item() == pytest.approx(sum(errors[True]) / len(errors[True]))
    assert losses.unmasked.item() == pytest.approx(sum(errors[False]) / len(errors[False]))


def test_importances_of_all_training_cells_take_the_place_of_the_minibatchs():
    prediction, attention, minibatch = example()
    minibatch = replace(minibatch, genes=torch.tensor([7, 1, 4, 0, 2, 9]))
    importance = torch.rand(2, 10, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    importance[0, :, 5:] = importance[1, :, :5] = torch.nan  # as if the first five genes were perturbed
    losses = catran_losses(prediction, attention, minibatch, CatranSettings(importance="effects"), importance)
    genes = minibatch.genes
    expected = sum(importance_cross_entropy(attention, values[genes][:, genes]) for values in importance)
    assert losses.interventional.item() == expected.item()


@pytest.mark.parametrize("lonely", [0, CONTROL])
def test_a_perturbation_or_its_counterpart_may_have_one_cell(lonely):
    prediction, attention, minibatch = example()
    minibatch.group[:] = CONTROL if lonely == 0 else 0
    minibatch.group[7] = lonely
    losses = catran_losses(prediction, attention, minibatch, CatranSettings())
    assert losses.interventional.item() == pytest.approx(
        naive_interventional_loss(prediction, attention, minibatch), rel=1e-9
    )


def test_a_mean_over_one_pair_of_genes():
    error = torch.tensor([[1.0, 2.0], [1.0, 6.0]], dtype=torch.float64)
    attention = torch.tensor([[0.0, 0.0], [0.9, 0.0]], dtype=torch.float64)  # of gene 1 on gene 0
    importance = 1 / (1 + math.exp(-(6 / 2 - 1)))
    found = interventional_loss(error, attention, torch.tensor([0, 2]))  # perturbed in the first cell
    assert found.item() == pytest.approx(huber(0.9 - importance))


@pytest.mark.parametrize("only_one_masked", [True, False])
def test_a_mean_over_one_entry(only_one_masked):
    prediction, attention, minibatch = example()
    minibatch.is_masked.fill_(not only_one_masked)
    minibatch.is_masked[3, 2] = only_one_masked
    losses = catran_losses(prediction, attention, minibatch, CatranSettings())
    error = huber((prediction[3, 2] - minibatch.expression[3, 2]).item())
    assert (losses.masked if only_one_masked else losses.unmasked).item() == pytest.approx(error)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_masked_or_everything_masked(share):
    prediction, attention, minibatch = example()
    minibatch.is_masked.fill_(bool(share))
    losses = catran_losses(prediction, attention, minibatch, CatranSettings())
    assert (losses.unmasked if share else losses.masked).item() == 0
    assert torch.isfinite(losses.total)


def test_importances_carry_gradient_only_when_asked():
    prediction, attention, minibatch = example()
    for arguments, carries in (((), True), ((True,), True), ((False,), False)):
        error = (prediction - minibatch.expression).square().requires_grad_()
        weights = attention.clone().requires_grad_()
        interventional_loss(error, weights, minibatch.group, *arguments).backward()
        assert (error.grad is not None and error.grad.abs().sum() > 0) == carries
        assert weights.grad.abs().sum() > 0


def test_a_perfect_prediction_gives_finite_gradients():
    _, attention, minibatch = example()
    prediction = minibatch.expression.clone().requires_grad_()
    catran_losses(prediction, attention, minibatch, CatranSettings()).total.backward()
    assert torch.isfinite(prediction.grad).all()


def test_the_sum_by_index_and_the_one_hot_product_agree(monkeypatch):
    from catran_causalbench.models.catran import losses

    prediction, _, minibatch = example()
    by_index = losses._sums_by_index(prediction, minibatch.group, GENES + 2)
    by_product = losses._sums_by_product(prediction, minibatch.group, GENES + 2)
    for one, other in zip(by_index, by_product, strict=True):
        torch.testing.assert_close(one.double(), other.double())
