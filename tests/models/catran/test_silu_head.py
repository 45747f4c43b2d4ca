"""The head: interpolated and direct forms against the plain sum, values and gradients."""

import pytest
import torch
from helpers import head_inputs, plain_head, value_and_gradients

from catran_causalbench.models.catran import silu_head as head
from catran_causalbench.models.catran.chebyshev import ChebyshevInterpolation, chebyshev_nodes
from catran_causalbench.models.catran.silu_head import DirectHead, silu_head


@pytest.mark.parametrize("scale", [1e-4, 1, 6])
@pytest.mark.parametrize("form", [silu_head, DirectHead.apply])
def test_float64(form, scale):
    values = head_inputs(scale=scale)
    for found, expected in zip(value_and_gradients(form, values), value_and_gradients(plain_head, values), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11 * float(expected.abs().max()))


@pytest.mark.parametrize("scale", [0.1, 1, 4])
def test_float32_stays_near_float64(scale):
    found = value_and_gradients(silu_head, head_inputs(scale=scale, dtype=torch.float32))
    expected = value_and_gradients(plain_head, head_inputs(scale=scale))
    for single, double in zip(found, expected, strict=True):
        assert (single - double).abs().max() <= 1e-5 * double.abs().max()


def test_interpolation_is_what_runs_on_a_cpu(monkeypatch):
    def refuse(*_):
        raise AssertionError("the direct sum was taken")

    monkeypatch.setattr(DirectHead, "apply", refuse)
    silu_head(*head_inputs(dtype=torch.float32))


def test_a_wide_range_falls_back_to_the_direct_sum(monkeypatch):
    monkeypatch.setattr(ChebyshevInterpolation, "apply", None)
    silu_head(*head_inputs(scale=1000))


def test_blocks_of_cells_cover_every_cell(monkeypatch):
    monkeypatch.setattr(head, "_VALUES_PER_BLOCK", 100)
    values = head_inputs(cells=23)
    torch.testing.assert_close(DirectHead.apply(*values), plain_head(*values))


def test_interpolation_is_exact_for_polynomials():
    x = torch.linspace(-2, 5, 50, dtype=torch.float64).unsqueeze(1).repeat(1, 3)
    low, high = torch.aminmax(x, dim=0)

    def polynomial(t):
        return 1 - 2 * t + 0.5 * t**2 + 0.25 * t**3

    def derivative(t):
        return -2 + t + 0.75 * t**2

    nodes = chebyshev_nodes(low, high, 8)
    x.requires_grad_()
    result = ChebyshevInterpolation.apply(x, polynomial(nodes), derivative(nodes), low, high)
    torch.testing.assert_close(result, polynomial(x.detach()))
    torch.testing.assert_close(torch.autograd.grad(result.sum(), x)[0], derivative(x.detach()))


def test_a_gene_with_one_value_is_interpolated_too():
    values = head_inputs(cells=400, genes=3)
    values[0] = (values[0] * torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)).detach().requires_grad_()
    for found, expected in zip(
        value_and_gradients(silu_head, values)[:1], value_and_gradients(plain_head, values)[:1], strict=True
    ):
        torch.testing.assert_close(found, expected)


def test_sums_do_not_depend_on_the_number_of_threads():
    values = head_inputs(cells=3000, dtype=torch.float32)
    threads = torch.get_num_threads()
    runs = []
    for number in (1, 2):
        torch.set_num_threads(number)
        x = values[0].detach().requires_grad_()
        low, high = torch.aminmax(x.detach(), dim=0)
        node_values = torch.linspace(-1, 1, 16 * x.shape[1]).view(16, -1).requires_grad_()
        result = ChebyshevInterpolation.apply(x, node_values, node_values.detach(), low, high)
        runs.append([result, *torch.autograd.grad(result.square().sum(), (x, node_values))])
    torch.set_num_threads(threads)
    for one, two in zip(*runs, strict=True):
        assert torch.equal(one, two)
