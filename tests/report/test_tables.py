"""The report's tables."""

from catran_causalbench.report.tables import estimate_table, markdown


def test_best_value_is_bold_and_the_oracle_is_none(result, group_of):
    recoveries = {"catran": 0.7, "guanlab": 0.6, "oracle": 1.0}
    group = group_of(*[result(method, effect_recovery=recovery) for method, recovery in recoveries.items()])
    table = estimate_table(group)
    column = [metric.name for metric in table.columns].index("effect_recovery")
    best = {name: cells[column].best for name, cells in table.rows.items()}
    assert best == {"oracle": False, "catran": True, "guanlab": False}
    text = markdown(group)
    assert "| **catran** | **0.700** |" in text
    assert all(part in text for part in ("SIMULATED", "simulated-0", "seeds 0", "a processor", "20 edges"))


def test_a_single_method_is_not_marked_as_best(result, group_of):
    (cells,) = estimate_table(group_of(result())).rows.values()
    assert not any(cell.best for cell in cells)


def test_missing_replicates_are_named(result, group_of):
    group = group_of(result(), result(data_set=1), result("guanlab", data_set=1))
    assert "| guanlab (1 of 2 data sets) |" in markdown(group)
