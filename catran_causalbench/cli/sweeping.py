"""The command that runs many methods on many data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from catran_causalbench.cli.console import Quiet, command, print_table, show_progress
from catran_causalbench.errors import InputError


@command
def sweep(
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory for the runs.", show_default=False)],
    data: Annotated[
        list[Path] | None, typer.Argument(help="Benchmark directories, or .npz with known truth.", show_default=False)
    ] = None,
    plan: Annotated[Path | None, typer.Option(help="YAML file; options replace what it says.")] = None,
    methods: Annotated[
        str | None, typer.Option(help="catran, catran-PRESET, a YAML file with settings, a baseline, or oracle.")
    ] = None,
    regimes: Annotated[str | None, typer.Option(help="observational, partial_interventional, interventional.")] = None,
    fractions: Annotated[str | None, typer.Option(help="Shares of perturbations in the partial regime.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds of the model and of the partial draw.")] = None,
    edges: Annotated[
        int | None, typer.Option(help="Edges of every network.", show_default="1000; direct edges of known truth")
    ] = None,
    max_path_length: Annotated[int | None, typer.Option(help="As in causalbench_run.", show_default="1")] = None,
    omission_estimation_size: Annotated[
        int | None, typer.Option(help="As in causalbench_run.", show_default="500")
    ] = None,
    dataset_name: Annotated[str | None, typer.Option(help="weissmann_rpe1 (default) or weissmann_k562.")] = None,
    do_filter: Annotated[
        bool | None, typer.Option("--do-filter", help="Strong perturbations only, as in the challenge.")
    ] = None,
    dcdi_training_share: Annotated[
        float | None, typer.Option(help="Share of their full training for DCDI and its relatives.", show_default="1")
    ] = None,
    stability: Annotated[
        bool | None, typer.Option("--stability", help="Train twice more, on halves of the cells, and compare edges.")
    ] = None,
    split_by_seed: Annotated[
        bool | None, typer.Option("--split-by-seed", help="Let the seed also decide which cells are held out.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes.", show_default="one per core", min=1)] = None,
    scheduler: Annotated[str | None, typer.Option(help="A Dask scheduler to use instead; one run per worker.")] = None,
    quiet: Quiet = False,
) -> None:
    """Run methods × data × regimes × fractions × seeds, and store each run as causalbench_run does.

    Separate several values by commas. The default regime is partial_interventional with the challenge's fractions
    0.25,0.5,0.75,1 and seed 0. Repeat the command to resume an interrupted sweep and to run failed runs again; add
    values to add runs. A table of all finished runs comes last, with the challenge score. The exit code is 1 if a run
    failed.

    Examples: catran-causalbench sweep data1 data2 --output results --methods catran,mean_difference,random --seeds 0,1

    catran-causalbench sweep --output results --plan plan.yaml --scheduler tcp://10.0.0.1:8786
    """
    from catran_causalbench.cli.sweep_progress import SweepProgress
    from catran_causalbench.sweep.plan import SweepPlan
    from catran_causalbench.sweep.runner import pending, run_sweep

    given: dict[str, Any] = {
        "data": data or None,
        "methods": _split(methods),
        "regimes": _split(regimes),
        "fractions": _numbers("fractions", fractions, float),
        "seeds": _numbers("seeds", seeds, int),
        "edges": edges,
        "max_path_length": max_path_length,
        "omission_estimation_size": omission_estimation_size,
        "dataset_name": dataset_name,
        "do_filter": do_filter,
        "dcdi_training_share": dcdi_training_share,
        "stability": stability,
        "split_by_seed": split_by_seed,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    wanted = SweepPlan.from_yaml(plan, changes) if plan else SweepPlan.from_mapping(changes)
    total, left = len(wanted.runs()), len(pending(wanted, output))
    with SweepProgress(output, total, left, show_progress(quiet), quiet) as progress:
        run_sweep(wanted, output, progress.show, workers, scheduler)
    if progress.failed < total:
        _print_results(output)
    if progress.failed:
        raise typer.Exit(1)


def _print_results(output: Path) -> None:
    """Print a table for each group of runs that may be compared, as the report does."""
    from catran_causalbench.report.aggregation import group_results, read_results
    from catran_causalbench.report.tables import main_table

    for group in group_results(*read_results([output])):
        columns, methods = main_table(group)
        rows = ([method, *(cell.text for cell in cells)] for method, cells in methods.items())
        print_table(group.title, ["method", *(metric.heading for metric in columns)], rows)


def _split(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",")]


def _numbers(name: str, text: str | None, kind: type[int] | type[float]) -> list[Any] | None:
    try:
        return None if text is None else [kind(part) for part in text.split(",")]
    except ValueError:
        raise InputError.of(name, repr(text), "numbers separated by commas") from None
