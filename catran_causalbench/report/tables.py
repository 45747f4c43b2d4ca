"""The report's tables: a Markdown table for a README, and the rows of the page's tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from catran_causalbench.report.aggregation import (
    ORACLE,
    RANDOM,
    ResultGroup,
    incomplete,
    is_catran,
    reference_metrics,
    summarise,
)
from catran_causalbench.report.metrics import METRICS, Estimate, Metric, find_metric

_MARKDOWN = (
    "effect_recovery",
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
    """Methods × metrics.

    Attributes
    ----------
    columns
        The metrics that any method has.
    rows
        Method → its cells, the best method first.
    """

    columns: list[Metric]
    rows: dict[str, list[Cell]]


def metric_table(group: ResultGroup, names: Iterable[str] = tuple(METRICS)) -> EstimateTable:
    """Show the metrics named, of every method.

    The oracle and random bound the methods from above and below: neither is marked as the best, nor is a method that
    lacks replicates, which may have been the hard ones.
    """
    summary = summarise(group)
    ranked = [name for name in summary if name not in (ORACLE, RANDOM, *incomplete(group))]
    found = {name: [row.get(name, Estimate()) for row in summary.values()] for name in names}
    columns = [find_metric(name) for name, estimates in found.items() if any(each.count for each in estimates)]
    best = {metric.name: _best(metric, [summary[name][metric.name].mean for name in ranked]) for metric in columns}
    rows = {
        method: [
            Cell(metric.text(value), value.mean, method in ranked and value.mean == best[metric.name])
            for metric in columns
            for value in [row[metric.name]]
        ]
        for method, row in summary.items()
    }
    return EstimateTable(columns, rows)


def reference_table(group: ResultGroup) -> EstimateTable:
    """Show precision, recall and F1 against the reference networks; without columns where there are none."""
    return metric_table(group, reference_metrics(group))


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
    every = [result.machine for group in of for result in group.results]
    named = [", ".join(f"{name} {value}" for name, value in each.items() if value not in ("", None)) for each in every]
    return list(dict.fromkeys(filter(None, named)))


def _best(metric: Metric, values: Sequence[float]) -> float:
    """Return the best of some means; NaN where there is nothing to choose from."""
    known = {metric.sign * value for value in values if not np.isnan(value)}
    return metric.sign * max(known) if len(known) > 1 else float("nan")


def _enumerated(values: Iterable[object]) -> str:
    distinct = [str(value) for value in sorted(set(values))]  # type: ignore[type-var]
    return ", ".join(distinct if len(distinct) <= 10 else [*distinct[:8], "…", distinct[-1]])
