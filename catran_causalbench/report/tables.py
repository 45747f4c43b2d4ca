"""The report's tables: those of the page, and a Markdown table for a README."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from catran_causalbench.report.aggregation import RANDOM, ResultGroup, is_catran
from catran_causalbench.report.metrics import METRICS, Metric, find_metric
from catran_causalbench.sweep.plan import ORACLE

_MAIN = ["effect_recovery", "precision", "direct_average_precision", "mean_wasserstein", "excess_wasserstein"]
_MAIN += ["false_omission_rate", "challenge_score", "improvement", "seconds"]


class Cell(NamedTuple):
    """A cell of a table: its text, the number to sort by, and whether that is the best of the column."""

    text: str
    value: float
    best: bool


class EstimateTable(NamedTuple):
    """The metrics that some method has, and the cells of each method, the best method first."""

    columns: list[Metric]
    rows: dict[str, list[Cell]]


def estimate_table(group: ResultGroup, names: Iterable[str] = tuple(METRICS)) -> EstimateTable:
    """Tabulate some metrics of every method.

    The oracle and random are bounds, so neither is marked as the best, nor is a method that lacks replicates, which may
    be the hard ones.
    """
    known = {name for row in group.summary.values() for name, value in row.items() if value.count}
    columns = [find_metric(name) for name in names if name in known]
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


def main_table(group: ResultGroup) -> EstimateTable:
    """Tabulate the metrics that matter most."""
    return estimate_table(group, _MAIN)


def markdown(group: ResultGroup) -> str:
    """Return the main table in Markdown, with a sentence on data and machine below it."""
    table = main_table(group)
    lines = [["method", *(metric.heading for metric in table.columns)], ["---"] * (1 + len(table.columns))]
    for method, cells in table.rows.items():
        name = f"**{method}**" if is_catran(method) else method
        name += f" ({group.incomplete[method]})" if method in group.incomplete else ""
        lines.append([name.replace("|", "\\|"), *(f"**{cell.text}**" if cell.best else cell.text for cell in cells)])
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{text}\n\n{group.title}. {settings(group)} Mean ± half of the 95 % t-interval over {group.replicate}s."


def settings(group: ResultGroup) -> str:
    """Return one sentence on the data, seeds and machine of the runs."""
    runs = group.runs
    shares = [f"{100 * fraction:g}" for fraction in sorted(runs["fraction"].unique())]
    whole = "" if len(shares) == 1 else f" (table and curves over K: {shares[-1]} %)"
    return (
        f"Data {_enumerated(runs['data'])}; seeds {_enumerated(runs['seed'])}; "
        f"{_enumerated(runs['num_edges'])} edges; {', '.join(shares)} % of the perturbations{whole}; "
        f"{'; '.join(machines([group])) or 'machine unknown'}."
    )


def machines(groups: Iterable[ResultGroup]) -> list[str]:
    """Describe every machine of the runs."""
    every = [result.machine for group in groups for result in group.results]
    named = [", ".join(f"{name} {value}" for name, value in each.items() if value not in ("", None)) for each in every]
    return list(dict.fromkeys(filter(None, named)))


def _enumerated(values: Iterable[object]) -> str:
    distinct = [str(value) for value in sorted(set(values))]  # type: ignore[type-var]
    return ", ".join(distinct if len(distinct) <= 10 else [*distinct[:8], "…", distinct[-1]])
