"""A table of runs of causalbench_run: CausalBench's metrics, and precision if the true network is known."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from catran_causalbench.causalbench.ground_truth import TRUE_NETWORK, read_true_network
from catran_causalbench.data.edge_table import read_edge_table
from catran_causalbench.errors import InputError
from catran_causalbench.plotting.style import new_figure
from catran_causalbench.report.metrics import METRICS
from catran_causalbench.utils.atomic_io import check_writable, write_atomically

_FIGURES = (".png", ".pdf", ".svg")


def read_runs(data_directory: Path, run_directories: list[Path]) -> pd.DataFrame:
    """Read the metrics of runs, and compare their edges with the true network if the benchmark directory has one.

    Return one row per run, named like its directory, or by its path if the name is not unique, and one column per
    metric, named as in :data:`~catran_causalbench.report.metrics.METRICS`. Raise InputError if files are missing.
    """
    true_edges = set(read_true_network(data_directory)) if (data_directory / TRUE_NETWORK).exists() else set()
    names = [run.name for run in run_directories]
    index = [run.name if names.count(run.name) == 1 else str(run) for run in run_directories]
    return pd.DataFrame([_read_run(run, true_edges) for run in run_directories], index=index)


def check_figure(path: Path) -> None:
    """Raise InputError if a file is none of .png, .pdf and .svg, or if it cannot be written."""
    if path.suffix not in _FIGURES:
        raise InputError.of("figure", f"a file named {path.name}", f"a name that ends in {', '.join(_FIGURES)}")
    check_writable(path)


def draw_runs(title: str, table: pd.DataFrame, path: Path) -> None:
    """Draw one panel per metric, one bar per run; the best bar of a panel is blue."""
    metrics = [METRICS[name] for name in table.columns if METRICS[name].sign]
    figure = new_figure((3.4 * len(metrics), 0.9 + 0.45 * len(table)))
    for axis, metric in zip(figure.subplots(1, len(metrics), sharey=True), metrics, strict=True):
        values = table[metric.name][::-1]
        best = metric.best(values)
        colours = ["#0072B2" if value == best else "#B0B7BF" for value in values]
        bars = axis.barh(range(len(values)), values.fillna(0), color=colours, height=0.65)
        axis.set_yticks(range(len(values)), values.index, parse_math=False)  # a name may contain a dollar sign
        axis.bar_label(bars, [metric.number(value) for value in values], padding=3, fontsize=8)
        axis.set_title(metric.axis_label, fontsize=9)
        axis.set_xlim(0, max(values.fillna(0).max(), 1e-9) * 1.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    figure.suptitle(title, fontsize=9, x=0.01, ha="left", parse_math=False)
    figure.tight_layout()
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=160))


def _read_run(directory: Path, true_edges: set[tuple[str, str]]) -> dict[str, Any]:
    try:
        metrics = json.loads((directory / "metrics.json").read_text(encoding="utf-8"))
        edges = read_edge_table(directory / "output_network.csv", "runs")
        statistics = metrics["quantitative_test_evaluation"]
        row = {
            "num_edges": len(edges),
            "mean_wasserstein": _measured(statistics["output_graph"]["wasserstein_distance"]["mean"]),
            "false_omission_rate": _measured(statistics["false_omission_rate"]),
        }
        if true_edges:
            hits = true_edges.intersection(zip(edges["source"], edges["target"], strict=True))
            row["precision"] = len(hits) / max(len(edges), 1)
        return row | {"seconds": _measured(metrics["run_time"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        found = f"no readable metrics.json and output_network.csv in {directory} ({error!r})"
        raise InputError.of("runs", found, "the output directory of a causalbench_run that succeeded") from None


def _measured(value: float | None) -> float:
    """Return NaN for a missing value; CausalBench writes −1 for an omission rate without omissions."""
    return math.nan if value is None or value == -1 else float(value)
