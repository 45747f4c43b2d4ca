"""Print a Markdown table of sweeps over data with known truth: total effects and direct edges side by side.

Usage: python independent_table.py SWEEP... [--methods A,B,...]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from catran_causalbench.report.aggregation import runs_table
from catran_causalbench.report.metrics import METRICS
from catran_causalbench.sweep.plan import ORACLE
from catran_causalbench.sweep.records import read_sweep

COLUMNS = (("effect_recovery", 0.25), ("effect_recovery", 0.5), ("effect_recovery", 1.0), ("precision", 1.0))
COLUMNS += (("direct_average_precision", 1.0), ("orientation", 1.0), ("seconds", 1.0))


def main() -> None:
    """Read the sweeps and print the table, the best method first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweeps", nargs="+", type=Path)
    parser.add_argument("--methods", help="only these, separated by commas")
    options = parser.parse_args()
    runs = runs_table(result for sweep in options.sweeps for _, result in read_sweep(sweep))
    if options.methods:
        runs = runs[runs["method"].isin(options.methods.split(","))]
    sets = runs["data"].nunique()
    columns = [(name, share) for name, share in COLUMNS if share in set(runs["fraction"])]
    cells = {column: _cells(runs, *column, sets) for column in columns}
    mean = runs[runs["fraction"] == 1].groupby(["method", "data"])["effect_recovery"].mean().groupby("method").mean()
    print("| method | " + " | ".join(f"{METRICS[name].heading}, {share:.0%}" for name, share in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for method in mean.sort_values(ascending=False).index:
        shown = f"**{method}**" if str(method).startswith("catran") else str(method)
        print(f"| {shown} | " + " | ".join(cells[column].get(method, "–") for column in columns) + " |")
    seeds = runs.groupby("method")["seed"].nunique()
    few = ", ".join(f"{method} {count}" for method, count in seeds.items() if count < seeds.max())
    print(f"\nSIMULATED by other authors: {', '.join(sorted(runs['data'].unique()))}. Mean over data sets ± their")
    print(f"standard deviation; seeds: {seeds.max()}" + f" ({few})" * bool(few) + ".")
    print("A star marks a method that finished fewer data sets.")


def _cells(runs: pd.DataFrame, name: str, share: float, sets: int) -> dict[str, str]:
    """Return the text for each method, the best value besides the oracle's in bold."""
    metric = METRICS[name]
    values = runs[runs["fraction"] == share].groupby(["method", "data"])[name].mean().groupby("method")
    mean, spread, count = values.mean(), values.std(), values.count()
    best = metric.best(mean.drop(ORACLE, errors="ignore"))
    cells = {}
    for method in mean.dropna().index:
        text = metric.number(mean[method]) + (f" ± {metric.number(spread[method])}" if count[method] > 1 else "")
        text = f"**{text}**" if mean[method] == best else text
        cells[str(method)] = text + "\\*" * int(count[method] < sets)
    return cells


if __name__ == "__main__":
    main()
