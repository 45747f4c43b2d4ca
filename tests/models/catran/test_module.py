"""The reference implementation against an independent float64 computation, and the facts the paper states about it."""

import numpy as np
import pytest
import torch
from helpers import randomised

from catran_causalbench.models.catran.module import CatranModule

PAPER_PARAMETERS = 9000


def naive_forward(state, expression, genes, token, eps=1e-5):
    """The module of the paper as loops over cells, genes and channels in numpy; training-mode batch norm."""
    weights = {name: value.double().numpy() for name, value in state.items()}
    embedding = weights["embedding.weight"][genes]
    n = len(genes)

    def linear(name, vector):
        return weights[f"{name}.weight"] @ vector + weights[f"{name}.bias"]

    projected = [linear("attention_projection", e) for e in embedding]
    attention = np.zeros((n, n))
    for target in range(n):
        scores = np.array([projected[target] @ projected[source] for source in range(n)])
        attention[target] = np.exp(scores) / np.exp(scores).sum()

    if token == "joined":
        hidden = [[np.concatenate([[x], embedding[g]]) for g, x in enumerate(cell)] for cell in expression]
    else:
        hidden = [[x + embedding[g] for g, x in enumerate(cell)] for cell in expression]

    def each(function, values):
        return [[function(vector) for vector in cell] for cell in values]

    def norm(name, values):
        flat = np.array(values).reshape(-1, len(values[0][0]))
        scale = weights[f"{name}.weight"] / np.sqrt(flat.var(axis=0) + eps)
        return each(lambda v: (v - flat.mean(axis=0)) * scale + weights[f"{name}.bias"], values)

    hidden = norm("token_norm_1", each(lambda v: linear("token_linear_1", v), hidden))
    hidden = norm("token_norm_2", each(lambda v: linear("token_linear_2", v), hidden))
    hidden = [[sum(row[g] * cell[g] for g in range(n)) for row in attention] for cell in hidden]
    hidden = norm("mixed_norm", hidden)
    hidden = norm("activation_norm", each(lambda v: linear("mixed_linear", v), hidden))
    hidden = each(lambda v: v / (1 + np.exp(-v)), hidden)
    prediction = each(lambda v: linear("output_linear_2", linear("output_linear_1", v))[0], hidden)
    return np.array(prediction), attention


@pytest.mark.parametrize("token", ["joined", "added"])
def test_reference_network_equals_naive_loops(token):
    network = randomised(CatranModule(7, embedding_size=5, token=token).double())
    expression = torch.rand(6, 4, dtype=torch.float64) * 3
    genes = torch.tensor([6, 0, 3, 2])
    prediction, attention = network(expression, genes)
    expected, expected_attention = naive_forward(network.state_dict(), expression.numpy(), genes.numpy(), token)
    np.testing.assert_allclose(prediction.detach().numpy(), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(attention.detach().numpy(), expected_attention, rtol=1e-10)


@pytest.mark.parametrize("num_genes", [10, 1000])
def test_parameter_count_is_the_papers(num_genes):
    total = sum(parameter.numel() for parameter in CatranModule(num_genes).parameters())
    outside_embedding = total - 40 * num_genes
    assert outside_embedding == pytest.approx(PAPER_PARAMETERS, rel=0.02)


def test_attention_rows_sum_to_one_over_sources():
    network = randomised(CatranModule(9), scale=0.2)
    attention = network.attention(torch.arange(9))
    assert torch.allclose(attention.sum(dim=1), torch.ones(9))
    assert not torch.allclose(attention.sum(dim=0), torch.ones(9), atol=1e-3)


def test_read_out_is_the_attention_over_all_genes():
    network = randomised(CatranModule(9))
    rows = network.attention_rows(torch.tensor([4, 1]))
    assert torch.allclose(rows, network.attention(torch.arange(9))[[4, 1]])


def test_initial_weights_are_normal_with_deviation_a_thousandth():
    network = CatranModule(2000, generator=torch.Generator().manual_seed(0))
    assert network.embedding.weight.std().item() == pytest.approx(0.001, rel=0.02)
    assert network.mixed_linear.weight.std().item() == pytest.approx(0.001, rel=0.1)
    assert network.mixed_linear.bias.abs().max() == 0


def test_every_gradient_is_finite_and_every_parameter_has_one():
    network = randomised(CatranModule(8))
    prediction, attention = network(torch.rand(20, 8), torch.arange(8))
    (prediction.square().mean() + attention.square().sum()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
