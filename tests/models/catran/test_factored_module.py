"""The factored form against the reference implementation: outputs, gradients, running statistics, training runs."""

import pytest
import torch
from helpers import VARIANTS, randomised, variant
from lion_pytorch import Lion

from catran_causalbench.models.catran.factored_module import FactoredCatranModule
from catran_causalbench.models.catran.module import CatranModule

SMALL = {"cells": 60, "genes": 9, "all_genes": 13}
PAPER_SIZE = {"cells": 2048, "genes": 500, "all_genes": 500}


def pair(token, dtype, ordinary_size=True, all_genes=13, changes="the paper's"):
    arguments = {"token": token, **variant(all_genes, changes)}
    reference = CatranModule(all_genes, generator=torch.Generator().manual_seed(1), **arguments)
    if ordinary_size:
        randomised(reference)
    factored = FactoredCatranModule(all_genes, **arguments)
    factored.load_state_dict(reference.state_dict())
    return reference.to(dtype), factored.to(dtype)


def minibatch(dtype, cells, genes, all_genes):
    generator = torch.Generator().manual_seed(2)
    expression = torch.randn(cells, genes, generator=generator).add(0.5).clamp_min(0) * torch.linspace(0.2, 3, genes)
    return expression.to(dtype), torch.randperm(all_genes, generator=generator)[:genes]


def outcome(module, expression, genes):
    """Everything the two forms must agree on."""
    module.zero_grad()
    prediction, attention = module(expression, genes)
    loss = torch.nn.functional.huber_loss(prediction, expression) + attention.square().sum()
    loss.backward()
    return {
        "prediction": prediction.detach(),
        "attention": attention.detach(),
        **{f"gradient of {name}": parameter.grad for name, parameter in module.named_parameters()},
        **{name: buffer.clone() for name, buffer in module.named_buffers()},
    }


def assert_equal(found, expected, tolerance):
    # Biases in front of a batch norm have no effect: their gradient is rounding noise around zero, so an absolute
    # tolerance at the scale of the largest gradient goes with the relative one.
    largest = max(value.abs().max() for name, value in expected.items() if name.startswith("gradient"))
    for name, value in expected.items():
        scale = largest if name.startswith("gradient") else value.double().abs().max().clamp_min(1e-3)
        difference = (found[name].double() - value.double()).abs().max()
        assert difference <= tolerance * scale, f"{name} differs by {difference / scale:.1e} of {scale:.1e}"


@pytest.mark.parametrize("token", ["joined", "added"])
@pytest.mark.parametrize("changes", VARIANTS)
def test_float64_training_mode(token, changes):
    reference, factored = pair(token, torch.float64, changes=changes)
    inputs = minibatch(torch.float64, **SMALL)
    assert_equal(outcome(factored, *inputs), outcome(reference, *inputs), 1e-10)


@pytest.mark.parametrize("token", ["joined", "added"])
@pytest.mark.parametrize("changes", ["the paper's", "all"])
def test_float64_evaluation_mode(token, changes):
    reference, factored = pair(token, torch.float64, changes=changes)
    inputs = minibatch(torch.float64, **SMALL)
    for module in (reference, factored):
        module(*inputs)  # gives the running statistics something to say
        module.eval()
    assert_equal(outcome(factored, *inputs), outcome(reference, *inputs), 1e-10)


def test_float64_after_real_training_steps():
    reference, factored = pair("joined", torch.float64, ordinary_size=False)
    inputs = minibatch(torch.float64, **SMALL)
    optimiser = Lion(factored.parameters(), lr=0.01, weight_decay=0.05)
    for _ in range(20):
        outcome(factored, *inputs)
        optimiser.step()
    reference.load_state_dict(factored.state_dict())
    assert_equal(outcome(factored, *inputs), outcome(reference, *inputs), 1e-10)


@pytest.mark.parametrize("ordinary_size", [True, False], ids=["ordinary parameters", "the paper's tiny initialisation"])
def test_float32_at_the_papers_size(ordinary_size):
    reference, factored = pair("joined", torch.float32, ordinary_size, all_genes=500)
    expression, genes = minibatch(torch.float32, **PAPER_SIZE)
    found = outcome(factored, expression, genes)
    expected = outcome(reference.double(), expression.double(), genes)
    assert_equal(found, expected, 1e-4)


def test_both_forms_read_each_others_state():
    reference, factored = pair("joined", torch.float32)
    assert reference.state_dict().keys() == factored.state_dict().keys()
    reference.load_state_dict(factored.state_dict())
