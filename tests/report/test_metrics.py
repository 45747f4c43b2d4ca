"""The registry of metrics: names, directions, and how numbers are written."""

import math

import pytest

from catran_causalbench.report.metrics import METRICS, Estimate, find_metric, metric_values


@pytest.mark.parametrize(
    ("name", "value", "half_width", "text"),
    [
        ("effect_recovery", 0.12345, 0.01, "0.123 ± 0.010"),
        ("improvement", -0.02, math.nan, "−0.020"),
        ("seconds", 1234.4, 2.2, "1,234 ± 2"),
        ("seconds", 0.002, 0.0004, "<0.01 ± <0.01"),
        ("effect_recovery", math.nan, math.nan, "–"),
    ],
)
def test_number_formats(name, value, half_width, text):
    assert METRICS[name].text(Estimate(value, half_width, 2)) == text


def test_headings_show_unit_and_direction():
    headings = [METRICS[name].heading for name in ("peak_megabytes", "precision", "num_edges")]
    assert headings == ["memory taken (MB)\u00a0↓", "precision\u00a0↑", "edges"]


@pytest.mark.parametrize(("name", "best"), [("seconds", 1.0), ("precision", 3.0), ("num_edges", math.nan)])
def test_the_best_value_is_that_of_the_metrics_direction(name, best):
    assert METRICS[name].best([2.0, 1.0, math.nan, 3.0]) == pytest.approx(best, nan_ok=True)
    assert math.isnan(METRICS[name].best([math.nan]))


def test_names_are_keys_for_scripts(result):
    values = metric_values(result())
    assert all(name.isidentifier() and name.islower() for name in [*METRICS, *values])
    assert values["precision"] == 0.6, "that of all edges"
    assert values["corum_f1"] == 0.13
    assert find_metric("corum_f1").label == "corum f1"
    assert find_metric("pooled_biological_sigificant_f1").label == "pooled biological significant f1"
    assert find_metric("corum_true_positives").number(12.0) == "12"
