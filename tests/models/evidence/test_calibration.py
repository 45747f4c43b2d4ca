"""Calibration finds the law that made the effects, and changes nothing that the left-out sources do not refute."""

import numpy as np
import pytest
import torch

from catran_causalbench.models.evidence.calibration import LeftOutPairs, PowerLaw


def left_out(law, sources=40, targets=60, noise=0.1, factors=(1.0,)):
    """Return pairs whose effects follow a law, times the factor of their source, plus noise."""
    rng = np.random.default_rng(0)
    source = np.repeat(np.arange(sources), targets)
    expected = rng.exponential(0.1, len(source))
    observed = law(expected) * np.resize(factors, sources)[source] + rng.normal(0, noise, len(source))
    return LeftOutPairs(expected, observed, np.full(len(source), noise), source)


@pytest.mark.parametrize(("scale", "exponent"), [(1.0, 1.0), (0.3, 1.0), (2.0, 1.5)])
def test_a_law_is_found(scale, exponent):
    found = PowerLaw.fit(left_out(lambda effect: scale * effect**exponent))
    effect = torch.tensor([0.05, 0.2, 0.4])
    expected = scale * effect**exponent
    torch.testing.assert_close(found(effect, torch.tensor(0.1)), expected, rtol=0.15, atol=0.01)


def test_beyond_the_largest_known_effect_the_law_is_a_line():
    law = PowerLaw(2.0, 1.5, largest=0.25)
    assert law(torch.tensor([0.25, 1.0]), torch.tensor(1.0)).tolist() == pytest.approx([0.25, 1.0])


def test_the_same_effect_is_worth_more_from_more_cells():
    law = PowerLaw(0.5, 1.5)
    few, many = law(torch.tensor([0.4, 0.4]), torch.tensor([0.2, 0.1]))
    assert few.item() == pytest.approx(0.5 * 0.4 * 2**0.5)
    assert many.item() == pytest.approx(0.5 * 0.4 * 4**0.5)


@pytest.mark.parametrize("law", [PowerLaw(3.0, 2.0, 0.4), PowerLaw(0.001), PowerLaw(0.5, 0.5)])
def test_the_order_stays(law):
    effect = torch.tensor([-0.1, 0.0, 1e-7, 0.01, 0.3, 0.4, 0.5, 3.0])
    assert (law(effect, torch.tensor(0.2)).diff() > 0).all()


def test_what_is_overrated_is_corrected_where_the_sources_agree():
    found = PowerLaw.fit(left_out(lambda effect: 0.2 * effect))
    effect = torch.tensor([0.1, 0.3])
    assert (found(effect, torch.tensor(0.1)) < 0.3 * effect).all()


def test_where_the_sources_disagree_the_scale_stays():
    pairs = left_out(lambda effect: 0.8 * effect, sources=6, factors=(2.0, 0.1))
    effect = torch.tensor(0.1)
    assert PowerLaw.fit(pairs)(effect, torch.tensor(0.1)).item() == pytest.approx(0.1, rel=0.2)


def test_effects_that_cannot_be_predicted_are_hardly_expected():
    found = PowerLaw.fit(left_out(lambda effect: 0 * effect))
    assert found.scale < 0.1


def test_one_source_calibrates_nothing():
    pairs = left_out(lambda effect: 0.2 * effect, sources=1)
    assert PowerLaw.fit(pairs) == PowerLaw()


def test_half_the_weight_is_the_geometric_mean():
    law, effect, error = PowerLaw(0.5, 1.6, 9.0), torch.tensor([0.05, 0.4]), torch.tensor(0.1)
    torch.testing.assert_close(law.weakened(0.5)(effect, error), (effect * law(effect, error)).sqrt())
    assert law.weakened(1) == law
    torch.testing.assert_close(law.weakened(0)(effect, error), effect)


def test_repeated_pairs_count_once():
    pairs = left_out(lambda effect: effect**1.3, sources=6, targets=10)
    columns = (pairs.expected, pairs.observed, pairs.error, pairs.source)
    tripled = LeftOutPairs(*(np.tile(column, 3) for column in columns), 1 / 3)
    once, thrice = PowerLaw.fit(pairs), PowerLaw.fit(tripled)
    assert thrice.scale == pytest.approx(once.scale)
    assert thrice.exponent == once.exponent
