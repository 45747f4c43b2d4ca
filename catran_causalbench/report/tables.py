"""The report's tables: a Markdown table for a README, and the rows of the page's tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from catran_causalbench.report.aggregation import ORACLE, RANDOM, ResultGroup, is_catran
from catran_causalbench.report.metrics import METRICS, Metric, find_metric

_MARKDOWN = ["effect_recovery", "precision", "mean_wasserstein", "excess_wasserstein", "false_omission_rate"]
_MARKDOWN += ["challenge_score", "improvement", "seconds"]


class Cell(NamedTuple):
    """A number of a table: what is written, what it is sorted by, and whether it is the best of its column."""

    text: str
    value: float
    best: bool


class EstimateTable(NamedTuple):
    """The metrics that any method has, and the cells of each method, the best method first."""

    columns: list[Metric]
    rows: dict[str, list[Cell]]


def estimate_table(group: ResultGroup, names: Iterable[str] = tuple(METRICS)) -> EstimateTable:
    """Show the named metrics of every method.

    The oracle and random bound the methods from above and below: neither is marked as the best, nor is a method that
    lacks replicates, which may have been the hard ones.
    """
    every = [find_metric(name) for name in names]
    columns = [
        metric
        for metric in every
        if any(metric.name in row and row[metric.name].count for row in group.summary.values())
    ]
    ranked = [name for name in group.summary if name not in (ORACLE, RANDOM, *group.incomplete)]
    rows: dict[str, list[Cell]] = {method: [] for method in group.summary}
    for metric in columns:
        means = {group.summary[name][metric.name].mean for name in ranked}
        choice = sum(not np.isnan(mean) for mean in means) > 1
        best = metric.best(means) if choice else np.nan
        for method, cells in rows.items():
            value = group.summary[method][metric.name]
            cells.append(Cell(metric.text(value), value.mean, method in ranked and value.mean == best))
    return EstimateTable(columns, rows)


def markdown(group: ResultGroup) -> str:
    """Write a table for a README, with a line that says what it is about."""
    table = estimate_table(group, _MARKDOWN)
    lines = [["method", *(metric.heading for metric in table.columns)], ["---"] * (1 + len(table.columns))]
    for method, cells in table.rows.items():
        name = f"**{method}**" if is_catran(method) else method
        name += f" ({group.incomplete[method]})" if method in group.incomplete else ""
        lines.append([name.replace("|", "\\|"), *(f"**{cell.text}**" if cell.best else cell.text for cell in cells)])
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{text}\n\n{group.title}. {settings(group)} Mean ± half of the 95 % t-interval over {group.replicate}s."


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


def _enumerated(values: Iterable[object]) -> str:
    distinct = [str(value) for value in sorted(set(values))]  # type: ignore[type-var]
    return ", ".join(distinct if len(distinct) <= 10 else [*distinct[:8], "…", distinct[-1]])
