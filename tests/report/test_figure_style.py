"""Styles of methods, and labels that do not overlap."""

from itertools import pairwise

import pytest

from catran_causalbench.report.figure_style import method_styles, spread


def test_labels_are_spread():
    places = spread([0.1, 0.5, 0.5, 0.5, 0.9], 0.1)
    assert all(later - earlier >= 0.1 - 1e-9 for earlier, later in pairwise(places))
    assert places[2] == pytest.approx(0.5)
    assert spread([0.0, 0.0], 0.1)[0] == 0


def test_catran_keeps_its_colour():
    few, many = method_styles(["catran", "a"]), method_styles(["catran", "catran-paper", *"abcdefghijkl"])
    assert few["catran"].colour == many["catran"].colour == many["catran-paper"].colour
    others = {(each.colour, each.marker, str(each.dashes)) for name, each in many.items() if "catran" not in name}
    assert len(others) == 12
