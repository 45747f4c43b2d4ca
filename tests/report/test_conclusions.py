"""The sentence that compares CaTran with its best baseline."""

import re
from dataclasses import replace

import pytest

from catran_causalbench.report.conclusions import compare, conclusion
from catran_causalbench.report.tables import markdown


def test_conclusion_says_where_catran_leads_and_loses(result, group_of):
    runs = [
        result(method, data_set, w1=w1 + 0.1 * data_set, effect_recovery=recovery + 0.01 * data_set)
        for method, w1, recovery in (("catran", 0.2, 0.6), ("guanlab", 0.3, 0.5), ("oracle", 0.9, 1.0))
        for data_set in (0, 1, 2)
    ]
    verdicts = {comparison.metric: comparison.verdict for comparison in compare(group_of(*runs))}
    # Data sets differ far more than methods do, but within each of them the difference is the same.
    assert verdicts["effect_recovery"] == "leads"
    assert verdicts["mean_wasserstein"] == "loses"
    assert verdicts["precision"] == "level"
    pattern = r"catran leads in effect recovery \(0.610 against 0.510 of guanlab\).*loses in mean W"
    assert re.search(pattern, conclusion(group_of(*runs)))


def test_conclusion_is_cautious_with_little(result, group_of):
    assert "catran alone has scores" in conclusion(group_of(result()))
    assert "the oracle alone has scores" in conclusion(group_of(result("oracle")))
    assert "(one result each, " in conclusion(group_of(result(w1=0.3), result("guanlab")))


def test_one_replicate_decides_nothing(result, group_of):
    comparisons = compare(group_of(result(w1=0.3, effect_recovery=0.9), result("guanlab", effect_recovery=0.1)))
    assert {comparison.verdict for comparison in comparisons} == {"level"}


def test_a_baseline_with_missing_replicates_is_not_the_best(result, group_of):
    runs = [result(data_set=data_set, effect_recovery=0.4) for data_set in range(3)]
    runs += [result("mean_difference", data_set=data_set, effect_recovery=0.3) for data_set in range(3)]
    runs += [result("betterboost", data_set=1, effect_recovery=0.9)]
    assert {comparison.baseline for comparison in compare(group_of(*runs))} == {"mean_difference"}


def test_a_catran_with_missing_replicates_is_compared_on_those_it_has(result, group_of):
    runs = [result(data_set=data_set, effect_recovery=0.9 - data_set / 10) for data_set in (0, 1)]
    runs += [result("guanlab", number, effect_recovery=value) for number, value in enumerate((0.95, 0.86, 0.1, 0.1))]
    group = group_of(*runs)
    comparison = compare(group)[0]
    assert (comparison.own, comparison.other) == (pytest.approx(0.85), pytest.approx(0.905))
    assert "it has 2 of 4 data sets" in conclusion(group)
    assert "**0.850" not in markdown(group), "the two data sets it has are the easy ones"
    other = [result("catran-paper", data_set=data_set, effect_recovery=0.2) for data_set in range(4)]
    assert compare(group_of(*runs, *other))[0].method == "catran-paper"


def test_seeds_that_change_nothing_decide_nothing(result, group_of):
    runs = [result("catran", seed=seed, simulated=False, w1=0.201) for seed in range(3)]
    runs += [result("guanlab", seed=seed, simulated=False, w1=0.2) for seed in range(3)]
    assert {comparison.verdict for comparison in compare(group_of(*runs))} == {"level"}
    assert "(one result each, " in conclusion(group_of(*runs))
    runs[0] = replace(runs[0], mean_wasserstein=0.2011)
    assert "leads" in {comparison.verdict for comparison in compare(group_of(*runs))}
