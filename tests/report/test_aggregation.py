"""Groups of runs; their statistics agree with those computed by hand."""

import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from catran_causalbench.report.aggregation import data_name, estimate, group_results
from catran_causalbench.report.metrics import Estimate
from catran_causalbench.simulation.causal_model import SimulationConfig
from catran_causalbench.simulation.presets import with_difficulty
from catran_causalbench.sweep.records import Curve


def test_interval_is_that_of_students_t():
    # mean 3, deviation √2.5, t quantile for 4 degrees of freedom 2.776445
    found = estimate([1, 2, 3, 4, 5])
    assert found.mean == 3
    assert found.count == 5
    assert found.half_width == pytest.approx(2.776445 * math.sqrt(2.5 / 5), rel=1e-6)


def test_interval_leaves_out_nan_and_needs_two_values():
    assert estimate([1.0, math.nan, 3.0]) == Estimate(2.0, pytest.approx(12.706205, rel=1e-6), 2)
    assert estimate([7.0]).mean == 7
    assert math.isnan(estimate([7.0]).half_width)
    assert math.isnan(estimate([]).mean)


def test_challenge_score_and_improvement_by_hand(result, group_of):
    # Areas 0.25·(1/2·0.1 + 0.2 + 0.3 + 1/2·0.4) and, in the other data set, twice that; improvements 0.3 and 0.6
    runs = [
        result("catran", data_set, fraction, w1 * (1 + data_set))
        for data_set in (0, 1)
        for fraction, w1 in ((0.25, 0.1), (0.5, 0.2), (0.75, 0.3), (1.0, 0.4))
    ]
    row = group_of(*runs).summary["catran"]
    assert row["challenge_score"].mean == pytest.approx((0.1875 + 0.375) / 2)
    assert row["improvement"].mean == pytest.approx(0.45)
    assert row["challenge_score"].count == 2


def test_challenge_takes_the_median_over_seeds(result, group_of):
    runs = [
        result(fraction=fraction, w1=w1, seed=seed, simulated=False)
        for fraction, values in ((0.25, (0.1, 0.2, 0.9)), (1.0, (0.3, 0.4, 0.4)))
        for seed, w1 in enumerate(values)
    ]
    assert group_of(*runs).score_of_medians == {"catran": pytest.approx(0.75 * (0.2 + 0.4) / 2)}
    # Within one of several data sets the median is taken too.
    settings = result().data_settings
    runs = [replace(run, simulated=True, data_settings=settings, data="simulated-5") for run in runs]
    group = group_of(*runs, *[result(data_set=6, fraction=fraction) for fraction in (0.25, 1.0)])
    assert group.values.loc[("catran", "simulated-5"), "challenge_score"] == pytest.approx(0.75 * 0.3)


def test_a_missing_fraction_leaves_the_challenge_score_out(result, group_of):
    runs = [result("catran", fraction=fraction) for fraction in (0.25, 0.5, 1.0)]
    runs += [result("guanlab", fraction=fraction) for fraction in (0.5, 1.0)]
    summary = group_of(*runs).summary
    assert summary["catran"]["challenge_score"].count == 1
    assert summary["guanlab"]["challenge_score"].count == 0


def test_data_of_the_same_settings_are_pooled(result):
    other = result(data="large", data_settings={"genes": 99, "cells": 4500})
    found = [result(data_set=1), result(data_set=2), other, result(simulated=False), result(simulated=False, seed=1)]
    groups = group_results([(Path(), run) for run in found], {})
    assert [(group.name, group.replicate, len(group.results)) for group in groups] == [
        ("30 genes, 4,500 cells", "data set", 2),
        ("99 genes, 4,500 cells", "seed", 1),
        ("screen", "seed", 2),
    ]
    assert "SIMULATED" in groups[0].title
    assert "SIMULATED" not in groups[2].title


def test_data_are_grouped_by_settings_and_not_by_title(result):
    found = [result(), result(data_set=1, title="Other words"), result(data_set=2, data_settings={})]
    groups = group_results([(Path(), run) for run in found], {})
    assert [group.name for group in groups] == ["30 genes, 4,500 cells", "simulated-2"]


def test_data_are_named_by_what_is_unusual_or_differs():
    usual = {**asdict(SimulationConfig(genes=30, cells=4500)), "regulatory_graph": None}
    hard = {**asdict(with_difficulty(SimulationConfig(genes=30, cells=4500), "hard")), "regulatory_graph": "trrust.tsv"}
    strong = {**usual, "effect_strength": 0.3}
    assert data_name(usual, [usual]) == "30 genes, 4,500 cells"
    assert data_name(hard, [hard]) == "30 genes, 4,500 cells, hard, edges from trrust.tsv"
    assert data_name(strong, [strong]) == "30 genes, 4,500 cells, effect strength 0.3"
    assert data_name(usual, [usual, strong]) == "30 genes, 4,500 cells, effect strength 0.15"
    assert "standard" in data_name(usual, [usual, hard])
    assert data_name({}, [usual]) == ""


def test_controls_only_are_a_group_of_their_own(result):
    found = [result(), result(regime="observational", fraction=0.0)]
    assert len(group_results([(Path(), run) for run in found], {})) == 2


def test_metrics_are_those_at_the_largest_fraction(result, group_of):
    runs = [
        result(data_set=data_set, fraction=fraction, effect_recovery=fraction)
        for data_set in (0, 1)
        for fraction in (0.5, 1.0)
    ]
    group = group_of(*runs)
    assert group.summary["catran"]["effect_recovery"] == Estimate(1.0, 0.0, 2)
    assert group.by_fraction("effect_recovery")["catran"][0.5].mean == 0.5
    assert group.summary["catran"]["corum_f1"].mean == pytest.approx(0.13)


def test_curves_keep_what_all_replicates_have(result, group_of):
    runs = [result(data_set=0), result(data_set=1, w1=0.4), result(data_set=2, wasserstein=Curve([20], [0.3]))]
    runs.append(result(data_set=0, fraction=0.5, w1=9.0))  # ignored: not the largest fraction
    curve = group_of(*runs).mean_curve(lambda run: run.wasserstein)["catran"]
    assert list(curve) == [20]
    assert curve[20].mean == pytest.approx((0.2 + 0.4 + 0.3) / 3)


def test_missing_replicates_are_counted(result, group_of):
    runs = [result(), result(data_set=1), result("guanlab", data_set=1), result("random", fraction=0.5)]
    assert group_of(*runs).incomplete == {"guanlab": "1 of 2 data sets", "random": "0 of 2 data sets"}
