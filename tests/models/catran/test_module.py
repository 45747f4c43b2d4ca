"""The reference implementation against an independent float64 computation, and the facts the paper states about it."""

import numpy as np
import pytest
import torch
from helpers import VARIANTS, randomised, variant

from catran_causalbench.models.catran.module import CatranModule

PAPER_PARAMETERS = 9000


def naive_forward(state, expression, genes, token, directed=False, self_attention=True, signs=None, eps=1e-5):
    """The module as loops over cells, genes and channels in numpy; training-mode batch norm."""
    weights = {name: value.double().numpy() for name, value in state.items()}
    embedding = weights["embedding.weight"][genes]
    n = len(genes)

    def linear(name, vector):
        return weights[f"{name}.weight"] @ vector + weights[f"{name}.bias"]

    queries = [linear("attention_projection", e) for e in embedding]
    keys = [linear("key_projection", e) for e in embedding] if directed else queries
    attention, mixing = np.zeros((2, n, n))
    for target in range(n):
        sources = [source for source in range(n) if self_attention or source != target]
        total = sum(np.exp(queries[target] @ keys[source]) for source in sources)
        for source in sources:
            attention[target, source] = np.exp(queries[target] @ keys[source]) / total
            sign = 1 if signs is None else signs[genes[target], genes[source]].item()
            mixing[target, source] = sign * attention[target, source]

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
    hidden = [[sum(row[g] * cell[g] for g in range(n)) for row in mixing] for cell in hidden]
    hidden = norm("mixed_norm", hidden)
    hidden = norm("activation_norm", each(lambda v: linear("mixed_linear", v), hidden))
    hidden = each(lambda v: v / (1 + np.exp(-v)), hidden)
    prediction = each(lambda v: linear("output_linear_2", linear("output_linear_1", v))[0], hidden)
    return np.array(prediction), attention


@pytest.mark.parametrize("token", ["joined", "added"])
@pytest.mark.parametrize("changes", VARIANTS)
def test_reference_network_equals_naive_loops(token, changes):
    changes = variant(7, changes)
    network = randomised(CatranModule(7, embedding_size=5, token=token, **changes).double())
    expression = torch.rand(6, 4, dtype=torch.float64) * 3
    genes = torch.tensor([6, 0, 3, 2])
    prediction, attention = network(expression, genes)
    expected, expected_attention = naive_forward(
        network.state_dict(), expression.numpy(), genes.numpy(), token, **changes
    )
    np.testing.assert_allclose(prediction.detach().numpy(), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(attention.detach().numpy(), expected_attention, rtol=1e-10)


@pytest.mark.parametrize("num_genes", [10, 1000])
def test_parameter_count_is_the_papers(num_genes):
    total = sum(parameter.numel() for parameter in CatranModule(num_genes).parameters())
    outside_embedding = total - 40 * num_genes
    assert outside_embedding == pytest.approx(PAPER_PARAMETERS, rel=0.02)


@pytest.mark.parametrize("self_attention", [True, False])
def test_attention_rows_sum_to_one_over_sources(self_attention):
    network = randomised(CatranModule(9, self_attention=self_attention), scale=0.2)
    attention = network.attention(torch.arange(9))
    assert torch.allclose(attention.sum(dim=1), torch.ones(9))
    assert not torch.allclose(attention.sum(dim=0), torch.ones(9), atol=1e-3)


@pytest.mark.parametrize("changes", VARIANTS)
def test_read_out_is_the_attention_over_all_genes(changes):
    network = randomised(CatranModule(9, **variant(9, changes)))
    rows = network.attention_rows(torch.tensor([4, 1]))
    assert torch.allclose(rows, network.attention(torch.arange(9))[[4, 1]])


def test_initial_weights_are_normal_with_deviation_a_thousandth():
    network = CatranModule(2000, generator=torch.Generator().manual_seed(0))
    assert network.embedding.weight.std().item() == pytest.approx(0.001, rel=0.02)
    assert network.mixed_linear.weight.std().item() == pytest.approx(0.001, rel=0.1)
    assert network.mixed_linear.bias.abs().max() == 0


def test_only_a_projection_of_its_own_for_sources_gives_a_pair_two_scores():
    genes = torch.arange(9)
    for directed in (False, True):
        attention = randomised(CatranModule(9, directed=directed).double()).attention(genes).log()
        scores = attention - attention.diagonal()[:, None]  # without the softmax's normalisation
        own = (
            scores - scores.T
        )  # q[l]·k[s] − q[l]·k[l] − (q[s]·k[l] − q[s]·k[s]): with one projection |q[s]|² − |q[l]|²
        assert torch.allclose(own[0, 1] + own[1, 2], own[0, 2]) != directed


def test_another_deviation_of_the_initial_weights():
    network = CatranModule(2000, generator=torch.Generator().manual_seed(0), initial_deviation=0.02, directed=True)
    for layer in (network.embedding, network.key_projection, network.mixed_linear):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("changes", ["the paper's", "all"])
def test_every_gradient_is_finite_and_every_parameter_has_one(changes):
    network = randomised(CatranModule(8, **variant(8, changes)).double())
    prediction, attention = network(torch.rand(20, 8, dtype=torch.float64), torch.arange(8))
    (prediction.square().mean() + attention.square().sum()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
