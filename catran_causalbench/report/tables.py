"""The report's tables: results.csv, a Markdown table for a README, and the rows of the page's tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from catran_causalbench.report.aggregation import ORACLE, RANDOM, ResultGroup, is_catran, reference_columns, summarise
from catran_causalbench.report.metrics import METRICS, Estimate, Metric

# They bound the methods from above and below; neither is one to choose. (Nor is a method that lacks replicates, which
# may have been the hard ones.)
_BOUNDS = (ORACLE, RANDOM)
_MARKDOWN = (
    "captured",
    "precision",
    "mean_wasserstein",
    "excess_wasserstein",
    "false_omission_rate",
    "challenge_score",
    "improvement",
    "seconds",
)


@dataclass(frozen=True)
class Cell:
    """A number of a table: what is written, what it is sorted by, and whether it is the best of its column."""

    text: str
    value: float
    best: bool


@dataclass(frozen=True)
class EstimateTable:
    """Methods × measures.

    Attributes
    ----------
    columns
        The measures that any method has.
    rows
        Method → its cells, the best method first.
    """

    columns: list[Metric]
    rows: dict[str, list[Cell]]


def metric_table(group: ResultGroup, names: Iterable[str] = tuple(METRICS)) -> EstimateTable:
    """Every metric, or those named, of every method."""
    return _table(group, [METRICS[name] for name in names])


def reference_table(group: ResultGroup) -> EstimateTable:
    """Precision, recall and F1 against the reference networks; without columns where there are none."""
    return _table(group, [Metric(name, name.replace("_", " "), "higher", "") for name in reference_columns(group)])


def markdown(group: ResultGroup) -> str:
    """Write a table for a README, with a line that says what it is about."""
    table, lacking = metric_table(group, _MARKDOWN), incomplete(group)
    lines = [
        "| " + " | ".join(["method", *(metric.heading for metric in table.columns)]) + " |",
        "|" + "---|" * (1 + len(table.columns)),
    ]
    for method, cells in table.rows.items():
        name = f"**{method}**" if is_catran(method) else method
        name += f" ({lacking[method]})" if method in lacking else ""
        texts = [f"**{cell.text}**" if cell.best else cell.text for cell in cells]
        lines.append("| " + " | ".join([name.replace("|", "\\|"), *texts]) + " |")
    return "\n".join(
        [*lines, "", f"{group.title}. {settings(group)} Mean ± half of the 95 % t-interval over {group.replicate}s."]
    )


def incomplete(group: ResultGroup) -> dict[str, str]:
    """Name the methods that lack replicates at the largest fraction, and how many they have."""
    runs = group.runs
    every = runs["replicate"].nunique()
    found = runs[runs["fraction"] == group.fraction].groupby("method")["replicate"].nunique()
    counts = {str(method): int(found.get(method, 0)) for method in runs["method"].unique()}
    return {method: f"{count} of {every} {group.replicate}s" for method, count in counts.items() if count < every}


def settings(group: ResultGroup) -> str:
    """Say on what data, seeds and machine the runs were made."""
    runs = group.runs
    shares = [f"{100 * fraction:g}" for fraction in sorted(runs["fraction"].unique())]
    whole = "" if len(shares) == 1 else f" (table and curves over K: {shares[-1]} %)"
    return (
        f"Data {_enumerated(runs['data'])}; seeds {_enumerated(runs['seed'])}; "
        f"{_enumerated(runs['num_edges'])} edges; {', '.join(shares)} % of the perturbations{whole}; "
        f"{'; '.join(machines([group])) or 'machine unknown'}."
    )


def machines(of: Iterable[ResultGroup]) -> list[str]:
    """Name every machine that took part."""
    found: dict[str, None] = {}
    for group in of:
        for record in group.records:
            known = [f"{name} {value}" for name, value in record.machine.items() if value not in ("", None)]
            found[", ".join(known)] = None
    return [machine for machine in found if machine]


def _table(group: ResultGroup, measures: Sequence[Metric]) -> EstimateTable:
    summary = summarise(group)
    ranked = [name for name in summary if name not in (*_BOUNDS, *incomplete(group))]
    columns = [metric for metric in measures if any(_known(row, metric).count for row in summary.values())]
    best = {metric.name: _best([summary[name] for name in ranked], metric) for metric in columns}
    rows = {
        method: [
            Cell(metric.text(value), value.mean, method in ranked and value.mean == best[metric.name])
            for metric in columns
            for value in [_known(row, metric)]
        ]
        for method, row in summary.items()
    }
    return EstimateTable(columns, rows)


def _known(row: dict[str, Estimate], metric: Metric) -> Estimate:
    return row.get(metric.name, Estimate(float("nan"), float("nan"), 0))


def _best(rows: Iterable[dict[str, Estimate]], metric: Metric) -> float:
    """Find the best mean of a column; NaN where there is nothing to choose from."""
    known = [mean for row in rows if not np.isnan(mean := _known(row, metric).mean)]
    if not metric.better or len(set(known)) < 2:
        return float("nan")
    return float(max(known) if metric.better == "higher" else min(known))


def _enumerated(values: Iterable[object]) -> str:
    distinct = [str(value) for value in sorted(set(values))]  # type: ignore[type-var]
    return ", ".join(distinct if len(distinct) <= 10 else [*distinct[:8], "…", distinct[-1]])
