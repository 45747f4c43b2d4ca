"""Runs of causalbench_run side by side: the harness's own figures, and the truth's where it is known."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catran_causalbench.causalbench.ground_truth import TRUE_NETWORK, read_true_network
from catran_causalbench.causalbench.metadata import find_metadata
from catran_causalbench.errors import InputError
from catran_causalbench.utils.atomic_io import check_writable, write_atomically

if TYPE_CHECKING:
    import pandas as pd

MEAN_WASSERSTEIN = "mean Wasserstein ↑"
FALSE_OMISSION_RATE = "false omission rate ↓"
PRECISION = "precision (true edges) ↑"
_FIGURES = (".png", ".pdf", ".svg")


def read_scores(data_directory: Path, run_folders: list[Path]) -> tuple[str, pd.DataFrame]:
    """Read the metrics of some runs and compare their edges with the true network, where the directory holds one.

    Parameters
    ----------
    data_directory
        The benchmark directory; one made by this package says what its data are.
    run_folders
        Output folders of ``causalbench_run``, each with metrics.json and output_network.csv; their names, or
        paths where names are repeated, become the rows' names.

    Returns
    -------
    headline, table
        What the data are (simulated or measured), and one row per run.

    Raises
    ------
    InputError
        There is no such directory, or a folder lacks the files.
    """
    import pandas as pd

    if not data_directory.is_dir():
        raise InputError.of("data_directory", f"no folder {str(data_directory)!r}", "a benchmark directory")
    headline = str(find_metadata(data_directory).get("title", f"Data in {data_directory}"))
    true_edges = set(read_true_network(data_directory)) if (data_directory / TRUE_NETWORK).exists() else set()
    folder_names = [folder.name for folder in run_folders]
    rows: dict[str, dict[str, Any]] = {}
    for folder in run_folders:
        name = folder.name if folder_names.count(folder.name) == 1 else str(folder)
        rows[name] = _read_run(folder, true_edges)
    return headline, pd.DataFrame.from_dict(rows, orient="index")


def print_scores(headline: str, table: pd.DataFrame) -> None:
    """Print the table for people to read; the best value of a column is bold."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    printed = Table(title=escape(headline), title_justify="left")
    printed.add_column("run")
    for column in table.columns:
        printed.add_column(column, justify="right")
    best = {column: _best(table[column]) for column in table.columns if column[-1] in "↑↓"}
    for name, row in table.iterrows():
        cells = [_formatted(column, row[column], row[column] == best.get(column)) for column in table.columns]
        printed.add_row(escape(str(name)), *cells)
    Console(width=None if Console().is_terminal else 120).print(printed)


def check_figure(path: Path) -> None:
    """Make sure that the scores can be drawn into a file, before they are computed.

    Raises
    ------
    InputError
        The name has another ending than .png, .pdf or .svg, or its folder cannot be written to.
    """
    if path.suffix not in _FIGURES:
        raise InputError.of("figure", f"a file named {path.name}", f"a name that ends in {', '.join(_FIGURES)}")
    check_writable(path)


def draw_scores(headline: str, table: pd.DataFrame, path: Path) -> None:
    """Draw one panel per score, one bar per run."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = [column for column in table.columns if column[-1] in "↑↓"]
    figure, axes = plt.subplots(1, len(shown), figsize=(3.4 * len(shown), 0.9 + 0.45 * len(table)), sharey=True)
    for axis, column in zip(axes, shown, strict=True):
        values = table[column][::-1]
        colours = ["#0072B2" if value == _best(table[column]) else "#B0B7BF" for value in values]
        bars = axis.barh(range(len(values)), values.fillna(0), color=colours, height=0.65)
        axis.set_yticks(range(len(values)), values.index, parse_math=False)  # a folder's name may hold a dollar
        axis.bar_label(bars, [_formatted(column, value) for value in values], padding=3, fontsize=8)
        axis.set_title(column.replace("↑", "(more is better)").replace("↓", "(less is better)"), fontsize=9)
        axis.set_xlim(0, max(values.fillna(0).max(), 1e-9) * 1.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    figure.suptitle(headline, fontsize=9, x=0.01, ha="left", parse_math=False)
    figure.tight_layout()
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=160))
    plt.close(figure)


def _read_run(folder: Path, true_edges: set[tuple[str, str]]) -> dict[str, Any]:
    import pandas as pd

    try:
        metrics = json.loads((folder / "metrics.json").read_text())
        edges = pd.read_csv(folder / "output_network.csv", index_col=0, dtype=str, keep_default_na=False)
        statistics = metrics["quantitative_test_evaluation"]
        row = {
            "edges": len(edges),
            MEAN_WASSERSTEIN: _measured(statistics["output_graph"]["wasserstein_distance"]["mean"]),
            FALSE_OMISSION_RATE: _measured(statistics["false_omission_rate"]),
        }
        if true_edges:
            row[PRECISION] = len(true_edges.intersection(edges.itertuples(index=False, name=None))) / max(len(edges), 1)
        return {**row, "seconds": _measured(metrics["run_time"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        found = f"no readable metrics.json and output_network.csv in {folder} ({error!r})"
        raise InputError.of("runs", found, "the output folder of a causalbench_run that ended well") from None


def _best(values: pd.Series) -> float:
    return values.max() if str(values.name).endswith("↑") else values.min()


def _measured(value: float | None) -> float:
    """NaN for what was not measured; the harness writes −1 for an omission rate without omissions."""
    return math.nan if value is None or value == -1 else float(value)


def _formatted(column: str, value: float, best: bool = False) -> str:
    if math.isnan(value):
        return "–"
    text = f"{value:.0f}" if column == "edges" else f"{value:.1f}" if column == "seconds" else f"{value:.3f}"
    return f"[bold]{text}[/bold]" if best else text
