"""Commands around ``causalbench_run`` and its results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from catran_causalbench.causalbench import PLUGIN_FILE
from catran_causalbench.cli.console import AsJson, Output, Overwrite, command, print_json, print_table
from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    from catran_causalbench.report.metrics import Metric


@command
def plugin() -> None:
    """Print the path of the file for causalbench_run --inference_function_file_path.

    The environment variable CATRAN_METHOD selects the method, CATRAN_CONFIG its settings.

    Example: cp "$(catran-causalbench plugin)" main.py
    """
    from catran_causalbench.methods import choose_method

    try:
        choose_method()
    except InputError as error:  # which causalbench_run raises, but only once it has loaded the data
        typer.echo(f"Warning: {error}", err=True)
    typer.echo(PLUGIN_FILE)


@command
def presets(as_json: AsJson = False) -> None:
    """List the presets for CATRAN_CONFIG, each with its purpose.

    Example: catran-causalbench presets
    """
    from catran_causalbench.config import preset_descriptions

    _print_descriptions(preset_descriptions(), as_json)


@command
def methods(as_json: AsJson = False) -> None:
    """List the methods for CATRAN_METHOD and sweeps, CaTran and the baselines, each with a description.

    Example: catran-causalbench methods
    """
    from catran_causalbench.methods import find_method, method_names

    _print_descriptions({name: find_method(name).description for name in method_names()}, as_json)


@command
def compare(
    data_directory: Annotated[Path, typer.Argument(help="The benchmark directory.", show_default=False)],
    runs: Annotated[list[Path], typer.Argument(help="Output directories of causalbench_run.", show_default=False)],
    figure: Annotated[Path | None, typer.Option(help="Draw the metrics into this file (.png, .pdf, .svg).")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare runs of causalbench_run in one table, with precision if the true network is known.

    Example: catran-causalbench compare simulated runs/catran runs/random --figure comparison.png
    """
    from catran_causalbench.causalbench.metadata import describe_data
    from catran_causalbench.report.metrics import METRICS
    from catran_causalbench.report.run_table import check_figure, draw_runs, read_runs

    if figure:
        check_figure(figure)
    data, table = describe_data(data_directory), read_runs(data_directory, runs)
    if as_json:
        print_json({"data": data, "runs": table.rename_axis("run").reset_index().to_dict("records")})
    else:
        metrics = [METRICS[name] for name in table]
        best = {metric.name: metric.best(table[metric.name]) for metric in metrics}

        def cell(metric: Metric, value: float) -> str:
            text = metric.number(value)
            return f"[bold]{text}[/bold]" if value == best[metric.name] else text

        rows = ([str(run), *map(cell, metrics, row)] for run, row in table.iterrows())
        print_table(data["title"], ["run", *(metric.heading for metric in metrics)], rows)
    if figure:
        draw_runs(data["title"], table, figure)


@command
def evaluate(
    data: Annotated[Path, typer.Argument(help="The benchmark directory.", show_default=False)],
    network: Annotated[Path, typer.Argument(help="Table of edges (CSV or TSV), best edges first.", show_default=False)],
    max_path_length: Annotated[int, typer.Option(help="As in causalbench_run.")] = 1,
    omission_estimation_size: Annotated[int, typer.Option(help="As in causalbench_run.")] = 500,
    dataset_name: Annotated[str, typer.Option(help="weissmann_rpe1 or weissmann_k562.")] = "weissmann_rpe1",
    do_filter: Annotated[
        bool, typer.Option("--do-filter", help="Strong perturbations only, as in the challenge.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score a network from any source on the held-out cells of a benchmark directory.

    The table has columns source and target, or TF and target as arboreto's, with ids or symbols of genes; or it has no
    heading and begins with these two. It may be the edges.csv of fit, or an output_network.csv of causalbench_run.
    Edges that cannot be scored are left out and counted. "metrics" of --json is what CausalBench would write.

    Example: catran-causalbench evaluate simulated edges.csv
    """
    from dataclasses import asdict

    from catran_causalbench.causalbench.benchmark_dataset import BenchmarkDataset
    from catran_causalbench.causalbench.gene_symbols import read_gene_symbols
    from catran_causalbench.causalbench.metadata import describe_data
    from catran_causalbench.data.edge_table import read_edge_table
    from catran_causalbench.evaluation.scorable_edges import scorable_edges
    from catran_causalbench.report.metrics import METRICS, find_metric, metric_values
    from catran_causalbench.sweep.plan import EvaluationProtocol
    from catran_causalbench.sweep.scoring import score_edges

    described, symbols = describe_data(data), read_gene_symbols(data)
    names = {*symbols, *symbols.values()}
    table = read_edge_table(network, "network", lambda row: not names.isdisjoint(row[:2]))
    protocol = EvaluationProtocol(1, max_path_length, omission_estimation_size, dataset_name, do_filter)
    benchmark = BenchmarkDataset.read(data, protocol.dataset_spec)
    found = scorable_edges(table, benchmark.held_out, symbols)
    scores = score_edges(benchmark, found.edges, protocol.max_path_length, protocol.omission_estimation_size)
    if as_json:
        left_out = {"left_out": found.left_out, "sorted_by": found.sorted_by}
        print_json({"data": described, **left_out, **asdict(scores)})
        return
    for remark in found.remarks():
        typer.echo(remark, err=True)
    drawn = {"false_omission_rate": f" ({scores.omissions:,} pairs drawn)"}
    values = {METRICS[name]: value for name, value in metric_values(scores).items() if name in METRICS}
    known = {metric: value for metric, value in values.items() if value == value or metric.name in drawn}
    rows = ([metric.heading + drawn.get(metric.name, ""), metric.number(value)] for metric, value in known.items())
    print_table(described["title"], ["metric", "value"], rows)
    if scores.references:
        columns = {name: find_metric(name) for agreement in scores.references.values() for name in agreement}
        rows = (
            [find_metric(reference).label, *(columns[name].number(value) for name, value in agreement.items())]
            for reference, agreement in scores.references.items()
        )
        print_table("", ["reference network", *(metric.heading for metric in columns.values())], rows)


@command
def report(
    sweeps: Annotated[list[Path], typer.Argument(help="Output directories of sweeps.", show_default=False)],
    output: Output,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Report sweeps on a page that opens offline, with figures (PNG, PDF), results.csv and a Markdown table.

    Example: catran-causalbench report results --output report
    """
    from catran_causalbench.report.page import write_report

    summary = write_report(sweeps, output, overwrite)
    if as_json:
        print_json(summary)
        return
    failed = [f"{summary['failed']} failed runs are listed in the report."] if summary["failed"] else []
    typer.echo("\n".join([*summary["conclusions"], *failed, f"Wrote {summary['page']}."]))


def _print_descriptions(descriptions: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json([{"name": name, "description": description} for name, description in descriptions.items()])
        return
    width = max(map(len, descriptions)) + 2
    for name, description in descriptions.items():
        typer.echo(f"{name:{width}}{description}")
